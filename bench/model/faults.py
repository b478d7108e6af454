"""Scripts of a model in bad health: refusals, silences, cut lines, odd streams, servers that lack a parameter.

Written as `scripts.py` is: each docstring opens with how the name is written.
"""

import json
import time
import zlib
from collections.abc import Iterator
from email.utils import formatdate

from bench.model.call import Call, Reply, Script, Signal, Step
from bench.model.scripts import MANY_LANGUAGES, brief, said, spoken
from bench.model.wire import dump, event, json_reply, refusal

MESSAGES = {
    400: ("We could not parse the JSON body of your request.", None),
    401: ("Incorrect API key provided.", "invalid_api_key"),
    403: ("Your account is not allowed to use this model.", "permission_denied"),
    404: ("The model does not exist or you do not have access to it.", "model_not_found"),
    429: ("Rate limit reached for requests.", "rate_limit_exceeded"),
    500: ("The server had an error while processing your request.", None),
    503: ("The engine is currently overloaded, please try again later.", None),
}


def failing(status: int, headers: dict[str, str] | None = None) -> Reply:
    """The error of that status in OpenAI's words."""
    message, code = MESSAGES.get(status, (f"Simulated status {status}.", None))
    return refusal(status, message, code, headers=headers)


# Refusals


def status(call: Call) -> Iterator[Step]:
    """`status-<code>`: that error; 429 also as `-retry-<seconds>`, `-retry-date` (in two seconds) and `-quota` (insufficient_quota)."""
    code = int(call.number(0, 500))
    kind = call.args[1] if len(call.args) > 1 else ""
    if kind == "quota":
        yield refusal(
            code, "You exceeded your current quota, please check your plan and billing details.", "insufficient_quota"
        )
    elif kind == "retry":
        wait = formatdate(time.time() + 2, usegmt=True) if call.args[2] == "date" else call.args[2]
        yield failing(code, {"retry-after": wait})
    else:
        yield failing(code)


def flaky(call: Call) -> Iterator[Step]:
    """`flaky-<n>-<key>`: 503 for the first n calls (1) to exactly this name, then fine; any key starts a count of its own."""
    if call.seen < call.number(0, 1):
        yield failing(503)
    yield from brief(call)


def busy(call: Call) -> Iterator[Step]:
    """`busy-<n>-<seconds>-<key>`: 429 with Retry-After for the first n calls (1), then fine."""
    if call.seen < call.number(0, 1):
        yield failing(429, {"retry-after": str(int(call.number(1, 1)))})
    yield from brief(call)


def every(call: Call) -> Iterator[Step]:
    """`every-<n>-<status>`: each n-th call (2nd) fails with that status (503)."""
    if (call.seen + 1) % int(call.number(0, 2)) == 0:
        yield failing(int(call.number(1, 503)))
    yield from brief(call)


def unwell(call: Call) -> Iterator[Step]:
    """`unwell-<until>`: until that second of the clock every other call fails, with 429 and 500 in turn; then fine."""
    if time.time() < call.number(0, 0) and call.seen % 2:
        yield failing(429, {"retry-after": "1"}) if call.seen % 4 == 1 else failing(500)
    yield from brief(call)


def html(call: Call) -> Iterator[Step]:
    """`html`: 200 with a web page, as a captive portal or a wrong address answers."""
    yield Reply(
        200,
        b"<!doctype html><html><head><title>Welcome</title></head><body>Please sign in.</body></html>",
        content_type="text/html",
    )


def error_in_200(call: Call) -> Iterator[Step]:
    """`error-in-200`: 200 whose JSON is an error."""
    yield json_reply(
        {"error": {"message": "Model is still loading.", "type": "server_error", "param": None, "code": 503}}
    )


# Silences and cut lines


def silent(call: Call) -> Iterator[Step]:
    """`silent` accepts and never says anything; `silent-after-<n>`: n tokens (5), then nothing."""
    if call.args[:1] == ["after"]:
        yield from spoken(call, 0.02, 500, int(call.number(1, 5)))
    yield Signal.HANG


def drop(call: Call) -> Iterator[Step]:
    """`drop`: RST before any answer."""
    yield Signal.RESET


def cut(call: Call) -> Iterator[Step]:
    """`cut-<k>`: RST after k body bytes (600)."""
    call.cut = int(call.number(0, 600))
    return spoken(call, 0.02, 500, 100)


def fin(call: Call) -> Iterator[Step]:
    """`fin-<k>`: FIN in the middle of the chunked body after k bytes (600), no end mark."""
    call.cut_by = Signal.FIN
    return cut(call)


