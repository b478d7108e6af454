"""`/console/<slug>/team/provider`: the client's own sign-in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Blueprint, flash, g, redirect, render_template, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from chatbot.accounts.doors import actor, person
from chatbot.accounts.models import IdentityProvider
from chatbot.accounts.openid.client_providers import find_provider, remove_provider, save_provider, tidy
from chatbot.accounts.openid.forms import ProviderForm
from chatbot.accounts.openid.oauth import callback_of
from chatbot.accounts.openid.providers import of_client
from chatbot.db import db
from chatbot.errors import Invalid, NotFound, RateLimited
from chatbot.tenants.doors import may_write, reads_only
from chatbot.tenants.models import Tenant
from chatbot.usage.rates import count_call

if TYPE_CHECKING:
    from chatbot.accounts.openid.check import Finding

blueprint = Blueprint("client_provider", __name__, url_prefix="/console/<slug>/team/provider")

CHECKS = "10 per minute"  # of one client: each asks the provider three times


@blueprint.get("")
def show(slug: str) -> str:
    row = find_provider()
    return _page(ProviderForm.of(row), row)


@blueprint.post("")
def save(slug: str) -> Response | tuple[str, int]:
    reads_only()
    row, by, who = find_provider(), actor(), person()
    db.session.commit()  # nothing is held while the issuer's name is looked up
    form = ProviderForm.of(row)
    if not form.validate_on_submit():
        return _page(form, row), 422
    try:
        entered = tidy(form.entered())
        may_write()
        is_proven = who.confined_to == g.tenant.id or who.entered_id == g.tenant.id
        save_provider(entered, _tenant(), by, is_proven=is_proven)
    except Invalid as error:
        db.session.rollback()
        form.tell(error.errors)
        return _page(form, row), 422
    db.session.commit()
    flash(_("Saved. Press Check to try it out."), "done")
    return redirect(url_for(".show", slug=slug), 303)


@blueprint.post("/check")
def check(slug: str) -> str:
    """Try the stored provider out."""
    reads_only()
    row = find_provider()
    if row is None:
        raise NotFound()
    db.session.commit()
    wait = count_call(CHECKS, "provider check", g.tenant.id)
    if wait is not None:
        raise RateLimited(_("This was checked many times. Please wait a moment."), retry_after=wait)
    provider = of_client(row, g.tenant.slug, _("The provider"))
    from chatbot.accounts.openid.check import check_provider  # with authlib and requests: not before somebody asks

    return _page(ProviderForm.of(row), row, check_provider(provider, callback_of(provider)))


@blueprint.post("/remove")
def remove(slug: str) -> Response:
    by = actor()
    remove_provider(_tenant(), by)
    db.session.commit()
    flash(_("Removed. Whoever came in by it is signed out."), "done")
    return redirect(url_for(".show", slug=slug), 303)


def _tenant() -> Tenant:
    tenant: Tenant = db.session.get(Tenant, g.tenant.id)
    return tenant


def _page(form: ProviderForm, row: IdentityProvider | None, findings: list[Finding] | None = None) -> str:
    provider = of_client(row or IdentityProvider(issuer="", client_id="", roles={}), g.tenant.slug, g.tenant.name)
    shown: dict[str, Any] = {
        "form": form,
        "has_secret": row is not None and row.client_secret is not None,
        "is_stored": row is not None,
        "findings": findings,
        "callback": callback_of(provider),
        "way_in": callback_of(provider).removesuffix("/callback"),
    }
    return render_template("accounts/provider.html", slug=g.tenant.slug, **shown)
