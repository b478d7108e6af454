"""The ledger: one row a turn, written once, never changed; and its sums by day."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import bindparam, insert, text

from chatbot.db import Unit
from chatbot.tenancy import new_id, now, table_of
from chatbot.tenants.fields import zone_or_utc
from chatbot.usage.models import LedgerEntry, UsageDay

FAILED = ("failed", "interrupted")  # how a turn ended that gave no whole answer, by nobody's wish


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
_ZONE = text("SELECT time_zone FROM tenant WHERE id = :of_tenant")
_ADD_TO_DAY = text(
    "INSERT INTO usage_day (id, tenant_id, day, questions, answered, failed, messages, conversations,"
    " input_tokens, output_tokens, last_at) VALUES (:id, :of_tenant, :day, 1, :answered, :failed, :messages,"
    " :conversations, :input_tokens, :output_tokens, :last_at) ON CONFLICT (tenant_id, day) DO UPDATE SET"
    " questions = usage_day.questions + 1, answered = usage_day.answered + excluded.answered,"
    " failed = usage_day.failed + excluded.failed, messages = usage_day.messages + excluded.messages,"
    " conversations = usage_day.conversations + excluded.conversations,"
    " input_tokens = usage_day.input_tokens + excluded.input_tokens,"
    " output_tokens = usage_day.output_tokens + excluded.output_tokens, last_at = excluded.last_at"
).bindparams(bindparam("last_at", type_=table_of(UsageDay).c.last_at.type))


def enter(
    unit: Unit, turn_id: str, channel: str, model: str, outcome: str, usage: Usage, *, begins: bool = False
) -> None:
    """Write a turn's one row, and add it to its day, within the unit's transaction. `begins`: a conversation begins with it."""
    at = now()
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
        "created_at": at,
    }
    unit.execute(_INSERT, row)
    _add_to_day(unit, outcome, usage, begins, at)


def _add_to_day(unit: Unit, outcome: str, usage: Usage, begins: bool, at: datetime) -> None:
    values = {
        "id": new_id(),
        "day": day_of(at, unit.execute(_ZONE).scalar() or "UTC"),
        "answered": int(outcome == "complete"),
        "failed": int(outcome in FAILED),
        "messages": int(outcome == "complete" or usage.total > 0),
        "conversations": int(begins),
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "last_at": at,
    }
    unit.execute(_ADD_TO_DAY, values)


def day_of(at: datetime, time_zone: str) -> str:
    """The day of a moment in a time zone, as `UsageDay.day` names it; in UTC where the zone is not known."""
    return at.astimezone(ZoneInfo(zone_or_utc(time_zone))).strftime("%Y-%m-%d")
