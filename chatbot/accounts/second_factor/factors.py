"""The second factor of an account: what is set up, who asks for it, and how it is taken away.

Its kinds are `totp.py` (an authenticator app), `passkeys.py`, and `recovery_codes.py`, which stand in for either.
Whoever changes something here holds the account's row (`lock_account`), so that two changes never pass each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask_babel import gettext as _
from sqlalchemy import bindparam, delete, select

from chatbot.accounts.models import Account, IdentityProvider, Membership, Passkey, SignIn
from chatbot.accounts.second_factor.recovery_codes import codes_left, forget_codes
from chatbot.accounts.sign_ins import Person, end_sign_ins
from chatbot.audit import Actor, record
from chatbot.db import db, read
from chatbot.errors import Conflict, NotFound, Unauthorized
from chatbot.tenancy import EVERY_TENANT, now, table_of
from chatbot.tenants.defaults import platform_defaults
from chatbot.tenants.models import Tenant

FRESH = timedelta(minutes=15)  # how long ago one may have proved who one is, to change a factor


@dataclass(frozen=True, slots=True)
class Factors:
    """What an account has set up: its passkeys, oldest first, and how many recovery codes are unused."""

    has_app: bool
    passkeys: Sequence[Passkey]
    codes_left: int

    @property
    def count(self) -> int:
        return int(self.has_app) + len(self.passkeys)


def factors_of(account: Account) -> Factors:
    """What the account has set up, asked within the session."""
    own = select(Passkey).where(Passkey.account_id == account.id).order_by(Passkey.id)
    return Factors(account.totp_secret is not None, db.session.scalars(own).all(), codes_left(account.id))


def find_account(account_id: str) -> Account:
    """Raises NotFound for one that is gone."""
    return _found(db.session.get(Account, account_id))


def lock_account(account_id: str) -> Account:
    """The account, kept from others' changes until this transaction ends. Raises NotFound for one that is gone."""
    lock = {"key_share": True}  # others may still sign in to it meanwhile
    return _found(db.session.get(Account, account_id, with_for_update=lock, populate_existing=True))


def lock_own(person: Person) -> Account:
    """The account of whoever is signed in, locked, as they knew it when they were let in.

    Raises Unauthorized when their sign-in has ended since then, and Conflict when the first factor came or the last one
    went: what a password allows without a factor, it does not with one.
    """
    account = lock_account(person.account_id)
    if db.session.get(SignIn, person.sign_in_id, with_for_update=True) is None:
        raise Unauthorized(_("Please sign in first."))
    if bool(factors_of(account).count) != person.has_factor:
        raise Conflict(_("Your second factor was changed in another window. Please reload this page."))
    return account


def _found(account: Account | None) -> Account:
    if account is None:
        raise NotFound()
    return account


# --- who asks for it -------------------------------------------------------------------------------------------------

_M, _T, _I = table_of(Membership), table_of(Tenant), table_of(IdentityProvider)
_WHO_ASK = (
    select(_T.c.name)
    .join(_M, _M.c.tenant_id == _T.c.id)
    .where(
        _M.c.account_id == bindparam("account"),
        _T.c.requires_second_factor,
        _T.c.deleted_at.is_(None),
        # Where people come by the client's own provider alone, that provider looks after both factors.
        ~select(_I.c.id).where(_I.c.tenant_id == _T.c.id, _I.c.is_required).exists(),
    )
    .order_by(_T.c.name)
)


def who_ask(person: Person) -> list[str]:
    """The names of those who ask the person for a second factor: clients, and the platform of its admins.

    Reads with no transaction of the session's open that writes.
    """
    names = read(EVERY_TENANT, lambda unit: unit.execute(_WHO_ASK, {"account": person.account_id}).scalars().all())
    of_platform = person.is_platform_admin and platform_defaults().requires_second_factor
    return [*([_("This platform")] if of_platform else []), *map(str, names)]


def is_fresh(person: Person, confirmed_at: datetime | None) -> bool:
    """Whether the person proved lately enough who they are to change a factor; `confirmed_at` is when by the password.

    Who has a second factor must have shown it in this sign-in: a password alone never takes it away.
    """
    if person.has_factor and not person.is_strong:
        return False
    times = [person.strong_at, confirmed_at]
    if not person.has_factor:
        times.append(db.session.scalar(select(SignIn.created_at).where(SignIn.id == person.sign_in_id)))
    return any(time is not None and now() - time <= FRESH for time in times)


# --- taking it away --------------------------------------------------------------------------------------------------


def remove_app(account: Account, asked_by: Sequence[str], by: Actor) -> int:
    """Remove the account's app. Returns how many factors are left. Raises NotFound, Conflict for the last one."""
    left = _check_may_remove(account, asked_by, account.totp_secret is not None)
    account.totp_secret = account.totp_step = None
    record("account.app_removed", by, target=account.email)
    return _removed(account, left)


def remove_passkey(account: Account, passkey_id: str, asked_by: Sequence[str], by: Actor) -> int:
    """Remove one of the account's passkeys. Returns how many factors are left. Raises NotFound, Conflict for the last one."""
    passkey = find_passkey(account.id, passkey_id)
    left = _check_may_remove(account, asked_by, True)
    db.session.delete(passkey)
    record("account.passkey_removed", by, target=account.email, detail={"passkey": passkey.name})
    return _removed(account, left)


def find_passkey(account_id: str, passkey_id: str) -> Passkey:
    """One of the account's passkeys. Raises NotFound for any other id."""
    own = select(Passkey).where(Passkey.id == passkey_id, Passkey.account_id == account_id)
    passkey: Passkey | None = db.session.scalar(own)
    if passkey is None:
        raise NotFound()
    return passkey


def _check_may_remove(account: Account, asked_by: Sequence[str], is_there: bool) -> int:
    if not is_there:
        raise NotFound()
    left = factors_of(account).count - 1
    if left == 0 and asked_by:
        raise Conflict(
            _(
                "%(who)s asks for a second factor, and this is your only one. Set up another one first.",
                who=asked_by[0],
            )
        )
    return left


def _removed(account: Account, left: int) -> int:
    if left == 0:
        forget_codes(account.id)
    db.session.flush()
    return left


def reset_factors(account_id: str, by: Actor) -> None:
    """Take away somebody's second factor, who has lost it, and end their sign-ins, within the session's transaction.

    For admins of the platform. Their next sign-in asks for the first factor alone, and for a new second one where
    somebody requires it. Raises NotFound.
    """
    account = lock_account(account_id)
    account.totp_secret = account.totp_step = None
    db.session.execute(delete(Passkey).where(Passkey.account_id == account_id))
    forget_codes(account_id)
    end_sign_ins(account_id)
    record("account.factors_reset", by, target=account.email)
    db.session.flush()
