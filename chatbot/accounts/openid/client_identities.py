"""Who it is that a client's own provider vouches for, and what they may do in that client, which is all that it can say.

Such a person has an account of their own (`home_id`), whatever its e-mail: it is nobody else's, and a sign-in with it
counts in this client alone. Where the provider's answer holds the claim that the client maps to roles, the role
follows it at each sign-in; the client's last admin keeps theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flask_babel import gettext as _
from sqlalchemy import select

from chatbot.accounts.joining import accept
from chatbot.accounts.links import Link, open_invitations
from chatbot.accounts.members import has_other_admin
from chatbot.accounts.models import Account, Membership, OneTimeLink
from chatbot.accounts.openid.errors import not_in_client
from chatbot.accounts.openid.identities import add_identity, find_identity, invitations_of, once_more
from chatbot.accounts.openid.providers import SignInProvider
from chatbot.accounts.people import read_email
from chatbot.accounts.second_factor.factors import lock_account
from chatbot.accounts.sign_ins import end_sign_ins
from chatbot.audit import Actor, record
from chatbot.db import db
from chatbot.errors import Forbidden, NotFound
from chatbot.rights import RANKS
from chatbot.tenancy import now
from chatbot.tenants.models import Tenant

if TYPE_CHECKING:
    from chatbot.accounts.openid.flows import Vouched


def arrive_at_client(provider: SignInProvider, vouched: Vouched, invitation_id: str | None, address: str) -> Account:
    """The account of whom a client's provider vouches for, with their role in the client as of now.

    Made now when the claim gives a role, or when somebody invited them. Runs in a transaction of its own, committed
    also when it takes the last right away. Raises NotInvited; Forbidden for an account that was switched off.
    """
    account = once_more(lambda: _arrive(provider, vouched, invitation_id, address))
    if account is None:
        raise not_in_client(provider.label)
    return account


def role_by_claim(claims: Mapping[str, Any], claim: str, roles: Mapping[str, str]) -> str | None:
    """The highest role that the values of `claim` are mapped to; None for none."""
    from chatbot.accounts.openid.tokens import claim_of  # with authlib: not before somebody signs in

    said = claim_of(claims, claim) if claim else None
    values = said if isinstance(said, list) else [said]
    given = {roles[value] for value in values if isinstance(value, str) and value in roles}
    return next((role for role in reversed(RANKS) if role in given), None)


def _arrive(provider: SignInProvider, vouched: Vouched, invitation_id: str | None, address: str) -> Account | None:
    tenant = db.session.get(Tenant, provider.tenant_id, with_for_update=True)  # one change of its admins at a time
    if tenant is None:
        raise NotFound()
    role = role_by_claim(vouched.claims, provider.claim, provider.roles)
    invitations = _invitations(vouched, invitation_id, tenant.id)
    identity = find_identity(vouched, tenant.id)
    if identity is not None:
        account = lock_account(identity.account_id)
        identity.email, identity.last_used_at = vouched.email, now()
    elif role is not None or invitations:
        account = _make_account(vouched, tenant)
    else:
        return None
    if not account.is_enabled:
        raise Forbidden(_("This account has been switched off. Please ask whoever invited you."))
    account.email = read_email(vouched.email) or account.email
    account.name = vouched.name or account.name or vouched.email or vouched.subject[:200]
    by = Actor(account.email or account.name, account.id, address)
    if provider.claim:
        _follow_claim(account, role, tenant, by)
    for invitation in invitations:
        accept(invitation, account, address)
    db.session.flush()
    return account if _membership(account.id, tenant.id) is not None else None


def _invitations(vouched: Vouched, invitation_id: str | None, tenant_id: str) -> list[Link]:
    """The open invitation to this client that was opened in the browser; else those to an e-mail that is proved."""
    opened = open_invitations(OneTimeLink.id == invitation_id) if invitation_id else []
    proved = read_email(vouched.email) if vouched.is_verified else None
    here = [one for one in opened if one.tenant_id == tenant_id]
    return here or [one for one in invitations_of(proved) if one.tenant_id == tenant_id]


def _make_account(vouched: Vouched, tenant: Tenant) -> Account:
    account = Account(email=read_email(vouched.email) or "", name=vouched.name, home_id=tenant.id)
    db.session.add(account)
    db.session.flush()
    add_identity(account.id, vouched, tenant.id)
    record(
        "account.created",
        Actor(account.email or vouched.subject, account.id),
        target=account.email or vouched.subject,
        tenant_id=tenant.id,
        tenant_slug=tenant.slug,
        detail={"provider": "the client's own", "issuer": vouched.issuer},
    )
    db.session.flush()
    return account


def _follow_claim(account: Account, role: str | None, tenant: Tenant, by: Actor) -> None:
    """Give, change or take the role as the claim says; what somebody gave by hand is theirs until the claim gives one."""
    membership = _membership(account.id, tenant.id)
    before = membership.role if membership is not None else None
    if membership is None and role is not None:
        membership = Membership(tenant_id=tenant.id, account_id=account.id, role=role, is_by_claim=True)
        db.session.add(membership)
    elif membership is None or (role is None and not membership.is_by_claim):
        return
    elif before == "admin" and role != "admin" and not has_other_admin(account.id, tenant.id):
        _record("member.kept-as-last-admin", account, tenant, by, before, before)
        return
    elif role is None:
        db.session.delete(membership)
        end_sign_ins(account.id)
    else:
        membership.role, membership.is_by_claim = role, True
    if before != role:
        _record("member.role-by-claim", account, tenant, by, before, role)
    db.session.flush()


def _record(action: str, account: Account, tenant: Tenant, by: Actor, before: str | None, after: str | None) -> None:
    detail = {"before": before, "after": after}
    record(action, by, target=account.email, tenant_id=tenant.id, tenant_slug=tenant.slug, detail=detail)


def _membership(account_id: str, tenant_id: str) -> Membership | None:
    found: Membership | None = db.session.scalar(
        select(Membership).where(Membership.tenant_id == tenant_id, Membership.account_id == account_id)
    )
    return found
