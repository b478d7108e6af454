"""Scripts of a model in good health: how it speaks, how long it takes, what it says.

A script is a generator of steps (see `call.py`); its docstring opens with how its name is written, and every parameter has a default.
"""

import base64
import re
from collections.abc import Iterator
from typing import Any

from bench.model.call import Call, Script, Signal, Step

WORDS = (
    "Good morning and thank you for asking. Our shop opens at seven on weekdays and at eight on Saturdays, and it is closed on Sundays."
    " We bake sourdough, rye and seeded loaves every night, so the bread is warm when the doors open. You can order by telephone until"
    " noon and fetch it the next day; larger orders need two days. Deliveries leave on Fridays, within ten kilometres, and are free above"
    " thirty euros. If something is not right, bring it back and we will put it right without a question. See you soon!"
)
PIECES = tuple(re.findall(r"\s*\S+", WORDS))
MANY_LANGUAGES = (
    "👩‍👩‍👧‍👦 family 🏳️‍🌈, 안녕하세요 세계, مرحبا بالعالم, नमस्ते, e\u0301a\u0308o\u0302 n\u0303, 日本語, 𝒻𝓃 🇪🇺 👍🏽"
)


def spoken(call: Call, first: float, rate: float, tokens: int) -> Iterator[Step]:
    """Words at a pace: `first` seconds to the first, then `rate` a second (0: no pause). Heeds the caller's limit, as models do."""
    limit = call.limit()
    if limit is not None and limit < tokens:
        tokens, call.finish = limit, "length"
    gap = 1 / rate if rate else 0.0
    if first:
        yield first
    for number in range(tokens):
        if gap and number:
            yield gap
        yield PIECES[number % len(PIECES)]


def brief(call: Call) -> Iterator[Step]:
    """The ordinary short answer that the odd scripts below are variations of: 20 words in 60 ms."""
    return spoken(call, 0.02, 500, 20)


def said(text: str) -> Iterator[Step]:
    """A given text, word by word, without pauses."""
    yield from re.findall(r"\s*\S+\s*$|\s*\S+|\s+", text)


def steady(call: Call) -> Iterator[Step]:
    """`steady`: first token after 200 ms, then 50 a second, 100 in all."""
    return spoken(call, 0.2, 50, 100)


def instant(call: Call) -> Iterator[Step]:
    """`instant-<tokens>`: no delay at all."""
    return spoken(call, 0, 0, int(call.number(0, 20)))


def paced(call: Call) -> Iterator[Step]:
    """`paced-<first ms>-<tokens/s>-<tokens>`: a pace of your own."""
    return spoken(call, call.number(0, 200) / 1000, call.number(1, 50), int(call.number(2, 100)))


def slow(call: Call) -> Iterator[Step]:
    """`slow-<tokens/s>-<tokens>`: first token after a second, then one a second, 60 in all."""
    return spoken(call, 1.0, call.number(0, 1), int(call.number(1, 60)))


def long_first(call: Call) -> Iterator[Step]:
    """`long-first-<ms>`: headers at once, then thinks for so long (5,000)."""
    yield Signal.HEAD
    yield call.number(0, 5000) / 1000
    yield from brief(call)


def echo(call: Call) -> Iterator[Step]:
    """`echo`: repeats the last user message."""
    return said(call.last_from("user"))


def echo_all(call: Call) -> Iterator[Step]:
    """`echo-all`: repeats every message it got, as `role: text` lines."""
    return said("\n".join(f"{role}: {text}" for role, text in call.texts()))


def say(call: Call) -> Iterator[Step]:
    """`say-<base64url text>`: says exactly that text."""
    coded = call.rest or "SGVsbG8h"
    return said(base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode())


def obey(call: Call) -> Iterator[Step]:
    """`obey`: does what the last user message says after `say ` or `play <script>`; else echoes it."""
    from bench.model.catalogue import find_script

    order, _, rest = call.last_from("user").strip().partition(" ")
    if order == "play":
        script, call.rest = find_script(rest.strip())
        return script(call)
    return said(rest if order == "say" else call.last_from("user"))


def cites(call: Call) -> Iterator[Step]:
    """`cites-<n>-<n>…`: an answer with marks like [1] [2], or the given numbers."""
    marks = " ".join(f"[{number}]" for number in call.args or ["1", "2"])
    return said(f"We open at seven {marks}. On Saturdays at eight {marks}.")


def reasoning(call: Call) -> Iterator[Step]:
    """`reasoning`: `reasoning_content` pieces before the content, as local servers send them."""
    for word in ("The", " visitor", " wants", " the", " hours."):
        yield {"reasoning_content": word}
    yield from brief(call)


def tool_calls(call: Call) -> Iterator[Step]:
    """`tool-calls`: calls the first offered tool (else `look_up`) in pieces; once it has the result, says it."""
    messages = call.body.get("messages") or [{}]
    if messages[-1].get("role") == "tool":
        return said(f"The tool says: {call.last_from('tool')}")
    return calling(call)


def calling(call: Call) -> Iterator[Step]:
    """The pieces of one tool call."""
    tools: list[dict[str, Any]] = call.body.get("tools") or [{"function": {"name": "look_up"}}]
    name = tools[0].get("function", {}).get("name", "look_up")
    call.finish = "tool_calls"
    if not call.streams:
        function = {"name": name, "arguments": '{"q":"hours"}'}
        yield {"tool_calls": [{"id": "call_1", "type": "function", "function": function}]}
        return
    yield {
        "tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}}]
    }
    for piece in ('{"q"', ':"ho', 'urs"}'):
        yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}


def ending(finish: str) -> Script:
    """An ordinary answer that ends for another reason."""

    def script(call: Call) -> Iterator[Step]:
        call.finish = finish
        return brief(call)

    script.__doc__ = f"`{finish.replace('_', '-')}`: an answer with finish_reason `{finish}`."
    return script


def big(call: Call) -> Iterator[Step]:
    """`big-5mb`: a reply of 5 MB in pieces of 1 KB, whatever limit was asked for."""
    return pieces("All our loaves are baked by hand. " * 30 + "Yes.", 5120)


def one_chunk(call: Call) -> Iterator[Step]:
    """`one-chunk-1mb`: one piece of 1 MB."""
    return pieces("bread and " * 104858, 1)


def many(call: Call) -> Iterator[Step]:
    """`many-<n>`: so many one-byte pieces (`many-100k` or a number)."""
    return pieces("b", int(call.rest.replace("k", "000") or 100_000))


def pieces(text: str, times: int) -> Iterator[Step]:
    """The same piece again and again."""
    for _ in range(times):
        yield text


SPEECH: dict[str, Script] = {
    "steady": steady,
    "instant": instant,
    "paced": paced,
    "slow": slow,
    "long-first": long_first,
    "echo": echo,
    "echo-all": echo_all,
    "say": say,
    "obey": obey,
    "cites": cites,
    "reasoning": reasoning,
    "tool-calls": tool_calls,
    "length": ending("length"),
    "content-filter": ending("content_filter"),
    "big-5mb": big,
    "one-chunk-1mb": one_chunk,
    "many": many,
}
