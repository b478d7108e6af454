"""What somebody changes about their own account. A changed password ends what the old one had opened."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, select

from chatbot.accounts.links import RESET, end_reset_links, take_link
from chatbot.accounts.models import Account, SignIn
from chatbot.accounts.people import LONGEST_NAME
from chatbot.accounts.sign_ins import Life, Person, end_sign_in, end_sign_ins
from chatbot.audit import Actor, record
from chatbot.db import across_tenants, db
from chatbot.errors import Forbidden, Invalid, NotFound
from chatbot.tenancy import now

FRESH = timedelta(minutes=15)  # how long ago one has signed in at most, to set a password where there is none


@dataclass(frozen=True, slots=True)
class OpenSignIn:
    """A browser in which somebody is signed in. `device` as the browser calls itself."""

    id: str
    device: str
    address: str
    since: datetime
    last_used_at: datetime
    is_here: bool


def rename(account_id: str, name: str, by: Actor) -> None:
    """Change an account's name, within the session's transaction. Raises Invalid for none, or a long one."""
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME:
        raise Invalid(_("Write your name, in at most %(n)s characters.", n=LONGEST_NAME))
    account = db.session.get(Account, account_id)
    account.name = name
    record("account.renamed", by, target=account.email)


def set_password(account_id: str, password_hash: str, by: Actor, *, but: str | None = None) -> None:
    """Set an account's password within the session's transaction: all its sign-ins end, `but` one, and its links for a new one."""
    account = db.session.get(Account, account_id)
    had_one = account.password_hash is not None
    account.password_hash = password_hash
    end_reset_links(account_id)
    ended = end_sign_ins(account_id, but=but)
    action = "account.password-changed" if had_one else "account.password-set"
    record(action, by, target=account.email, detail={"sign_ins_ended": ended})


def reset_password(secret: str, password_hash: str, address: str) -> Account:
    """Set the password that a link is for, in a transaction of its own. Raises NotFound for a dead link."""
    with across_tenants():
        link = take_link(secret, RESET)
        account = db.session.get(Account, link.account_id)
        if account is None:
            raise NotFound()
        set_password(account.id, password_hash, Actor(account.email, account.id, address))
        return account  # type: ignore[no-any-return]


def check_may_change(person: Person) -> None:
    """Raise Forbidden for whom a client's own provider signed in: it speaks for them in that client, not for the account."""
    if person.confined_to is not None:
        raise Forbidden(_("You signed in with your company's own provider. Your account itself is changed elsewhere."))


def is_fresh(person: Person) -> bool:
    """Whether this sign-in has just begun."""
    row = db.session.get(SignIn, person.sign_in_id)
    return row is not None and now() - row.created_at <= FRESH


def open_sign_ins(person: Person, life: Life) -> list[OpenSignIn]:
    """Where the person is signed in, newest use first. Whom a client's provider signed in sees those in that client alone."""
    moment = now()
    rows = db.session.scalars(
        select(SignIn)
        .where(
            SignIn.account_id == person.account_id,
            SignIn.last_used_at > moment - life.idle,
            SignIn.created_at > moment - life.longest,
            *_in_sight(person),
        )
        .order_by(SignIn.last_used_at.desc())
        .limit(100)
    )
    return [
        OpenSignIn(row.id, row.device, row.address, row.created_at, row.last_used_at, row.id == person.sign_in_id)
        for row in rows
    ]


def end_one(person: Person, sign_in_id: str, by: Actor) -> None:
    """End one of the person's sign-ins, within the session's transaction. Raises NotFound for any other."""
    own = select(SignIn).where(SignIn.id == sign_in_id, SignIn.account_id == person.account_id, *_in_sight(person))
    row = db.session.scalar(own)
    if row is None:
        raise NotFound()
    end_sign_in(person.account_id, row.id)
    record("account.signed-out", by, target=person.email)


def end_others(person: Person, by: Actor) -> int:
    """End all of the person's sign-ins but this one, within the session's transaction. Returns how many."""
    own = select(SignIn).where(
        SignIn.account_id == person.account_id, SignIn.id != person.sign_in_id, *_in_sight(person)
    )
    ended = sum(end_sign_in(person.account_id, row.id) for row in db.session.scalars(own).all())
    record("account.signed-out-elsewhere", by, target=person.email, detail={"sign_ins_ended": ended})
    return ended


def _in_sight(person: Person) -> tuple[ColumnElement[bool], ...]:
    return () if person.confined_to is None else (SignIn.confined_to == person.confined_to,)
