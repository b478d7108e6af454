"""What an operator does with somebody's account, beside what `people.py` and `factors.py` offer."""

from flask_babel import gettext as _
from sqlalchemy import select

from chatbot.accounts.directory import has_factor
from chatbot.accounts.links import INVITATION, LIVES, RESET, address_of, make_link
from chatbot.accounts.models import Account, OneTimeLink
from chatbot.accounts.people import NewAccount, add_account, read_email
from chatbot.accounts.sign_ins import end_sign_in, end_sign_ins
from chatbot.audit import Actor, record
from chatbot.db import db
from chatbot.errors import Invalid, NotFound
from chatbot.tenancy import now

SHOWN = 100


def find_email(account_id: str) -> str:
    """An account's e-mail, asked within the session. Raises NotFound."""
    email = db.session.scalar(select(Account.email).where(Account.id == account_id))
    if email is None:
        raise NotFound()
    return str(email)


def invite_account(email: str, name: str, is_platform_admin: bool, by: Actor) -> tuple[str, str]:
    """Make an account whose owner sets a password by a link that holds for a week, within the session's transaction.

    Returns the account's id and the link's address, which is nowhere else. Raises Invalid for what is no e-mail,
    Conflict for a known one.
    """
    address = read_email(email)
    if address is None:
        raise Invalid(errors={"email": _("This is no e-mail address.")})
    account = add_account(NewAccount(address, name, is_platform_admin=is_platform_admin), by)
    link = OneTimeLink(kind=RESET, account_id=account.id, email=account.email, made_by=by.who[:320])
    secret = make_link(link)
    link.expires_at = now() + LIVES[INVITATION]
    return account.id, address_of(secret)


def sign_out_one(account_id: str, sign_in_id: str, by: Actor) -> None:
    """End one of somebody's sign-ins, within the session's transaction. Raises NotFound."""
    email = find_email(account_id)
    if not end_sign_in(account_id, sign_in_id):
        raise NotFound()
    record("account.signed-out", by, target=email, detail={"sign_ins_ended": 1})


def sign_out_all(account_id: str, by: Actor, but: str | None = None) -> int:
    """End all of somebody's sign-ins, `but` the one it is asked from, within the session's transaction. Raises NotFound."""
    email = find_email(account_id)
    ended = end_sign_ins(account_id, but=but)
    record("account.signed-out", by, target=email, detail={"sign_ins_ended": ended})
    return ended


def platform_admins_without_factor() -> list[str]:
    """The e-mails of the platform's admins who have no second factor, read within the session."""
    lacking = (Account.is_platform_admin, Account.is_enabled, ~has_factor())
    return list(db.session.scalars(select(Account.email).where(*lacking).order_by(Account.email).limit(SHOWN)))
