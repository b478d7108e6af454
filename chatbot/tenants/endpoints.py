"""Model endpoints that the operator offers beside the platform's own: making, changing and giving them up.

Their addresses may lie inside: whoever runs the platform types them, and a model of one's own mostly runs next door.
"""

import re
from dataclasses import dataclass, field

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.exc import IntegrityError

from chatbot.audit import Actor, record
from chatbot.db import across_tenants, db
from chatbot.errors import Conflict, Invalid, NotFound
from chatbot.outbound.addresses import read_address
from chatbot.outbound.errors import OutboundRefused
from chatbot.tenancy import now
from chatbot.tenants.defaults import SETTINGS
from chatbot.tenants.models import EndpointGrant, ModelEndpoint, PlatformSetting, Tenant

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
LONGEST_MODEL, LONGEST_KEY, LONGEST_ADDRESS = 200, 500, 500
KEY_AGAIN = _l("Type the key again: it goes to the new address.")


@dataclass(frozen=True, slots=True)
class EndpointDraft:
    """What a form says of an endpoint. `key` None keeps the one that is there, "" takes it away."""

    name: str
    base_url: str
    key: str | None = field(repr=False)
    model: str = ""
    is_for_all: bool = False


def all_endpoints() -> list[ModelEndpoint]:
    """Those that are offered, by name, read within the session."""
    return list(db.session.scalars(select(ModelEndpoint).where(_is_offered()).order_by(ModelEndpoint.name)))


def with_key() -> set[str]:
    """The ids of the endpoints that have a key, none of which is opened for this; read within the session."""
    return set(db.session.scalars(select(ModelEndpoint.id).where(ModelEndpoint.api_key.is_not(None))))


def find_endpoint(endpoint_id: str, *, lock: bool = False) -> ModelEndpoint:
    """One that is offered. Raises NotFound."""
    wanted = select(ModelEndpoint).where(ModelEndpoint.id == endpoint_id, _is_offered())
    found = db.session.scalar(wanted.with_for_update() if lock else wanted)
    if found is None:
        raise NotFound()
    return found  # type: ignore[no-any-return]


def add_endpoint(draft: EndpointDraft, by: Actor) -> str:
    """Offer a new endpoint; a name that was given up may be used again. Returns its id. Raises Invalid."""
    checked = _checked(draft)
    if not NAME.fullmatch(checked.name):
        words = _("A name has only the letters a to z, digits and hyphens, 40 at the most.")
        raise Invalid(words, errors={"name": words})
    with across_tenants() as session:
        session.execute(
            delete(ModelEndpoint).where(ModelEndpoint.name == checked.name, ModelEndpoint.retired_at.is_not(None))
        )
        endpoint = ModelEndpoint(
            name=checked.name,
            base_url=checked.base_url,
            api_key=checked.key or None,
            model=checked.model,
            is_for_all=checked.is_for_all,
        )
        session.add(endpoint)
        try:
            session.flush()
        except IntegrityError:
            session.rollback()
            words = _("There is an endpoint of this name already.")
            raise Invalid(words, errors={"name": words}) from None
        record_change("endpoint.created", endpoint, by, base_url=checked.base_url, is_for_all=checked.is_for_all)
    return endpoint.id


def change_endpoint(endpoint_id: str, draft: EndpointDraft, seen: int, by: Actor) -> None:
    """Change an endpoint that the form showed in version `seen`; its name stays, for clients have written it down.

    A new address asks for the key anew: no key goes to a host that it was not typed for. Raises Invalid, NotFound,
    Conflict when somebody else changed it meanwhile, or when it closes the one that clients inherit.
    """
    checked = _checked(draft)
    with across_tenants() as session:
        endpoint = find_endpoint(endpoint_id, lock=True)
        if endpoint.version != seen:
            raise Conflict(_("Somebody else has changed this endpoint meanwhile. Look at it, then change it again."))
        if not checked.is_for_all:
            _refuse_default(endpoint)
        if checked.key is None and checked.base_url != endpoint.base_url and endpoint.id in with_key():
            raise Invalid(KEY_AGAIN, errors={"key": KEY_AGAIN})
        old = {name: getattr(endpoint, name) for name in ("base_url", "model", "is_for_all")}
        new = {"base_url": checked.base_url, "model": checked.model, "is_for_all": checked.is_for_all}
        for name, value in new.items():
            setattr(endpoint, name, value)
        if checked.key is not None:
            endpoint.api_key = checked.key or None
        endpoint.version += 1
        changes = {name: [old[name], new[name]] for name in new if old[name] != new[name]}
        record_change("endpoint.changed", endpoint, by, changes=changes, is_new_key=checked.key is not None)
        session.flush()


def retire_endpoint(endpoint_id: str, by: Actor) -> str:
    """Give an endpoint up. Clients that name it get no answer until they name another. Returns its name.

    Raises NotFound, Conflict for the one that clients inherit.
    """
    with across_tenants() as session:
        endpoint = find_endpoint(endpoint_id, lock=True)
        _refuse_default(endpoint)
        endpoint.retired_at, endpoint.api_key = now(), None
        endpoint.version += 1
        session.execute(delete(EndpointGrant).where(EndpointGrant.endpoint_id == endpoint.id))
        record_change("endpoint.deleted", endpoint, by)
        return endpoint.name


def _refuse_default(endpoint: ModelEndpoint) -> None:
    """Raise Conflict for the endpoint that is every client's default model: all that inherit it would get no answer."""
    inherited = db.session.scalar(select(PlatformSetting.value).where(PlatformSetting.name == SETTINGS)) or {}
    if (inherited.get("model") or "").partition("/")[0].strip().lower() == endpoint.name:
        raise Conflict(_("Clients inherit it as their model. Choose another one under Limits first."))


def _checked(draft: EndpointDraft) -> EndpointDraft:
    """The draft as it is stored. Raises Invalid, naming each field that can't be used."""
    errors: dict[str, str] = {}
    base_url = ""
    try:
        base_url = read_address(draft.base_url.strip()).url.rstrip("/")
    except OutboundRefused as refused:
        errors["base_url"] = str(refused.detail)
    if "?" in draft.base_url or "#" in draft.base_url or len(base_url) > LONGEST_ADDRESS:
        errors.setdefault("base_url", _("Write the address that the models are under, like https://models.example/v1."))
    key = draft.key.strip() if draft.key is not None else None
    if key and (not key.isascii() or not key.isprintable() or " " in key or len(key) > LONGEST_KEY):
        errors["key"] = _("A key has no spaces and no letters beyond a to z.")
    model = draft.model.strip()
    if len(model) > LONGEST_MODEL or not model.isprintable():
        errors["model"] = _("This is no model's name.")
    if errors:
        raise Invalid(next(iter(errors.values())), errors=errors)
    return EndpointDraft(draft.name.strip().lower(), base_url, key, model, draft.is_for_all)


def _is_offered() -> ColumnElement[bool]:
    return ModelEndpoint.retired_at.is_(None)


def record_change(
    action: str, endpoint: ModelEndpoint, by: Actor, tenant: Tenant | None = None, **detail: object
) -> None:
    """Say in the audit log what was done with an endpoint, and to which client where it is about one."""
    record(
        action,
        by,
        target=endpoint.name,
        tenant_id=tenant.id if tenant else None,
        tenant_slug=tenant.slug if tenant else "",
        detail=dict(detail),
    )
