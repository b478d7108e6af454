"""One client's passages in memory: their vectors as one matrix, their words, and what is shown of them.

An index belongs to one tenant and one version of its passages, and never serves another: ranking statistics are the
tenant's own too. Those used last are kept, up to a number of bytes.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from flask import current_app

from chatbot.db import Unit, db, read
from chatbot.knowledge import store
from chatbot.knowledge.arrays import Vectors, np
from chatbot.knowledge.parsing import is_pairs
from chatbot.knowledge.passages import with_context
from chatbot.knowledge.reading import ask_to_embed_again
from chatbot.knowledge.vectors import Meaning, dimension_of, packed_size
from chatbot.knowledge.words import WordIndex

BYTES = 128 << 20
WITH_PARTS = 2000 * 384  # passages times dimension: a client with more is searched by its whole passages alone
ROW_BYTES = 1000  # what a passage takes beside its text and vector, about


@dataclass(frozen=True, slots=True)
class Entry:
    """A passage as it is shown. `is_pair`: an answer that somebody wrote to the question in `title`."""

    id: str
    source_id: str
    title: str
    heading: str
    text: str
    url: str | None
    is_pair: bool


@dataclass(frozen=True, slots=True)
class Index:
    """The passages of one tenant at one version. `is_stale`: some have no vectors of this embedder (yet).

    `words` is None where the database finds words itself (PostgreSQL). `size` is in bytes.
    """

    version: int
    embedder: str
    entries: dict[str, Entry]
    meaning: Meaning
    is_stale: bool
    words: WordIndex | None
    size: int

    def nearness(self, question: Vectors | None) -> Vectors:
        """(n,) how near each passage is to the question's vector; zeros without one."""
        return np.zeros(len(self.entries), np.float32) if question is None else self.meaning.scores(question)


class IndexCache:
    """The indexes used last, one a tenant. Safe from any thread: whoever asks while one is loaded waits for it."""

    def __init__(self, limit: int = BYTES) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Index] = OrderedDict()
        self._loading: dict[str, threading.Lock] = {}

    def get(self, tenant_id: str, version: int, embedder: str) -> Index:
        """The tenant's index at `version` or newer, its vectors made by `embedder`."""
        index = self._look(tenant_id, version, embedder)
        if index is not None:
            return index
        with self._lock:
            loading = self._loading.setdefault(tenant_id, threading.Lock())
        with loading:
            index = self._look(tenant_id, version, embedder) or load_index(tenant_id, embedder)
            self._keep(tenant_id, index)
        return index

    def forget(self, tenant_id: str) -> None:
        with self._lock:
            self._kept.pop(tenant_id, None)
            self._loading.pop(tenant_id, None)

    def _look(self, tenant_id: str, version: int, embedder: str) -> Index | None:
        with self._lock:
            index = self._kept.get(tenant_id)
            if index is None or index.version < version or index.embedder != embedder:
                return None
            self._kept.move_to_end(tenant_id)
            return index

    def _keep(self, tenant_id: str, index: Index) -> None:
        with self._lock:
            self._kept[tenant_id] = index
            self._kept.move_to_end(tenant_id)
            while len(self._kept) > 1 and sum(kept.size for kept in self._kept.values()) > self._limit:
                oldest, _ = self._kept.popitem(last=False)
                self._loading.pop(oldest, None)


def indexes() -> IndexCache:
    return cast(IndexCache, current_app.extensions["shaman_indexes"])


def load_index(tenant_id: str, embedder: str) -> Index:
    """Read a tenant's passages and index them."""

    def work(unit: Unit) -> tuple[int, Sequence[Any]]:
        dimension = dimension_of(store.sample_vector(unit, embedder))
        is_large = store.count_passages(unit) * dimension > WITH_PARTS
        most = packed_size(dimension) if is_large else None
        # The version first: passages that change in between are then loaded again, never missed.
        return store.knowledge_version(unit), store.all_passages(unit, most)

    version, rows = read(tenant_id, work)
    is_stale = any(row.embedder != embedder for row in rows)
    if is_stale:
        ask_to_embed_again(tenant_id)
    entries = {row.id: _entry(row) for row in rows}
    meaning = Meaning([row.vector if row.embedder == embedder else b"" for row in rows])
    texts = [(row.id, with_context(row.title, row.heading, row.text)) for row in rows]
    words = None if db.engine.dialect.name == "postgresql" else WordIndex(texts)
    size = meaning.nbytes + sum(ROW_BYTES + 3 * len(text) for _, text in texts)
    return Index(version, embedder, entries, meaning, is_stale, words, size)


def _entry(row: Any) -> Entry:
    return Entry(row.id, row.source_id, row.title, row.heading, row.text, row.url, is_pairs(row.media_type))
