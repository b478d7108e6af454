"""Accounts: making and finding them, and what the operator decides about them."""

from dataclasses import dataclass

from email_validator import EmailNotValidError, validate_email
from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from chatbot.accounts.entering import leave
from chatbot.accounts.models import Account, Membership, SignIn
from chatbot.accounts.passwords import hash_password, weakness
from chatbot.accounts.sign_ins import end_sign_ins
from chatbot.audit import COMMAND_LINE, Actor, record
from chatbot.db import across_tenants, db
from chatbot.errors import Conflict, Invalid, NotFound
from chatbot.tenants.clients import find_client

LONGEST_NAME = 200
LONGEST_EMAIL = 320  # characters; bringing what is much longer into its normal form takes minutes


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account to be made. `email` as `read_email` gives it; `password_hash` None: no sign-in by password."""

    email: str
    name: str = ""
    password_hash: str | None = None
    is_platform_admin: bool = False


def read_email(typed: str | None) -> str | None:
    """An e-mail as accounts keep it, in small letters; None for what is none."""
    typed = (typed or "").strip()
    if len(typed) > LONGEST_EMAIL:
        return None
    try:
        return validate_email(typed, check_deliverability=False).normalized.lower()
    except EmailNotValidError:
        return None


def find_account(email: str | None) -> Account | None:
    """The platform's account with this e-mail, asked within the session; never one that a client's provider vouches for."""
    if email is None:
        return None
    found = select(Account).where(Account.email == email, Account.home_id.is_(None))
    return db.session.scalar(found)  # type: ignore[no-any-return]


def create_account(
    email: str,
    name: str,
    password: str | None,
    *,
    is_platform_admin: bool,
    slug: str | None,
    role: str,
    by: Actor = COMMAND_LINE,
) -> Account:
    """Make an account, in a client when `slug` names one. Raises Invalid, Conflict for a known e-mail, NotFound."""
    address = read_email(email)
    if address is None:
        raise Invalid(_("This is no e-mail address."))
    reason = weakness(password, (address, name)) if password is not None else None
    if reason:
        raise Invalid(reason)
    hashed = hash_password(password) if password is not None else None
    with across_tenants():
        tenant = find_client(slug) if slug else None
        account = add_account(NewAccount(address, name, hashed, is_platform_admin), by)
        if tenant is not None:
            db.session.add(Membership(tenant_id=tenant.id, account_id=account.id, role=role))
            place = {"tenant_id": tenant.id, "tenant_slug": tenant.slug}
            record("member.joined", by, target=address, detail={"role": role}, **place)
    return account


def add_account(new: NewAccount, by: Actor | None = None) -> Account:
    """Add an account to the session's transaction; it made itself where nobody else did. Raises Conflict for a known e-mail."""
    if find_account(new.email) is not None:
        raise Conflict(_("There is an account with this e-mail already."))
    account = Account(
        email=new.email,
        name=new.name.strip()[:LONGEST_NAME],
        is_platform_admin=new.is_platform_admin,
        password_hash=new.password_hash,
    )
    db.session.add(account)
    try:
        db.session.flush()
    except IntegrityError:  # somebody else was first
        raise Conflict(_("There is an account with this e-mail already.")) from None
    detail = {"platform_admin": True} if new.is_platform_admin else {}
    record("account.created", by or Actor(account.email, account.id), target=account.email, detail=detail)
    return account


def set_platform_admin(account_id: str, value: bool, by: Actor) -> None:
    """Make somebody an admin of the platform, or no longer, within the session's transaction.

    Raises NotFound, Conflict for the last one, Invalid for an account that only a client's own provider vouches for.
    """
    account = _with_platform_admins(account_id)
    if account.is_platform_admin == value:
        return
    if value and account.home_id is not None:
        raise Invalid(_("A client's own provider vouches for this account, so it counts in that client alone."))
    if not value:
        _refuse_last(account)
        leave("no longer an admin of the platform", SignIn.account_id == account.id)
    account.is_platform_admin = value
    action = "account.platform-admin-granted" if value else "account.platform-admin-withdrawn"
    record(action, by, target=account.email)


def set_enabled(account_id: str, value: bool, by: Actor) -> None:
    """Switch an account on or off, within the session's transaction; off ends its sign-ins.

    Raises NotFound, Conflict for the platform's last admin.
    """
    account = _with_platform_admins(account_id)
    if account.is_enabled == value:
        return
    if not value:
        _refuse_last(account)
        leave("the account was switched off", SignIn.account_id == account.id)
        end_sign_ins(account.id)
    account.is_enabled = value
    record("account.enabled" if value else "account.disabled", by, target=account.email)


def _with_platform_admins(account_id: str) -> Account:
    """The account, read while nobody else changes the platform's admins (on SQLite a transaction that writes is alone)."""
    admins = select(Account.id).where(Account.is_platform_admin).order_by(Account.id)
    db.session.execute(admins.with_for_update()).all()
    account = db.session.get(Account, account_id, populate_existing=True)
    if account is None:
        raise NotFound()
    return account  # type: ignore[no-any-return]


def _refuse_last(account: Account) -> None:
    """Raise Conflict when no platform admin who can sign in would be left without this one."""
    others = select(Account.id).where(Account.is_platform_admin, Account.is_enabled, Account.id != account.id)
    if account.is_platform_admin and account.is_enabled and db.session.scalar(others.limit(1)) is None:
        raise Conflict(_("The platform needs an admin: make somebody else one first."))
