"""Finding passages by their words: an FTS5 index in memory over the passages of one client.

One index per client, never a shared table: BM25 weighs a word by how rare it is, so that in a shared table one
client's texts would move another's ranks.
"""

from __future__ import annotations

import math
import re
import sqlite3
import threading
from collections.abc import Sequence

from chatbot.knowledge.stopwords import STOP_WORDS

Key = int | str

MAX_WORDS = 32  # a question's first different words; what comes after tells little and costs time
WORD = re.compile(r"[^\W_]+")
K1 = 1.2  # FTS5's own; its BM25 of one word stays below the word's weight times (K1 + 1)
COMMON = 0.1  # a word in more than this share of the passages is passed over, as stop words are
FIND = "SELECT rowid, -bm25(passage) AS score FROM passage WHERE passage MATCH ? ORDER BY score DESC LIMIT ?"
COUNT = "SELECT count(*) FROM passage WHERE passage MATCH ?"


def content_words(text: str) -> list[str]:
    """The different words of a text that carry meaning, in lower case, in order, at most MAX_WORDS; letters and digits alone.

    A text of stop words alone («who are you») keeps them: they are all there is.
    """
    words = dict.fromkeys(WORD.findall(text[:10_000].lower()))
    telling = [word for word in words if word not in STOP_WORDS]
    return (telling or list(words))[:MAX_WORDS]


class WordIndex:
    """The passages of one client by their words. Made once, then only read, from any thread."""

    def __init__(self, passages: Sequence[tuple[Key, str]]) -> None:
        """`passages`: (key, text) pairs; the keys come back from `search`."""
        self._keys = [key for key, _ in passages]
        self._often = max(COMMON * len(passages), 5)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        # Contentless: the texts live in the client's own table, here only their words are kept.
        self._db.execute(
            "CREATE VIRTUAL TABLE passage USING fts5(text, content='', tokenize='porter unicode61 remove_diacritics 2')"
        )
        rows = ((row, _storable(text)) for row, (_, text) in enumerate(passages))
        self._db.executemany("INSERT INTO passage (rowid, text) VALUES (?, ?)", rows)
        self._db.commit()

    def __len__(self) -> int:
        return len(self._keys)

    def search(self, question: str, limit: int = 200) -> list[tuple[Key, float]]:
        """The passages that share a telling word with the question, best first, with a score over 0 and at most 1.

        The score is BM25 as a share of the best that any passage could reach for this question: a word that is
        nowhere in the knowledge lowers it for all.
        """
        words = content_words(question)
        if not words or not self._keys:
            return []
        with self._lock:
            having = {word: self._count(word) for word in words}
            rare = [word for word in words if 0 < having[word] <= self._often]
            query = " OR ".join(map(_quoted, rare))
            found = self._db.execute(FIND, (query, limit)).fetchall() if rare else []
        best = (K1 + 1) * sum(map(self._weight, having.values()))
        return [(self._keys[row], min(score / best, 1.0)) for row, score in found if score > 0]

    def _count(self, word: str) -> int:
        count: int = self._db.execute(COUNT, (_quoted(word),)).fetchone()[0]
        return count

    def _weight(self, having: int) -> float:
        """The inverse document frequency of a word that `having` passages have, by FTS5's own formula."""
        return max(math.log((len(self._keys) - having + 0.5) / (having + 0.5)), 1e-6)


def _quoted(word: str) -> str:
    """An FTS5 term. Words are letters and digits alone and stand in quotes, so nothing in them can be an operator."""
    return f'"{word}"'


def _storable(text: str) -> str:
    """Without lone surrogates, which SQLite can't take."""
    return text.encode("utf-8", "replace").decode()
