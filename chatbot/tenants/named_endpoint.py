"""The model endpoint that a client's settings name: `<endpoint>` or `<endpoint>/<model>`, read with the turn's other reads.

What names an endpoint that the client may not use, or that is no longer there, gets no answer at all: its visitors'
words never go to a model that nobody chose for them, and no key goes to another host than its own.
"""

from dataclasses import dataclass, field

from flask_babel import gettext as _
from sqlalchemy import and_, bindparam, or_, select

from chatbot.db import Unit
from chatbot.errors import ModelRefused
from chatbot.tenancy import table_of
from chatbot.tenants.endpoints import NAME
from chatbot.tenants.models import EndpointGrant, ModelEndpoint


class ModelNotOpen(ModelRefused):
    """The client names an endpoint that it may not use: nobody was asked."""

    kind = "model-not-open"


@dataclass(frozen=True, slots=True)
class NamedEndpoint:
    """An endpoint that a client names and may use, as plain values; `model` is its default, if any."""

    id: str
    version: int
    name: str
    base_url: str
    key: str | None = field(repr=False)
    model: str | None


_E, _G = table_of(ModelEndpoint), table_of(EndpointGrant)
_IS_GRANTED = (
    select(_G.c.id).where(_G.c.tenant_id == bindparam("of_tenant"), _G.c.endpoint_id == _E.c.id).correlate(_E).exists()
)
_NAMED = select(
    _E.c.id,
    _E.c.version,
    _E.c.name,
    _E.c.base_url,
    _E.c.api_key,
    _E.c.model,
    and_(_E.c.retired_at.is_(None), or_(_E.c.is_for_all, _IS_GRANTED)).label("may_use"),
).where(_E.c.name == bindparam("name"))


def find_named(unit: Unit, wanted: str | None) -> tuple[NamedEndpoint | None, str | None]:
    """The endpoint that `wanted` (a client's model) names for the unit's tenant, and the model to ask it for.

    None for the platform's own endpoint. Raises ModelNotOpen for one that the tenant may not use, or not any more.
    """
    name, _slash, model = (wanted or "").strip().partition("/")
    name = name.strip().lower()
    if not NAME.fullmatch(name):
        return None, wanted
    row = unit.execute(_NAMED, {"name": name}).first()
    if row is None:
        return None, wanted
    if not row.may_use:
        raise ModelNotOpen(
            _("The model that this assistant was set to is not open to it. Nothing was sent to another one.")
        )
    endpoint = NamedEndpoint(row.id, row.version, row.name, row.base_url, row.api_key, row.model or None)
    return endpoint, model.strip() or None


def names_endpoint(unit: Unit, wanted: str | None) -> bool:
    """Whether `wanted` names an endpoint, whoever may use it."""
    try:
        return find_named(unit, wanted)[0] is not None
    except ModelNotOpen:
        return True