def ends(call: Call) -> Iterator[Step]:
    """`ends-<k>`: a body without length that simply ends after k bytes (600): all is well to HTTP, yet no end mark came."""
    call.chunked = False
    return fin(call)


def no_done(call: Call) -> Iterator[Step]:
    """`no-done`: finishes with a reason and a good last chunk, but without `[DONE]`."""
    call.done_mark = False
    return brief(call)


def no_finish(call: Call) -> Iterator[Step]:
    """`no-finish`: `[DONE]` without a finish_reason."""
    call.finish = None
    return brief(call)


# Odd streams


def garbage(call: Call) -> Iterator[Step]:
    """`garbage`: a malformed JSON chunk in the middle."""
    yield from spoken(call, 0.02, 500, 5)
    yield b'data: {"id":"chatcmpl-simulated","choices":[{"index":0,"delta":{"content":" bro\n\n'
    yield from brief(call)


def crlf(call: Call) -> Iterator[Step]:
    """`crlf`: lines end with CR LF, every other event with CR alone."""
    marks = [b"\r\n", b"\r"]

    def form(data: bytes) -> bytes:
        marks.reverse()
        return data.replace(b"\n", marks[0])

    call.form = form
    return brief(call)


def bom(call: Call) -> Iterator[Step]:
    """`bom`: the stream begins with a byte order mark."""
    marks = [b"\xef\xbb\xbf"]
    call.form = lambda data: (marks.pop() if marks else b"") + data
    return brief(call)


def comments(call: Call) -> Iterator[Step]:
    """`comments`: comment lines between the pieces, as routers send while they wait."""
    call.form = lambda data: b": still here\n\n" + data + b":\n\n"
    return brief(call)


def fields(call: Call) -> Iterator[Step]:
    """`fields`: `event:`, `id:` and `retry:` beside each piece, all of it plain server-sent events."""
    call.form = lambda data: b"event: message\nid: 7\nretry: 1000\n" + data
    return brief(call)


def multiline(call: Call) -> Iterator[Step]:
    """`multiline`: each JSON spread over several `data:` lines."""

    def form(data: bytes) -> bytes:
        if b"[DONE]" in data:
            return data
        lines = json.dumps(json.loads(data[6:]), indent=1, ensure_ascii=False).split("\n")
        return "".join(f"data: {line}\n" for line in lines).encode() + b"\n"

    call.form = form
    return brief(call)


def no_space(call: Call) -> Iterator[Step]:
    """`no-space`: `data:` without the space after it."""
    call.form = lambda data: data.replace(b"data: ", b"data:", 1)
    return brief(call)


def gzipped(call: Call) -> Iterator[Step]:
    """`gzip`: a gzip-encoded body, flushed after each event, asked for or not."""
    packer = zlib.compressobj(wbits=31)
    call.headers["content-encoding"] = "gzip"
    call.encode = lambda body: (
        packer.compress(body) + packer.flush(zlib.Z_SYNC_FLUSH if call.streams else zlib.Z_FINISH)
    )
    return brief(call)


def utf8_cut(call: Call) -> Iterator[Step]:
    """`utf8-cut-<n>`: emoji, Hangul, Arabic and combining marks, n bytes at a time (1), through the middle of characters."""
    size = int(call.number(0, 1))
    if not call.streams:
        yield MANY_LANGUAGES
        return
    call.bare = True
    third = len(MANY_LANGUAGES) // 3
    texts = (MANY_LANGUAGES[:third], MANY_LANGUAGES[third : 2 * third], MANY_LANGUAGES[2 * third :])
    body = (
        b"".join(event(call.model, {"content": text}) for text in texts)
        + event(call.model, {}, "stop")
        + b"data: [DONE]\n\n"
    )
    for start in range(0, len(body), size):
        yield body[start : start + size]
        yield 0.001


def half_surrogate(call: Call) -> Iterator[Step]:
    """`half-surrogate`: one emoji as two JSON escapes in two pieces, as careless servers split it."""
    yield "Bread "
    for half in (r"\ud83c", r"\udf5e"):
        yield (
            b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"'
            + half.encode()
            + b'"},"finish_reason":null}]}\n\n'
        )
    yield " is ready."


def error_in_stream(call: Call) -> Iterator[Step]:
    """`error-in-stream`: some words, then an error event in the place of the rest."""
    yield from spoken(call, 0.02, 500, 5)
    error = {
        "error": {
            "message": "The server had an error while processing your request.",
            "type": "server_error",
            "code": None,
        }
    }
    yield f"data: {dump(error)}\n\n".encode()
    call.bare = True


