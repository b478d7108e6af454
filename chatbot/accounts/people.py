"""Making accounts."""

from argon2 import PasswordHasher
from email_validator import EmailNotValidError, validate_email
from flask_babel import gettext as _
from sqlalchemy import select

from chatbot.accounts.models import Account, Membership
from chatbot.db import across_tenants, db
from chatbot.errors import Conflict, Invalid
from chatbot.tenants.clients import find_client

SHORTEST_PASSWORD = 10


def create_account(
    email: str, name: str, password: str | None, *, is_platform_admin: bool, slug: str | None, role: str
) -> Account:
    """Make an account, in a client when `slug` names one. Raises Invalid, Conflict for a known e-mail, NotFound."""
    try:
        address = validate_email(email, check_deliverability=False).normalized.lower()
    except EmailNotValidError as error:
        raise Invalid(_("This is no e-mail address.")) from error
    if password is not None and len(password) < SHORTEST_PASSWORD:
        raise Invalid(_("A password has at least %(n)s characters.", n=SHORTEST_PASSWORD))
    with across_tenants() as session:
        if session.scalar(select(Account).where(Account.email == address)):
            raise Conflict(_("There is an account with this e-mail already."))
        account = Account(
            email=address,
            name=name,
            is_platform_admin=is_platform_admin,
            password_hash=PasswordHasher().hash(password) if password else None,
        )
        session.add(account)
        session.flush()
        if slug:
            session.add(Membership(tenant_id=find_client(slug).id, account_id=account.id, role=role))
    return account


def is_member(account_id: str) -> bool:
    """Whether the account belongs to the session's tenant, in whatever role."""
    own = select(Membership.id).where(Membership.account_id == account_id)
    return db.session.scalar(own.limit(1)) is not None
