"""Who it is that a provider of the platform vouches for: known, made from an invitation, or linked by the owner.

A person is (issuer, subject). The e-mail that a provider says never opens an account that is there already: whoever
has one signs in the way they did before, and links the provider to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from chatbot.accounts.joining import accept
from chatbot.accounts.links import Link, open_invitations
from chatbot.accounts.models import Account, Identity, OneTimeLink
from chatbot.accounts.openid.errors import unknown_person
from chatbot.accounts.openid.providers import SignInProvider, label_of_issuer
from chatbot.accounts.people import NewAccount, add_account, find_account, read_email
from chatbot.accounts.second_factor.factors import lock_account
from chatbot.accounts.sign_ins import end_sign_ins, has_passkey
from chatbot.audit import Actor, record
from chatbot.db import across_tenants, db
from chatbot.errors import Conflict, Forbidden, NotFound, ShamanError
from chatbot.tenancy import now

if TYPE_CHECKING:
    from chatbot.accounts.openid.flows import Vouched

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Linked:
    """One of an account's providers, for its owner to read. `label` is None for one that is no longer set up here."""

    id: str
    label: str | None
    issuer: str
    email: str
    linked_at: datetime
    last_used_at: datetime


def arrive(provider: SignInProvider, vouched: Vouched, invitation_id: str | None, address: str) -> Account:
    """The account of whom a platform's provider vouches for, made now if there is none and somebody invited them.

    `invitation_id` is the invitation that was opened in this browser. Runs in a transaction of its own.
    Raises NotInvited.
    """
    return once_more(lambda: _arrive(provider, vouched, invitation_id, address))


def once_more(work: Callable[[], T]) -> T:
    """Run `work` in a transaction across tenants; and again when it failed, for the same person may have come twice at
    once, and the other time was first: the e-mail is taken, the invitation used, all by themselves."""
    try:
        with across_tenants():
            return work()
    except (IntegrityError, ShamanError):
        with across_tenants():
            return work()


def _arrive(provider: SignInProvider, vouched: Vouched, invitation_id: str | None, address: str) -> Account:
    identity = find_identity(vouched, None)
    opened = open_invitations(OneTimeLink.id == invitation_id) if invitation_id else []
    if identity is not None:
        account = lock_account(identity.account_id)
        identity.email, identity.last_used_at = vouched.email, now()
        invitations = [one for one in opened if one.account_id == account.id and account.is_enabled]
    else:
        proved = read_email(vouched.email) if vouched.is_verified else None
        invitations = [one for one in opened or invitations_of(proved) if one.account_id is None]
        account = _make_account(provider, vouched, invitations[0].email if invitations else proved, bool(invitations))
    for invitation in invitations:
        accept(invitation, account, address)
    db.session.flush()
    return account


def invitations_of(email: str | None) -> list[Link]:
    """The open invitations of an e-mail that was proved."""
    return open_invitations(OneTimeLink.email == email) if email else []


def _make_account(provider: SignInProvider, vouched: Vouched, email: str | None, is_invited: bool) -> Account:
    """An account with `email`, which an invitation or the provider proved. Raises NotInvited."""
    may_come = is_invited or current_app.config["SHAMAN"].OAUTH_SIGN_UP
    if email is None or not may_come or find_account(email) is not None:
        raise unknown_person(provider.label)
    account = add_account(NewAccount(email, vouched.name))
    add_identity(account.id, vouched, None)
    _record("identity.linked", provider, vouched, account, Actor(email, account.id))
    return account


def _record(action: str, provider: SignInProvider, vouched: Vouched, account: Account, by: Actor) -> None:
    record(action, by, target=account.email, detail={"provider": provider.name, "issuer": vouched.issuer})


def find_identity(vouched: Vouched, tenant_id: str | None) -> Identity | None:
    """The identity that a client's own provider, or one of the platform's (None), vouches for."""
    whose = Identity.provider_of.is_(None) if tenant_id is None else Identity.provider_of == tenant_id
    found: Identity | None = db.session.scalar(
        select(Identity).where(whose, Identity.issuer == vouched.issuer, Identity.subject == vouched.subject)
    )
    return found


def add_identity(account_id: str, vouched: Vouched, tenant_id: str | None) -> Identity:
    identity = Identity(
        account_id=account_id,
        provider_of=tenant_id,
        issuer=vouched.issuer,
        subject=vouched.subject,
        email=vouched.email,
    )
    db.session.add(identity)
    return identity


# --- what the owner links --------------------------------------------------------------------------------------------


def identities_of(account_id: str) -> list[Linked]:
    """The platform's providers that an account has linked, oldest first."""
    own = (
        select(Identity).where(Identity.account_id == account_id, Identity.provider_of.is_(None)).order_by(Identity.id)
    )
    return [
        Linked(one.id, label_of_issuer(one.issuer), one.issuer, one.email, one.created_at, one.last_used_at)
        for one in db.session.scalars(own)
    ]


def link(account_id: str, provider: SignInProvider, vouched: Vouched, by: Actor) -> None:
    """Link whom a platform's provider vouches for to the account of its signed-in owner, within the session's transaction.

    Raises Forbidden for an account that a client's provider vouches for, Conflict when somebody else has linked it.
    """
    account = lock_account(account_id)
    if account.home_id is not None or provider.tenant_id is not None:
        raise Forbidden(_("Your company's own sign-in looks after this account: nothing else can be linked to it."))
    known = find_identity(vouched, None)
    if known is not None and known.account_id != account_id:
        raise _linked_elsewhere(provider)
    if known is not None:
        return
    add_identity(account_id, vouched, None)
    _record("identity.linked", provider, vouched, account, by)
    try:
        db.session.flush()
    except IntegrityError:
        db.session.rollback()
        raise _linked_elsewhere(provider) from None


def _linked_elsewhere(provider: SignInProvider) -> Conflict:
    return Conflict(_("This %(name)s account is linked to another account here already.", name=provider.label))


def unlink(account_id: str, identity_id: str, sign_in_id: str, by: Actor) -> None:
    """Take one of the account's providers away, within the session's transaction; other browsers are signed out.

    Raises NotFound for an id that is not the account's, Conflict for the last way in.
    """
    account = lock_account(account_id)
    ways = identities_of(account_id)
    identity = db.session.get(Identity, identity_id)
    if identity is None or identity_id not in [one.id for one in ways]:
        raise NotFound()
    others = [one for one in ways if one.id != identity_id and one.label is not None]
    if account.password_hash is None and not others and not has_passkey(account_id):
        raise Conflict(_("This is your only way in. Set a password first, or link another account."))
    db.session.delete(identity)
    end_sign_ins(account_id, but=sign_in_id)
    record("identity.removed", by, target=account.email, detail={"issuer": identity.issuer})
    db.session.flush()
