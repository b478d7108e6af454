"""Finding the passages that answer a question: by meaning and by words, joined.

What no passage answers finds nothing: then the assistant says that it does not know.
"""

from dataclasses import dataclass

from chatbot.db import read
from chatbot.knowledge import store
from chatbot.knowledge.embedding import embedder_in_use, try_embed
from chatbot.knowledge.found import Found
from chatbot.knowledge.index import Entry, Index, indexes
from chatbot.knowledge.ranking import ENOUGH, WORDS_WEIGHT, Hit, Key, Ranking, rank, scaled
from chatbot.knowledge.stopwords import STOP_WORDS
from chatbot.knowledge.store import knowledge_version
from chatbot.knowledge.words import content_words

__all__ = ["Found", "knowledge_version", "search"]

DEPTH = 100  # passages ranked
BY_WORDS = 200  # passages that PostgreSQL gives by their words
PAIR_SURE = 0.75  # so near, a question that somebody answered is the visitor's question (bench/search: no wrong one)
SURE = 0.5  # below it, a short question may lean on the one before
SHORT = 2  # telling words in a question that may lean on the one before
STEM = 5  # letters that two forms of a word share


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What one text found: its hits, how sure one may be, and the passages that share words with it."""

    ranking: Ranking
    by_words: list[tuple[Key, float]]
    had_vector: bool


def search(tenant_id: str, version: int, question: str, limit: int, before: str = "") -> list[Found]:
    """At most `limit` passages for `question`, best first; [] when nothing answers it.

    `version` is the tenant's `knowledge_version`; `before` the question asked before this one, on which a short question
    («and on Sundays?») may lean. Call it with no transaction open: the question may be embedded over the network.
    """
    if version == 0:
        indexes().forget(tenant_id)
        return []
    index = indexes().get(tenant_id, version, embedder_in_use().name)
    if not index.entries or not question.strip():
        return []
    alone = _look_up(tenant_id, index, question)
    if before and _leans(question, alone):
        together = _look_up(tenant_id, index, f"{before}\n{question}")
        hits = _about(question, together, alone)
        if hits:
            return [_found(index, hit) for hit in hits[:limit]]
    return [_found(index, hit) for hit in _answering(index, question, alone)[:limit]]


def _look_up(tenant_id: str, index: Index, question: str) -> _Outcome:
    vectors = try_embed([question])
    by_words = _by_words(tenant_id, index, question)
    nearness = index.nearness(None if vectors is None else vectors[0])
    ranking = rank(list(index.entries), nearness, by_words, DEPTH)
    return _Outcome(ranking, by_words, vectors is not None)


def _by_words(tenant_id: str, index: Index, question: str) -> list[tuple[Key, float]]:
    if index.words is not None:
        return index.words.search(question)
    words = content_words(question)
    return scaled(read(tenant_id, lambda unit: store.passages_by_words(unit, words, BY_WORDS))) if words else []


def _answering(index: Index, question: str, outcome: _Outcome) -> list[Hit]:
    """The hits when there is an answer among them, answered pairs first."""
    if outcome.ranking.has_answer:
        hits = outcome.ranking.hits
        return sorted(hits, key=lambda hit: not (index.entries[str(hit.key)].is_pair and hit.meaning >= PAIR_SURE))
    if outcome.had_vector and not index.is_stale:
        return []
    return [hit for hit in outcome.ranking.hits if hit.words and _covers(index.entries[str(hit.key)], question)]


def _covers(entry: Entry, question: str) -> bool:
    """Whether a passage without a vector has at least half of the question's words: then words alone may speak for it."""
    text = f"{entry.title} {entry.heading} {entry.text}".lower()
    words = content_words(question)
    return 2 * sum(word[:STEM] in text for word in words) >= len(words)


def _leans(question: str, alone: _Outcome) -> bool:
    """Whether a question is short and weak enough to lean on the one before; «thanks» is no question."""
    telling = _telling(question)
    return alone.ranking.confidence < SURE and (0 < len(telling) <= SHORT or (not telling and "?" in question))


def _about(question: str, together: _Outcome, alone: _Outcome) -> list[Hit]:
    """Hits of both questions together that speak of the second one as well: a new subject leans on nothing."""
    own = {key for key, _ in alone.by_words}
    is_bare = not _telling(question)
    return [hit for hit in together.ranking.hits if hit.score >= ENOUGH and (is_bare or hit.key in own)]


def _telling(question: str) -> list[str]:
    return [word for word in content_words(question) if word not in STOP_WORDS]


def _found(index: Index, hit: Hit) -> Found:
    entry = index.entries[str(hit.key)]
    return Found(
        text=entry.text,
        title=entry.title,
        url=entry.url,
        source_id=entry.source_id,
        passage_id=entry.id,
        heading=entry.heading,
        score=round(min(1.0, max(0.0, hit.score / (1 + WORDS_WEIGHT))), 4),
        is_pair=entry.is_pair,
    )
