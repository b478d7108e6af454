"""The published settings as a running turn reads them: a version never changes, so it is parsed once."""

from dataclasses import dataclass

from sqlalchemy import bindparam, select

from chatbot.db import Unit
from chatbot.tenancy import table_of
from chatbot.tenants.models import SettingsVersion
from chatbot.tenants.settings import AssistantSettings, parse_settings

S = table_of(SettingsVersion)
_NUMBER = select(S.c.id, S.c.number).where(S.c.tenant_id == bindparam("of_tenant"), S.c.state == "published")
_DOCUMENT = select(S.c.document).where(S.c.tenant_id == bindparam("of_tenant"), S.c.id == bindparam("id"))

KEPT = 1000
_parsed: dict[str, "Published"] = {}  # by the version's id: no two tenants share one


@dataclass(frozen=True, slots=True)
class Published:
    """A published version: its number and its settings."""

    number: int
    settings: AssistantSettings


def published(unit: Unit) -> Published:
    """The version that the unit's tenant has published; the platform's defaults when there is none."""
    row = unit.execute(_NUMBER).first()
    if row is None:
        return Published(0, AssistantSettings())
    known = _parsed.get(row.id)
    if known is None:
        document = unit.execute(_DOCUMENT, {"id": row.id}).scalar_one()
        if len(_parsed) >= KEPT:
            _parsed.clear()
        known = _parsed[row.id] = Published(row.number, parse_settings(document))
    return known
