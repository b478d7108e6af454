"""Everything about one client that its operator may see, for one page: never a secret, never what visitors said."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select

from chatbot.accounts.models import Account, IdentityProvider, Membership, OneTimeLink
from chatbot.audit import AuditEntry
from chatbot.db import db
from chatbot.errors import NotFound
from chatbot.knowledge.size import KnowledgeSize, size_of_knowledge
from chatbot.tenancy import now
from chatbot.tenants.clients import SLUG
from chatbot.tenants.defaults import Defaults, platform_defaults
from chatbot.tenants.listing import limits_in_force
from chatbot.tenants.models import ApiKey, EndpointGrant, ModelEndpoint, Tenant
from chatbot.tenants.standing import gone_at
from chatbot.usage.figures import Sums, Use, last_activity, sums_under_way
from chatbot.usage.quotas import limits_of

MOST_PEOPLE, MOST_KEYS, MOST_ENTRIES = 100, 100, 10


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who belongs to a client; `is_invited` for one who has not taken the invitation up."""

    email: str
    name: str
    role: str
    is_enabled: bool = True
    is_invited: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """A key as people tell it apart: how it begins and ends."""

    name: str
    begins: str
    last_four: str
    scopes: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Portrait:
    """One client. `why` is the reason of its suspension; `gone_at` when, deleted, it goes for good."""

    tenant: Tenant
    why: str
    gone_at: datetime | None
    defaults: Defaults
    limits: dict[str, Any]
    month: Sums
    last_at: datetime | None
    uses: list[Use]
    people: list[Member]
    people_in_all: int
    keys: list[Key]
    endpoints: list[str]
    provider: str | None
    provider_is_required: bool
    knowledge: KnowledgeSize
    entries: list[AuditEntry]


def find_any_client(slug: str) -> Tenant:
    """The client called `slug`, deleted or not. Raises NotFound."""
    found = select(Tenant).where(Tenant.slug == slug)
    tenant = db.session.scalar(found) if SLUG.fullmatch(slug) else None
    if tenant is None:
        raise NotFound()
    return tenant  # type: ignore[no-any-return]


def portray(slug: str) -> Portrait:
    """Everything about the client called `slug`, read across tenants. Raises NotFound."""
    defaults = platform_defaults()
    tenant = find_any_client(slug)
    limits = limits_in_force(tenant, defaults)
    members, count = _people(tenant.id)
    provider = db.session.scalar(select(IdentityProvider).where(IdentityProvider.tenant_id == tenant.id))
    sums = sums_under_way({tenant.id: tenant.time_zone})[tenant.id]
    return Portrait(
        tenant=tenant,
        why="" if tenant.is_active else _why(tenant.id),
        gone_at=gone_at(tenant),
        defaults=defaults,
        limits=limits,
        month=sums.month,
        last_at=db.session.scalar(select(last_activity()).select_from(Tenant).where(Tenant.id == tenant.id)),
        uses=sums.uses(limits_of(limits, tenant.time_zone)),
        people=members + _invited(tenant.id),
        people_in_all=count,
        keys=_keys(tenant.id),
        endpoints=_endpoints(tenant.id),
        provider=provider.issuer if provider else None,
        provider_is_required=bool(provider and provider.is_required),
        knowledge=size_of_knowledge(tenant.id),
        entries=_entries(tenant.id),
    )


def _why(tenant_id: str) -> str:
    last = (
        select(AuditEntry.detail)
        .where(AuditEntry.tenant_id == tenant_id, AuditEntry.action == "client.suspended")
        .order_by(AuditEntry.at.desc())
        .limit(1)
    )
    return str((db.session.scalar(last) or {}).get("reason", ""))


def _people(tenant_id: str) -> tuple[list[Member], int]:
    belongs = select(Account.email, Account.name, Membership.role, Account.is_enabled, func.count().over()).join(
        Membership, Membership.account_id == Account.id
    )
    rows = db.session.execute(
        belongs.where(Membership.tenant_id == tenant_id).order_by(Membership.role, Account.email).limit(MOST_PEOPLE)
    ).all()
    return [Member(*row[:4]) for row in rows], rows[0][4] if rows else 0


def _invited(tenant_id: str) -> list[Member]:
    open_ = select(OneTimeLink.email, OneTimeLink.role).where(
        OneTimeLink.tenant_id == tenant_id, OneTimeLink.used_at.is_(None), OneTimeLink.expires_at > now()
    )
    rows = db.session.execute(open_.order_by(OneTimeLink.email).limit(MOST_PEOPLE))
    return [Member(email, "", role or "", is_invited=True) for email, role in rows]


def _keys(tenant_id: str) -> list[Key]:
    keys: Sequence[ApiKey] = db.session.scalars(
        select(ApiKey).where(ApiKey.tenant_id == tenant_id).order_by(ApiKey.created_at.desc()).limit(MOST_KEYS)
    ).all()
    return [
        Key(key.name, f"shm_{key.id[:10]}", key.last_four, tuple(key.scopes), key.created_at, key.revoked_at)
        for key in keys
    ]


def _endpoints(tenant_id: str) -> list[str]:
    """The names of the model endpoints that the client may use beside the platform's own."""
    granted = select(EndpointGrant.endpoint_id).where(EndpointGrant.tenant_id == tenant_id)
    is_open = or_(ModelEndpoint.is_for_all, ModelEndpoint.id.in_(granted))
    names = select(ModelEndpoint.name).where(is_open, ModelEndpoint.retired_at.is_(None)).order_by(ModelEndpoint.name)
    return list(db.session.scalars(names))


def _entries(tenant_id: str) -> list[AuditEntry]:
    last = select(AuditEntry).where(AuditEntry.tenant_id == tenant_id).order_by(AuditEntry.at.desc(), AuditEntry.id)
    return list(db.session.scalars(last.limit(MOST_ENTRIES)))
