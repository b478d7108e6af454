"""What the simulated model was asked and what it truly said: the yardstick for what the product books."""

import json
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

KEPT = 5000
FIELDS = ("calls", "completed", "closed_by_caller", "prompt_tokens", "completion_tokens")


@dataclass(slots=True)
class Record:
    """One request. Times are in seconds since 1970; `tokens` and `status` are final once it ended."""

    path: str
    model: str
    authorization: str
    raw: bytes
    at: float = field(default_factory=time.time)
    asked: int = 0
    tokens: int = 0
    status: int = 0
    completed_at: float | None = None
    closed_at: float | None = None  # the caller went away before the end

    def shown(self) -> dict[str, Any]:
        """As `/requests` gives it."""
        try:
            body = json.loads(self.raw)
        except ValueError:
            body = self.raw.decode("utf-8", "replace")
        return {
            "at": self.at,
            "path": self.path,
            "model": self.model,
            "authorization": self.authorization,
            "body": body,
            "status": self.status,
            "tokens": self.tokens,
            "completed_at": self.completed_at,
            "closed_by_caller_at": self.closed_at,
        }


class Ledger:
    """Counts per model and per Authorization, and the newest requests."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.records: deque[Record] = deque(maxlen=KEPT)
        self.total: Counter[str] = Counter()
        self.models: dict[str, Counter[str]] = {}
        self.keys: dict[str, Counter[str]] = {}

    def seen(self, model: str) -> int:
        """How many calls exactly this name has had."""
        return self.models[model]["calls"] if model in self.models else 0

    def open(self, record: Record) -> None:
        """A call has come in."""
        self.records.append(record)
        self._add(record, "calls", 1)

    def close(self, record: Record) -> None:
        """It has ended: by the script's end or by the caller's leaving."""
        self._add(record, "completed" if record.completed_at else "closed_by_caller", 1)
        self._add(record, "prompt_tokens", record.asked if record.tokens else 0)
        self._add(record, "completion_tokens", record.tokens)

    def tally(self) -> dict[str, Any]:
        """As `/tally` gives it: `FIELDS` in all, and the same per model and per Authorization."""
        models = {name: _filled(counts) for name, counts in self.models.items()}
        return {
            **_filled(self.total),
            "models": models,
            "keys": {name: _filled(counts) for name, counts in self.keys.items()},
        }

    def _add(self, record: Record, name: str, amount: int) -> None:
        for counts in (
            self.total,
            self.models.setdefault(record.model, Counter()),
            self.keys.setdefault(record.authorization, Counter()),
        ):
            counts[name] += amount


def _filled(counts: Counter[str]) -> dict[str, int]:
    return {name: counts[name] for name in FIELDS}
