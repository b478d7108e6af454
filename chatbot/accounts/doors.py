"""Who signs in, and whether the table of rights lets the request through. Every route passes here before its view runs.

Signing in is one path for all ways in: `admit()` is called once somebody proved who they are, with a password, a
provider or a link; it asks for the second factor where there is one, and begins a new sign-in.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, current_app, redirect, request, session, url_for
from flask_babel import gettext as _
from flask_login import current_user, login_user, logout_user
from werkzeug.wrappers import Response as AnyResponse

from chatbot.accounts import sign_ins
from chatbot.accounts.models import Account
from chatbot.accounts.sign_ins import Life, Person
from chatbot.audit import Actor
from chatbot.config import Settings
from chatbot.db import db
from chatbot.error_pages import wants_json
from chatbot.errors import Forbidden, NotFound, Unauthorized
from chatbot.extensions import login
from chatbot.rights import ANYONE, PLATFORM_ADMIN, Right, right_of, suffices
from chatbot.security import caller_address
from chatbot.tenancy import now
from chatbot.tenants.defaults import platform_defaults
from chatbot.tenants.doors import bearer, enter_by_key, enter_by_platform_key, enter_console, may_write, reads_only

PENDING_FOR = timedelta(minutes=5)  # between the first factor and the second
SET_UP_FACTOR = "factors.show"  # where one without a second factor is led who needs it


def init_accounts(app: Flask) -> None:
    login.user_loader(_load)
    login.session_protection = None  # our sign-ins are rows of their own
    app.before_request(_check_right)


def _load(cookie: str) -> Person | None:
    return sign_ins.find_person(cookie, life())


def life() -> Life:
    settings = _settings()
    return Life(timedelta(minutes=settings.SIGN_IN_IDLE_MINUTES), timedelta(hours=settings.SIGN_IN_HOURS))


def person() -> Person:
    """Whoever is signed in. Raises Unauthorized for nobody."""
    if not current_user.is_authenticated:
        raise Unauthorized(_("Please sign in first."))
    return current_user._get_current_object()  # type: ignore[no-any-return]


def actor() -> Actor:
    """Whoever is signed in, as the audit log names them."""
    who = person()
    return Actor(who.email, who.account_id, caller_address())


# --- signing in and out ----------------------------------------------------------------------------------------------


def admit(account: Account, *, confined_to: str | None = None, goal: str | None = None) -> AnyResponse:
    """Let in somebody who proved to be `account`: to the second factor when one is set up, else to where they wanted.

    `confined_to` is the client whose own provider vouched for them; that provider's word stands for both factors.
    Commits. Raises Forbidden for an account that was switched off.
    """
    if not account.is_enabled:
        raise Forbidden(_("This account has been switched off. Please ask whoever invited you."))
    goal = safe_path(goal) or url_for("home.index")
    asks_for_second = confined_to is None and sign_ins.has_factor(account.id)
    db.session.commit()  # who was signed in here before is read next, with no transaction open
    if asks_for_second:
        sign_out()  # whoever was signed in here before
        session["pending"] = {"account": account.id, "goal": goal, "since": _seconds()}
        return redirect(url_for("factors.challenge"), 303)
    sign_in(account, confined_to=confined_to, is_strong=confined_to is not None)
    return redirect(goal, 303)


def sign_in(account: Account, *, confined_to: str | None = None, is_strong: bool = False) -> None:
    """Begin a new sign-in in this browser; whatever it was signed in as before ends. Commits."""
    before = current_user._get_current_object() if current_user.is_authenticated else None
    cookie = sign_ins.begin_sign_in(
        account.id,
        address=caller_address(),
        device=request.user_agent.string,
        confined_to=confined_to,
        is_strong=is_strong,
    )
    if before is not None:
        sign_ins.end_sign_in(before.account_id, before.sign_in_id)
    db.session.commit()
    session.clear()  # nothing that was known before, the form token too, is good after
    found = sign_ins.find_person(cookie, life())
    assert found is not None
    login_user(found)


def sign_out() -> None:
    """End this browser's sign-in. Commits."""
    if current_user.is_authenticated:
        sign_ins.end_sign_in(current_user.account_id, current_user.sign_in_id)
        db.session.commit()
    logout_user()
    session.clear()


def pending() -> dict[str, Any] | None:
    """Who has shown the first factor in this browser and not yet the second: `account` (id), `goal` (path)."""
    found = session.get("pending")
    if not isinstance(found, dict) or _seconds() - found["since"] > PENDING_FOR.total_seconds():
        return None
    return found


def confirmed_at(who: Person) -> datetime | None:
    """When this sign-in proved last that it is its owner's, beside the moment it began."""
    kept = session.get("confirmed") or {}
    return datetime.fromtimestamp(kept["at"], UTC) if kept.get("by") == who.sign_in_id else None


def safe_path(goal: str | None) -> str | None:
    """`goal` when it is a path of ours and nothing else: never another site's address."""
    if not goal or not goal.startswith("/") or goal.startswith(("//", "/\\")) or any(ord(c) < 33 for c in goal):
        return None
    parts = urlsplit(goal)
    return goal if not parts.scheme and not parts.netloc else None


# --- the table of rights ---------------------------------------------------------------------------------------------


def _check_right() -> AnyResponse | None:
    if request.endpoint is None or request.method == "OPTIONS":
        return None  # nothing is there, which the router says itself
    right = right_of(request.endpoint, request.method)
    if right is None:
        raise NotFound()
    if right.who == ANYONE:
        return None
    if right.scope == "platform":
        enter_by_platform_key()
        return None
    if right.scope is not None:
        enter_by_key(_needed_bearer(), right.scope)
        return None
    if not current_user.is_authenticated:
        return _to_sign_in()
    reads_only()  # until all checks are done: on SQLite a session that writes holds the one write lock
    answer = _check_person(right, person())
    db.session.commit()
    may_write()
    return answer


def _check_person(right: Right, who: Person) -> AnyResponse | None:
    if right.who == PLATFORM_ADMIN:
        if not who.is_platform_admin:
            raise Forbidden(_("This page is for the operator of this platform."))
        return _ask_for_factor(who) if platform_defaults().requires_second_factor else None
    if right.role is None:
        return None
    slug = (request.view_args or {})["slug"]
    tenant = enter_console(slug, lambda tenant_id: sign_ins.role_of(who, tenant_id))
    if not suffices(tenant.role, right.role):
        raise Forbidden(_("Your role in this client does not allow this. Ask one of its admins."))
    return _ask_for_factor(who) if tenant.requires_second_factor and who.entered_id != tenant.id else None


def _ask_for_factor(who: Person) -> AnyResponse | None:
    """Where a second factor is asked for: set one up first, or sign in again and show it."""
    if who.is_strong:
        return None
    if wants_json() or request.method not in ("GET", "HEAD"):
        raise Forbidden(_("This needs your second factor. Sign in again and show it."))
    return redirect(url_for(SET_UP_FACTOR, next=request.full_path.rstrip("?")), 303)


def _to_sign_in() -> AnyResponse:
    if wants_json():
        raise Unauthorized(_("Please sign in first."))
    goal = request.full_path.rstrip("?") if request.method in ("GET", "HEAD") else None
    return redirect(url_for("accounts.login", next=goal), 303)


def _needed_bearer() -> str:
    credential = bearer()
    if credential is None:
        raise Unauthorized(_("A key is needed: “Authorization: Bearer <key>”."))
    return credential


def _seconds() -> float:
    return now().timestamp()


def _settings() -> Settings:
    return current_app.config["SHAMAN"]  # type: ignore[no-any-return]
