"""Clients: making, finding and deleting them, and the settings they publish."""

import re
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from chatbot.db import across_tenants, as_tenant, db
from chatbot.errors import Conflict, Invalid, NotFound
from chatbot.tenancy import now
from chatbot.tenants.fields import parse_fields
from chatbot.tenants.models import SettingsVersion, Tenant
from chatbot.tenants.settings import parse_settings

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def create_client(slug: str, name: str, settings: dict[str, Any] | None = None, **fields: Any) -> Tenant:
    """Make a client with its first published settings. `fields` are those of `ClientFields`.

    Raises Invalid for what can't be used, Conflict for a slug that is taken.
    """
    if not SLUG.fullmatch(slug):
        raise Invalid(
            _("A client's short name has only the letters a to z, digits and hyphens."), errors={"slug": slug}
        )
    document, checked = settings or {}, parse_fields(fields)
    parse_settings(document)
    with across_tenants() as session:
        tenant = Tenant(slug=slug, name=name.strip() or slug, **checked)
        session.add(tenant)
        try:
            session.flush()
        except IntegrityError:
            session.rollback()
            raise Conflict(_("There is a client “%(slug)s” already.", slug=slug)) from None
        session.add(SettingsVersion(tenant_id=tenant.id, number=1, state="published", document=document))
    return tenant


def find_client(slug: str) -> Tenant:
    """The client called `slug`. Raises NotFound."""
    tenant = db.session.scalar(select(Tenant).where(Tenant.slug == slug)) if SLUG.fullmatch(slug) else None
    if tenant is None:
        raise NotFound()
    return tenant  # type: ignore[no-any-return]


def default_client(configured: str | None) -> Tenant | None:
    """The client that a call which names none means: the configured one, or `demo` while it is the only one."""
    if configured:
        return db.session.scalar(select(Tenant).where(Tenant.slug == configured))  # type: ignore[no-any-return]
    tenants = db.session.scalars(select(Tenant).limit(2)).all()
    return tenants[0] if len(tenants) == 1 and tenants[0].slug == "demo" else None


def count_clients() -> int:
    return db.session.scalar(select(func.count(Tenant.id))) or 0


def delete_client(slug: str) -> None:
    """Delete a client and everything it owns. Raises NotFound."""
    with across_tenants() as session:
        session.delete(find_client(slug))


def publish_settings(slug: str, document: dict[str, Any], author: str = "") -> int:
    """Make `document` the published settings; the version before is kept. Returns the new number."""
    parse_settings(document)
    with across_tenants(writes=False):
        tenant_id = find_client(slug).id
    with as_tenant(tenant_id) as session:
        last = session.scalar(select(func.max(SettingsVersion.number))) or 0
        current = session.scalar(select(SettingsVersion).where(SettingsVersion.state == "published"))
        if current is not None:
            current.state = "old"
            session.flush()
        version = SettingsVersion(
            number=last + 1, state="published", document=document, author=author, created_at=now()
        )
        session.add(version)
    return last + 1
