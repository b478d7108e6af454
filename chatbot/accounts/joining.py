"""How people come to be: the first platform admin by a link, everybody else by an invitation to a client.

An invitation makes a new account, or takes in the account whose owner is signed in; an e-mail alone joins nobody.
"""

from sqlalchemy import select

from chatbot.accounts.links import FIRST_ADMIN, INVITATION, Link, take_link, use_up
from chatbot.accounts.models import Account, Membership
from chatbot.accounts.people import NewAccount, add_account
from chatbot.audit import Actor, record
from chatbot.db import across_tenants, db
from chatbot.errors import NotFound


def make_first_admin(secret: str, new: NewAccount, address: str) -> Account:
    """Make the platform's first admin, in a transaction of its own. Raises NotFound for a dead link, Conflict for a known e-mail."""
    with across_tenants():
        take_link(secret, FIRST_ADMIN)
        account = add_account(new)
        record("account.platform-admin-granted", Actor(account.email, account.id, address), target=account.email)
        return account


def join_anew(secret: str, name: str, password_hash: str | None, address: str) -> Account:
    """Make the account that an invitation asks for and let it in, in a transaction of its own.

    `password_hash` is None for whoever comes by a provider. Raises NotFound for a dead link, Conflict when somebody has
    an account with this e-mail: its owner signs in and accepts.
    """
    with across_tenants():
        link = take_link(secret, INVITATION)
        account = add_account(NewAccount(link.email, name, password_hash))
        _let_in(link, account, address)
        return account


def join(secret: str, account_id: str, address: str) -> Link:
    """Let the signed-in owner of the invited e-mail in, in a transaction of its own. Raises NotFound for a dead link or anybody else."""
    with across_tenants():
        link = take_link(secret, INVITATION)
        account = db.session.get(Account, account_id)
        if account is None or link.account_id != account.id:
            raise NotFound()
        _let_in(link, account, address)
        return link


def accept(link: Link, account: Account, address: str) -> None:
    """Use an invitation for whom a provider vouches for, within the session's transaction. Raises NotFound when it was used meanwhile."""
    use_up(link)
    _let_in(link, account, address)


def _let_in(link: Link, account: Account, address: str) -> None:
    """Add the membership. Whoever is a member by now stays what they are."""
    own = select(Membership).where(Membership.tenant_id == link.tenant_id, Membership.account_id == account.id)
    if db.session.scalar(own) is None:
        db.session.add(Membership(tenant_id=link.tenant_id, account_id=account.id, role=link.role))
    record(
        "member.joined",
        Actor(account.email, account.id, address),
        target=account.email,
        tenant_id=link.tenant_id,
        tenant_slug=link.tenant_slug,
        detail={"role": link.role, "invited_by": link.made_by},
    )
