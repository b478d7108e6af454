"""A client's people: who belongs to it as what, who is invited, and that somebody stays who may do everything.

The session is the client's. Whoever changes people holds the client's row, so that two admins at once never take each
other's right away (on SQLite a transaction that writes is alone anyway).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, Select, delete, func, or_, select

from chatbot.accounts.links import INVITATION, address_of, make_link
from chatbot.accounts.models import Account, IdentityProvider, Membership, OneTimeLink, SignIn
from chatbot.accounts.people import LONGEST_NAME, find_account
from chatbot.audit import Actor, record
from chatbot.db import db, holds
from chatbot.errors import Conflict, NotFound
from chatbot.tenancy import now
from chatbot.tenants.models import Tenant

PER_PAGE = 50
MOST_INVITATIONS = 500  # open ones of a client


@dataclass(frozen=True, slots=True)
class Member:
    """One of a client's people. `id` is the membership's; `is_own` for those whom the client's own provider signs in."""

    id: str
    account_id: str
    email: str
    name: str
    role: str
    last_sign_in_at: datetime | None
    is_enabled: bool
    is_own: bool


@dataclass(frozen=True, slots=True)
class Team:
    """A page of a client's members, and how many there are on all its pages."""

    members: list[Member]
    total: int
    page: int
    pages: int


@dataclass(frozen=True, slots=True)
class Invitation:
    """One that nobody has taken up."""

    id: str
    email: str
    role: str
    made_by: str
    created_at: datetime
    is_over: bool


_MEMBER = (
    select(
        Membership.id,
        Account.id.label("account_id"),
        Account.email,
        Account.name,
        Membership.role,
        Account.last_sign_in_at,
        Account.is_enabled,
        Account.home_id.is_not(None).label("is_own"),
    )
    .join(Account, Account.id == Membership.account_id)
    .order_by(Account.email, Membership.id)
)


