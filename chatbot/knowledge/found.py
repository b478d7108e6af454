"""What a search hands out."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """A passage that was found for a question, as plain values. `score` is 0 to 1; `is_pair`: an answer somebody wrote."""

    text: str
    title: str
    url: str | None
    source_id: str
    passage_id: str
    heading: str
    score: float
    is_pair: bool = False
