"""What clients inherit from the platform until they set their own: changing it, and who has set their own.

The values are checked by the models of the client document. Only such settings are inherited as make sense for every
business: how an assistant speaks and what it asks the model for, never what it knows or what it looks like.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, and_, case, func, select

from chatbot.audit import Actor
from chatbot.db import across_tenants, db
from chatbot.errors import Forbidden, Invalid
from chatbot.tenants.defaults import LIMITS, SECURITY, SETTINGS, set_default
from chatbot.tenants.fields import ClientLimits, parse_fields
from chatbot.tenants.models import ModelEndpoint, SettingsVersion, Tenant
from chatbot.tenants.settings import parse_settings

INHERITED_LIMITS = tuple(ClientLimits.model_fields)
INHERITED_SETTINGS = (
    "tone",
    "length",
    "language",
    "refusal",
    "unknown",
    "model",
    "temperature",
    "max_tokens",
    "context_messages",
)


def set_limits(given: Mapping[str, Any], seen: str, by: Actor) -> None:
    """Set the limits that clients inherit: those of the client document, None or left out for no limit.

    Raises Invalid, naming each field; Conflict when they are others than those `seen`.
    """
    limits = _known(given, INHERITED_LIMITS)
    try:
        checked = parse_fields({"limits": limits})["limits"]
    except Invalid as error:
        raise Invalid(errors={name.removeprefix("limits."): text for name, text in error.errors.items()}) from None
    set_default(LIMITS, checked, by, seen)


def set_settings(given: Mapping[str, Any], seen: str, by: Actor) -> None:
    """Set the assistant's settings that clients inherit; left out is how Shaman has it by itself. Raises as `set_limits`."""
    document = _known(given, INHERITED_SETTINGS)
    parse_settings(document)
    _check_model(document.get("model"))
    set_default(SETTINGS, document, by, seen)


def require_second_factor(is_required: bool, has_shown_one: bool, by: Actor) -> None:
    """Whether platform admins must show a second factor.

    Raises Forbidden for one who would switch it on without having shown one: they would shut themselves out if theirs
    doesn't work, and there may be nobody left who can let them in.
    """
    if is_required and not has_shown_one:
        raise Forbidden(_("Sign in with a second factor of your own first: that shows that it works."))
    set_default(SECURITY, {"requires_second_factor": is_required}, by)


def _known(given: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise Invalid(errors={name: _("This can't be inherited.") for name in unknown})
    return {name: value for name, value in given.items() if value not in (None, "")}


def _check_model(model: str | None) -> None:
    """Raise Invalid for an endpoint that not every client may use: those without it would get no answer."""
    name = (model or "").partition("/")[0].strip().lower()
    with across_tenants(writes=False) as session:
        found = session.scalar(select(ModelEndpoint).where(ModelEndpoint.name == name)) if name else None
    if found is not None and (not found.is_for_all or found.retired_at is not None):
        words = _("Not every client may use “%(name)s”. Open it to all clients first.", name=name)
        raise Invalid(errors={"model": words})


# --- who has their own -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Own:
    """A client that has set its own, and what."""

    slug: str
    name: str
    value: Any


def count_clients_and_own() -> tuple[int, dict[str, int]]:
    """How many clients there are, and how many of them have set each thing themselves; read across tenants."""
    counted = (
        func.sum(case((_own(name).is_not(None), 1), else_=0)) for name in (*INHERITED_LIMITS, *INHERITED_SETTINGS)
    )
    row = db.session.execute(_clients(func.count(Tenant.id), *counted)).one()
    names = (*INHERITED_LIMITS, *INHERITED_SETTINGS)
    return row[0], {name: count or 0 for name, count in zip(names, row[1:], strict=True)}


def clients_with_own(name: str, after: str = "", limit: int = 50) -> list[Own]:
    """The clients that have set `name` themselves, by short name, from the one after `after`; read across tenants."""
    rows = db.session.execute(
        _clients(Tenant.slug, Tenant.name, _own(name))
        .where(_own(name).is_not(None), Tenant.slug > after)
        .order_by(Tenant.slug)
        .limit(limit)
    )
    return [Own(*row) for row in rows]


def _clients(*columns: Any) -> Any:
    is_theirs = and_(SettingsVersion.tenant_id == Tenant.id, SettingsVersion.state == "published")
    return select(*columns).select_from(Tenant).outerjoin(SettingsVersion, is_theirs).where(Tenant.deleted_at.is_(None))


def _own(name: str) -> ColumnElement[Any]:
    """What a client has set: NULL where it is left out, or null."""
    document: Any = Tenant.limits if name in INHERITED_LIMITS else SettingsVersion.document
    asked: ColumnElement[Any] = document[name].as_string()
    return asked
