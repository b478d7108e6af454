"""What the platform gives its clients until they set their own: limits, settings of the assistant; and what it asks of people.

Read with every turn, so kept in memory for two seconds: a change reaches every process within that, and every client
that has not set its own.
"""

import hashlib
import time
from dataclasses import dataclass, field
from typing import Any

import orjson
from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import select

from chatbot.audit import Actor, record
from chatbot.db import across_tenants, read
from chatbot.errors import Conflict
from chatbot.tenancy import EVERY_TENANT, table_of
from chatbot.tenants.models import PlatformSetting

KEPT_FOR = 2.0  # seconds
LIMITS, SETTINGS, SECURITY = "limits", "settings", "security"
_TABLE = table_of(PlatformSetting)
_ALL = select(_TABLE.c.name, _TABLE.c.value).where(_TABLE.c.name.in_((LIMITS, SETTINGS, SECURITY)))


@dataclass(frozen=True, slots=True)
class Defaults:
    """`limits` and `settings` have the shapes that they have in the client document; what is not in them is not set."""

    limits: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    security: dict[str, Any] = field(default_factory=dict)

    @property
    def requires_second_factor(self) -> bool:
        """Whether platform admins must show a second factor."""
        return bool(self.security.get("requires_second_factor"))


def platform_defaults() -> Defaults:
    """The platform's defaults as of two seconds ago at the most. Reads with no transaction of the caller's open."""
    kept = current_app.extensions.get("shaman_defaults")
    if kept is None or time.monotonic() - kept[0] > KEPT_FOR:
        rows = read(EVERY_TENANT, lambda unit: unit.execute(_ALL).all())
        kept = time.monotonic(), Defaults(**{row.name: row.value for row in rows})
        current_app.extensions["shaman_defaults"] = kept
    return kept[1]


def set_default(name: str, value: dict[str, Any], by: Actor | None = None, seen: str | None = None) -> None:
    """Set one of the platform's settings (`limits`, `settings`, `security`) in a transaction of its own.

    `seen` is the fingerprint of the value that whoever sets it saw: raises Conflict when it is another by now.
    """
    with across_tenants() as session:
        row = session.scalar(select(PlatformSetting).where(PlatformSetting.name == name).with_for_update())
        old = row.value if row is not None else {}
        if seen is not None and seen != fingerprint(old):
            raise Conflict(_("Somebody else has changed this meanwhile. This is how it is now."))
        if row is None:
            session.add(PlatformSetting(name=name, value=value))
        else:
            row.value = value
        if by is not None:
            changed = sorted(key for key in {**old, **value} if old.get(key) != value.get(key))
            changes = {key: [old.get(key), value.get(key)] for key in changed}
            record(f"platform.{name}_changed", by, target="platform", detail={"changes": changes})
    forget_defaults()


def fingerprint(value: dict[str, Any]) -> str:
    """A short name for exactly this value: forms carry it, and whoever saves an older one is told."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def forget_defaults() -> None:
    """Read the defaults anew with the next question: for this process, after it changed them."""
    current_app.extensions.pop("shaman_defaults", None)
