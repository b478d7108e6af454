"""`/login/<provider>` and back: signing in with the operator's providers and with a client's own, and linking one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog
from flask import Blueprint, current_app, flash, redirect, render_template, request, session, url_for
from flask_babel import force_locale
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response

from chatbot.accounts.doors import actor, admit, confirmed_at, person, safe_path
from chatbot.accounts.openid import identities
from chatbot.accounts.openid.client_identities import arrive_at_client
from chatbot.accounts.openid.errors import FlowLost, SignInProblem
from chatbot.accounts.openid.providers import SignInProvider, client_provider, platform_provider, platform_providers
from chatbot.accounts.second_factor.factors import is_fresh
from chatbot.accounts.sign_ins import Person, has_passkey
from chatbot.config import Settings
from chatbot.db import db
from chatbot.error_pages import answer as problem_document
from chatbot.error_pages import wants_json
from chatbot.errors import Conflict, Forbidden, RateLimited
from chatbot.memory import Later
from chatbot.pages import OWN_LANGUAGE
from chatbot.security import caller_address, cookie_name
from chatbot.tenants.doors import reads_only
from chatbot.usage.rates import count_call

if TYPE_CHECKING:
    from chatbot.accounts.openid import flows
    from chatbot.accounts.openid.flows import Flow, Vouched
else:
    flows = Later("chatbot.accounts.openid.flows")  # authlib, joserfc and requests are 9 MB

log = structlog.get_logger(__name__)
blueprint = Blueprint("oauth", __name__)

CALLS = "120 per minute"  # of one address, for a company may sit behind one
MOST_AT_ONCE = 6  # flows that one browser is in the middle of
LONGEST_GOAL = 1000  # characters; a cookie holds about 4,000


# --- setting out -----------------------------------------------------------------------------------------------------


@blueprint.get("/login/<provider_name>")
def begin(provider_name: str) -> Response:
    """To the sign-in page of one of the operator's providers."""
    return _set_out(platform_provider(provider_name))


@blueprint.get("/login/client/<slug>")
def begin_at_client(slug: str) -> Response:
    """To the sign-in page of a client's own provider."""
    return _set_out(client_provider(slug))


def _set_out(provider: SignInProvider) -> Response:
    _count()
    goal = safe_path(request.args.get("next"))
    invitation = session.get("invitation")
    address, flow = flows.begin(
        provider,
        callback_of(provider),
        goal=goal if goal and len(goal) <= LONGEST_GOAL else None,
        invitation=invitation if isinstance(invitation, str) else None,
    )
    return _keep(redirect(address, 303), flow)


@blueprint.post("/account/identities/<provider_name>")
def link(provider_name: str) -> Response:
    """Begin to link a provider to one's account.

    A page that goes on by itself, and no redirect: browsers hold the answer to a form to `form-action`, which names us alone.
    """
    reads_only()
    _count()
    provider = platform_provider(provider_name)
    who = _owner()
    if not is_fresh(who, confirmed_at(who)):
        return redirect(url_for("factors.confirm", next=url_for("account.show")), 303)
    db.session.commit()
    address, flow = flows.begin(provider, callback_of(provider), linking=who.sign_in_id)
    page = render_template("accounts/onward.html", provider=provider, address=address)
    return _keep(current_app.make_response(page), flow)


def _owner() -> Person:
    """Whoever looks after their own ways in. Raises Forbidden for one whose client's own provider does."""
    who = person()
    if who.confined_to is not None:
        raise Forbidden(_("Your company's own sign-in looks after this account: nothing else can be linked to it."))
    return who


# --- coming back -----------------------------------------------------------------------------------------------------


@blueprint.get("/login/<provider_name>/callback")
def finish(provider_name: str) -> Response:
    """Back from one of the operator's providers: signed in, or the account has one more way in."""
    provider = platform_provider(provider_name)
    flow = _take_flow(provider)
    vouched = flows.finish(provider, flow, request.args, callback_of(provider))
    if flow.linking is not None:
        return _link(provider, flow, vouched)
    account = identities.arrive(provider, vouched, flow.invitation, caller_address())
    _begin_writing()
    return admit(account, goal=flow.goal)


@blueprint.get("/login/client/<slug>/callback")
def finish_at_client(slug: str) -> Response:
    """Back from a client's own provider: signed in, in that client alone."""
    provider = client_provider(slug)
    flow = _take_flow(provider)
    vouched = flows.finish(provider, flow, request.args, callback_of(provider))
    account = arrive_at_client(provider, vouched, flow.invitation, caller_address())
    _begin_writing()
    return admit(account, confined_to=provider.tenant_id, goal=flow.goal)


def _link(provider: SignInProvider, flow: Flow, vouched: Vouched) -> Response:
    """Link whom the provider vouches for; only in the sign-in that set out to do so, by its owner."""
    if not current_user.is_authenticated or current_user.sign_in_id != flow.linking:
        raise FlowLost()
    who = _owner()
    by = actor()
    _begin_writing()
    with _told():
        identities.link(who.account_id, provider, vouched, by)
        db.session.commit()
        flash(_("From now on you can sign in with %(name)s too.", name=provider.label), "done")
    return redirect(url_for("account.show"), 303)


