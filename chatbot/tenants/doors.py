"""The doors through which a request enters a tenant: by the client's short name, or with a key.

Nothing else binds a request's session to a tenant. Hung on blueprints, not remembered in views.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

from flask import Flask, current_app, g, request
from flask_babel import gettext as _

from chatbot.db import db
from chatbot.errors import Forbidden, Unauthorized
from chatbot.tenants.clients import default_client, find_client
from chatbot.tenants.keys import read_key
from chatbot.tenants.models import Tenant
from chatbot.usage.quotas import Limits, limits_of

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Entered:
    """The tenant that a request entered, as plain values that outlive the session."""

    id: str
    slug: str
    name: str
    anonymous_chat: bool
    limits: Limits
    chat_rate: str | None


@dataclass(frozen=True, slots=True)
class Caller:
    """A program with a key: which tenant, and what it may do. `subject` names the visitor that the key is."""

    tenant: Entered
    key_id: str
    scopes: frozenset[str]

    @property
    def subject(self) -> str:
        return f"key:{self.key_id}"


def init_doors(app: Flask) -> None:
    @app.url_value_preprocessor  # before the blueprints' own, which enter a tenant
    def _say_whether_it_writes(endpoint: str | None, values: dict[str, Any] | None) -> None:
        db.session().info["writes"] = request.method not in ("GET", "HEAD", "OPTIONS")


def reads_only() -> None:
    """This request's ORM session only reads: what it stores goes through `db.write`, whose lock a session must not hold."""
    db.session().info["writes"] = False


def enter_by_slug(slug: str) -> Entered:
    """Enter the client called `slug`. Raises NotFound; Forbidden for a suspended one."""
    return _enter(find_client(slug))


def enter_default() -> Entered | None:
    """Enter the client that a call which names none means, if there is one."""
    tenant = default_client(current_app.config["SHAMAN"].DEFAULT_CLIENT)
    return _enter(tenant) if tenant else None


def _enter(tenant: Tenant) -> Entered:
    if not tenant.is_active:
        raise Forbidden(_("This assistant is not available at the moment."))
    db.session().enter(tenant.id)
    limits = limits_of(tenant.limits, tenant.time_zone)
    entered = Entered(
        tenant.id, tenant.slug, tenant.name, tenant.anonymous_chat, limits, tenant.limits.get("chat_rate")
    )
    g.tenant = entered
    return entered


def bearer() -> str | None:
    """The credential of `Authorization: Bearer …`; None when the header is not there."""
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _space, value = header.partition(" ")
    if scheme.lower() != "bearer" or not value.strip():
        raise Unauthorized(_("Send the key as “Authorization: Bearer <key>”."))
    return value.strip()


def enter_by_key(credential: str, scope: str) -> Caller:
    """Enter the key's tenant. Raises Unauthorized for no valid key, Forbidden for a scope it has not."""
    holder, tenant = read_key(credential)
    if tenant is None:
        raise Forbidden(_("This key belongs to no client."))
    if scope not in holder.scopes:
        raise Forbidden(_("This key may not do that: it needs the scope “%(scope)s”.", scope=scope))
    caller = Caller(_enter(tenant), holder.key_id, holder.scopes)
    g.caller = caller
    return caller


def key_required(scope: str) -> Callable[[View], View]:
    """Declare that a view is for keys with `scope`; it finds the caller in `g.caller`, its tenant entered."""

    def declare(view: View) -> View:
        @wraps(view)
        def entered(*args: Any, **kwargs: Any) -> Any:
            credential = bearer()
            if credential is None:
                raise Unauthorized(_("A key is needed: “Authorization: Bearer <key>”."))
            enter_by_key(credential, scope)
            return view(*args, **kwargs)

        entered.required_scope = scope  # type: ignore[attr-defined]
        return entered  # type: ignore[return-value]

    return declare
