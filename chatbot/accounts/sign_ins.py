"""Who is signed in: one row a browser, found by the secret in its cookie, ended by deleting the row.

A cookie alone proves nothing: when the row is gone, so is the right, on every page and every open stream.
"""

import hashlib
import hmac
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import current_app
from flask_login import UserMixin
from sqlalchemy import ColumnElement, bindparam, delete, or_, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from chatbot.accounts.entering import leave
from chatbot.accounts.models import Account, IdentityProvider, Membership, Passkey, SignIn
from chatbot.db import across_tenants, db, read
from chatbot.jobs import sweeps
from chatbot.tenancy import EVERY_TENANT, new_id, now, table_of

TOUCH_EVERY = timedelta(seconds=60)
S, A, P = table_of(SignIn), table_of(Account), table_of(Passkey)


@dataclass(frozen=True)
class Person(UserMixin):
    """Whoever is signed in, as plain values. `strong_at` is when a second factor was shown, `has_factor` whether one is set up.

    `confined_to` is the one client in which this counts; a platform admin who has entered a client stands in `entered_id`.
    """

    account_id: str
    email: str
    name: str
    is_platform_admin: bool
    has_password: bool
    has_factor: bool
    sign_in_id: str
    secret: str
    confined_to: str | None
    strong_at: datetime | None
    entered_id: str | None

    def get_id(self) -> str:
        """What the cookie holds."""
        return f"{self.sign_in_id}.{self.secret}"

    @property
    def is_strong(self) -> bool:
        return self.strong_at is not None


@dataclass(frozen=True, slots=True)
class Life:
    """How long a sign-in lasts: unused, and in all."""

    idle: timedelta
    longest: timedelta


_FIND = (
    select(
        S.c.id,
        S.c.secret_hash,
        S.c.confined_to,
        S.c.strong_at,
        S.c.last_used_at,
        S.c.created_at,
        S.c.entered_id,
        S.c.entered_until,
        A.c.id.label("account_id"),
        A.c.email,
        A.c.name,
        A.c.is_platform_admin,
        A.c.password_hash,
        or_(A.c.totp_secret.is_not(None), select(P.c.id).where(P.c.account_id == A.c.id).exists()).label("has_factor"),
    )
    .join(A, A.c.id == S.c.account_id)
    .where(S.c.id == bindparam("id"), A.c.is_enabled)
)


def begin_sign_in(
    account_id: str, *, address: str, device: str, confined_to: str | None = None, is_strong: bool = False
) -> str:
    """Sign an account in within the session's transaction. Returns what the cookie holds; only its hash is stored."""
    secret = secrets.token_urlsafe(32)
    row = SignIn(
        id=new_id(),
        account_id=account_id,
        secret_hash=_digest(secret),
        confined_to=confined_to,
        address=address[:64],
        device=device[:200],
        strong_at=now() if is_strong else None,
    )
    # The account before its sign-ins, as whoever changes a password or a factor takes them.
    db.session.execute(update(Account).where(Account.id == account_id).values(last_sign_in_at=now()))
    db.session.add(row)
    return f"{row.id}.{secret}"


def find_person(cookie: str, life: Life) -> Person | None:
    """Who the cookie's sign-in belongs to; None when it is over, or was never one."""
    sign_in_id, _, secret = cookie.partition(".")
    if len(sign_in_id) != 26 or not secret:
        return None
    row = read(EVERY_TENANT, lambda unit: unit.execute(_FIND, {"id": sign_in_id}).first())
    if row is None or not hmac.compare_digest(row.secret_hash, _digest(secret)):
        return None
    moment = now()
    if moment - row.last_used_at > life.idle or moment - row.created_at > life.longest:
        return None
    if moment - row.last_used_at > TOUCH_EVERY:
        with suppress(OperationalError, PoolTimeout):  # the database is busy: the next request says it again
            _touch(sign_in_id, moment)
    is_operator = row.is_platform_admin and row.confined_to is None
    is_in_client = is_operator and row.entered_until is not None and row.entered_until > moment
    return Person(
        account_id=row.account_id,
        email=row.email,
        name=row.name,
        is_platform_admin=is_operator,
        has_password=row.password_hash is not None,
        has_factor=row.has_factor,
        sign_in_id=row.id,
        secret=secret,
        confined_to=row.confined_to,
        strong_at=row.strong_at,
        entered_id=row.entered_id if is_in_client else None,
    )


