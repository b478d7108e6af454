"""Limits that hold under any number of parallel turns: reserve before spending, settle after, release on death.

Each limit is one atomic statement; a read followed by a write let 64 of 64 parallel turns through. The rows of a turn
are always taken in the order of `SCOPES`: mixed orders deadlocked half the turns on PostgreSQL.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask_babel import gettext as _
from sqlalchemy import text

from chatbot.db import Unit
from chatbot.errors import QuotaReached
from chatbot.tenancy import new_id, now

# scope → the field of the client's limits, and the period it counts in
SCOPES = {"messages": ("messages_per_day", "%Y-%m-%d"), "tokens": ("tokens_per_month", "%Y-%m")}

_RESERVE = text(
    "UPDATE quota SET held = held + :amount WHERE tenant_id = :of_tenant AND scope = :scope AND period = :period"
    " AND (used + held + :amount <= :cap OR (held = 0 AND used < :cap))"  # the last turn may overshoot, alone
)
_KNOWN = text("SELECT 1 FROM quota WHERE tenant_id = :of_tenant AND scope = :scope AND period = :period")
_BEGIN = text(
    "INSERT INTO quota (id, tenant_id, scope, period, used, held) VALUES (:id, :of_tenant, :scope, :period, :used, 0)"
    " ON CONFLICT (tenant_id, scope, period) DO NOTHING"
)
_SPENT = text(
    "SELECT coalesce(sum(CASE WHEN outcome = 'complete' OR input_tokens + output_tokens > 0 THEN 1 ELSE 0 END), 0),"
    " coalesce(sum(input_tokens + output_tokens), 0) FROM ledger_entry WHERE tenant_id = :of_tenant AND created_at >= :since"
)
_HOLD = text(
    "INSERT INTO hold (id, tenant_id, turn_id, scope, period, amount)"
    " VALUES (:id, :of_tenant, :turn_id, :scope, :period, :amount)"
)
_RELEASE = text("DELETE FROM hold WHERE tenant_id = :of_tenant AND turn_id = :turn_id RETURNING scope, period, amount")
_BOOK = text(
    "UPDATE quota SET held = held - :amount, used = used + :used"
    " WHERE tenant_id = :of_tenant AND scope = :scope AND period = :period"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """A client's caps (None: no limit) and the zone its days and months are counted in."""

    messages_per_day: int | None = None
    tokens_per_month: int | None = None
    time_zone: str = "UTC"

    def cap(self, scope: str) -> int | None:
        return getattr(self, SCOPES[scope][0])  # type: ignore[no-any-return]

    @property
    def has_token_cap(self) -> bool:
        return self.tokens_per_month is not None


def limits_of(document: dict[str, Any], time_zone: str) -> Limits:
    return Limits(document.get("messages_per_day"), document.get("tokens_per_month"), time_zone)


def reserve(unit: Unit, turn_id: str, limits: Limits, amounts: dict[str, int]) -> None:
    """Hold `amounts` (scope → units) for a turn, within the unit's transaction. Raises QuotaReached, holding nothing."""
    for scope in SCOPES:
        cap, amount = limits.cap(scope), amounts.get(scope, 0)
        if cap is None or not amount:
            continue
        period = current_period(scope, limits.time_zone)
        values = {"scope": scope, "period": period, "amount": amount, "cap": cap}
        if not _try_reserve(unit, values, limits):
            raise QuotaReached(
                _("The assistant has answered as much as it may for now. Please try again later."),
                retry_after=seconds_left(scope, limits.time_zone),
            )
        unit.execute(_HOLD, {"id": new_id(), "turn_id": turn_id, "scope": scope, "period": period, "amount": amount})


def _try_reserve(unit: Unit, values: dict[str, Any], limits: Limits) -> bool:
    if unit.execute(_RESERVE, values).rowcount == 1:
        return True
    if unit.execute(_KNOWN, values).first() is not None:  # it may have begun between these two looks: so once more
        return unit.execute(_RESERVE, values).rowcount == 1
    since = _period_start(values["scope"], limits.time_zone)  # the limit is new: what was spent before it counts too
    turns, tokens = unit.execute(_SPENT, {"since": since}).one()
    used = turns if values["scope"] == "messages" else tokens
    unit.execute(_BEGIN, {**values, "id": new_id(), "used": used})
    return unit.execute(_RESERVE, values).rowcount == 1


def settle(unit: Unit, turn_id: str, used: dict[str, int]) -> None:
    """Release what a turn holds and book `used` (scope → units). Twice is the same as once."""
    held = sorted(unit.execute(_RELEASE, {"turn_id": turn_id}).all(), key=lambda row: list(SCOPES).index(row.scope))
    for scope, period, amount in held:
        unit.execute(_BOOK, {"scope": scope, "period": period, "amount": amount, "used": used.get(scope, 0)})


def current_period(scope: str, time_zone: str) -> str:
    return now().astimezone(ZoneInfo(time_zone)).strftime(SCOPES[scope][1])


def seconds_left(scope: str, time_zone: str) -> float:
    """Seconds until the scope's next period begins."""
    start = _period_start(scope, time_zone)
    following = start + timedelta(days=1) if scope == "messages" else (start + timedelta(days=32)).replace(day=1)
    return (following - now()).total_seconds()


def _period_start(scope: str, time_zone: str) -> datetime:
    midnight = now().astimezone(ZoneInfo(time_zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if scope == "messages" else midnight.replace(day=1)
