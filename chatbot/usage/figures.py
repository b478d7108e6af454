"""What clients used, summed up: by month for the operator's list, by day for a client's own pages.

Read from `UsageDay`, whose days are the client's own. One query each, however many clients are asked for.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, func, select
from sqlalchemy.orm import InstrumentedAttribute

from chatbot.db import db
from chatbot.tenancy import now
from chatbot.tenants.models import Tenant
from chatbot.usage.ledger import day_of
from chatbot.usage.models import UsageDay
from chatbot.usage.quotas import SCOPES, Limits

SUMS = ("questions", "answered", "failed", "messages", "conversations", "tokens")
_COLUMNS = (*(getattr(UsageDay, name) for name in SUMS[:-1]), UsageDay.input_tokens + UsageDay.output_tokens)
Column = ColumnElement[Any] | InstrumentedAttribute[Any]


@dataclass(frozen=True, slots=True)
class Sums:
    """Counts over some days; `tokens` are those of questions and answers together."""

    questions: int = 0
    answered: int = 0
    failed: int = 0
    messages: int = 0
    conversations: int = 0
    tokens: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(getattr(self, name) + getattr(other, name) for name in SUMS))


@dataclass(frozen=True, slots=True)
class Use:
    """How much of one limit is used: `used` of `cap` units in the period under way. `scope` is one of SCOPES."""

    scope: str
    used: int
    cap: int

    @property
    def share(self) -> float:
        return self.used / self.cap if self.cap else 1.0


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A client's sums in its month and on its day that are under way, both its own."""

    month: Sums = Sums()
    today: Sums = Sums()

    def uses(self, limits: Limits) -> list[Use]:
        """What of its limits is used: counted as the limits are, but for what is held while answers are under way."""
        used = {"messages": self.today.messages, "tokens": self.month.tokens}
        return [Use(scope, used[scope], cap) for scope in SCOPES if (cap := limits.cap(scope)) is not None]


def sums_under_way(zones: Mapping[str, str]) -> dict[str, UnderWay]:
    """The sums of clients, by id; `zones` has each one's time zone. Read across tenants, or within the one that is asked for."""
    moment = now()
    todays = {tenant_id: day_of(moment, zone) for tenant_id, zone in zones.items()}
    first = min((f"{today[:7]}-01" for today in todays.values()), default="")
    rows = db.session.execute(
        select(UsageDay.tenant_id, UsageDay.day, *_COLUMNS).where(
            UsageDay.tenant_id.in_(list(zones)), UsageDay.day >= first
        )
    )
    found = {tenant_id: UnderWay() for tenant_id in zones}
    for tenant_id, day, *values in rows:
        known, today, sums = found[tenant_id], todays[tenant_id], Sums(*values)
        if day[:7] == today[:7]:
            found[tenant_id] = UnderWay(known.month + sums, sums if day == today else known.today)
    return found


def in_month(column: Column) -> ScalarSelect[Any]:
    """A client's sum of a column of `UsageDay` in the month under way (in UTC, for all alike), to sort clients by; 0 for none."""
    month = now().strftime("%Y-%m")
    return (
        select(func.coalesce(func.sum(column), 0))
        .where(UsageDay.tenant_id == Tenant.id, UsageDay.day.between(f"{month}-01", f"{month}-31"))
        .correlate(Tenant)
        .scalar_subquery()
    )


def last_activity() -> ScalarSelect[Any]:
    """When a client's last turn ended, to show and to sort clients by; null for one that never had any."""
    return (
        select(UsageDay.last_at)
        .where(UsageDay.tenant_id == Tenant.id)
        .order_by(UsageDay.day.desc())
        .limit(1)
        .correlate(Tenant)
        .scalar_subquery()
    )


def last_turn_at() -> datetime | None:
    """When the last turn of the session's client ended."""
    return db.session.scalar(select(UsageDay.last_at).order_by(UsageDay.day.desc()).limit(1))  # type: ignore[no-any-return]


def sums_by_day(days: int, time_zone: str) -> list[tuple[date, Sums]]:
    """The session's client's sums of each of its last days, the oldest first, today last; days without any are there too."""
    today = date.fromisoformat(day_of(now(), time_zone))
    wanted = [today - timedelta(days=back) for back in range(days - 1, -1, -1)]
    rows = db.session.execute(select(UsageDay.day, *_COLUMNS).where(UsageDay.day >= wanted[0].isoformat()))
    found = {day: Sums(*values) for day, *values in rows}
    return [(day, found.get(day.isoformat(), Sums())) for day in wanted]


def total(days: Iterable[tuple[date, Sums]]) -> Sums:
    return sum((sums for _day, sums in days), Sums())
