"""How good a ranked list is. Lists are of booleans, best first: does the passage at this place answer the question?"""

from __future__ import annotations

import math
from collections.abc import Sequence


def hit(ranked: Sequence[bool], places: int) -> float:
    """1.0 when an answer stands within the first `places`, else 0.0."""
    return float(any(ranked[:places]))


def ndcg(ranked: Sequence[bool], answers: int, places: int = 10) -> float:
    """Normalised discounted cumulative gain over the first `places`; `answers`: passages that answer, over 0."""
    gain = sum(1 / math.log2(place + 2) for place, is_answer in enumerate(ranked[:places]) if is_answer)
    return gain / sum(1 / math.log2(place + 2) for place in range(min(answers, places)))


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
