"""The operator's list of clients: search, state, order, pages; with each client's use at a glance.

Three queries, however many clients and messages there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from chatbot.db import db, holds
from chatbot.tenants.defaults import Defaults, platform_defaults
from chatbot.tenants.models import Tenant
from chatbot.tenants.standing import gone_at
from chatbot.usage.figures import Sums, Use, in_month, last_activity, sums_under_way
from chatbot.usage.models import UsageDay
from chatbot.usage.quotas import limits_of

PER_PAGE = 50
LONGEST_WORDS = 100
STATES = ("all", "active", "suspended", "deleted")
ORDERS = ("name", "created", "messages", "words", "activity")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the list is asked for. `sort` is one of ORDERS, with a hyphen before it for downwards."""

    words: str = ""
    state: str = "all"
    sort: str = "name"
    page: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One client in the list. `gone_at` is when a deleted one goes for good; `limits` are those in force; `use` is of the
    limit that is nearest, if it has any."""

    id: str
    slug: str
    name: str
    status: str
    deleted_at: datetime | None
    gone_at: datetime | None
    created_at: datetime
    last_at: datetime | None
    limits: dict[str, Any]
    month: Sums
    use: Use | None


@dataclass(frozen=True, slots=True)
class Listing:
    rows: list[Row]
    total: int
    page: int
    pages: int


def list_clients(wanted: Wanted) -> Listing:
    """A page of the clients; the nearest one there is. Read across tenants."""
    matching = _matching(wanted)
    total = db.session.scalar(select(func.count()).select_from(matching.subquery())) or 0
    pages = max(1, -(-total // PER_PAGE))
    page = min(max(1, wanted.page), pages)
    found = db.session.execute(
        matching.add_columns(last_activity())
        .order_by(*_order(wanted.sort), Tenant.slug)
        .offset((page - 1) * PER_PAGE)
        .limit(PER_PAGE)
    ).all()
    return Listing(_rows(found), total, page, pages)


def limits_in_force(tenant: Tenant, defaults: Defaults) -> dict[str, Any]:
    """A client's limits: its own, and the platform's where it has none."""
    return defaults.limits | {name: value for name, value in tenant.limits.items() if value is not None}


def _rows(found: Sequence[Any]) -> list[Row]:
    defaults = platform_defaults()
    limits = {tenant.id: limits_in_force(tenant, defaults) for tenant, _last in found}
    sums = sums_under_way({tenant.id: tenant.time_zone for tenant, _last in found})
    return [
        Row(
            id=tenant.id,
            slug=tenant.slug,
            name=tenant.name,
            status=tenant.status,
            deleted_at=tenant.deleted_at,
            gone_at=gone_at(tenant),
            created_at=tenant.created_at,
            last_at=last_at,
            limits=limits[tenant.id],
            month=sums[tenant.id].month,
            use=max(sums[tenant.id].uses(limits_of(limits[tenant.id], "")), key=lambda use: use.share, default=None),
        )
        for tenant, last_at in found
    ]


def _matching(wanted: Wanted) -> Select[Any]:
    clients = select(Tenant)
    if wanted.state == "deleted":
        clients = clients.where(Tenant.deleted_at.is_not(None))
    else:
        clients = clients.where(Tenant.deleted_at.is_(None))
        if wanted.state in ("active", "suspended"):
            clients = clients.where(Tenant.status == wanted.state)
    words = wanted.words.replace("\0", "").strip()[:LONGEST_WORDS]
    return clients.where(or_(holds(Tenant.name, words), holds(Tenant.slug, words))) if words else clients


def _order(sort: str) -> list[ColumnElement[Any]]:
    orders: dict[str, ColumnElement[Any] | InstrumentedAttribute[Any]] = {
        "name": func.lower(Tenant.name),
        "created": Tenant.created_at,
        "messages": in_month(UsageDay.messages),
        "words": in_month(UsageDay.input_tokens + UsageDay.output_tokens),
        "activity": last_activity(),
    }
    by = orders.get(sort.removeprefix("-"), orders["name"])
    return [(by.desc() if sort.startswith("-") else by.asc()).nulls_last()]
