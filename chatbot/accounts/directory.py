"""The operator's directory of accounts: search, state, order, pages.

Columns are asked for, not rows: no secret is opened to show a list.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select

from chatbot.accounts.models import Account, Membership, Passkey, SignIn
from chatbot.db import db, holds
from chatbot.tenants.models import Tenant

PER_PAGE = 50
LONGEST_WORDS = 100
STATES = ("all", "admins", "off", "no-factor")
ORDERS = ("name", "created", "used")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the list is asked for. `sort` is one of ORDERS, with a hyphen before it for downwards."""

    words: str = ""
    state: str = "all"
    sort: str = "name"
    page: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One account in the list; `home` names the client whose own provider alone vouches for it."""

    id: str
    email: str
    name: str
    is_platform_admin: bool
    is_enabled: bool
    created_at: datetime
    home: str | None
    has_factor: bool
    last_used_at: datetime | None
    clients: int


@dataclass(frozen=True, slots=True)
class Listing:
    rows: list[Row]
    total: int
    page: int
    pages: int


_LAST_USED = (
    select(func.max(SignIn.last_used_at)).where(SignIn.account_id == Account.id).correlate(Account).scalar_subquery()
)


def has_factor() -> ColumnElement[bool]:
    """Whether the account has a second factor, for a statement about accounts."""
    passkey = select(Passkey.id).where(Passkey.account_id == Account.id).correlate(Account).exists()
    return or_(Account.totp_secret.is_not(None), passkey)


def account_rows() -> Any:
    """A select of what `Row` holds but its `clients`."""
    return select(
        Account.id,
        Account.email,
        Account.name,
        Account.is_platform_admin,
        Account.is_enabled,
        Account.created_at,
        Tenant.name.label("home"),
        has_factor().label("has_factor"),
        _LAST_USED.label("last_used_at"),
    ).outerjoin(Tenant, Tenant.id == Account.home_id)


def list_accounts(wanted: Wanted) -> Listing:
    """A page of the accounts, the nearest one there is; read across tenants. Three queries, however many there are."""
    conditions = list(_conditions(wanted))
    total = db.session.scalar(select(func.count(Account.id)).where(*conditions)) or 0
    pages = max(1, -(-total // PER_PAGE))
    page = min(max(1, wanted.page), pages)
    found = db.session.execute(
        account_rows()
        .where(*conditions)
        .order_by(_order(wanted.sort), Account.email, Account.id)
        .offset((page - 1) * PER_PAGE)
        .limit(PER_PAGE)
    ).all()
    clients = _count_clients([row.id for row in found])
    return Listing([Row(**row._mapping, clients=clients.get(row.id, 0)) for row in found], total, page, pages)


def _conditions(wanted: Wanted) -> list[Any]:
    conditions: list[Any] = []
    words = wanted.words.strip()[:LONGEST_WORDS]
    if words:
        conditions.append(or_(holds(Account.email, words), holds(Account.name, words)))
    if wanted.state == "admins":
        conditions.append(Account.is_platform_admin)
    elif wanted.state == "off":
        conditions.append(~Account.is_enabled)
    elif wanted.state == "no-factor":
        conditions.append(~has_factor())
    return conditions


def _order(sort: str) -> ColumnElement[Any]:
    orders: dict[str, ColumnElement[Any]] = {
        "name": func.lower(func.coalesce(func.nullif(Account.name, ""), Account.email)),
        "created": Account.created_at.expression,
        "used": _LAST_USED,
    }
    by = orders.get(sort.removeprefix("-"), orders["name"])
    return (by.desc() if sort.startswith("-") else by.asc()).nulls_last()


def _count_clients(account_ids: Sequence[str]) -> dict[str, int]:
    rows = db.session.execute(
        select(Membership.account_id, func.count())
        .join(Tenant, Tenant.id == Membership.tenant_id)
        .where(Membership.account_id.in_(account_ids), Tenant.deleted_at.is_(None))
        .group_by(Membership.account_id)
    )
    return {account_id: count for account_id, count in rows}
