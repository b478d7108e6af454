"""The ledger: one row a turn, written once, never changed."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert

from chatbot.db import Unit
from chatbot.tenancy import new_id, now, table_of
from chatbot.usage.models import LedgerEntry


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a turn used; `estimated` when the model did not say."""

    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False

    @property
    def total(self) -> int:
        return self.input_tokens + self.output_tokens

    def as_json(self) -> dict[str, Any]:
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "estimated": self.estimated,
        }


def estimate_tokens(*texts: str) -> int:
    """Tokens in `texts`, guessed from their length: about four bytes of UTF-8 to a token."""
    return sum((len(text.encode("utf-8", "replace")) + 3) // 4 for text in texts)


_INSERT = insert(table_of(LedgerEntry))


def enter(unit: Unit, turn_id: str, channel: str, model: str, outcome: str, usage: Usage) -> None:
    """Write a turn's one row within the unit's transaction."""
    row = {
        "id": new_id(),
        "turn_id": turn_id,
        "channel": channel,
        "model": model,
        "outcome": outcome,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "estimated": usage.estimated,
        "cost": 0,
        "currency": "USD",
        "created_at": now(),
    }
    unit.execute(_INSERT, row)
