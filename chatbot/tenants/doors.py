"""The doors through which a request enters a tenant: by the client's short name, or with a key.

Nothing else binds a request's session to a tenant. Hung on blueprints, not remembered in views.
A body is read whole before anything is written: a caller that sends slowly holds up its own thread and nobody else.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, TypeVar

from flask import Flask, current_app, g, request
from flask_babel import gettext as _

from chatbot.db import db
from chatbot.errors import Forbidden, NotFound, RateLimited, Unauthorized
from chatbot.tenants.clients import default_client, find_client
from chatbot.tenants.defaults import platform_defaults
from chatbot.tenants.fields import is_time_zone
from chatbot.tenants.keys import KeyHolder, read_key
from chatbot.tenants.models import Tenant
from chatbot.usage.quotas import Limits, limits_of
from chatbot.usage.rates import count_call, is_rate

View = TypeVar("View", bound=Callable[..., Any])
READS = ("GET", "HEAD", "OPTIONS")
CHARACTER = 12  # bytes that JSON may take for one: the two halves of an emoji, escaped
AROUND_TEXT, AROUND_FILE = 16 << 10, 64 << 10  # bytes for what stands around a body's text or its file


@dataclass(frozen=True, slots=True)
class Entered:
    """The tenant that a request entered, as plain values that outlive the session. `role` is the person's, in its console."""

    id: str
    slug: str
    name: str
    anonymous_chat: bool
    limits: Limits
    chat_rate: str | None
    is_active: bool = True
    requires_second_factor: bool = False
    role: str | None = None


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
        may_write()


def reads_only() -> None:
    """This request's ORM session only reads: what it stores goes through `db.write`, whose lock a session must not hold."""
    db.session().info["writes"] = False


def may_write() -> None:
    """From here on this request's ORM session writes, unless the request only reads."""
    db.session().info["writes"] = request.method not in READS


def take_body(longest_text: int | None = None, file_bytes: int = 0) -> None:
    """Read the request's body, whole, before any transaction begins. Raises TooLarge (as Werkzeug's 413).

    JSON may be as large as its longest text (characters; None: a message), a form as the largest file it may bring.
    """
    if request.mimetype == "multipart/form-data":
        request.max_content_length = file_bytes + AROUND_FILE
        request.files.keys()  # reads the fields and the files
        return
    longest = current_app.config["SHAMAN"].MESSAGE_LIMIT if longest_text is None else longest_text
    request.max_content_length = CHARACTER * longest + AROUND_TEXT
    request.get_data()


def enter_by_slug(slug: str) -> Entered:
    """Enter the client called `slug`. Raises NotFound; Forbidden for a suspended one."""
    return _enter(find_client(slug))


def enter_default() -> Entered | None:
    """Enter the client that a call which names none means, if there is one."""
    tenant = default_client(current_app.config["SHAMAN"].DEFAULT_CLIENT)
    return _enter(tenant) if tenant else None


def enter_console(slug: str, role_in: Callable[[str], str | None]) -> Entered:
    """Enter the console of the client called `slug`, suspended or not, as somebody whose role `role_in` tells by its id.

    Raises NotFound for whom it is not: the same as for a client that never was.
    """
    tenant = find_client(slug)
    role = role_in(tenant.id)
    if role is None:
        raise NotFound()
    return _bind(replace(_entered(tenant), role=role))


def _enter(tenant: Tenant) -> Entered:
    if not tenant.is_active:
        raise Forbidden(_("This assistant is not available at the moment."))
    return _bind(_entered(tenant))


def _bind(entered: Entered) -> Entered:
    db.session().enter(entered.id)
    g.tenant = entered
    return entered


def _entered(tenant: Tenant) -> Entered:
    own = platform_defaults().limits | {name: value for name, value in tenant.limits.items() if value is not None}
    rate = own.get("chat_rate")  # one that can't be counted would let everybody through
    return Entered(
        id=tenant.id,
        slug=tenant.slug,
        name=tenant.name,
        anonymous_chat=tenant.anonymous_chat,
        limits=limits_of(own, tenant.time_zone if is_time_zone(tenant.time_zone) else "UTC"),
        chat_rate=rate if is_rate(rate) else None,
        is_active=tenant.is_active,
        requires_second_factor=tenant.requires_second_factor,
    )


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
    """Enter the key's tenant and count the call, reading only.

    Raises Unauthorized for no valid key, Forbidden for a scope it has not, RateLimited.
    """
    reads_only()
    holder, tenant = read_key(credential)
    if tenant is None:
        raise Forbidden(_("This key belongs to no client."))
    if scope not in holder.scopes:
        raise Forbidden(_("This key may not do that: it needs the scope “%(scope)s”.", scope=scope))
    caller = Caller(_enter(tenant), holder.key_id, holder.scopes)
    g.caller = caller
    db.session.commit()  # no transaction stays open while the call is counted and its body comes in
    _check_key_rate(caller.key_id)
    return caller


def enter_by_platform_key() -> KeyHolder:
    """Let in a program with a key of the platform that has the scope `manage`, and count the call; no tenant is entered.

    Raises Unauthorized, Forbidden, RateLimited.
    """
    reads_only()
    credential = bearer()
    if credential is None:
        raise Unauthorized(_("A platform key is needed: “Authorization: Bearer <key>”."))
    holder, tenant = read_key(credential)
    if tenant is not None or holder.tenant_id is not None or "manage" not in holder.scopes:
        raise Forbidden(_("This needs a platform key with the scope “manage”."))
    db.session.commit()
    _check_key_rate(holder.key_id)
    g.platform_key = holder
    return holder


def _check_key_rate(key_id: str) -> None:
    wait = count_call(current_app.config["SHAMAN"].KEY_RATE_LIMIT, "key", key_id)
    if wait is not None:
        words = _("This key has made many calls in a short time. Please wait %(n)s seconds.", n=round(wait))
        raise RateLimited(words, retry_after=wait)


def takes_body(longest_text: int | None = None, file_bytes: int = 0) -> Callable[[View], View]:
    """Declare that a view for keys takes a body, within the bounds of `take_body`; it is read before the view runs.

    The table of rights has let the caller in by then: it stands in `g.caller`, its tenant entered.
    """

    def declare(view: View) -> View:
        @wraps(view)
        def with_body(*args: Any, **kwargs: Any) -> Any:
            take_body(longest_text, file_bytes)
            db.session().info["writes"] = True
            return view(*args, **kwargs)

        return with_body  # type: ignore[return-value]

    return declare
