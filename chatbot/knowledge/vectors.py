"""A passage's vectors: one for the whole of it, and one for each of its sentences, list items and table rows.

A question asks for one line of a price list; in the vector of the whole list that line is drowned. With both, the right
passage came first in half of the questions instead of four in ten (bench/search/SCORES.md).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from chatbot.knowledge.passages import STEP, with_context

Vectors = NDArray[np.float32]

WHOLE = 0.45  # the whole passage's share in its score; the best of its parts has the rest
SHORTEST, MOST = 40, 24  # a part's least characters; parts of one passage
SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
LIST_ITEM = re.compile(r"^(?:[-*+]|\d+[.)])\s")
RULE = re.compile(r"^[|:\-\s]+$")  # a table's line under its head, a thematic break


def texts_to_embed(title: str, heading: str, text: str) -> list[str]:
    """What is embedded of a passage, two texts or more: the whole of it with its headings, then each of its parts."""
    lead = f"{heading.rsplit(STEP, 1)[-1]}: " if heading else ""
    return [with_context(title, heading, text), *(lead + part for part in _parts(text) or [text])]


def pack(vectors: Vectors) -> bytes:
    """The (m, dimension) vectors of one passage's texts_to_embed, as they are stored: float32, row after row."""
    return np.ascontiguousarray(vectors, np.float32).tobytes()


class Meaning:
    """The vectors of a client's passages in one matrix. Made once, then only read, from any thread."""

    def __init__(self, packed: Sequence[bytes], dimension: int) -> None:
        """`packed`: what `pack` gave, one for each of n passages; empty where a passage has no vectors (yet)."""
        rows = np.array([len(blob) // (4 * dimension) for blob in packed], np.intp)
        self._has = rows > 1
        kept = [blob for blob, has in zip(packed, self._has, strict=True) if has]
        self._matrix = np.frombuffer(b"".join(kept), np.float32).reshape(-1, dimension)
        starts = np.cumsum(rows[self._has]) - rows[self._has]
        self._bounds = np.stack((starts, starts + 1), axis=1).ravel()  # whole, parts, whole, parts …

    def scores(self, question: Vectors) -> Vectors:
        """How near each passage is to the question, a vector of length 1: (dimension,) to (n,), -1 to 1, 0 without vectors."""
        scores = np.zeros(len(self._has), np.float32)
        if len(self._bounds):
            best = np.maximum.reduceat(self._matrix @ question, self._bounds)
            scores[self._has] = WHOLE * best[0::2] + (1 - WHOLE) * best[1::2]
        return scores


def _parts(text: str) -> list[str]:
    """Sentences, list items and table rows; a short one is joined to the next."""
    parts: list[str] = []
    for piece in _pieces(text):
        if parts and len(parts[-1]) < SHORTEST:
            parts[-1] += f" {piece}"
        else:
            parts.append(piece)
    return parts[:MOST]


def _pieces(text: str) -> list[str]:
    pieces: list[str] = []
    for line in map(str.strip, text.splitlines()):
        if not line or RULE.match(line):
            continue
        is_one = line.startswith("|") or LIST_ITEM.match(line)
        pieces += [line] if is_one else SENTENCE_END.split(line)
    return [plain for piece in pieces if (plain := _plain(piece))]


def _plain(piece: str) -> str:
    """Without the marks of Markdown: a table row becomes words with commas."""
    bare = re.sub(r"\s*\|\s*", ", ", piece.replace("**", "").strip("|"))
    return re.sub(r"\s+", " ", LIST_ITEM.sub("", bare)).strip(" ,")
