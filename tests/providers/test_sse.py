"""Lines and events of a streamed answer, cut anywhere."""

from collections.abc import Iterator
from itertools import pairwise

import httpx2
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.errors import ModelBroken
from chatbot.providers.sse import LONGEST_EVENT, LineSplitter, Reply, read_reply, usage_of
from chatbot.usage.ledger import Usage

CUTS = st.lists(st.integers(0, 3000), max_size=30)
WORDS = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), max_size=8)
LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


class Body(httpx2.SyncByteStream):
    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces


def read(pieces: list[bytes], kind: str = "text/event-stream") -> tuple[str, Reply]:
    reply = Reply()
    response = httpx2.Response(200, headers={"content-type": kind}, stream=Body(pieces))
    return "".join(read_reply(response, reply)), reply


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(place for place in cuts if place < len(data)), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def event(delta: dict[str, object] | None, finish: str | None = None, **more: object) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + orjson.dumps({"choices": choices, **more}) + b"\n\n"


DONE = b"data: [DONE]\n\n"


@given(WORDS, CUTS, LINE_ENDS, st.booleans())
def test_text_is_whole_whatever_the_cuts(words: list[str], cuts: list[int], end: bytes, has_bom: bool) -> None:
    body = b"".join(event({"content": word}) for word in words) + event({}, "stop") + DONE
    body = (b"\xef\xbb\xbf" if has_bom else b"") + b": hello\n\n" + body
    text, reply = read(cut(body.replace(b"\n", end), cuts))
    assert text == "".join(words)
    assert reply.is_done


@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters="\r\n"))), CUTS, LINE_ENDS)
def test_lines_are_the_same_whatever_the_cuts(lines: list[str], cuts: list[int], end: bytes) -> None:
    splitter = LineSplitter()
    data = b"".join(line.encode() + end for line in lines)
    got = [line for piece in cut(data, cuts) for line in splitter.feed(piece)]
    assert got == [line.encode() for line in lines]


@given(st.binary(max_size=300), CUTS)
def test_any_bytes_end_cleanly(noise: bytes, cuts: list[int]) -> None:
    with pytest.raises(ModelBroken):
        read(cut(b"data: " + noise, cuts))


def test_halves_of_a_character_are_joined_and_a_lone_one_is_left_out() -> None:
    halves = [rb'"\ud83c"', rb'"\udf5e and "', rb'"\udf5e alone\ud83c"', b'" end"']
    body = b"".join(b'data: {"choices":[{"delta":{"content":%b}}]}\n\n' % half for half in halves) + DONE
    assert read([body])[0] == "🍞 and  alone end"


@pytest.mark.parametrize(
    "name, kept",
    [
        (rb'"a\ud800b"', "ab"),
        (rb'"a\u0000\u202e\nb"', "ab"),
        (b'"%b"' % (b"x" * 500), "x" * 200),
        (b"7", ""),
        (b'{"a": 1}', ""),
        ('"größer 8b"'.encode(), "größer 8b"),
    ],
)
def test_a_strange_model_name_is_made_storable(name: bytes, kept: str) -> None:
    body = b'data: {"model":%b,"choices":[{"delta":{"content":"Hi"}}]}\n\n' % name + DONE
    text, reply = read([body])
    assert (text, reply.model) == ("Hi", kept)


def test_what_was_said_before_it_broke_is_kept() -> None:
    reply = Reply()
    heard: list[str] = []
    response = httpx2.Response(
        200, headers={"content-type": "text/event-stream"}, stream=Body([event({"content": "So far"}) + b"data: {\n\n"])
    )
    with pytest.raises(ModelBroken):
        heard.extend(read_reply(response, reply))
    assert heard == ["So far"]


def test_a_last_event_without_its_end_counts() -> None:
    text, reply = read([event({"content": "Hello."}), b"data: [DONE]"])
    assert text == "Hello."
    assert reply.is_done


def test_nothing_after_the_end_mark_is_read() -> None:
    assert read([event({"content": "Hello."}) + DONE + b"data: {broken\n\n"])[0] == "Hello."


def test_a_stream_that_just_ends_is_cut_off() -> None:
    with pytest.raises(ModelBroken):
        read([event({"content": "Hel"})])


def test_an_endless_line_is_refused() -> None:
    with pytest.raises(ModelBroken):
        read([b"data: " + b"x" * 65536] * (LONGEST_EVENT // 65536 + 2))


@pytest.mark.parametrize(
    "chunk",
    [{}, {"choices": None}, {"choices": []}, {"choices": [None]}, {"choices": {}}, {"choices": [{}]},
     {"choices": [{"delta": None}]}, {"choices": [{"delta": {"content": None}}]},
     {"choices": [{"delta": {"content": 7}}]}, {"choices": [{"delta": []}]}, {"choices": [{"delta": "Hello"}]},
     {"choices": [{"delta": {"reasoning_content": "Hm."}}]}, {"usage": 3}, {"usage": {"prompt_tokens": "9"}},
     {"model": 5}, {"choices": [{"finish_reason": {}}]}],
)  # fmt: skip
def test_odd_shapes_say_nothing(chunk: dict[str, object]) -> None:
    text, _reply = read([b"data: " + orjson.dumps(chunk) + b"\n\n", event({"content": "Hello."}, "stop"), DONE])
    assert text == "Hello."


@pytest.mark.parametrize(
    "body", [b"[]", b"7", b'"text"', b"null", b"{}", b'{"error":{"message":"no"}}', b"", b"{" * 99999]
)
def test_a_whole_answer_that_is_none(body: bytes) -> None:
    with pytest.raises(ModelBroken):
        read([body], "application/json")


def test_a_server_that_does_not_stream_is_understood() -> None:
    whole = {"choices": [{"message": {"content": "Hello."}, "finish_reason": "length"}], "model": "m"}
    text, reply = read(
        [orjson.dumps(whole | {"usage": {"prompt_tokens": 3, "completion_tokens": 1}})],
        "application/json; charset=utf-8",
    )
    assert (text, reply.finish_reason, reply.model, reply.usage) == ("Hello.", "length", "m", Usage(3, 1))


@pytest.mark.parametrize(
    "value",
    [None, [], {}, {"prompt_tokens": 0, "completion_tokens": 0}, {"prompt_tokens": -1, "completion_tokens": 5},
     {"prompt_tokens": 1.5, "completion_tokens": 2}, {"prompt_tokens": True, "completion_tokens": True},
     {"prompt_tokens": 10**30, "completion_tokens": 1}],
)  # fmt: skip
def test_usage_that_is_none(value: object) -> None:
    assert usage_of(value) is None
