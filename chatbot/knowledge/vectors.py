"""A passage's vectors: one for the whole of it, and one for each of its sentences, list items and table rows.

A question asks for one line of a price list; in the vector of the whole list that line is drowned. With both, the right
passage came first in half of the questions instead of four in ten (bench/search/SCORES.md).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence

from chatbot.knowledge.arrays import Vectors, np
from chatbot.knowledge.passages import STEP, with_context

HEAD = "<I"  # before the rows: their dimension
START = struct.calcsize(HEAD)
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
    """The (m, dimension) vectors of one passage's texts_to_embed as they are stored: the dimension, then float32 rows."""
    return struct.pack(HEAD, vectors.shape[1]) + np.ascontiguousarray(vectors, "<f4").tobytes()


def pack_each(groups: Sequence[Sequence[str]], vectors: Vectors) -> list[bytes]:
    """The packed vectors of several passages: `groups` their texts_to_embed, `vectors` those of all texts in one row."""
    ends = np.cumsum([len(group) for group in groups])[:-1]
    return [pack(rows) for rows in np.split(vectors, ends)]


class Meaning:
    """The vectors of a client's passages in one matrix. Made once, then only read, from any thread."""

    def __init__(self, packed: Sequence[bytes]) -> None:
        """`packed`: what `pack` gave, one for each of n passages; empty where a passage has no vectors (yet).

        Cut off after the first row (`packed_size`), all of them, it is the whole passages alone that count.
        """
        self.dimension = max(map(dimension_of, packed), default=0)
        self._has = np.array([bool(blob) and dimension_of(blob) == self.dimension for blob in packed], bool)
        kept = [blob[START:] for blob, has in zip(packed, self._has, strict=True) if has]
        self._matrix = np.frombuffer(b"".join(kept), "<f4").reshape(-1, self.dimension or 1)
        rows = np.array([len(blob) // (4 * self.dimension) for blob in kept], np.intp)
        starts = np.cumsum(rows) - rows
        self._has_parts = bool((rows > 1).all())
        self._bounds = np.stack((starts, starts + 1), axis=1).ravel()  # whole, parts, whole, parts …

    @property
    def nbytes(self) -> int:
        return int(self._matrix.nbytes)

    def scores(self, question: Vectors) -> Vectors:
        """How near each passage is to the question, a vector of length 1: (dimension,) to (n,), -1 to 1.

        0 for a passage without vectors, and for all when the question comes from an embedder of another dimension.
        """
        scores = np.zeros(len(self._has), np.float32)
        if len(self._bounds) and len(question) == self.dimension:
            cosines = self._matrix @ question
            if not self._has_parts:
                scores[self._has] = cosines
                return scores
            best = np.maximum.reduceat(cosines, self._bounds)
            scores[self._has] = WHOLE * best[0::2] + (1 - WHOLE) * best[1::2]
        return scores


def dimension_of(blob: bytes) -> int:
    """The dimension of packed vectors; 0 of none."""
    return int(struct.unpack_from(HEAD, blob)[0]) if blob else 0


def packed_size(dimension: int, rows: int = 1) -> int:
    """The bytes that so many rows take, packed."""
    return START + 4 * dimension * rows


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
