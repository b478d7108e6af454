"""API keys: `shm_<key id>_<secret>`, kept as a hash, shown once."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import Row, bindparam, select

from chatbot.db import db, read
from chatbot.errors import Invalid, Unauthorized
from chatbot.tenancy import EVERY_TENANT, new_id, table_of
from chatbot.tenants.models import ApiKey, Tenant

SCOPES = ("chat", "read", "manage")


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Who calls with a key: plain values, good after the session is gone."""

    key_id: str
    tenant_id: str | None
    scopes: frozenset[str]


def create_key(tenant: Tenant | None, name: str, scopes: Sequence[str]) -> str:
    """Make a key for a tenant (None: for the platform) within the session's transaction. Returns the key, once."""
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise Invalid(
            _("A key has one or more of the scopes chat, read and manage."), errors={"scope": ", ".join(unknown)}
        )
    secret = secrets.token_urlsafe(32).replace("_", "-")
    key = ApiKey(
        id=new_id(),
        tenant_id=tenant.id if tenant else None,
        name=name,
        secret_hash=_digest(secret),
        last_four=secret[-4:],
        scopes=sorted(set(scopes)),
    )
    db.session.add(key)
    return f"shm_{key.id}_{secret}"


K, TENANT = table_of(ApiKey), table_of(Tenant)
_KEY_AND_TENANT = (  # Core: every call asks this, and through the ORM it takes three times as long
    select(K.c.id, K.c.secret_hash, K.c.scopes, *(column.label(f"tenant_{column.name}") for column in TENANT.c))
    .select_from(K.outerjoin(TENANT, TENANT.c.id == K.c.tenant_id))
    .where(K.c.id == bindparam("key"), K.c.revoked_at.is_(None), TENANT.c.deleted_at.is_(None))
)


def read_key(presented: str) -> tuple[KeyHolder, Tenant | None]:
    """The holder of a key as presented, and its tenant. Raises Unauthorized for anything that is not a key in force."""
    parts = presented.split("_", 2)
    if len(parts) == 3 and parts[0] == "shm" and parts[1].isascii() and len(parts[1]) == 26:
        row = db.session.connection().execute(_KEY_AND_TENANT, {"key": parts[1]}).first()
        if row is not None and hmac.compare_digest(row.secret_hash, _digest(parts[2])):
            return KeyHolder(row.id, row.tenant_id, frozenset(row.scopes)), _tenant(row)
    raise Unauthorized(_("This key is not valid here."))


def is_in_force(key_id: str) -> bool:
    """Whether a key that was good a moment ago still is."""
    return read(EVERY_TENANT, lambda unit: unit.execute(_KEY_AND_TENANT, {"key": key_id}).first()) is not None


def _tenant(row: Row[*tuple[Any, ...]]) -> Tenant | None:
    if row.tenant_id is None:
        return None
    return Tenant(**{column.name: getattr(row, f"tenant_{column.name}") for column in TENANT.c})


def _digest(secret: str) -> str:
    # 256 random bits need no slow hash: there is nothing to guess.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
