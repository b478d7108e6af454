"""Clients as they are, as documents, beside the rows that an import would change.

Read within a session across tenants, some hundreds at a time, with a fixed number of statements for each portion.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError
from sqlalchemy import Row, select

from chatbot.accounts.links import INVITATION
from chatbot.accounts.models import Account, IdentityProvider, Membership, OneTimeLink
from chatbot.db import db
from chatbot.knowledge.listed import Known, listed_sources
from chatbot.tenancy import now
from chatbot.tenants.document import FIELDS
from chatbot.tenants.fields import ClientLimits
from chatbot.tenants.models import EndpointGrant, ModelEndpoint, SettingsVersion, Tenant
from chatbot.tenants.settings import AssistantSettings
from chatbot.tenants.transfer.checking import without_nulls

PORTION = 300  # clients whose rows are read with one statement
OWN_FIELDS = ("name", "status", "anonymous_chat", "requires_second_factor", "time_zone", "sites")
GAP = {"secret": "missing"}


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who belongs to a client, or is invited (`account_id` None): the id of the row that says so, and the role."""

    row_id: str
    role: str
    account_id: str | None = None
    is_enabled: bool = True


@dataclass(slots=True)
class Current:
    """A client as it is: its row, and what is said of it. `settings` and `limits` are what it has set itself."""

    row: Tenant
    fields: dict[str, Any]
    limits: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    endpoints: list[str] = field(default_factory=list)
    provider: dict[str, Any] | None = None
    provider_has_secret: bool = False
    sources: dict[str, Known] = field(default_factory=dict)
    people: dict[str, Member] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        return self.row.slug

    @property
    def is_deleted(self) -> bool:
        return self.row.deleted_at is not None

    def document(self) -> dict[str, Any]:
        """The client as its document says it: every field that it has, no secret, the same each time."""
        people = [{"email": email, "role": member.role} for email, member in sorted(self.people.items())]
        whole = {
            "slug": self.slug,
            **self.fields,
            "limits": self.limits,
            "settings": self.settings,
            "endpoints": self.endpoints or None,
            "identity_provider": self.provider,
            "knowledge": [source.entry for source in self.sources.values()],
            "people": people,
        }
        return {name: whole[name] for name in FIELDS if whole[name] is not None}


def load(slugs: Iterable[str], *, lock: bool = False) -> dict[str, Current]:
    """Those of the clients that are there, deleted ones too, by short name. `lock` keeps their rows for this transaction."""
    wanted = sorted(set(slugs))
    found: dict[str, Current] = {}
    for at in range(0, len(wanted), PORTION):
        query = select(Tenant).where(Tenant.slug.in_(wanted[at : at + PORTION])).order_by(Tenant.slug)
        query = query.execution_options(populate_existing=True)
        # FOR NO KEY UPDATE: visitors' messages, which point at their tenant, go on
        tenants = db.session.scalars(query.with_for_update(key_share=True) if lock else query).all()
        found |= _filled(tenants)
    return found


def load_all() -> Iterator[Current]:
    """Every client that is not deleted, in no order that all databases agree on."""
    after = ""
    while True:
        there = select(Tenant).where(Tenant.deleted_at.is_(None), Tenant.slug > after).order_by(Tenant.slug)
        tenants = db.session.scalars(there.limit(PORTION)).all()
        yield from _filled(tenants).values()
        if len(tenants) < PORTION:
            return
        after = tenants[-1].slug


def _filled(tenants: Sequence[Tenant]) -> dict[str, Current]:
    by_id = {tenant.id: _bare(tenant) for tenant in tenants}
    if by_id:
        ids = list(by_id)
        _add_settings(by_id, ids)
        _add_people(by_id, ids)
        _add_endpoints(by_id, ids)
        _add_providers(by_id, ids)
        for tenant_id, source in listed_sources(ids):
            by_id[tenant_id].sources[source.name] = source
    return {client.slug: client for client in by_id.values()}


