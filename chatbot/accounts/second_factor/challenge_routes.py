"""The second factor, asked for after the first: a code, a passkey, or a recovery code."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from flask import Response, flash, jsonify, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_login import current_user
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response as AnyResponse

from chatbot.accounts.doors import pending, safe_path, sign_in
from chatbot.accounts.models import Account
from chatbot.accounts.second_factor.factors import factors_of, find_account
from chatbot.accounts.second_factor.forms import CodeForm, PasskeyForm, RecoveryForm
from chatbot.accounts.second_factor.passkey_routes import (
    blueprint,
    check_address,
    count_try,
    enabled_account,
    give_challenge,
    need_site,
    refuse,
    use_up_passkey,
)
from chatbot.accounts.second_factor.recovery_codes import use_recovery_code
from chatbot.accounts.second_factor.totp import use_app_code
from chatbot.audit import Actor
from chatbot.errors import Invalid, Unauthorized
from chatbot.memory import Later
from chatbot.security import caller_address

if TYPE_CHECKING:
    from chatbot.accounts.second_factor import passkeys
else:
    passkeys = Later("chatbot.accounts.second_factor.passkeys")  # with webauthn: 4 MB

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """Who is asked for the second factor, and where they go with it."""

    account_id: str
    goal: str


def _asked() -> Asked | None:
    """Whoever has shown the first factor; or is signed in, and has a second one to show."""
    found = pending()
    if found is not None:
        return Asked(found["account"], found["goal"])
    if current_user.is_authenticated and current_user.has_factor and current_user.confined_to is None:
        return Asked(current_user.account_id, safe_path(request.args.get("next")) or url_for("factors.show"))
    return None


@blueprint.route("/login/second", methods=["GET", "POST"])
def challenge() -> AnyResponse | str | tuple[str, int]:
    """Ask for the second factor, and sign in with it."""
    asked = _asked()
    if asked is None:
        return _begin_again()
    form = _sent_form() if request.method == "POST" else None
    if form is not None and form.validate():
        answer = _answer(asked, form)
        if answer is not None:
            return answer
    page = _page(asked, form)
    if page is None:
        return _begin_again()
    return page if form is None else (page, 422)


@blueprint.post("/login/second/options")
def challenge_options() -> Response:
    """What script needs to ask for one of the account's passkeys."""
    asked = _asked()
    if asked is None:
        raise Unauthorized(_("That took too long. Please sign in again."))
    return jsonify(passkeys.ask_for_known(need_site(), give_challenge(_purpose(asked)), asked.account_id))


def _purpose(asked: Asked) -> str:
    return f"second:{asked.account_id}"


def _begin_again() -> AnyResponse:
    if current_user.is_authenticated:
        return redirect(url_for("factors.show"), 303)
    flash(_("That took too long. Please sign in again."), "problem")
    return redirect(url_for("accounts.login"), 303)


def _sent_form() -> FlaskForm:
    """The one of the page's three forms that was sent."""
    for name, form in (("credential", PasskeyForm), ("recovery_code", RecoveryForm)):
        if name in request.form:
            return form()
    return CodeForm()


def _page(asked: Asked, sent: FlaskForm | None) -> str | None:
    """The page; the form that was sent stands on it with what is wrong. None when there is nothing to ask for any more."""
    kinds = {"code_form": CodeForm, "recovery_form": RecoveryForm, "passkey_form": PasskeyForm}
    forms = {name: sent if isinstance(sent, kind) else kind(formdata=None) for name, kind in kinds.items()}
    factors = factors_of(find_account(asked.account_id))
    if not factors.count:
        return None
    return render_template("accounts/challenge.html", factors=factors, sent=sent, **forms)


def _answer(asked: Asked, form: FlaskForm) -> AnyResponse | None:
    """Sign in whose second factor this is; None, with a word on the form, for a wrong one."""
    check_address()
    if not isinstance(form, PasskeyForm):  # whose signature nobody can guess: it stays open where codes no longer are
        count_try(asked.account_id)
    try:
        account = _use(asked, form)
    except Invalid as wrong:
        refuse()
        log.warning("second factor refused", account=asked.account_id, kind=type(form).__name__)
        _tell(form, wrong)
        return None
    sign_in(account, is_strong=True)
    return redirect(asked.goal, 303)


def _tell(form: FlaskForm, wrong: Invalid) -> None:
    for name, words in wrong.errors.items():
        form[name].errors = [words]
    if not wrong.errors:
        form.form_errors.append(wrong.detail)


def _use(asked: Asked, form: FlaskForm) -> Account:
    """Use up what was sent. Returns whose it is. Raises Invalid for what is wrong or was used before, Forbidden."""
    if isinstance(form, PasskeyForm):
        return enabled_account(use_up_passkey(form, _purpose(asked), asked.account_id))
    account = enabled_account(asked.account_id)
    if isinstance(form, RecoveryForm):
        if not use_recovery_code(account, form.recovery_code.data, Actor(account.email, account.id, caller_address())):
            raise Invalid(errors={"recovery_code": _("This recovery code is not right, or was used before.")})
    elif not use_app_code(account, form.code.data):
        words = _("This code is not right, or was used before. Wait until your app shows the next one.")
        raise Invalid(errors={"code": words})
    return account
