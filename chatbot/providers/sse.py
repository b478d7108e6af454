"""Reading a streamed Chat Completion: lines to text, no more work than that needs."""

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import httpx2
import orjson

from chatbot.errors import ModelBroken
from chatbot.usage.ledger import Usage

LONGEST_EVENT = 4 * 1024 * 1024
FULL_READ = 32 * 1024
LONGEST_NAME = 200  # of a model, in characters
MOST_TOKENS = 1_000_000_000  # a server that claims more is wrong
BOM = codecs.BOM_UTF8


@dataclass(slots=True)
class Reply:
    """What was learned about a reply while it was read."""

    has_text: bool = False
    is_done: bool = False
    finish_reason: str = "stop"
    has_finish: bool = False
    model: str = ""
    usage: Usage | None = None
    has_more: bool = False  # the last read was a full one: more is waiting
    half: str = ""  # of a character whose other half is still to come
    is_careless: bool = False  # the server cuts characters in two


def read_reply(response: httpx2.Response, reply: Reply) -> Iterator[str]:
    """The texts of a reply, one for each read (maybe empty). Raises ModelBroken for one that is cut off or is none."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        yield _read_whole(response, reply)
        return
    if kind not in ("text/event-stream", "application/octet-stream", "application/x-ndjson", "text/plain", ""):
        raise ModelBroken()
    pieces = response.iter_bytes() if response.headers.get("content-encoding") else response.stream
    yield from _read_events(pieces, reply)  # type: ignore[arg-type]
    if not (reply.is_done or reply.has_finish):
        raise ModelBroken()


def _read_events(pieces: Iterator[bytes], reply: Reply) -> Iterator[str]:
    lines, begun = LineSplitter(), False
    data: list[bytes] = []
    for piece in chain(pieces, (b"\n\n",)):  # the last event may lack its end
        texts: list[str] = []
        reply.has_more = len(piece) > FULL_READ
        try:
            for line in lines.feed(piece):
                if not begun:
                    line, begun = line.removeprefix(BOM), True
                if line.startswith(b"data:"):
                    data.append(line[5:].strip())
                elif not line and data:
                    texts.append(_take(data, reply))
                    data = []
                if reply.is_done:
                    break
            if data and _is_whole(data):  # a server that forgets the empty line, or sends it with the next event
                texts.append(_take(data, reply))
                data = []
        except ModelBroken:
            yield "".join(texts)  # what was said before it broke was said
            raise
        yield "".join(texts)
        if reply.is_done:
            return


def _is_whole(data: list[bytes]) -> bool:
    return len(data) == 1 and (data[0] == b"[DONE]")


class LineSplitter:
    """Cuts bytes into lines at LF, CRLF or CR, whatever the pieces; characters are never cut."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._size = 0
        self._ended_with_cr = False

    def feed(self, piece: bytes) -> list[bytes]:
        if self._ended_with_cr and piece.startswith(b"\n"):
            piece = piece[1:]
        self._ended_with_cr = piece.endswith(b"\r")
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        first, *others = piece.split(b"\n")
        self._rest.append(first)
        self._size += len(first)
        if self._size > LONGEST_EVENT:
            raise ModelBroken()
        if not others:
            return []
        lines = [b"".join(self._rest), *others[:-1]]
        self._rest, self._size = [others[-1]], len(others[-1])
        return lines


def _take(data: list[bytes], reply: Reply) -> str:
    """The text of one event; what else it tells goes into `reply`."""
    raw = b"\n".join(data)
    if raw.startswith(b"[DONE]"):
        reply.is_done = True
        return ""
    chunk = _parsed(raw, reply)
    if chunk.get("error"):
        raise ModelBroken()
    if chunk.get("usage"):
        reply.usage = usage_of(chunk["usage"])
    if not reply.model:
        reply.model = _model_of(chunk)
    return _choice_text(chunk, "delta", reply)


def _read_whole(response: httpx2.Response, reply: Reply) -> str:
    """A server that does not stream answers all at once."""
    body = b"".join(_bounded(response.iter_bytes()))
    chunk = _parsed(body, reply)
    if chunk.get("error") or not chunk.get("choices"):
        raise ModelBroken()
    reply.usage, reply.model = usage_of(chunk.get("usage")), _model_of(chunk)
    reply.is_done = True
    return _choice_text(chunk, "message", reply)


def _bounded(pieces: Iterator[bytes]) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > 2 * LONGEST_EVENT:
            raise ModelBroken()
        yield piece


def _parsed(raw: bytes, reply: Reply) -> dict[str, Any]:
    try:
        chunk = orjson.loads(raw)
    except orjson.JSONDecodeError:
        chunk = _parsed_with_halves(raw)
        reply.is_careless = True
    if not isinstance(chunk, dict):
        raise ModelBroken()
    return chunk


def _parsed_with_halves(raw: bytes) -> Any:
    """JSON that escapes half a character, which orjson refuses and the standard library takes."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise ModelBroken() from None


def _joined(text: str, reply: Reply) -> str:
    """`text` with the halves of characters put together; a half that stays alone is left out."""
    text, reply.half = reply.half + text, ""
    if "\ud800" <= text[-1] <= "\udbff":
        text, reply.half = text[:-1], text[-1]
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")


def _model_of(chunk: dict[str, Any]) -> str:
    """The name a server gives its model, as far as it can be printed and stored; empty for what is no name."""
    name = chunk.get("model")
    return "".join(filter(str.isprintable, name[:LONGEST_NAME])) if isinstance(name, str) else ""


def _choice_text(chunk: dict[str, Any], part: str, reply: Reply) -> str:
    choices = chunk.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return ""
    choice = choices[0]
    reason = choice.get("finish_reason")
    if reason:
        reply.has_finish = True
        reply.finish_reason = "length" if reason == "length" else "stop"
    said = choice.get(part)
    content = said.get("content") if isinstance(said, dict) else None
    if not isinstance(content, str) or not content:
        return ""
    reply.has_text = True
    content = content.replace("\0", "")
    return _joined(content, reply) if content and reply.is_careless else content


def usage_of(value: Any) -> Usage | None:
    """The usage a server reported; None when it is missing, not numbers, or all zero (then it is estimated)."""
    if not isinstance(value, dict):
        return None
    asked, said = value.get("prompt_tokens"), value.get("completion_tokens")
    if type(asked) is not int or type(said) is not int or min(asked, said) < 0 or not 0 < asked + said < MOST_TOKENS:
        return None
    return Usage(asked, said)
