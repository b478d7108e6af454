"""Whether a client is served: suspending and resuming it, deleting it and taking that back. Each is written down.

What runs for it is stopped by whoever calls (`chat.stopping.stop_all`), and within seconds by every worker's keeper.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from flask_babel import gettext as _
from sqlalchemy import bindparam, delete, select

from chatbot.accounts.entering import leave
from chatbot.accounts.models import SignIn
from chatbot.audit import Actor, record
from chatbot.db import Unit, across_tenants
from chatbot.errors import Invalid, NotFound
from chatbot.tenancy import TenantSession, now, table_of
from chatbot.tenants.clients import SLUG
from chatbot.tenants.models import Tenant

UNDO_FOR = timedelta(days=7)
LONGEST_REASON = 300
_T = table_of(Tenant)
_SERVED = select(_T.c.id).where(_T.c.id == bindparam("of_tenant"), _T.c.status == "active", _T.c.deleted_at.is_(None))


def suspend(slugs: Sequence[str], reason: str, by: Actor) -> list[str]:
    """Suspend those of the clients that are active. Returns their ids. Raises Invalid without a reason."""
    reason = reason.strip()
    if not reason or len(reason) > LONGEST_REASON:
        words = _("Say why, in a few words.")
        raise Invalid(words, errors={"reason": words})
    return _set_status(slugs, "suspended", "client.suspended", by, reason=reason)


def resume(slugs: Sequence[str], by: Actor) -> list[str]:
    """Serve those of the clients again that are suspended. Returns their ids."""
    return _set_status(slugs, "active", "client.resumed", by)


def _set_status(slugs: Sequence[str], status: str, action: str, by: Actor, **detail: str) -> list[str]:
    with across_tenants() as session:
        named = [slug for slug in slugs if SLUG.fullmatch(slug)]
        wanted = select(Tenant).where(Tenant.slug.in_(named), Tenant.deleted_at.is_(None), Tenant.status != status)
        tenants = session.scalars(wanted.order_by(Tenant.id).with_for_update()).all()
        for tenant in tenants:
            tenant.status = status
            record(action, by, target=tenant.name, tenant_id=tenant.id, tenant_slug=tenant.slug, detail=detail)
        return [tenant.id for tenant in tenants]


def delete_client(slug: str, by: Actor, typed: str | None = None, *, for_good: bool = False) -> str:
    """Delete a client: from now on it is not there, and after a week it is gone. Returns its id.

    `typed` is its name as somebody typed it to be sure; None where nobody was asked. `for_good`: it can't be taken back,
    and may be purged at once. Raises Invalid, NotFound.
    """
    with across_tenants() as session:
        tenant = _find(session, slug, deleted=[False, True] if for_good else [False])
        if typed is not None and typed.strip() != tenant.name:
            words = _("This is not the client's name. Type “%(name)s” to delete it.", name=tenant.name)
            raise Invalid(words, errors={"typed": words})
        tenant.deleted_at = now() - UNDO_FOR if for_good else now()
        leave("the client was deleted", SignIn.entered_id == tenant.id)
        session.execute(delete(SignIn).where(SignIn.confined_to == tenant.id))
        record("client.deleted", by, target=tenant.name, tenant_id=tenant.id, tenant_slug=slug)
        return tenant.id


def undelete_client(slug: str, by: Actor) -> None:
    """Take a deletion back. Raises NotFound for a client that is not deleted, or gone already."""
    with across_tenants() as session:
        tenant = _find(session, slug, deleted=[True])
        if tenant.deleted_at is not None and tenant.deleted_at + UNDO_FOR <= now():
            raise NotFound()
        tenant.deleted_at = None
        record("client.undeleted", by, target=tenant.name, tenant_id=tenant.id, tenant_slug=slug)


def is_served(unit: Unit) -> bool:
    """Whether the unit's client is served: work in the background that would spend its money asks first."""
    return unit.execute(_SERVED).first() is not None


def gone_at(tenant: Tenant) -> datetime | None:
    """When a deleted client goes for good."""
    return tenant.deleted_at + UNDO_FOR if tenant.deleted_at else None


def _find(session: TenantSession, slug: str, *, deleted: Sequence[bool]) -> Tenant:
    found = select(Tenant).where(Tenant.slug == slug).with_for_update()
    tenant = session.scalar(found) if SLUG.fullmatch(slug) else None
    if tenant is None or (tenant.deleted_at is not None) not in deleted:
        raise NotFound()
    return tenant
