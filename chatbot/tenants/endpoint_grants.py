"""Which clients may use which model endpoint, where it isn't for all; and which name one."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask_babel import gettext as _
from sqlalchemy import func, select

from chatbot.audit import Actor
from chatbot.db import across_tenants, db
from chatbot.errors import Invalid, NotFound
from chatbot.tenants.endpoints import find_endpoint, record_change
from chatbot.tenants.models import EndpointGrant, SettingsVersion, Tenant


@dataclass(frozen=True, slots=True)
class Grantee:
    """A client that may use an endpoint."""

    slug: str
    name: str


def grantees(endpoint_id: str, after: str = "", limit: int = 50) -> list[Grantee]:
    """The clients that an endpoint was opened to, by short name, from the one after `after`; read within the session."""
    rows = db.session.execute(
        select(Tenant.slug, Tenant.name)
        .join(EndpointGrant, EndpointGrant.tenant_id == Tenant.id)
        .where(EndpointGrant.endpoint_id == endpoint_id, Tenant.deleted_at.is_(None), Tenant.slug > after)
        .order_by(Tenant.slug)
        .limit(limit)
    )
    return [Grantee(*row) for row in rows]


def count_grants() -> dict[str, int]:
    """How many clients each endpoint was opened to, by the endpoint's id; read within a session across tenants."""
    rows = db.session.execute(
        select(EndpointGrant.endpoint_id, func.count())
        .join(Tenant, Tenant.id == EndpointGrant.tenant_id)
        .where(Tenant.deleted_at.is_(None))
        .group_by(EndpointGrant.endpoint_id)
    )
    return {endpoint_id: count for endpoint_id, count in rows}


def count_users() -> dict[str, int]:
    """How many clients name an endpoint in their published settings, by the endpoint's name; across tenants."""
    model = SettingsVersion.document["model"].as_string()
    rows = db.session.execute(
        select(model, func.count())
        .join(Tenant, Tenant.id == SettingsVersion.tenant_id)
        .where(SettingsVersion.state == "published", Tenant.deleted_at.is_(None), model.is_not(None))
        .group_by(model)
    )
    counts: dict[str, int] = {}
    for wanted, count in rows:
        name = wanted.strip().partition("/")[0].strip().lower()
        counts[name] = counts.get(name, 0) + count
    return counts


def grant(endpoint_id: str, slugs: Sequence[str], by: Actor) -> int:
    """Open an endpoint to the clients called `slugs`. Returns to how many it was not open before.

    Raises Invalid that names the clients which are not there, opening it to none then; NotFound.
    """
    with across_tenants() as session:
        endpoint = find_endpoint(endpoint_id)
        tenants = session.scalars(select(Tenant).where(Tenant.slug.in_(slugs), Tenant.deleted_at.is_(None))).all()
        unknown = sorted(set(slugs) - {tenant.slug for tenant in tenants})
        if unknown or not slugs:
            words = _("There is no client called %(names)s.", names=", ".join(unknown)[:300]) if unknown else ""
            raise Invalid(words, errors={"clients": words or _("Name a client.")})
        has = set(session.scalars(select(EndpointGrant.tenant_id).where(EndpointGrant.endpoint_id == endpoint.id)))
        new = [tenant for tenant in tenants if tenant.id not in has]
        for tenant in new:
            session.add(EndpointGrant(tenant_id=tenant.id, endpoint_id=endpoint.id))
            record_change("endpoint.granted", endpoint, by, tenant=tenant)
        return len(new)


def withdraw(endpoint_id: str, slug: str, by: Actor) -> None:
    """Close an endpoint to a client, from its next turn on. Raises NotFound when it was not open to it."""
    with across_tenants() as session:
        endpoint = find_endpoint(endpoint_id)
        found = session.execute(
            select(EndpointGrant, Tenant)
            .join(Tenant, Tenant.id == EndpointGrant.tenant_id)
            .where(EndpointGrant.endpoint_id == endpoint.id, Tenant.slug == slug)
        ).first()
        if found is None:
            raise NotFound()
        granted, tenant = found
        session.delete(granted)
        record_change("endpoint.withdrawn", endpoint, by, tenant=tenant)
