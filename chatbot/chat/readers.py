"""Who reads a stream, asked again while it lasts: a right that is withdrawn ends the streams that it opened."""

from dataclasses import dataclass

from sqlalchemy import bindparam, select

from chatbot.accounts.sign_ins import Life, find_person, role_of
from chatbot.db import read
from chatbot.tenancy import EVERY_TENANT, table_of
from chatbot.tenants.keys import is_in_force
from chatbot.tenants.models import Tenant

ASK_EVERY = 3.0  # seconds
_T = table_of(Tenant)
_SERVED = select(_T.c.anonymous_chat).where(
    _T.c.id == bindparam("tenant"), _T.c.status == "active", _T.c.deleted_at.is_(None)
)


@dataclass(frozen=True, slots=True)
class Reader:
    """Whoever a door let in: by a key, by a sign-in (`cookie`), or as anybody."""

    tenant_id: str
    key_id: str | None
    cookie: str | None
    life: Life

    def may_read(self) -> bool:
        """Whether the door would let them in now: the client is served, and the key or the sign-in still holds."""
        row = read(EVERY_TENANT, lambda unit: unit.execute(_SERVED, {"tenant": self.tenant_id}).first())
        if row is None:
            return False
        if self.key_id is not None:
            return is_in_force(self.key_id)
        if self.cookie is not None:
            person = find_person(self.cookie, self.life)
            return person is not None and (row.anonymous_chat or role_of(person, self.tenant_id) is not None)
        return bool(row.anonymous_chat)
