"""Links that do one thing once: make the first platform admin, set a password, join a client.

A link holds 256 random bits and the database their hash. Whoever opens it is shown what it will do; only the form that
is sent then uses it, so a mail scanner that looks at it uses up nothing.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta

from flask import current_app
from sqlalchemy import ColumnElement, delete, select, update

from chatbot.accounts.models import Account, Membership, OneTimeLink
from chatbot.accounts.people import find_account
from chatbot.audit import Actor, record
from chatbot.db import across_tenants, db
from chatbot.errors import NotFound
from chatbot.jobs import sweeps
from chatbot.tenancy import now
from chatbot.tenants.models import Tenant

FIRST_ADMIN, RESET, INVITATION = "first_admin", "reset", "invitation"
LIVES = {FIRST_ADMIN: timedelta(hours=24), RESET: timedelta(minutes=30), INVITATION: timedelta(days=7)}
KEPT_FOR = timedelta(days=30)  # after its end, so that a team sees which invitations were never taken up


@dataclass(frozen=True, slots=True)
class Link:
    """A link that holds, as plain values. `account_id` is whom it was made for, or who has its e-mail by now."""

    id: str
    kind: str
    email: str
    account_id: str | None = None
    account_name: str = ""
    tenant_id: str | None = None
    tenant_slug: str = ""
    tenant_name: str = ""
    role: str = ""
    made_by: str = ""


def make_link(row: OneTimeLink) -> str:
    """Add a link to the session's transaction. Returns its secret, which is nowhere else."""
    secret = secrets.token_urlsafe(32)
    row.secret_hash, row.expires_at = _digest(secret), now() + LIVES[row.kind]
    db.session.add(row)
    return secret


def address_of(secret: str) -> str:
    """The whole address of a link, under PUBLIC_URL."""
    return f"{current_app.config['SHAMAN'].PUBLIC_URL}/link/{secret}"


def make_reset_link(account_id: str, by: Actor) -> str:
    """Make a link with which the account's owner sets a new password, within the session's transaction. Returns its address.

    Raises NotFound for an account that can't have a password: it is switched off, or a client's own provider vouches for it.
    """
    account = db.session.get(Account, account_id)
    if account is None or not account.is_enabled or account.home_id is not None:
        raise NotFound()
    record("account.reset-link-made", by, target=account.email)
    return address_of(
        make_link(OneTimeLink(kind=RESET, account_id=account.id, email=account.email, made_by=by.who[:320]))
    )


def make_first_admin_link() -> str | None:
    """A link that makes the platform's first admin, in a transaction of its own; None when there is one.

    Any made before is dead from now on.
    """
    with across_tenants(writes=False):
        if _has_platform_admin():
            return None
    with across_tenants() as session:
        session.execute(delete(OneTimeLink).where(OneTimeLink.kind == FIRST_ADMIN))
        return address_of(make_link(OneTimeLink(kind=FIRST_ADMIN)))


def find_link(secret: str) -> Link | None:
    """The link with this secret, in a transaction of its own; None when it is used or over, or was never one."""
    with across_tenants(writes=False):
        return _holding(secret)


def take_link(secret: str, kind: str) -> Link:
    """Use a link of this kind, within the session's transaction; of any number at once, one does. Raises NotFound for all others."""
    link = _holding(secret)
    if link is None or link.kind != kind:
        raise NotFound()
    use_up(link)
    return link


def use_up(link: Link) -> None:
    """Use a link that was found, within the session's transaction. Raises NotFound when somebody else was first."""
    unused = OneTimeLink.id == link.id, OneTimeLink.used_at.is_(None)
    if not db.session.execute(update(OneTimeLink).where(*unused).values(used_at=now())).rowcount:
        raise NotFound()


def open_invitations(*which: ColumnElement[bool]) -> list[Link]:
    """The invitations that hold, asked within the session: for whoever opened one, or proved its e-mail, at a provider."""
    holding = OneTimeLink.kind == INVITATION, OneTimeLink.used_at.is_(None), OneTimeLink.expires_at > now()
    rows = db.session.scalars(select(OneTimeLink).where(*holding, *which).order_by(OneTimeLink.id))
    return [link for row in rows if (link := _invitation(row)) is not None]


def end_reset_links(account_id: str) -> None:
    """End the account's links for a new password, within the session's transaction."""
    db.session.execute(delete(OneTimeLink).where(OneTimeLink.account_id == account_id, OneTimeLink.kind == RESET))


def _holding(secret: str) -> Link | None:
    row = db.session.scalar(
        select(OneTimeLink).where(
            OneTimeLink.secret_hash == _digest(secret), OneTimeLink.used_at.is_(None), OneTimeLink.expires_at > now()
        )
    )
    if row is None:
        return None
    if row.kind == FIRST_ADMIN:
        return None if _has_platform_admin() else Link(row.id, row.kind, "")
    return _reset(row) if row.kind == RESET else _invitation(row)


def _reset(row: OneTimeLink) -> Link | None:
    account = _owner(row)
    if account is None or account.home_id is not None:
        return None
    return Link(row.id, row.kind, row.email, account.id, account.name)


def _invitation(row: OneTimeLink) -> Link | None:
    tenant = db.session.get(Tenant, row.tenant_id)
    account = _owner(row) if row.account_id else find_account(row.email)
    if tenant is None or not tenant.is_active or tenant.deleted_at is not None or (row.account_id and account is None):
        return None
    if not _may_invite(row.inviter_id, tenant.id):
        return None
    return Link(
        id=row.id,
        kind=row.kind,
        email=row.email,
        account_id=account.id if account else None,
        account_name=account.name if account else "",
        tenant_id=tenant.id,
        tenant_slug=tenant.slug,
        tenant_name=tenant.name,
        role=row.role or "",
        made_by=row.made_by,
    )


def _owner(row: OneTimeLink) -> Account | None:
    """Whom a link was made for, as long as nobody switched the account off or changed its e-mail."""
    account: Account | None = db.session.get(Account, row.account_id)
    return account if account is not None and account.is_enabled and account.email == row.email else None


def _may_invite(inviter_id: str | None, tenant_id: str) -> bool:
    """Whether an invitation's maker is still somebody who may make one; the command line always is."""
    if inviter_id is None:
        return True
    inviter = db.session.get(Account, inviter_id)
    if inviter is None or not inviter.is_enabled:
        return False
    role = select(Membership.role).where(Membership.account_id == inviter_id, Membership.tenant_id == tenant_id)
    return bool(inviter.is_platform_admin or db.session.scalar(role) == "admin")


def _has_platform_admin() -> bool:
    return db.session.scalar(select(Account.id).where(Account.is_platform_admin).limit(1)) is not None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


@sweeps
def forget_old_links() -> int:
    """Delete the links that ended long ago."""
    over = OneTimeLink.expires_at < now() - KEPT_FOR
    with across_tenants(writes=False) as session:  # nothing to do takes no write lock
        if session.scalar(select(OneTimeLink.id).where(over).limit(1)) is None:
            return 0
    with across_tenants():
        return int(db.session.execute(delete(OneTimeLink).where(over)).rowcount)
