"""The published settings as a running turn reads them: a version never changes, so it is parsed once.

What a version doesn't set is inherited from the platform's default settings, so it is parsed once for each state of those.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import bindparam, select

from chatbot.db import Unit
from chatbot.tenancy import table_of
from chatbot.tenants.models import SettingsVersion
from chatbot.tenants.settings import AssistantSettings, parse_settings

S = table_of(SettingsVersion)
_NUMBER = select(S.c.id, S.c.number).where(S.c.tenant_id == bindparam("of_tenant"), S.c.state == "published")
_DOCUMENT = select(S.c.document).where(S.c.tenant_id == bindparam("of_tenant"), S.c.id == bindparam("id"))

KEPT = 1000
_parsed: dict[
    tuple[str, bytes], "Published"
] = {}  # by the version's id (no two tenants share one), and what it inherits


@dataclass(frozen=True, slots=True)
class Published:
    """A published version: its number and its settings."""

    number: int
    settings: AssistantSettings


def published(unit: Unit, inherited: Mapping[str, Any] | None = None) -> Published:
    """The version that the unit's tenant has published, over what it inherits; that alone when there is none.

    `inherited` are the default settings of `platform_defaults()`. It is asked before the unit begins, for it may read,
    and a unit that writes runs outside any application context. Whoever shows only what no client inherits leaves it out.
    """
    defaults = inherited or {}
    row = unit.execute(_NUMBER).first()
    if row is None:
        return Published(0, parse_settings(dict(defaults)))
    known = _parsed.get(key := (row.id, orjson.dumps(defaults, option=orjson.OPT_SORT_KEYS)))
    if known is None:
        document = unit.execute(_DOCUMENT, {"id": row.id}).scalar_one()
        if len(_parsed) >= KEPT:
            _parsed.clear()
        known = _parsed[key] = Published(row.number, parse_settings(merged(defaults, document)))
    return known


def merged(defaults: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """`document` over `defaults`, field by field; null is as good as left out."""
    return {**defaults, **{name: value for name, value in document.items() if value is not None}}
