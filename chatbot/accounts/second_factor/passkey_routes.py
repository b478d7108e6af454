"""Signing in with a passkey alone; and what every use of a passkey needs: challenges, and a limit of tries."""

import hashlib
import secrets
from typing import TYPE_CHECKING

from flask import Blueprint, Flask, Response, current_app, flash, jsonify, redirect, request, session, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from flask_login import current_user
from werkzeug.wrappers import Response as AnyResponse

from chatbot.accounts.doors import safe_path, sign_in
from chatbot.accounts.models import Account
from chatbot.accounts.second_factor.factors import find_account
from chatbot.accounts.second_factor.forms import PasskeyForm
from chatbot.accounts.second_factor.sites import ANSWER_WITHIN, Site, site_of
from chatbot.db import db
from chatbot.errors import Forbidden, Invalid, RateLimited
from chatbot.memory import Later
from chatbot.security import caller_address
from chatbot.tenancy import now
from chatbot.tenants.doors import may_write, reads_only
from chatbot.usage.rates import count_call, wait_for_call

if TYPE_CHECKING:
    from chatbot.accounts.second_factor import passkeys
else:
    passkeys = Later("chatbot.accounts.second_factor.passkeys")  # with webauthn: 4 MB

blueprint = Blueprint("factors", __name__)

TRIES = "10 per 15 minutes"  # of one account: each code that is typed; of one address: each wrong one
ONCE = "1 per 10 minutes"  # a challenge lives for five


@blueprint.post("/login/passkey/options")
def passkey_options() -> Response:
    """What script needs to ask for whichever passkey the browser keeps for this site."""
    return jsonify(passkeys.ask_for_known(need_site(), give_challenge("sign-in")))


@blueprint.post("/login/passkey")
def passkey_sign_in() -> AnyResponse:
    """Sign in with a passkey, which stands for both factors: the key, and the finger, face or PIN that it asked for."""
    goal = safe_path(request.form.get("next"))
    check_address()
    _ = current_user.is_authenticated  # who was signed in here before is read now, with no transaction open
    try:
        account = enabled_account(use_up_passkey(PasskeyForm(), "sign-in"))
    except Invalid as wrong:
        refuse()
        flash(wrong.detail, "problem")
        return redirect(url_for("accounts.login", next=goal), 303)
    sign_in(account, is_strong=True)
    return redirect(goal or url_for("home.index"), 303)


def use_up_passkey(form: PasskeyForm, purpose: str, account_id: str | None = None) -> str:
    """Use the signature that was sent, of the account's passkey where one is named. Returns whose it is. Raises Invalid."""
    site, challenge = need_site(), take_challenge(purpose)
    reads_only()  # what a stranger sends takes no write lock until it is known to be good
    used = passkeys.check_passkey(site, form.credential.data or "", challenge, account_id)
    db.session.commit()
    may_write()
    if not passkeys.use_passkey(used):
        raise Invalid(_("This passkey was not accepted. Please try again."))
    return used.account_id


def enabled_account(account_id: str) -> Account:
    """Raises Forbidden for an account that was switched off."""
    account = find_account(account_id)
    if not account.is_enabled:
        raise Forbidden(_("This account has been switched off. Please ask whoever invited you."))
    return account


def find_site(app: Flask) -> Site | None:
    """What passkeys are bound to here; None where they can't be used."""
    return site_of(app.config["SHAMAN"].PUBLIC_URL)


def need_site() -> Site:
    site = find_site(current_app)
    if site is None:
        raise Forbidden(_("Passkeys need an address that begins with https."))
    return site


# --- challenges: each is good once, for five minutes, in the browser that got it --------------------------------------


def give_challenge(purpose: str) -> bytes:
    """A challenge for `purpose`, remembered in the cookie session."""
    challenge = secrets.token_bytes(32)
    session["passkey"] = {"for": purpose, "challenge": challenge.hex(), "since": now().timestamp()}
    return challenge


def take_challenge(purpose: str) -> bytes:
    """The challenge that this browser was given for `purpose`. Raises Invalid for none, an old or a used one."""
    kept = session.pop("passkey", None) or {}
    is_ours = kept.get("for") == purpose and now().timestamp() - kept["since"] <= ANSWER_WITHIN
    # The cookie can be sent again as it was, so it is remembered here too that the challenge was used.
    if not is_ours or count_call(ONCE, "passkey-challenge", hashlib.sha256(kept["challenge"].encode()).hexdigest()):
        raise Invalid(_("That took too long. Please try again."))
    return bytes.fromhex(kept["challenge"])


# --- how often one may try -------------------------------------------------------------------------------------------


def count_try(account_id: str) -> None:
    """Count a code that is typed for an account. Raises RateLimited."""
    wait = count_call(TRIES, "second-factor", account_id)
    if wait is not None:
        raise _too_many(wait)


def check_address() -> None:
    """Refuse an address from which many wrong ones came; right ones don't count. Raises RateLimited."""
    wait = wait_for_call(TRIES, "second-factor-address", caller_address())
    if wait is not None:
        raise _too_many(wait)


def refuse() -> None:
    """Count what was sent as wrong against its address, and undo what it began."""
    db.session.rollback()
    reads_only()
    count_call(TRIES, "second-factor-address", caller_address())


def _too_many(wait: float) -> RateLimited:
    minutes = max(1, round(wait / 60))
    words = ngettext(
        "Too many wrong ones were tried. Please wait %(num)s minute.",
        "Too many wrong ones were tried. Please wait %(num)s minutes.",
        minutes,
    )
    return RateLimited(words, retry_after=wait)
