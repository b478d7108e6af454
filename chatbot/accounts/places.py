"""Where a person may go: the clients that they belong to."""

from dataclasses import dataclass

from sqlalchemy import bindparam, or_, select

from chatbot.accounts.models import IdentityProvider, Membership
from chatbot.accounts.sign_ins import Person
from chatbot.db import read
from chatbot.tenancy import EVERY_TENANT, table_of
from chatbot.tenants.models import Tenant

MOST = 100
_M, _T, _I = table_of(Membership), table_of(Tenant), table_of(IdentityProvider)
_PLACES = (
    select(_T.c.slug, _T.c.name, _M.c.role)
    .join(_M, _M.c.tenant_id == _T.c.id)
    .where(
        _M.c.account_id == bindparam("account"),
        _T.c.deleted_at.is_(None),
        or_(  # as `role_of` gives rights: where people must come by the client's own provider, no other way counts
            _T.c.id == bindparam("confined"),
            bindparam("confined").is_(None)
            & ~select(_I.c.id).where(_I.c.tenant_id == _T.c.id, _I.c.is_required).exists(),
        ),
    )
    .order_by(_T.c.name, _T.c.slug)
    .limit(MOST)
)


@dataclass(frozen=True, slots=True)
class Place:
    """A client that somebody belongs to, and as what."""

    slug: str
    name: str
    role: str

    @property
    def has_console(self) -> bool:
        return self.role != "user"


_CLOSED = (
    select(_T.c.name)
    .join(_M, _M.c.tenant_id == _T.c.id)
    .where(
        _M.c.account_id == bindparam("account"),
        _T.c.deleted_at.is_(None),
        select(_I.c.id).where(_I.c.tenant_id == _T.c.id, _I.c.is_required).exists(),
    )
    .order_by(_T.c.name, _T.c.slug)
    .limit(MOST)
)


def places_of(person: Person) -> list[Place]:
    """The person's clients by name, the first hundred. Those that this way of signing in gives no right in are left out."""
    asked = {"account": person.account_id, "confined": person.confined_to}
    return read(EVERY_TENANT, lambda unit: [Place(*row) for row in unit.execute(_PLACES, asked)])


def asks_for_provider(tenant_id: str) -> bool:
    """Whether a client's people must come by the client's own provider."""
    required = select(_I.c.id).where(_I.c.tenant_id == bindparam("of_tenant"), _I.c.is_required)
    return read(tenant_id, lambda unit: unit.execute(required).first()) is not None


def closed_to(person: Person) -> list[str]:
    """The names of the person's clients that ask their people to come by their own provider, when this one didn't."""
    if person.confined_to is not None:
        return []
    return read(
        EVERY_TENANT, lambda unit: [str(row.name) for row in unit.execute(_CLOSED, {"account": person.account_id})]
    )
