"""Passkeys (WebAuthn): a key that stays in a phone, a computer or a stick, and signs a challenge for this site alone.

A site is known by PUBLIC_URL, never by what a request says. Browsers have passkeys for https and for localhost only.
"""

import json
from dataclasses import dataclass
from typing import Any

import structlog
import webauthn
from flask_babel import gettext as _
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from webauthn.helpers import base64url_to_bytes
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from chatbot.accounts.models import Account, Passkey
from chatbot.accounts.second_factor.sites import ANSWER_WITHIN, Site
from chatbot.audit import Actor, record
from chatbot.db import db
from chatbot.errors import Conflict, Invalid
from chatbot.tenancy import now

MOST = 20  # passkeys of one account
LONGEST_ID = 1023  # bytes, as the standard has it
LONGEST_ANSWER = 50_000  # characters; a statement with all its certificates has some 10,000
# What the library raises; and what it stumbles over, instead of raising it, in a key or a statement that is none (tried).
STUMBLES = (WebAuthnException, LookupError, ValueError, TypeError, AttributeError, RecursionError)
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Used:
    """A passkey that has signed: whose it is, and its counter before and now."""

    passkey_id: str
    account_id: str
    count_before: int
    count: int


def ask_for_new(site: Site, account: Account, challenge: bytes) -> dict[str, Any]:
    """What a browser needs to make a passkey for the account, in the shape of the standard's JSON."""
    options = webauthn.generate_registration_options(
        rp_id=site.host,
        rp_name=site.host,
        user_id=account.id.encode(),
        user_name=account.email,
        user_display_name=account.name or account.email,
        challenge=challenge,
        timeout=ANSWER_WITHIN * 1000,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.PREFERRED
        ),
        exclude_credentials=_descriptors(account.id),
    )
    return _as_dict(webauthn.options_to_json(options))


def ask_for_known(site: Site, challenge: bytes, account_id: str | None = None) -> dict[str, Any]:
    """What a browser needs to sign with one of the account's passkeys.

    Without an account: with any passkey that it keeps for this site. That one is the only factor then, so the person's
    finger, face or PIN is asked for.
    """
    options = webauthn.generate_authentication_options(
        rp_id=site.host,
        challenge=challenge,
        timeout=ANSWER_WITHIN * 1000,
        allow_credentials=_descriptors(account_id) if account_id else None,
        user_verification=UserVerificationRequirement.PREFERRED if account_id else UserVerificationRequirement.REQUIRED,
    )
    return _as_dict(webauthn.options_to_json(options))


def _as_dict(text: str) -> dict[str, Any]:
    return json.loads(text)  # type: ignore[no-any-return]


def _descriptors(account_id: str) -> list[PublicKeyCredentialDescriptor]:
    return [
        PublicKeyCredentialDescriptor(id=passkey.credential_id, transports=_transports(passkey.transports))
        for passkey in db.session.scalars(select(Passkey).where(Passkey.account_id == account_id))
    ]


def _transports(names: Any) -> list[AuthenticatorTransport]:
    known = {transport.value for transport in AuthenticatorTransport}
    given = names if isinstance(names, list) else []
    return [AuthenticatorTransport(name) for name in given if isinstance(name, str) and name in known]


# --- what comes back -------------------------------------------------------------------------------------------------


def add_passkey(site: Site, account: Account, answer: str, challenge: bytes, name: str, by: Actor) -> Passkey:
    """Keep the passkey that a browser made. `answer` is its JSON. Raises Invalid, Conflict for one that is known."""
    made = _verify(
        webauthn.verify_registration_response,
        credential=answer,
        expected_challenge=challenge,
        expected_rp_id=site.host,
        expected_origin=site.origin,
    )
    own = select(func.count(Passkey.id)).where(Passkey.account_id == account.id)
    if db.session.scalar(own) >= MOST:
        raise Conflict(_("You have %(n)s passkeys. Remove one first.", n=MOST))
    if len(made.credential_id) > LONGEST_ID:
        raise Invalid(_refusal())
    passkey = Passkey(
        account_id=account.id,
        credential_id=made.credential_id,
        public_key=made.credential_public_key,
        sign_count=made.sign_count,
        transports=[transport.value for transport in _transports(_told_transports(answer))],
        name=name,
    )
    _insert(passkey)
    record("account.passkey_added", by, target=account.email, detail={"passkey": name})
    return passkey


def _told_transports(answer: str) -> Any:
    response = json.loads(answer).get("response")
    return response.get("transports") if isinstance(response, dict) else None


def _insert(passkey: Passkey) -> None:
    try:
        with db.session.begin_nested():
            db.session.add(passkey)
    except IntegrityError:
        raise Conflict(_("This passkey is in use already.")) from None


def check_passkey(site: Site, answer: str, challenge: bytes, account_id: str | None = None) -> Used:
    """Whose passkey signed `challenge`; of the account alone where one is named. Only reads. Raises Invalid.

    Without an account the passkey is the only factor, so it must have asked for finger, face or PIN.
    """
    passkey = _find(answer, account_id)
    signed = _verify(
        webauthn.verify_authentication_response,
        credential=answer,
        expected_challenge=challenge,
        expected_rp_id=site.host,
        expected_origin=site.origin,
        credential_public_key=passkey.public_key,
        credential_current_sign_count=passkey.sign_count,
        require_user_verification=account_id is None,
    )
    return Used(passkey.id, passkey.account_id, passkey.sign_count, signed.new_sign_count)


def use_passkey(used: Used) -> bool:
    """Write down that a passkey has signed. False when it was used or removed in the meantime."""
    unchanged = update(Passkey).where(Passkey.id == used.passkey_id, Passkey.sign_count == used.count_before)
    return bool(db.session.execute(unchanged.values(sign_count=used.count, last_used_at=now())).rowcount)


def _find(answer: str, account_id: str | None) -> Passkey:
    """The passkey that an answer names. Its key alone proves anything; nothing else of the answer is believed yet."""
    try:
        told = json.loads(answer[:LONGEST_ANSWER])
        credential_id = base64url_to_bytes(told["rawId"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise Invalid(_refusal()) from None
    asked = select(Passkey).where(Passkey.credential_id == credential_id)
    if account_id is not None:
        asked = asked.where(Passkey.account_id == account_id)
    passkey: Passkey | None = db.session.scalar(asked)
    if passkey is None:
        raise Invalid(_refusal())
    return passkey


def _verify(check: Any, **given: Any) -> Any:
    if len(given["credential"]) > LONGEST_ANSWER:
        raise Invalid(_refusal())
    try:
        return check(**given)
    except STUMBLES as error:
        log.warning("passkey refused", reason=type(error).__name__)
        raise Invalid(_refusal()) from None


def _refusal() -> str:
    words: str = _("This passkey was not accepted. Please try again.")
    return words