def _bare(tenant: Tenant) -> Current:
    fields = {name: getattr(tenant, name) for name in OWN_FIELDS}
    return Current(tenant, fields, limits=readable(ClientLimits, tenant.limits))


def readable(model: type[BaseModel], stored: dict[str, Any]) -> dict[str, Any]:
    """`stored` in the model's order, without nulls; a field that was once stored wrong is left out."""
    given = without_nulls(stored)
    for _again in range(2):
        try:
            checked = model.model_validate(given)
        except ValidationError as error:
            wrong = {item["loc"][0] for item in error.errors() if item["loc"]}
            given = {name: value for name, value in given.items() if name not in wrong}
        else:
            readable: dict[str, Any] = without_nulls(checked.model_dump(mode="json", exclude_unset=True))
            return readable
    return {}


def _add_settings(by_id: dict[str, Current], ids: Sequence[str]) -> None:
    columns = (SettingsVersion.tenant_id, SettingsVersion.document)
    published = select(*columns).where(SettingsVersion.tenant_id.in_(ids), SettingsVersion.state == "published")
    for tenant_id, document in db.session.execute(published):
        by_id[tenant_id].settings = readable(AssistantSettings, document)


def _add_people(by_id: dict[str, Current], ids: Sequence[str]) -> None:
    """Whoever is invited counts as well. Of two with one e-mail, that whose account is the platform's goes first."""
    invited = select(OneTimeLink.id, OneTimeLink.tenant_id, OneTimeLink.email, OneTimeLink.role).where(
        OneTimeLink.tenant_id.in_(ids),
        OneTimeLink.kind == INVITATION,
        OneTimeLink.used_at.is_(None),
        OneTimeLink.expires_at > now(),
    )
    for row in db.session.execute(invited.order_by(OneTimeLink.created_at, OneTimeLink.id)):
        by_id[row.tenant_id].people[row.email] = Member(row.id, row.role or "user")
    columns = (Membership.id, Membership.tenant_id, Membership.role, Account.id, Account.email, Account.is_enabled)
    members = (
        select(*columns)
        .join(Account, Account.id == Membership.account_id)
        .where(Membership.tenant_id.in_(ids))
        .order_by(Account.home_id.is_(None), Membership.id)
    )
    for row_id, tenant_id, role, account_id, email, is_enabled in db.session.execute(members):
        by_id[tenant_id].people[email] = Member(row_id, role, account_id, is_enabled)


def _add_endpoints(by_id: dict[str, Current], ids: Sequence[str]) -> None:
    granted = (
        select(EndpointGrant.tenant_id, ModelEndpoint.name)
        .join(ModelEndpoint, ModelEndpoint.id == EndpointGrant.endpoint_id)
        .where(EndpointGrant.tenant_id.in_(ids), ModelEndpoint.retired_at.is_(None))
    )
    for tenant_id, name in db.session.execute(granted):
        by_id[tenant_id].endpoints.append(name)
    for client in by_id.values():
        client.endpoints.sort()  # here and not by the database, whose order is its locale's


def _add_providers(by_id: dict[str, Current], ids: Sequence[str]) -> None:
    own = IdentityProvider
    columns = (own.tenant_id, own.issuer, own.client_id, own.domains, own.is_required, own.claim, own.roles)
    has_secret = own.client_secret.is_not(None).label("has_secret")  # the secret itself is not read
    for row in db.session.execute(select(*columns, has_secret).where(own.tenant_id.in_(ids))):
        client = by_id[row.tenant_id]
        client.provider, client.provider_has_secret = _provider(row), row.has_secret


def _provider(row: Row[*tuple[Any, ...]]) -> dict[str, Any]:
    return {
        "issuer": row.issuer,
        "client_id": row.client_id,
        "client_secret": GAP,
        "domains": list(row.domains),
        "required": row.is_required,
        "claim": row.claim,
        "roles": dict(sorted(row.roles.items())),
    }
