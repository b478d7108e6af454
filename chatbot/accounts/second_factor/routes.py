"""The page of one's second factor: what is set up, and each change of it."""

import json

from flask import abort, current_app, flash, redirect, render_template, request, session, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from chatbot.accounts.attempts import check_own_password
from chatbot.accounts.doors import actor, confirmed_at, person, safe_path, sign_in
from chatbot.accounts.models import Account
from chatbot.accounts.second_factor import totp
from chatbot.accounts.second_factor.factors import (
    factors_of,
    find_account,
    is_fresh,
    lock_own,
    remove_app,
    who_ask,
)
from chatbot.accounts.second_factor.forms import CodeForm, NewPasskeyForm, PasswordAgainForm
from chatbot.accounts.second_factor.passkey_routes import blueprint
from chatbot.accounts.second_factor.recovery_codes import make_codes
from chatbot.accounts.sign_ins import Person, end_sign_ins
from chatbot.db import db
from chatbot.errors import Conflict, Forbidden, SecretUnreadable
from chatbot.secrets_at_rest import seal, unseal
from chatbot.tenancy import now
from chatbot.tenants.doors import may_write, reads_only

PAGE = "/account/second-factor"


def _owner() -> Person:
    """Whoever looks after their own second factor. Raises Forbidden for one whose client's own provider does."""
    who = person()
    if who.confined_to is not None:
        raise Forbidden(_("You sign in with your company's own account: its second factor is set up there, not here."))
    return who


def changer() -> Person:
    """The owner, who proved lately who they are; others are asked to do so first."""
    who = _owner()
    reads_only()
    is_known = is_fresh(who, confirmed_at(who))
    db.session.commit()
    may_write()
    if is_known:
        return who
    if request.accept_mimetypes.best == "application/json":
        raise Forbidden(_("Please reload this page, and confirm first that it is you."))
    goal = request.full_path if request.method == "GET" else url_for("factors.show", next=_goal())
    return abort(redirect(url_for("factors.confirm", next=goal.rstrip("?")), 303))


def _goal() -> str | None:
    """Where somebody was on the way to, who was sent here to set a second factor up."""
    return safe_path(request.args.get("next"))


@blueprint.get(PAGE)
def show() -> str:
    return show_page(_owner())


def show_page(who: Person, **forms: object) -> str:
    asked_by = who_ask(who)
    return render_template(
        "accounts/factors.html",
        who=who,
        asked_by=asked_by,
        factors=factors_of(find_account(who.account_id)),
        may_change=is_fresh(who, confirmed_at(who)),
        goal=_goal(),
        **{"passkey_form": NewPasskeyForm(formdata=None)} | forms,
    )


@blueprint.route(f"{PAGE}/confirm", methods=["GET", "POST"])
def confirm() -> AnyResponse | str | tuple[str, int]:
    """Prove once more who one is, before something is changed."""
    who = _owner()
    by_password = who.has_password and (who.is_strong or not who.has_factor)
    form = PasswordAgainForm()
    if by_password and form.validate_on_submit():
        if check_own_password(who.account_id, form.password.data):
            session["confirmed"] = {"by": who.sign_in_id, "at": now().timestamp()}
            return redirect(_goal() or url_for("factors.show"), 303)
        form.password.errors = [_("This is not your password.")]
    page = render_template("accounts/confirm.html", who=who, form=form, by_password=by_password, goal=_goal())
    return page if request.method == "GET" else (page, 422)


# --- the authenticator app -------------------------------------------------------------------------------------------


@blueprint.route(f"{PAGE}/app", methods=["GET", "POST"])
def set_up_app() -> AnyResponse | str | tuple[str, int]:
    """Show a new app its secret, and take it up once it shows the right code."""
    who = changer()
    form, secret = CodeForm(), _new_secret(who)
    if form.validate_on_submit():
        step = totp.step_of(secret, form.code.data)
        if step is not None:
            return _take_up_app(who, secret, step)
        form.code.errors = [_("This is not the code that belongs to this picture. Wait for the next one and try it.")]
    link = totp.link_of(secret, who.email, current_app.config["SHAMAN"].PUBLIC_URL)
    page = render_template("accounts/app.html", form=form, secret=secret, picture=totp.picture_of(link), goal=_goal())
    return page if request.method == "GET" else (page, 422)


def _new_secret(who: Person) -> str:
    """The secret of an app that isn't taken up yet. The cookie that keeps it can be read, so it is sealed there."""
    place = f"new app:{who.sign_in_id}"
    try:
        return unseal(str(session["new_app"]), place)
    except (KeyError, SecretUnreadable):
        secret = totp.new_secret()
        session["new_app"] = seal(secret, place)
        return secret


def _take_up_app(who: Person, secret: str, step: int) -> AnyResponse:
    account = lock_own(who)
    before = factors_of(account)
    totp.set_up_app(account, secret, step, actor())
    session.pop("new_app")
    if before.has_app:
        end_sign_ins(account.id, but=who.sign_in_id)
    return after_adding(account, is_first=not before.count, words=_("Your authenticator app is set up."))


@blueprint.post(f"{PAGE}/app/remove")
def drop_app() -> AnyResponse:
    who = changer()
    asked_by = who_ask(who)
    account = lock_own(who)
    return after_removing(who, account, remove_app(account, asked_by, actor()), _("Your authenticator app is removed."))


# --- recovery codes --------------------------------------------------------------------------------------------------


@blueprint.route(f"{PAGE}/recovery-codes", methods=["GET", "POST"])
def recovery_codes() -> AnyResponse | str:
    """New codes, shown once: they wait, sealed, for the page that comes next."""
    who = changer() if request.method == "POST" else _owner()
    if request.method == "POST":
        account = lock_own(who)
        if not factors_of(account).count:
            raise Conflict(_("Set up a second factor first: recovery codes stand in for it."))
        codes = make_codes(account, actor())
        db.session.commit()
        return _show_codes(account, codes)
    try:
        codes = json.loads(unseal(session.pop("codes"), _codes_place(who.account_id)))
    except (KeyError, SecretUnreadable):
        return redirect(url_for("factors.show", next=_goal()), 303)
    return render_template("accounts/recovery_codes.html", codes=codes, goal=_goal())


def _show_codes(account: Account, codes: list[str]) -> AnyResponse:
    session["codes"] = seal(json.dumps(codes), _codes_place(account.id))
    return redirect(url_for("factors.recovery_codes", next=_goal()), 303)


def _codes_place(account_id: str) -> str:
    return f"recovery codes:{account_id}"


# --- after a change --------------------------------------------------------------------------------------------------


def after_adding(account: Account, *, is_first: bool, words: str) -> AnyResponse:
    """The first factor makes this sign-in a strong one, ends all others, and comes with recovery codes. Commits."""
    if not is_first:
        db.session.commit()
        return back(words)
    codes = make_codes(account, actor())
    end_sign_ins(account.id)
    sign_in(account, is_strong=True)
    flash(words, "done")
    return _show_codes(account, codes)


def after_removing(who: Person, account: Account, left: int, words: str) -> AnyResponse:
    """What is removed may have been lost, so other sign-ins end; without any factor left this one is a weak one. Commits."""
    end_sign_ins(account.id, but=who.sign_in_id)
    if left:
        db.session.commit()
    else:
        sign_in(account, is_strong=False)
    return back(words)


def back(words: str) -> AnyResponse:
    flash(words, "done")
    return redirect(url_for("factors.show", next=_goal()), 303)
