"""`/admin/accounts`: everybody who signs in, and what an operator does about one of them."""

from flask import flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from werkzeug.wrappers import Response

from chatbot.accounts import oversight, people
from chatbot.accounts.directory import ORDERS, STATES, Wanted, list_accounts
from chatbot.accounts.doors import actor, person
from chatbot.accounts.links import make_reset_link
from chatbot.accounts.portrait import portray
from chatbot.accounts.second_factor import factors
from chatbot.admin import blueprint
from chatbot.admin.account_forms import NewAccountForm
from chatbot.admin.client_forms import show_problem
from chatbot.db import across_tenants, db
from chatbot.errors import Conflict, Invalid, ShamanError
from chatbot.mail import can_mail, post

Answer = Response | str | tuple[str, int]


@blueprint.get("/accounts")
def accounts() -> str:
    state, sort = request.args.get("state", ""), request.args.get("sort", "")
    wanted = Wanted(
        words=request.args.get("q", ""),
        state=state if state in STATES else STATES[0],
        sort=sort if sort.removeprefix("-") in ORDERS else ORDERS[0],
        page=request.args.get("page", 1, type=int),
    )
    with across_tenants(writes=False):
        listing = list_accounts(wanted)
    return render_template("admin/accounts.html", listing=listing, wanted=wanted)


@blueprint.route("/new-account", methods=["GET", "POST"])
def new_account() -> Answer:
    form = NewAccountForm()
    if not form.validate_on_submit():
        page = render_template("admin/new_account.html", form=form, can_mail=can_mail())
        return (page, 422) if form.is_submitted() else page
    try:
        account_id, link = oversight.invite_account(
            form.email.data, form.name.data or "", form.is_platform_admin.data, actor()
        )
    except (Invalid, Conflict) as problem:
        db.session.rollback()
        show_problem(form, Invalid(errors=problem.errors or {"email": str(problem.detail)}))
        return render_template("admin/new_account.html", form=form, can_mail=can_mail()), 422
    return _hand_over(account_id, link, invitation=True)


@blueprint.get("/accounts/<account_id>")
def account(account_id: str) -> str:
    return _page(account_id)


@blueprint.post("/accounts/<account_id>/link")
def make_account_link(account_id: str) -> Answer:
    return _hand_over(account_id, make_reset_link(account_id, actor()), invitation=False)


@blueprint.post("/accounts/<account_id>/enabled")
def switch_account(account_id: str) -> Answer:
    """The field `on` says which way: 1 or nothing."""
    is_on = request.form.get("on") == "1"
    try:
        people.set_enabled(account_id, is_on, actor())
    except Conflict as problem:
        return _refused(account_id, problem)
    words = _("Switched on.") if is_on else _("Switched off, and signed out everywhere.")
    return _done(account_id, words)


@blueprint.post("/accounts/<account_id>/platform-admin")
def make_platform_admin(account_id: str) -> Answer:
    """The field `on` says which way: 1 or nothing."""
    is_on = request.form.get("on") == "1"
    try:
        people.set_platform_admin(account_id, is_on, actor())
    except (Conflict, Invalid) as problem:
        return _refused(account_id, problem)
    return _done(account_id, _("An admin of the platform now.") if is_on else _("No longer an admin of the platform."))


@blueprint.post("/accounts/<account_id>/factors/reset")
def reset_account_factors(account_id: str) -> Answer:
    factors.reset_factors(account_id, actor())
    return _done(account_id, _("The second factor is taken away, and they are signed out everywhere."))


@blueprint.post("/accounts/<account_id>/sign-ins/end")
def end_account_sign_ins(account_id: str) -> Answer:
    """The field `sign_in` names one; without it all end, but the one this is asked from."""
    who, one = person(), request.form.get("sign_in")
    if one:
        oversight.sign_out_one(account_id, one, actor())
        return _done(account_id, _("This sign-in has ended."))
    ended = oversight.sign_out_all(account_id, actor(), but=who.sign_in_id)
    return _done(account_id, ngettext("%(num)s sign-in has ended.", "%(num)s sign-ins have ended.", ended))


def _done(account_id: str, words: str) -> Response:
    db.session.commit()
    flash(words, "done")
    return redirect(url_for(".account", account_id=account_id), 303)


def _refused(account_id: str, problem: ShamanError) -> tuple[str, int]:
    db.session.rollback()
    return _page(account_id, problem=problem), problem.status


def _page(account_id: str, problem: ShamanError | None = None) -> str:
    with across_tenants(writes=False):
        portrait = portray(account_id)
    return render_template(
        "admin/account.html", account=portrait, problem=problem, can_mail=can_mail(), here_id=person().sign_in_id
    )


def _hand_over(account_id: str, link: str, *, invitation: bool) -> Answer:
    """Mail a link to its owner, or show it to whoever asked: this once, for it is stored nowhere."""
    email = oversight.find_email(account_id)
    if can_mail() and request.form.get("show") != "1":
        post(email, *_mail(link, invitation))
        return _done(account_id, _("Sent to %(email)s.", email=email))
    db.session.commit()
    return render_template(
        "admin/account_link.html", account_id=account_id, email=email, link=link, days=7 if invitation else 0
    )


def _mail(link: str, invitation: bool) -> tuple[str, str]:
    if invitation:
        return _("Your account"), _(
            "An account was made for you.\n\nChoose a password here, within seven days:\n%(link)s\n\nThe link can be used once.",
            link=link,
        )
    return _("A new password"), _(
        "Choose a new password here, within 30 minutes:\n%(link)s\n\nThe link can be used once. If you asked for none, leave it alone.",
        link=link,
    )
