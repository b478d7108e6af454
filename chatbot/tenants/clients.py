"""Clients: making, finding and changing them, and the settings they publish. `standing.py` suspends and deletes them."""

import hashlib
import json
import re
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from chatbot.audit import COMMAND_LINE, Actor, record
from chatbot.db import across_tenants, as_tenant, db
from chatbot.errors import Conflict, Invalid, NotFound
from chatbot.tenancy import now
from chatbot.tenants.fields import parse_fields
from chatbot.tenants.models import SettingsVersion, Tenant
from chatbot.tenants.settings import parse_settings

LONGEST_NAME = 200
SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def create_client(
    slug: str, name: str, settings: dict[str, Any] | None = None, *, by: Actor = COMMAND_LINE, **fields: Any
) -> Tenant:
    """Make a client with its first published settings. `fields` are those of `ClientFields`.

    Raises Invalid for what can't be used, Conflict for a slug that is taken.
    """
    if not SLUG.fullmatch(slug):
        raise Invalid(
            _("A client's short name has only the letters a to z, digits and hyphens."), errors={"slug": slug}
        )
    name = check_name(name.strip() or slug)
    document, checked = settings or {}, parse_fields(fields)
    parse_settings(document)
    with across_tenants() as session:
        tenant = Tenant(slug=slug, name=name, **checked)
        session.add(tenant)
        try:
            session.flush()
        except IntegrityError:
            session.rollback()
            raise Conflict(_taken(slug)) from None
        session.add(SettingsVersion(tenant_id=tenant.id, number=1, state="published", document=document))
        record("client.created", by, target=name, tenant_id=tenant.id, tenant_slug=slug)
    return tenant


def _taken(slug: str) -> str:
    if db.session.scalar(select(Tenant.deleted_at).where(Tenant.slug == slug)) is None:
        return str(_("There is a client “%(slug)s” already.", slug=slug))
    return str(_("A client “%(slug)s” was deleted a few days ago, and that can still be undone.", slug=slug))


def check_name(name: str) -> str:
    """A client's name as it is stored. Raises Invalid for what is no line of words."""
    plain = name.strip()
    if not plain or not plain.isprintable() or len(plain) > LONGEST_NAME:
        words = _("A name is one line of 1 to %(n)s characters.", n=LONGEST_NAME)
        raise Invalid(words, errors={"name": words})
    return plain


def find_client(slug: str) -> Tenant:
    """The client called `slug`. Raises NotFound."""
    there = select(Tenant).where(Tenant.slug == slug, Tenant.deleted_at.is_(None))
    tenant = db.session.scalar(there) if SLUG.fullmatch(slug) else None
    if tenant is None:
        raise NotFound()
    return tenant  # type: ignore[no-any-return]


def default_client(configured: str | None) -> Tenant | None:
    """The client that a call which names none means: the configured one, or `demo` while it is the only one."""
    if configured:
        there = select(Tenant).where(Tenant.slug == configured, Tenant.deleted_at.is_(None))
        return db.session.scalar(there)  # type: ignore[no-any-return]
    tenants = db.session.scalars(select(Tenant).where(Tenant.deleted_at.is_(None)).limit(2)).all()
    return tenants[0] if len(tenants) == 1 and tenants[0].slug == "demo" else None


def count_clients() -> int:
    return db.session.scalar(select(func.count(Tenant.id))) or 0


def change_client(
    slug: str, by: Actor, *, name: str | None = None, seen: str | None = None, **fields: Any
) -> dict[str, Any]:
    """Change a client's name and fields (those of `ClientFields` but its status); what is not named stays.

    In `limits` None gives one back to the platform's. Returns what changed: name → [old, new]. Raises Invalid, NotFound;
    Conflict when it is no longer as it was `seen`.
    """
    given = parse_fields(fields)
    if name is not None:
        given["name"] = check_name(name)
    with across_tenants() as session:
        tenant = find_client(slug)
        session.refresh(tenant, with_for_update=True)
        if seen is not None and seen != version_of(tenant):
            raise Conflict(_("Somebody else has changed this client meanwhile. Look at it, then change it again."))
        if "limits" in given:
            own = {**tenant.limits, **given["limits"]}
            given["limits"] = {limit: value for limit, value in own.items() if value is not None}
        changed = {field: [old, value] for field, value in given.items() if (old := getattr(tenant, field)) != value}
        for field in changed:
            setattr(tenant, field, given[field])
        if changed:
            record("client.changed", by, target=tenant.name, tenant_id=tenant.id, tenant_slug=slug, detail=changed)
    return changed


def version_of(tenant: Tenant) -> str:
    """What tells one state of a client's name and fields from another, for a form that shows them."""
    state = [tenant.name, tenant.anonymous_chat, tenant.time_zone, tenant.sites, tenant.limits]
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:16]


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
