"""`/account`: one's own name, password, and the browsers in which one is signed in."""

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from chatbot.accounts import own
from chatbot.accounts.attempts import check_own_password
from chatbot.accounts.devices import device_in_words
from chatbot.accounts.doors import actor, life, person
from chatbot.accounts.forms import ChangePasswordForm, NameForm, NewPasswordForm
from chatbot.accounts.openid.oauth import ways_in
from chatbot.accounts.passwords import hash_password, weakness
from chatbot.accounts.routes import answer
from chatbot.accounts.second_factor.factors import is_fresh
from chatbot.db import db
from chatbot.errors import Forbidden, RateLimited, ShamanError, Unavailable
from chatbot.tenants.doors import may_write, reads_only

blueprint = Blueprint("account", __name__, url_prefix="/account")


@blueprint.get("")
def show() -> str:
    return _page(NameForm(formdata=None, name=person().name), _password_form(empty=True))


@blueprint.post("/name")
def rename() -> AnyResponse:
    own.check_may_change(person())
    form = NameForm()
    if not form.validate():
        reads_only()
        return answer(_page(form, _password_form(empty=True)), 422)
    own.rename(person().account_id, form.name.data, actor())
    db.session.commit()
    flash(_("Your name is changed."), "done")
    return redirect(url_for(".show"), 303)


@blueprint.post("/password")
def change_password() -> AnyResponse:
    reads_only()
    who = person()
    own.check_may_change(who)
    form = _password_form()
    try:
        hashed = _new_hash(form)
    except (RateLimited, Unavailable) as error:
        return answer(_page(NameForm(formdata=None, name=who.name), form, error), error.status, error)
    if hashed is None:
        return answer(_page(NameForm(formdata=None, name=who.name), form), 422)
    db.session.commit()
    may_write()
    own.set_password(who.account_id, hashed, actor(), but=who.sign_in_id)
    db.session.commit()
    flash(_("Your password is changed. Everywhere else you are signed out."), "done")
    return redirect(url_for(".show"), 303)


def _password_form(*, empty: bool = False) -> NewPasswordForm:
    given = {"formdata": None} if empty else {}
    return ChangePasswordForm(**given) if person().has_password else NewPasswordForm(**given)


def _new_hash(form: NewPasswordForm) -> str | None:
    """The hash of the new password; None when the form says what is wrong. Raises RateLimited, Unavailable."""
    who = person()
    if not form.validate():
        return None
    if not who.has_password and not is_fresh(who, None):
        raise Forbidden(_("To set a password, prove first that it is you: sign out, and sign in again."))
    db.session.commit()  # no transaction is open while hashes are computed
    reason = weakness(form.password.data, (who.email, who.name))
    if reason:
        form.password.errors = [reason]
        return None
    if who.has_password and not check_own_password(who.account_id, form.current.data):
        form.current.errors = [_("This is not your password.")]
        return None
    return hash_password(form.password.data)


@blueprint.post("/sign-ins/<sign_in_id>/end")
def end_sign_in(sign_in_id: str) -> AnyResponse:
    own.end_one(person(), sign_in_id, actor())
    db.session.commit()
    flash(_("That browser is signed out."), "done")
    return redirect(url_for(".show"), 303)


@blueprint.post("/sign-ins/end-others")
def end_other_sign_ins() -> AnyResponse:
    own.end_others(person(), actor())
    db.session.commit()
    flash(_("You are signed out everywhere else."), "done")
    return redirect(url_for(".show"), 303)


def _page(name_form: NameForm, password_form: NewPasswordForm, problem: ShamanError | None = None) -> str:
    who = person()
    return render_template(
        "accounts/account.html",
        who=who,
        name_form=name_form,
        password_form=password_form,
        is_fresh=who.has_password or is_fresh(who, None),
        sign_ins=own.open_sign_ins(who, life()),
        device_in_words=device_in_words,
        problem=problem.problem() if problem else None,
        **ways_in(),
    )
