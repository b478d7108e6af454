"""Stopping turns: one that somebody asks to stop, and all of a client that is no longer served.

A turn that runs is told by its own worker's keeper, within about a second, wherever it runs; one that waits ends here.
"""

from sqlalchemy import Select, or_, select

from chatbot.chat import ending, store
from chatbot.chat.ending import Ending
from chatbot.chat.store import IS_OPEN, T
from chatbot.db import Unit, read, write
from chatbot.tenancy import EVERY_TENANT, table_of
from chatbot.tenants.models import Tenant

_TENANT = table_of(Tenant)
_OPEN = select(T.c.tenant_id, T.c.id).where(IS_OPEN, T.c.is_stopping.is_(False)).order_by(T.c.status.desc(), T.c.number)
_UNSERVED = _OPEN.join(_TENANT, _TENANT.c.id == T.c.tenant_id).where(
    or_(_TENANT.c.status != "active", _TENANT.c.deleted_at.is_not(None))
)


def stop_turn(unit: Unit, turn_id: str) -> None:
    """End a turn, keeping what was said, or ask whoever runs it to. An ended turn stays as it is."""
    row = store.turn_by_id(unit, turn_id)
    if row is None:
        return
    ending.lock(unit, row.conversation_id)  # before its turns, as everybody takes them
    if store.ask_to_stop(unit, turn_id) == "waiting":
        ending.end_waiting(unit, row, Ending("stopped", "", "stopped"))


def stop_all(tenant_id: str) -> int:
    """Stop all turns of a client, those that wait first. Returns how many there were."""
    return _stop(_OPEN.where(T.c.tenant_id == tenant_id))


def stop_unserved() -> int:
    """Stop the turns of clients that are suspended or deleted: one may have been opened at that very moment."""
    return _stop(_UNSERVED)


def _stop(which: Select[str, str]) -> int:
    rows = read(EVERY_TENANT, lambda unit: unit.connection.execute(which).all())
    for tenant_id, turn_id in rows:
        write(tenant_id, lambda unit, turn_id=turn_id: stop_turn(unit, turn_id))  # type: ignore[misc]
    return len(rows)
