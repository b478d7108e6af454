"""What happens in a client's conversations at this moment."""

from sqlalchemy import bindparam, func, select

from chatbot.chat.store import IS_OPEN, T
from chatbot.db import read

_OPEN = select(func.count()).select_from(T).where(T.c.tenant_id == bindparam("of_tenant"), IS_OPEN)


def count_open(tenant_id: str) -> int:
    """How many answers of a client are under way, or wait for the one before."""
    return int(read(tenant_id, lambda unit: unit.execute(_OPEN).scalar_one()))