@contextmanager
def _told() -> Iterator[None]:
    """What stands against it is told on the page of one's account."""
    try:
        yield
    except Conflict as error:
        db.session.rollback()
        flash(str(error.detail), "problem")


def _begin_writing() -> None:
    """A provider's answer comes by GET, whose session only reads until here."""
    _is_signed_in()  # read before writing begins
    db.session.commit()
    db.session().info["writes"] = True


@blueprint.post("/account/identities/<identity_id>/remove")
def unlink(identity_id: str) -> Response:
    """Take a provider away from one's account."""
    who, by = _owner(), actor()
    with _told():
        identities.unlink(who.account_id, identity_id, who.sign_in_id, by)
        db.session.commit()
        flash(_("Removed. Your other browsers are signed out."), "done")
    return redirect(url_for("account.show"), 303)


def ways_in() -> dict[str, Any]:
    """What `accounts/_identities.html` draws, for the page of one's account: the providers that are linked, and the others."""
    who = person()
    linked = identities.identities_of(who.account_id) if who.confined_to is None else []
    labels = {one.label for one in linked if one.label}
    is_last = len(labels) < 2 and not who.has_password and not has_passkey(who.account_id)
    return {
        "identities": linked,
        "linkable": [one for one in platform_providers() if one.label not in labels],
        "is_last_way_in": is_last,
        "can_link": who.confined_to is None,
    }


# --- what a browser keeps --------------------------------------------------------------------------------------------


def callback_of(provider: SignInProvider) -> str:
    """Where the provider sends people back to, and where alone: it is registered there."""
    settings: Settings = current_app.config["SHAMAN"]
    return f"{settings.PUBLIC_URL}/login/{provider.name}/callback"


def _cookie_of(state: str) -> str:
    return f"{_prefix()}{flows.label_of(state)}"


def _prefix() -> str:
    return cookie_name("flow_", current_app.config["SHAMAN"])


def _keep(response: Response, flow: Flow) -> Response:
    """Give the browser its flow to keep; of many that were never ended only the newest stay."""
    kept = {name: flows.begun_at(value) for name, value in request.cookies.items() if name.startswith(_prefix())}
    for name in sorted(kept, key=kept.__getitem__)[: max(0, len(kept) - MOST_AT_ONCE + 1)]:
        _forget(response, name)
    response.set_cookie(_cookie_of(flow.state), flow.sealed(), max_age=flows.LIFE, **_cookie_ways())
    return response


def _forget(response: Response, name: str) -> None:
    response.delete_cookie(name, **_cookie_ways())


def _cookie_ways() -> dict[str, Any]:
    settings: Settings = current_app.config["SHAMAN"]
    return {"path": "/", "secure": settings.is_https, "httponly": True, "samesite": "Lax"}


def _take_flow(provider: SignInProvider) -> Flow:
    """The flow that the answer belongs to, used up. Raises FlowLost."""
    _count()
    state = request.args.get("state", "")
    flow = flows.open_flow(request.cookies.get(_cookie_of(state)), state, provider)
    if count_call(f"1 per {flows.LIFE} seconds", "sign-in flow", flows.label_of(state)) is not None:
        raise FlowLost()  # the browser was told to forget it, and a copy came all the same
    return flow


@blueprint.after_request
def _forget_used(response: Response) -> Response:
    """Whatever came of an answer, its flow is over."""
    if request.endpoint in ("oauth.finish", "oauth.finish_at_client"):
        name = _cookie_of(request.args.get("state", ""))
        if name in request.cookies:
            _forget(response, name)
    return response


def _count() -> None:
    wait = count_call(CALLS, "sign-in with a provider", caller_address())
    if wait is not None:
        raise RateLimited(_("Many people are signing in from here. Please wait a moment."), retry_after=wait)


# --- when it comes to nothing ----------------------------------------------------------------------------------------


@blueprint.errorhandler(SignInProblem)
def _say(problem: SignInProblem) -> Response:
    """What happened, and the ways on: once more, or another way."""
    place = request.view_args or {}
    with force_locale(OWN_LANGUAGE):  # the operator's, not the visitor's
        why = str(problem.why)
    name = place.get("provider_name") or f"client/{place.get('slug')}"
    log.warning("sign-in with a provider failed", kind=problem.kind, provider=name, why=why)
    if wants_json():
        return problem_document(problem)
    page = render_template(
        "accounts/sign_in_problem.html", problem=problem.problem(), again=_again(), is_signed_in=_is_signed_in()
    )
    response = current_app.make_response((page, problem.status))
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    return response


def _is_signed_in() -> bool:
    return bool(current_user.is_authenticated)


def _again() -> str | None:
    """Where the same can be tried once more: not for linking, which begins on the page of one's account."""
    place = dict(request.view_args or {})
    if request.endpoint in ("oauth.begin", "oauth.finish"):
        return url_for("oauth.begin", **place)
    return url_for("oauth.begin_at_client", **place) if "slug" in place else None
