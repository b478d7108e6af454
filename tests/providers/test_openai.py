"""What an OpenAI-compatible server may send, and what the visitor gets of it. Real HTTP, a simulated model."""

import gc
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest

from bench.model import ModelServer
from bench.model.scripts import MANY_LANGUAGES, PIECES
from chatbot.providers.openai import Endpoint, OpenAIProvider
from chatbot.usage.ledger import Usage
from tests.providers.asking import REQUEST, a_call, ask, listen, provider_of

BRIEF = "".join(PIECES[:20])  # what the odd scripts say
FULL = "".join(PIECES[number % len(PIECES)] for number in range(100))


def test_an_answer_comes_in_pieces_with_its_usage(llm: ModelServer) -> None:
    heard = ask(llm, "paced-20-100-12")
    assert heard.text == "".join(PIECES[:12])
    assert len(heard.pieces) > 1
    assert heard.finish
    assert heard.finish.usage == Usage(5, 12)
    assert heard.finish.model == "paced-20-100-12"
    assert all(heard.pieces), "a piece is never empty"


@pytest.mark.parametrize(
    "name",
    ["crlf", "bom", "comments", "fields", "multiline", "no-space", "gzip", "empty-choices", "no-done", "no-finish",
     "early-usage", "reasoning", "long-first-100", "forbids", "picky"],
)  # fmt: skip
def test_what_the_standard_allows_is_read(llm: ModelServer, name: str) -> None:
    heard = ask(llm, name)
    assert (heard.text, heard.ending) == (BRIEF, "stop")


@pytest.mark.parametrize("name", ["html", "error-in-200", "no-such-script"])
def test_what_is_no_answer_fails_cleanly(llm: ModelServer, name: str) -> None:
    heard = ask(llm, name)
    assert heard.text == ""
    assert heard.ending in ("model-broken", "model-refused")
    assert llm.tally()["calls"] == 1, "what cannot be cured is not asked again"


@pytest.mark.parametrize("name", ["garbage", "error-in-stream"])
def test_a_stream_that_goes_wrong_keeps_what_was_said(llm: ModelServer, name: str) -> None:
    heard = ask(llm, name)
    assert heard.text == "".join(PIECES[:5])
    assert heard.ending == "model-broken"
    assert llm.tally()["calls"] == 1, "never asked again after the first piece"


@pytest.mark.parametrize("name", ["no-usage", "zero-usage"])
def test_missing_usage_is_said_to_be_missing(llm: ModelServer, name: str) -> None:
    heard = ask(llm, name)
    assert heard.text == BRIEF
    assert heard.finish
    assert heard.finish.usage is None


def test_the_end_by_length_is_told(llm: ModelServer) -> None:
    assert ask(llm, "length").ending == "length"


def test_tool_calls_that_nobody_offered_are_no_text(llm: ModelServer) -> None:
    heard = ask(llm, "tool-calls")
    assert heard.text == ""
    assert heard.finish is not None


@pytest.mark.parametrize("size", range(1, 34))
def test_characters_cut_anywhere_arrive_whole(llm: ModelServer, size: int) -> None:
    heard = ask(llm, f"utf8-cut-{size}")
    assert heard.text == MANY_LANGUAGES
    assert heard.ending == "stop"


def test_a_character_sent_as_two_halves_arrives_whole(llm: ModelServer) -> None:
    heard = ask(llm, "half-surrogate")
    assert heard.text == "Bread 🍞 is ready."
    assert heard.ending == "stop"


@pytest.mark.parametrize("way", ["cut", "fin", "ends"])
def test_a_line_cut_after_any_byte_keeps_what_came(llm: ModelServer, way: str) -> None:
    names = [f"{way}-{size}" for size in [1, 2, 30, *range(250, 3000, 113), 9_000, 20_000]]
    with ThreadPoolExecutor(8) as pool:
        heard = list(pool.map(lambda name: ask(llm, name), names))
    assert {each.ending for each in heard} == {"model-broken"}
    assert all(FULL.startswith(each.text) for each in heard)
    assert len({each.text for each in heard}) > 10
    calls = llm.tally()["models"]
    assert all(calls[name]["calls"] == 1 for name, each in zip(names, heard, strict=True) if each.text)


def test_five_megabytes_are_read_without_keeping_them(llm: ModelServer) -> None:
    provider, size = provider_of(llm, "big-5mb"), 0
    listen(provider_of(llm, "instant-1"), a_call())
    gc.collect()
    tracemalloc.start()
    for piece in provider.stream(REQUEST, a_call()):
        size += len(piece) if isinstance(piece, str) else 0
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 5_000_000
    assert peak < 30_000_000


def test_one_piece_of_a_megabyte(llm: ModelServer) -> None:
    assert len(ask(llm, "one-chunk-1mb").text) == 10 * 104858


def test_a_hundred_thousand_pieces_of_one_byte(llm: ModelServer) -> None:
    heard = ask(llm, "many-100k")
    assert heard.text == "b" * 100_000
    assert len(heard.pieces) < 20_000, "many pieces are taken together"


def test_without_a_name_the_servers_first_model_is_meant(llm: ModelServer) -> None:
    provider = provider_of(llm, None)
    assert listen(provider, a_call()).finish
    assert {request["model"] for request in llm.requests()} == {"steady"}


def test_the_key_goes_out_and_none_is_made_up(llm: ModelServer) -> None:
    ask(llm, "instant-1")
    listen(OpenAIProvider(Endpoint(llm.base_url, None, "instant-1")), a_call())
    assert [request["authorization"] for request in llm.requests()] == ["Bearer key-of-tests", "Bearer none"]
