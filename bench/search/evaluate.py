"""`python -m bench.search.evaluate`: search by words, by meaning and by both, on the tune half and the held-out half.

Weights and the threshold were chosen on the tune half alone. Takes about a minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.search.metrics import hit, mean, ndcg
from bench.search.questions import COLLECTIONS, SPLITS, Entry, Question, entries, is_answer, questions
from chatbot.knowledge.embedder import BuiltinEmbedder
from chatbot.knowledge.passages import with_context
from chatbot.knowledge.ranking import Ranking, rank
from chatbot.knowledge.vectors import Meaning, pack, texts_to_embed
from chatbot.knowledge.words import WordIndex

Vector = NDArray[np.float32]
EMBEDDER = BuiltinEmbedder()


@dataclass(frozen=True)
class Collection:
    entries: list[Entry]
    packed: list[bytes]
    meaning: Meaning
    words: WordIndex

    def search(self, question: str, vector: Vector, limit: int = 10) -> Ranking:
        places = range(len(self.entries))
        return rank(places, self.meaning.scores(vector), self.words.search(question), limit)


Way = Callable[[Collection, str, Vector], list[int]]
WAYS: dict[str, Way] = {
    "words alone": lambda them, question, vector: [int(key) for key, _ in them.words.search(question, 10)],
    "meaning alone": lambda them, question, vector: np.argsort(-them.meaning.scores(vector))[:10].tolist(),
    "joined": lambda them, question, vector: [int(one.key) for one in them.search(question, vector).hits],
}


def gather(name: str) -> Collection:
    found = entries(name)
    packed = [pack(EMBEDDER.embed(texts_to_embed(one.title, one.heading, one.text))) for one in found]
    return made_of(found, packed)


def made_of(found: list[Entry], packed: list[bytes]) -> Collection:
    texts = [(place, with_context(one.title, one.heading, one.text)) for place, one in enumerate(found)]
    return Collection(found, packed, Meaning(packed), WordIndex(texts))


def score(them: Collection, asked: list[Question], vectors: dict[str, Vector], way: Way) -> tuple[float, float, float]:
    """hit@1, hit@5 and nDCG@10 over the questions that have an answer."""
    rows = []
    for one in asked:
        answers = [is_answer(one, entry) for entry in them.entries]
        ranked = [answers[place] for place in way(them, one.question, vectors[one.question])]
        rows.append((hit(ranked, 1), hit(ranked, 5), ndcg(ranked, sum(answers))))
    first, fifth, gain = (mean(column) for column in zip(*rows, strict=True))
    return first, fifth, gain


def finding(sets: dict[str, Collection], asked: list[Question], vectors: dict[str, Vector]) -> Iterator[str]:
    yield "| half | collection | questions | way | hit@1 | hit@5 | nDCG@10 |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for split in SPLITS:
        for name in COLLECTIONS:
            those = [one for one in asked if (one.split, one.collection) == (split, name) and one.snippets]
            for label, way in WAYS.items():
                first, fifth, gain = score(sets[name], those, vectors, way)
                yield f"| {split} | {name} | {len(those)} | {label} | {first:.3f} | {fifth:.3f} | {gain:.3f} |"


def answering(sets: dict[str, Collection], asked: list[Question], vectors: dict[str, Vector]) -> Iterator[str]:
    """How often «I have nothing on that» was said rightly, and wrongly."""
    yield "| half | said to have an answer, and one exists | «nothing», rightly: near misses | «nothing», rightly: foreign |"
    yield "| --- | --- | --- | --- |"
    for split in SPLITS:
        those = [one for one in asked if one.split == split]
        own = [(bool(one.snippets), sets[one.collection], one.question) for one in those]
        others = [(sets[_other(one.collection)], one.question) for one in those if one.snippets]
        kept = mean([_has(them, text, vectors) for has, them, text in own if has])
        near = mean([1 - _has(them, text, vectors) for has, them, text in own if not has])
        foreign = mean([1 - _has(them, text, vectors) for them, text in others])
        yield f"| {split} | {kept:.3f} | {near:.3f} | {foreign:.3f} |"


def _other(collection: str) -> str:
    return COLLECTIONS[1 - COLLECTIONS.index(collection)]


def _has(them: Collection, question: str, vectors: dict[str, Vector]) -> float:
    return float(them.search(question, vectors[question]).has_answer)


def cost(sets: dict[str, Collection], asked: list[Question]) -> str:
    """CPU of a whole search (embed, 1,000 passages by meaning and words, join)."""
    found = [entry for them in sets.values() for entry in them.entries]
    packed = [blob for them in sets.values() for blob in them.packed]
    them = made_of((found * 2)[:1000], (packed * 2)[:1000])
    begun = time.process_time()
    for one in asked:
        them.search(one.question, EMBEDDER.embed([one.question])[0])
    return f"CPU a question over {len(them.entries):,} passages: {(time.process_time() - begun) / len(asked) * 1000:.1f} ms"


def main() -> None:
    asked = questions()
    sets = {name: gather(name) for name in COLLECTIONS}
    vectors = dict(zip((one.question for one in asked), EMBEDDER.embed([one.question for one in asked]), strict=True))
    for line in (*finding(sets, asked, vectors), "", *answering(sets, asked, vectors), "", cost(sets, asked)):
        print(line)


if __name__ == "__main__":
    main()
