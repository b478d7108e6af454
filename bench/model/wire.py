"""HTTP/1.1 by hand, as little of it as the simulated model needs, and the events of a streamed answer."""

import json
from http import HTTPStatus
from typing import Any

from bench.model.call import Call, Reply

LAST_CHUNK = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"
_framed: dict[str, dict[str, bytes]] = {}


def dump(value: Any) -> str:
    """Compact JSON with its characters left as they are, the way OpenAI sends it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def head(status: int, headers: dict[str, str]) -> bytes:
    """The status line and headers."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def whole(reply: Reply) -> bytes:
    """A whole answer with its length."""
    headers = {"content-type": reply.content_type, "content-length": str(len(reply.body)), **reply.headers}
    return head(reply.status, headers) + reply.body


def json_reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    """A JSON answer."""
    return Reply(status, dump(value).encode(), headers or {})


def refusal(
    status: int, message: str, code: str | None = None, param: str | None = None, headers: dict[str, str] | None = None
) -> Reply:
    """An error in OpenAI's shape."""
    kind = "invalid_request_error" if status < 429 else "server_error" if status >= 500 else code or "requests"
    return json_reply({"error": {"message": message, "type": kind, "param": param, "code": code}}, status, headers)


def chunk(body: bytes) -> bytes:
    """Body bytes framed for `transfer-encoding: chunked`."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def event(
    model: str, delta: dict[str, Any] | None, finish: str | None = None, usage: dict[str, Any] | None = None
) -> bytes:
    """One server-sent event; without a delta its choices are empty."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    value = {"id": "chatcmpl-simulated", "object": "chat.completion.chunk", "created": 1767225600, "model": model}
    value |= {"system_fingerprint": "fp_simulated", "choices": choices, "usage": usage}
    return f"data: {dump(value)}\n\n".encode("utf-8", "surrogatepass")


def framed_text(model: str, text: str) -> bytes:
    """A text event, framed; remembered, because a load says the same words over and over."""
    known = _framed.setdefault(model, {})
    frame = known.get(text)
    if frame is None:
        frame = chunk(event(model, {"content": text}))
        if len(known) < 4096 and len(frame) < 4096 and len(_framed) < 256:
            known[text] = frame
    return frame


def completion(call: Call, text: str, extra: dict[str, Any], usage: dict[str, int] | None) -> bytes:
    """The body of an answer that is not streamed."""
    message = {"role": "assistant", "content": text, "refusal": None, **extra}
    value: dict[str, Any] = {
        "id": "chatcmpl-simulated",
        "object": "chat.completion",
        "created": 1767225600,
        "model": call.model,
    }
    value["choices"] = [{"index": 0, "message": message, "logprobs": None, "finish_reason": call.finish}]
    if usage is not None:
        value["usage"] = usage
    return dump(value).encode("utf-8", "surrogatepass")
