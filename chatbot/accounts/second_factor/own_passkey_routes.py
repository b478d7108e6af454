"""One's own passkeys: made, named, removed."""

from typing import TYPE_CHECKING

from flask import Response, jsonify
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from chatbot.accounts.doors import actor
from chatbot.accounts.second_factor.factors import (
    factors_of,
    find_account,
    find_passkey,
    lock_own,
    remove_passkey,
    who_ask,
)
from chatbot.accounts.second_factor.forms import NewPasskeyForm, PasskeyNameForm
from chatbot.accounts.second_factor.passkey_routes import blueprint, give_challenge, need_site, take_challenge
from chatbot.accounts.second_factor.routes import PAGE, after_adding, after_removing, back, changer, show_page
from chatbot.accounts.sign_ins import Person
from chatbot.audit import record
from chatbot.db import db
from chatbot.errors import Conflict, Invalid
from chatbot.memory import Later
from chatbot.tenants.doors import reads_only

if TYPE_CHECKING:
    from chatbot.accounts.second_factor import passkeys
else:
    passkeys = Later("chatbot.accounts.second_factor.passkeys")  # with webauthn: 4 MB


@blueprint.post(f"{PAGE}/passkeys/options")
def new_passkey_options() -> Response:
    """What script needs to make a passkey."""
    who = changer()
    account = find_account(who.account_id)
    return jsonify(passkeys.ask_for_new(need_site(), account, give_challenge(_purpose(who))))


def _purpose(who: Person) -> str:
    return f"new:{who.account_id}"


@blueprint.post(f"{PAGE}/passkeys")
def keep_passkey() -> AnyResponse | tuple[str, int]:
    """Take up the passkey that the browser made."""
    who = changer()
    form = NewPasskeyForm()
    if form.validate():
        try:
            return _take_up_passkey(who, form)
        except (Invalid, Conflict) as wrong:
            form.form_errors.append(wrong.detail)
    db.session.rollback()
    reads_only()
    return show_page(who, passkey_form=form), 422


def _take_up_passkey(who: Person, form: NewPasskeyForm) -> AnyResponse:
    site, challenge = need_site(), take_challenge(_purpose(who))
    account = lock_own(who)
    before = factors_of(account)
    passkeys.add_passkey(site, account, form.credential.data or "", challenge, form.name.data, actor())
    return after_adding(account, is_first=not before.count, words=_("Your passkey is set up."))


@blueprint.post(f"{PAGE}/passkeys/<passkey_id>")
def rename_passkey(passkey_id: str) -> AnyResponse:
    who = changer()
    passkey = find_passkey(who.account_id, passkey_id)
    form = PasskeyNameForm()
    if not form.validate():
        raise Invalid(" ".join(form.name.errors))
    record("account.passkey_renamed", actor(), target=who.email, detail={"from": passkey.name, "to": form.name.data})
    passkey.name = form.name.data
    db.session.commit()
    return back(_("The passkey has its new name."))


@blueprint.post(f"{PAGE}/passkeys/<passkey_id>/remove")
def drop_passkey(passkey_id: str) -> AnyResponse:
    who = changer()
    asked_by = who_ask(who)
    account = lock_own(who)
    left = remove_passkey(account, passkey_id, asked_by, actor())
    return after_removing(who, account, left, _("The passkey is removed."))