def empty_choices(call: Call) -> Iterator[Step]:
    """`empty-choices`: chunks with no choices before, among and after the words, as Azure sends for its filter's results."""
    call.form = lambda data: event(call.model, None) + data
    return brief(call)


def claiming(usage: dict[str, int] | str, words: str) -> Script:
    """An ordinary answer that reports its usage otherwise."""

    def script(call: Call) -> Iterator[Step]:
        call.usage = usage
        return brief(call)

    script.__doc__ = words
    return script


def figures(asked: int, said_: int) -> dict[str, int]:
    """A usage object."""
    return {"prompt_tokens": asked, "completion_tokens": said_, "total_tokens": asked + said_}


# Servers that lack a parameter


def no_max_completion_tokens(call: Call) -> Iterator[Step]:
    """`no-max-completion-tokens`: 400 unless the limit is named `max_tokens`, as older local servers want it."""
    return without(
        call,
        "max_completion_tokens",
        "Unsupported parameter: 'max_completion_tokens' is not supported with this model. Use 'max_tokens' instead.",
        "unsupported_parameter",
    )


def no_max_tokens(call: Call) -> Iterator[Step]:
    """`no-max-tokens`: the reverse, as newer OpenAI models want it."""
    return without(
        call,
        "max_tokens",
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "unsupported_parameter",
    )


def no_temperature(call: Call) -> Iterator[Step]:
    """`no-temperature`: 400 for any temperature."""
    return without(
        call,
        "temperature",
        f"Unsupported value: 'temperature' does not support {call.body.get('temperature')} with this"
        " model. Only the default (1) value is supported.",
        "unsupported_value",
    )


def no_stream_options(call: Call) -> Iterator[Step]:
    """`no-stream-options`: 400 for stream_options, with neither code nor param."""
    if "stream_options" in call.body:
        yield refusal(400, "Unrecognized request argument supplied: stream_options")
    yield from brief(call)


def forbids(call: Call) -> Iterator[Step]:
    """`forbids-<parameter>`: 422 in FastAPI's words for that parameter (stream_options)."""
    name = call.rest or "stream_options"
    if name in call.body:
        yield json_reply(
            {"detail": [{"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted"}]},
            422,
        )
    yield from brief(call)


def picky(call: Call) -> Iterator[Step]:
    """`picky`: knows neither max_completion_tokens nor stream_options nor temperature, and says so one at a time."""
    for lacks in (no_max_completion_tokens, no_stream_options, no_temperature):
        first = next(lacks(call))
        if isinstance(first, Reply):
            yield first
    yield from brief(call)


def without(call: Call, name: str, message: str, code: str) -> Iterator[Step]:
    """An ordinary answer, or 400 when the parameter is there."""
    if name in call.body:
        yield refusal(400, message, code, name)
    yield from brief(call)


def mute(call: Call) -> Iterator[Step]:
    """`no-words`: a good stream that says nothing at all."""
    yield from said("")


ANY_CALL: dict[str, Script] = {  # these fail embeddings too
    "status": status,
    "flaky": flaky,
    "busy": busy,
    "every": every,
    "unwell": unwell,
    "html": html,
    "error-in-200": error_in_200,
    "silent": silent,
    "drop": drop,
}
FAULTS: dict[str, Script] = ANY_CALL | {
    "cut": cut,
    "fin": fin,
    "ends": ends,
    "no-done": no_done,
    "no-finish": no_finish,
    "no-words": mute,
    "garbage": garbage,
    "crlf": crlf,
    "bom": bom,
    "comments": comments,
    "fields": fields,
    "multiline": multiline,
    "no-space": no_space,
    "gzip": gzipped,
    "utf8-cut": utf8_cut,
    "half-surrogate": half_surrogate,
    "error-in-stream": error_in_stream,
    "empty-choices": empty_choices,
    "no-usage": claiming("none", "`no-usage`: says nothing of usage, though asked."),
    "zero-usage": claiming(figures(0, 0), "`zero-usage`: claims zero tokens."),
    "wrong-usage": claiming(figures(1_000_000, 7), "`wrong-usage`: claims a million tokens asked and seven said."),
    "early-usage": claiming("early", "`early-usage`: reports usage on the finishing chunk, asked or not."),
    "no-max-completion-tokens": no_max_completion_tokens,
    "no-max-tokens": no_max_tokens,
    "no-stream-options": no_stream_options,
    "no-temperature": no_temperature,
    "forbids": forbids,
    "picky": picky,
}
