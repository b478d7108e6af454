"""Numbered marks in an answer, and the passages they stand for."""

import re
from collections.abc import Sequence
from typing import Any

from chatbot.knowledge.found import Found

MARK = re.compile(r"\[(\d{1,2})\]")


def cited(text: str, passages: Sequence[Found]) -> tuple[dict[str, Any], ...]:
    """The passages that `text` cites as `[n]`, in the order of n: `{"n", "title", "url"?, "passage"}` each."""
    numbers = sorted({int(mark) for mark in MARK.findall(text)} & set(range(1, len(passages) + 1)))
    return tuple(_as_json(number, passages[number - 1]) for number in numbers)


def _as_json(number: int, passage: Found) -> dict[str, Any]:
    data = {"n": number, "title": passage.title, "passage": passage.text}
    if passage.url:
        data["url"] = passage.url
    return data
