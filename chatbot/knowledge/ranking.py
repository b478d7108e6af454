"""One ranked list out of two: passages near in meaning and passages that share words. Arrays in, values out.

Adding the scores was better than joining the ranks: reciprocal-rank fusion lets a passage with one common word in it
stand beside the best. Weights and threshold come from the tune half of bench/search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chatbot.knowledge.arrays import Vectors, np

Key = int | str

WORDS_WEIGHT = 0.25  # what a perfect match of words adds to a nearness of meaning between 0 and 1
ENOUGH = 0.35  # from here on a question counts as answered
USUAL = 0.3  # what the best word match of a question usually scores, out of 1


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found. `score` orders the list; `meaning` and `words` are what it was made of."""

    key: Key
    score: float
    meaning: float
    words: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """Passages, best first, and how sure one may be (0 to 1) that they answer the question."""

    hits: tuple[Hit, ...]
    confidence: float

    @property
    def has_answer(self) -> bool:
        """False means «I have nothing on that»."""
        return self.confidence >= ENOUGH


def rank(keys: Sequence[Key], meaning: Vectors, words: Sequence[tuple[Key, float]], limit: int = 5) -> Ranking:
    """Join both lists.

    `keys`: n passages; `meaning`: (n,) how near each is to the question (`Meaning.scores`); `words`: (key, 0 to 1) of those
    that share words with it (`WordIndex.search`, or `scaled`). A key that is not among `keys` is ignored.
    """
    if not keys:
        return Ranking((), 0.0)
    found = dict(words)
    shares = np.array([found.get(key, 0.0) for key in keys], np.float32)
    scores = meaning + WORDS_WEIGHT * shares
    best = np.argsort(-scores, kind="stable")[:limit]
    hits = tuple(Hit(keys[i], float(scores[i]), float(meaning[i]), float(shares[i])) for i in best)
    return Ranking(hits, min(max(hits[0].score, 0.0), 1.0) if hits else 0.0)


def scaled(words: Sequence[tuple[Key, float]]) -> list[tuple[Key, float]]:
    """Word scores of a measure without a fixed scale (PostgreSQL's ts_rank), brought to that of WordIndex."""
    best = max((score for _, score in words), default=0.0)
    return [(key, USUAL * score / best) for key, score in words] if best > 0 else []