def _touch(sign_in_id: str, moment: datetime) -> None:
    with across_tenants() as session:  # an UPDATE: a sign-in that was ended meanwhile does not come back
        session.execute(update(SignIn).where(SignIn.id == sign_in_id).values(last_used_at=moment))


def is_in_force(cookie: str, life: Life) -> bool:
    """Whether the sign-in still holds: what an open stream asks every few seconds."""
    return find_person(cookie, life) is not None


def end_sign_in(account_id: str, sign_in_id: str) -> bool:
    """End one of an account's sign-ins, within the session's transaction. False when it has none of this id."""
    return _end(SignIn.id == sign_in_id, SignIn.account_id == account_id) == 1


def end_sign_ins(account_id: str, *, but: str | None = None) -> int:
    """End all of an account's sign-ins, except the one it acts from. Returns how many."""
    return _end(SignIn.account_id == account_id, SignIn.id != (but or ""))


def _end(*which: ColumnElement[bool]) -> int:
    leave("the sign-in ended", *which)
    return int(db.session.execute(delete(SignIn).where(*which)).rowcount)


def role_of(person: Person, tenant_id: str) -> str | None:
    """The person's role in a client, asked anew each time; None for none. One who has entered it acts as its admin.

    Where the client asks its people to come by its own provider, no other way of signing in gives a right.
    """
    if person.entered_id == tenant_id:
        return "admin"
    if person.confined_to not in (None, tenant_id):
        return None
    return read(tenant_id, lambda unit: unit.execute(_ROLE, _asked(person)).scalar())


_M, _I = table_of(Membership), table_of(IdentityProvider)
_ROLE = select(_M.c.role).where(
    _M.c.tenant_id == bindparam("of_tenant"),
    _M.c.account_id == bindparam("account"),
    or_(
        bindparam("is_confined"),
        ~select(_I.c.id).where(_I.c.tenant_id == bindparam("of_tenant"), _I.c.is_required).exists(),
    ),
)


def _asked(person: Person) -> dict[str, object]:
    return {"account": person.account_id, "is_confined": person.confined_to is not None}


def has_passkey(account_id: str) -> bool:
    """Whether the account has a passkey, asked within the session."""
    return db.session.scalar(select(Passkey.id).where(Passkey.account_id == account_id).limit(1)) is not None


def has_factor(account_id: str) -> bool:
    """Whether the account has a second factor, asked within the session; nothing is decrypted for it."""
    with_app = select(Account.id).where(Account.id == account_id, Account.totp_secret.is_not(None))
    return db.session.scalar(with_app) is not None or has_passkey(account_id)


def tenants_of(person: Person) -> list[str]:
    """The ids of the clients that the person belongs to."""
    member = select(_M.c.tenant_id).where(_M.c.account_id == bindparam("account"))
    ids = read(EVERY_TENANT, lambda unit: unit.execute(member, {"account": person.account_id}).scalars().all())
    return [str(id_) for id_ in ids if person.confined_to in (None, id_)]


@sweeps
def forget_old_sign_ins() -> int:
    """Delete what nobody can use any more: sign-ins beyond any life that the settings allow."""
    settings = current_app.config["SHAMAN"]
    moment = now()
    over = or_(
        SignIn.last_used_at < moment - timedelta(minutes=settings.SIGN_IN_IDLE_MINUTES),
        SignIn.created_at < moment - timedelta(hours=settings.SIGN_IN_HOURS),
    )
    with across_tenants(writes=False) as session:  # nothing to do takes no write lock
        if session.scalar(select(SignIn.id).where(over).limit(1)) is None:
            return 0
    with across_tenants():
        return _end(over)


def _digest(secret: str) -> str:
    # 256 random bits need no slow hash: there is nothing to guess.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