def list_members(words: str = "", page: int = 1) -> Team:
    """The members whose e-mail or name holds `words`, by e-mail; `page` counts from 1."""
    words = words.strip()[:LONGEST_NAME]
    named = [or_(holds(Account.email, words), holds(Account.name, words))] if words else []
    asked = _MEMBER.where(*named)
    total = db.session.scalar(asked.with_only_columns(func.count(Membership.id)).order_by(None)) or 0
    pages = max(1, -(-total // PER_PAGE))
    page = min(max(1, page), pages)
    rows = db.session.execute(asked.limit(PER_PAGE).offset((page - 1) * PER_PAGE))
    return Team([Member(*row) for row in rows], total, page, pages)


def find_member(member_id: str) -> Member:
    """Raises NotFound."""
    row = db.session.execute(_MEMBER.where(Membership.id == member_id)).first()
    if row is None:
        raise NotFound()
    return Member(*row)


def change_role(member_id: str, role: str, by: Actor) -> Member:
    """Give a member another role. Returns them as they were. Raises NotFound, Conflict for the last admin."""
    tenant = _lock_client()
    member = find_member(member_id)
    if member.role == role:
        return member
    if role != "admin":
        _refuse_last_admin(member)
    db.session.get(Membership, member.id).role = role
    record("member.role-changed", by, target=member.email, detail={"from": member.role, "to": role}, **_place(tenant))
    return member


def remove_member(member_id: str, by: Actor) -> Member:
    """Take a member out of the client; their account stays, for it may belong elsewhere. Returns them as they were.

    Raises NotFound, Conflict for the last admin.
    """
    tenant = _lock_client()
    member = find_member(member_id)
    _refuse_last_admin(member)
    db.session.delete(db.session.get(Membership, member.id))
    in_client_alone = SignIn.account_id == member.account_id, SignIn.confined_to == tenant.id
    db.session.execute(delete(SignIn).where(*in_client_alone))
    record("member.removed", by, target=member.email, detail={"role": member.role}, **_place(tenant))
    return member


def require_second_factor(value: bool, by: Actor) -> None:
    """Ask the client's people for a second factor, or no longer."""
    tenant = _lock_client()
    if tenant.requires_second_factor != value:
        tenant.requires_second_factor = value
        action = "client.second-factor-required" if value else "client.second-factor-optional"
        record(action, by, target=tenant.name, **_place(tenant))


def _refuse_last_admin(member: Member) -> None:
    """Raise Conflict when nobody who can sign in would be left who may do everything."""
    if member.role == "admin" and not has_other_admin(member.account_id, db.session().tenant_id):
        raise Conflict(_("A client needs an admin. Make somebody else one first."))


def _lock_client() -> Tenant:
    tenant_id = db.session().tenant_id
    tenant: Tenant = db.session.scalar(
        select(Tenant).where(Tenant.id == tenant_id).with_for_update().execution_options(populate_existing=True)
    )
    return tenant


def _place(tenant: Tenant) -> dict[str, Any]:
    return {"tenant_id": tenant.id, "tenant_slug": tenant.slug}


# --- invitations -----------------------------------------------------------------------------------------------------


def list_invitations() -> list[Invitation]:
    """The client's invitations that nobody has taken up, newest first."""
    rows = db.session.scalars(_unused().order_by(OneTimeLink.id.desc()).limit(MOST_INVITATIONS))
    moment = now()
    return [
        Invitation(row.id, row.email, row.role or "", row.made_by, row.created_at, row.expires_at <= moment)
        for row in rows
    ]


def invite(email: str, role: str, by: Actor) -> str:
    """Invite somebody; an earlier invitation of theirs is dead from now on. Returns the link's address.

    `email` as `read_email` gives it. Raises Conflict for a member, or when very many are invited.
    """
    tenant = _lock_client()
    account = find_account(email)
    if account is not None and db.session.scalar(select(Membership.id).where(Membership.account_id == account.id)):
        raise Conflict(_("%(email)s is in your team already.", email=email))
    db.session.execute(delete(OneTimeLink).where(*_of_client(), OneTimeLink.email == email))
    if len(db.session.scalars(_unused().with_only_columns(OneTimeLink.id)).all()) >= MOST_INVITATIONS:
        raise Conflict(_("Very many invitations are open. Withdraw some first."))
    record("member.invited", by, target=email, detail={"role": role}, **_place(tenant))
    row = OneTimeLink(
        kind=INVITATION,
        tenant_id=tenant.id,
        account_id=account.id if account else None,
        email=email,
        role=role,
        made_by=by.who,
        inviter_id=by.account_id,
    )
    return address_of(make_link(row))


def invite_again(invitation_id: str, by: Actor) -> tuple[str, str]:
    """Make a new link for an invitation; the one before is dead. Returns its e-mail and the new link's address. Raises as `invite`."""
    row = _find_invitation(invitation_id)
    return row.email, invite(row.email, row.role or "user", by)


def withdraw(invitation_id: str, by: Actor) -> str:
    """Take an invitation back. Returns its e-mail. Raises NotFound."""
    row = _find_invitation(invitation_id)
    tenant = _lock_client()
    db.session.delete(row)
    record("member.invitation-withdrawn", by, target=row.email, **_place(tenant))
    return row.email


def _find_invitation(invitation_id: str) -> OneTimeLink:
    row: OneTimeLink | None = db.session.scalar(_unused().where(OneTimeLink.id == invitation_id))
    if row is None:
        raise NotFound()
    return row


def _unused() -> Select[OneTimeLink]:
    return select(OneTimeLink).where(*_of_client())


def _of_client() -> tuple[ColumnElement[bool], ...]:
    """Links are the platform's rows, so the client is named: no session's scope reaches them."""
    tenant_id = db.session().tenant_id
    return OneTimeLink.kind == INVITATION, OneTimeLink.tenant_id == tenant_id, OneTimeLink.used_at.is_(None)


def has_other_admin(account_id: str, tenant_id: str) -> bool:
    """Whether the client has another admin who can come in: by its own provider, where it asks for that."""
    others = (
        select(Membership.id)
        .join(Account, Account.id == Membership.account_id)
        .where(
            Membership.tenant_id == tenant_id,
            Membership.role == "admin",
            Membership.account_id != account_id,
            Account.is_enabled,
        )
    )
    required = select(IdentityProvider.id).where(IdentityProvider.tenant_id == tenant_id, IdentityProvider.is_required)
    if db.session.scalar(required) is not None:
        others = others.where(Account.home_id == tenant_id)
    return db.session.scalar(others.limit(1)) is not None
