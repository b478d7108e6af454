"""Everything about one account, for the operator. Columns are asked for, not rows: no secret is opened to show it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from chatbot.accounts.directory import Row, account_rows
from chatbot.accounts.models import Account, Identity, Membership, Passkey, RecoveryCode, SignIn
from chatbot.db import db
from chatbot.errors import NotFound
from chatbot.tenants.models import Tenant

SHOWN = 100  # sign-ins, and clients


@dataclass(frozen=True, slots=True)
class Portrait:
    """Everything about one account, as rows of plain values."""

    row: Row
    has_password: bool
    has_app: bool
    codes_left: int
    memberships: Sequence[Any]  # slug, name, role
    identities: Sequence[Any]  # issuer, email, client, last_used_at
    passkeys: Sequence[Any]  # name, created_at, last_used_at
    sign_ins: Sequence[Any]  # id, device, address, created_at, last_used_at, is_strong, entered


def portray(account_id: str) -> Portrait:
    """Everything about one account, read across tenants. Raises NotFound."""
    found = db.session.execute(account_rows().where(Account.id == account_id)).first()
    if found is None:
        raise NotFound()
    has = db.session.execute(
        select(Account.password_hash.is_not(None), Account.totp_secret.is_not(None)).where(Account.id == account_id)
    ).one()
    unused = select(func.count(RecoveryCode.id)).where(
        RecoveryCode.account_id == account_id, RecoveryCode.used_at.is_(None)
    )
    memberships = _memberships(account_id)
    return Portrait(
        row=Row(**found._mapping, clients=len(memberships)),
        has_password=has[0],
        has_app=has[1],
        codes_left=db.session.scalar(unused) or 0,
        memberships=memberships,
        identities=_identities(account_id),
        passkeys=db.session.execute(
            select(Passkey.name, Passkey.created_at, Passkey.last_used_at)
            .where(Passkey.account_id == account_id)
            .order_by(Passkey.id)
        ).all(),
        sign_ins=_sign_ins(account_id),
    )


def _memberships(account_id: str) -> Sequence[Any]:
    return db.session.execute(  # type: ignore[no-any-return]
        select(Tenant.slug, Tenant.name, Membership.role)
        .join(Membership, Membership.tenant_id == Tenant.id)
        .where(Membership.account_id == account_id, Tenant.deleted_at.is_(None))
        .order_by(Tenant.name)
        .limit(SHOWN)
    ).all()


def _identities(account_id: str) -> Sequence[Any]:
    return db.session.execute(  # type: ignore[no-any-return]
        select(Identity.issuer, Identity.email, Tenant.name.label("client"), Identity.last_used_at)
        .outerjoin(Tenant, Tenant.id == Identity.provider_of)
        .where(Identity.account_id == account_id)
        .order_by(Identity.id)
    ).all()


def _sign_ins(account_id: str) -> Sequence[Any]:
    return db.session.execute(  # type: ignore[no-any-return]
        select(
            SignIn.id,
            SignIn.device,
            SignIn.address,
            SignIn.created_at,
            SignIn.last_used_at,
            SignIn.strong_at.is_not(None).label("is_strong"),
            Tenant.name.label("entered"),
        )
        .outerjoin(Tenant, Tenant.id == SignIn.entered_id)
        .where(SignIn.account_id == account_id)
        .order_by(SignIn.last_used_at.desc())
        .limit(SHOWN)
    ).all()
