"""Ending a turn, once: its text, status, charge and release in one transaction, and the next turn's beginning.

A running turn is ended by whoever holds its lease; one whose lease ran out by whoever sweeps. The statement that takes
the turn out of `running` decides: the one that changes a row books the charge, any other changes nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, bindparam, select, text, update

from chatbot.chat.store import IS_OPEN, M, T, TurnRow, turn_by_id
from chatbot.db import Unit
from chatbot.tenancy import now
from chatbot.usage import ledger, quotas
from chatbot.usage.ledger import Usage

_TENANT: BindParameter[str] = bindparam("of_tenant")


@dataclass(frozen=True, slots=True)
class Ending:
    """How a turn ended. `text` None keeps what is stored (a dead worker's turn)."""

    status: str
    text: str | None
    finish_reason: str | None = None
    problem: dict[str, Any] | None = None
    usage: Usage = Usage()
    model: str = ""
    citations: tuple[dict[str, Any], ...] = ()
    settings_version: int | None = None

    @property
    def is_charged(self) -> bool:
        """An answer counts, whoever gave it; a refusal and a failure that used nothing are free."""
        return self.status == "complete" or self.usage.total > 0


_END = (
    update(T)
    .where(T.c.tenant_id == _TENANT, T.c.id == bindparam("turn"), T.c.status == bindparam("from_status"))
    .values(
        status=bindparam("to_status"),
        finish_reason=bindparam("finish"),
        problem=bindparam("the_problem", type_=T.c.problem.type),
        usage=bindparam("the_usage", type_=T.c.usage.type),
        settings_version=bindparam("version"),
        ended_at=bindparam("at", type_=T.c.ended_at.type),
        lease_until=None,
    )
)
_END_OURS = _END.where(T.c.lease_owner == bindparam("owner"))
_END_DEAD = _END.where(T.c.lease_until < bindparam("at", type_=T.c.ended_at.type))
_END_MESSAGE = (
    update(M)
    .where(M.c.tenant_id == _TENANT, M.c.id == bindparam("answer"))
    .values(
        status=bindparam("to_status"),
        content=bindparam("words"),
        citations=bindparam("cited", type_=M.c.citations.type),
    )
)
_END_MESSAGE_AS_STORED = (
    update(M).where(M.c.tenant_id == _TENANT, M.c.id == bindparam("answer")).values(status=bindparam("to_status"))
)
_LOCK = text("SELECT id FROM conversation WHERE tenant_id = :of_tenant AND id = :id FOR UPDATE")
_FIRST_OPEN = (
    select(T.c.id, T.c.status)
    .where(T.c.tenant_id == _TENANT, T.c.conversation_id == bindparam("conversation"), IS_OPEN)
    .order_by(T.c.number)
    .limit(1)
)
_CLAIM = (
    update(T)
    .where(T.c.tenant_id == _TENANT, T.c.id == bindparam("turn"), T.c.status == "waiting")
    .values(
        status="running",
        lease_owner=bindparam("owner"),
        lease_until=bindparam("until"),
        started_at=bindparam("begun", type_=T.c.started_at.type),
    )
)
_EXPIRED = select(T.c.tenant_id, T.c.id).where(IS_OPEN, T.c.status == "running", T.c.lease_until < bindparam("at"))
_ORPHANS = select(T.c.tenant_id, T.c.conversation_id).where(
    IS_OPEN, T.c.status == "waiting", T.c.lease_until < bindparam("at", type_=T.c.lease_until.type)
)


def end_ours(unit: Unit, turn: TurnRow, owner: str, ending: Ending) -> bool:
    """End a turn that `owner` runs. False when it is no longer ours to end: nothing is changed then."""
    return _end(unit, turn, ending, _END_OURS, {"owner": owner})


def end_dead(unit: Unit, turn: TurnRow, ending: Ending) -> bool:
    """End a turn whose worker let its lease run out."""
    return _end(unit, turn, ending, _END_DEAD, {})


def end_waiting(unit: Unit, turn: TurnRow, ending: Ending) -> bool:
    """End a turn that never began."""
    return _end(unit, turn, ending, _END, {}, from_status="waiting")


def _end(
    unit: Unit, turn: TurnRow, ending: Ending, statement: Any, more: dict[str, Any], from_status: str = "running"
) -> bool:
    lock(unit, turn.conversation_id)
    values = {
        "turn": turn.id,
        "from_status": from_status,
        "to_status": ending.status,
        "finish": ending.finish_reason,
        "the_problem": ending.problem,
        "the_usage": ending.usage.as_json(),
        "version": ending.settings_version,
        "at": now(),
    }
    if unit.execute(statement, {**values, **more}).rowcount != 1:
        return False
    _end_message(unit, turn, ending)
    quotas.settle(unit, turn.id, {"messages": int(ending.is_charged), "tokens": ending.usage.total})
    begins = turn.number == 1
    ledger.enter(unit, turn.id, turn.channel, ending.model, ending.status, ending.usage, begins=begins)
    return True


def _end_message(unit: Unit, turn: TurnRow, ending: Ending) -> None:
    values: dict[str, Any] = {"answer": turn.answer_id, "to_status": ending.status}
    if ending.text is None:
        unit.execute(_END_MESSAGE_AS_STORED, values)
        return
    unit.execute(_END_MESSAGE, {**values, "words": ending.text, "cited": list(ending.citations) or None})


def claim_next(unit: Unit, conversation_id: str, owner: str, until: datetime) -> TurnRow | None:
    """Begin the conversation's next waiting turn for `owner`, unless one is running or none waits."""
    lock(unit, conversation_id)
    row = unit.execute(_FIRST_OPEN, {"conversation": conversation_id}).first()
    if row is None or row.status == "running":  # turns begin in order, so a running one is the first
        return None
    if unit.execute(_CLAIM, {"turn": row.id, "owner": owner, "until": until, "begun": now()}).rowcount != 1:
        return None
    return turn_by_id(unit, row.id)


def lock(unit: Unit, conversation_id: str) -> None:
    """Let nobody else begin or end a turn of this conversation until the unit ends (SQLite's writer is alone anyway)."""
    if unit.connection.dialect.name == "postgresql":
        unit.execute(_LOCK, {"id": conversation_id})


def expired(unit: Unit) -> list[tuple[str, str]]:
    """(tenant, turn) of turns whose worker is gone. For a unit across tenants."""
    return [(tenant, turn) for tenant, turn in unit.connection.execute(_EXPIRED, {"at": now()})]


def orphans(unit: Unit) -> list[tuple[str, str]]:
    """(tenant, conversation) of turns that wait and whose lease ran out. For a unit across tenants."""
    return [(tenant, conversation) for tenant, conversation in unit.connection.execute(_ORPHANS, {"at": now()})]
