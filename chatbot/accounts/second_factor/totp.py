"""Codes from an authenticator app: six digits that change every half minute, each good once (RFC 6238)."""

from urllib.parse import urlsplit

import pyotp
import segno
from pyotp.exceptions import OTPVerificationError
from sqlalchemy import or_, update

from chatbot.accounts.models import Account
from chatbot.audit import Actor, record
from chatbot.db import db
from chatbot.tenancy import now

STEPS_OFF = 1  # how far, in half minutes, a phone's clock may be off either way


def new_secret() -> str:
    """A secret for one app: 160 random bits in base32."""
    return pyotp.random_base32()


def link_of(secret: str, email: str, public_url: str) -> str:
    """The address that an authenticator app reads; in the app the entry is called after the e-mail and this site."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=urlsplit(public_url).hostname or "Shaman")


def picture_of(link: str) -> str:
    """`link` as a QR code to photograph: the address of an SVG image that holds itself (data:), black on white."""
    return segno.make_qr(link).svg_data_uri(scale=5, light="#fff", omitsize=True)


def step_of(secret: str, code: str) -> int | None:
    """The half minute whose code this is: now, or the one before or after; None for a wrong code."""
    try:
        return pyotp.TOTP(secret).verify_and_get_timecode("".join(code.split()), for_time=now(), valid_window=STEPS_OFF)
    except OTPVerificationError:
        return None


def set_up_app(account: Account, secret: str, step: int, by: Actor) -> None:
    """Take up the app with `secret`, which showed the code of `step`; one that was there before is no longer good."""
    had_one = account.totp_secret is not None
    account.totp_secret, account.totp_step = secret, step
    record("account.app_replaced" if had_one else "account.app_added", by, target=account.email)
    db.session.flush()


def use_app_code(account: Account, code: str) -> bool:
    """Use a code of the account's app up. False for a wrong one, and for any that is not newer than the last one used."""
    step = step_of(account.totp_secret, code) if account.totp_secret else None
    if step is None:
        return False
    unused = update(Account).where(Account.id == account.id, or_(Account.totp_step.is_(None), Account.totp_step < step))
    return bool(db.session.execute(unused.values(totp_step=step)).rowcount)
