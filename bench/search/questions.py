"""The questions, and the two collections they are asked of: the demo client's knowledge and public-domain text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from chatbot.knowledge.parsing import parse
from chatbot.knowledge.passages import STEP

HERE = Path(__file__).parent
DEMO = HERE.parents[1] / "chatbot" / "demo"
COLLECTIONS = ("demo", "public")
SPLITS = ("tune", "held")
KINDS = {".md": "text/markdown", ".txt": "text/plain", ".json": "application/json"}


@dataclass(frozen=True, slots=True)
class Question:
    """`snippets`: a passage that contains one of them, to the letter, answers the question; none: nothing answers it.

    The first snippet stands in `source` (a file's name without its ending); the others may stand anywhere in the collection.
    """

    id: str
    question: str
    collection: str
    source: str | None
    snippets: tuple[str, ...]
    split: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A passage of a collection, as the product would cut it."""

    source: str
    title: str
    heading: str
    text: str


def questions() -> list[Question]:
    lines = (HERE / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    return [Question(**{**row, "snippets": tuple(row["snippets"])}) for row in map(json.loads, lines)]


def files(collection: str) -> list[Path]:
    if collection == "demo":
        return [*sorted((DEMO / "pages").glob("*.md")), DEMO / "pairs.json"]
    return sorted((HERE / "texts").glob("*.txt"))


def entries(collection: str) -> list[Entry]:
    """The collection's passages, in reading order."""
    return [entry for path in files(collection) for entry in _entries_of(path)]


def _entries_of(path: Path) -> Iterable[Entry]:
    for piece in parse(path.name, KINDS[path.suffix], path.read_bytes()).pieces:
        heading = STEP.join(part for part in piece.passage.headings if part != piece.title)  # as the product stores it
        yield Entry(path.stem, piece.title, heading, piece.passage.text)


def is_answer(question: Question, entry: Entry) -> bool:
    return any(snippet in entry.text for snippet in question.snippets)
