"""What was deleted a week ago goes for good, with all that it owns.

Little by little: each portion is a transaction of its own, so that nobody's message waits for a big client to go.
Whatever has a row's tenant, or names one, is found by the schema: a new table is purged without being asked.
"""

import time
from collections.abc import Iterator
from typing import Any, cast

import structlog
from sqlalchemy import Column, CursorResult, delete, select

from chatbot.audit import Actor, record
from chatbot.db import across_tenants
from chatbot.jobs import sweeps
from chatbot.tenancy import Base, now
from chatbot.tenants.models import Tenant
from chatbot.tenants.standing import UNDO_FOR

log = structlog.get_logger(__name__)

PORTION = 20  # rows of a table at first, for a file may be large; then it follows the time that they took
LONGEST, SHORTEST = 0.1, 0.03  # seconds a portion may and should take
AT_ONCE = 5.0  # seconds of a sweep: jobs wait for it
BY_ITSELF = Actor("the platform")


@sweeps
def purge_deleted() -> int:
    """Go on purging what was deleted long enough ago, for some seconds. Returns how many clients are gone."""
    over = Tenant.deleted_at <= now() - UNDO_FOR
    with across_tenants(writes=False) as session:
        ids = session.scalars(select(Tenant.id).where(over).order_by(Tenant.deleted_at).limit(100)).all()
    until = time.monotonic() + AT_ONCE
    return sum(purge_client(tenant_id, BY_ITSELF, until) for tenant_id in ids if time.monotonic() < until)


def purge_client(tenant_id: str, by: Actor, until: float | None = None) -> bool:
    """Remove a client whose deletion can no longer be undone, with everything it owns.

    False when there is none such, or when `until` (monotonic seconds) came first: call it again.
    """
    with across_tenants(writes=False) as session:
        deleted_at = session.scalar(select(Tenant.deleted_at).where(Tenant.id == tenant_id))
    if deleted_at is None or deleted_at > now() - UNDO_FOR:
        return False
    for model, column in _owned():
        portion = removed = PORTION
        while removed == portion:
            began = time.monotonic()
            if until is not None and began > until:
                return False
            removed = _remove_portion(model, column, tenant_id, portion)
            if removed == portion:
                spent = time.monotonic() - began
                removed = portion = _following(portion, spent)
                time.sleep(min(spent, LONGEST))  # on SQLite whoever waits for the one write lock gets it meanwhile
    _remove(tenant_id, by)
    return True


def _owned() -> Iterator[tuple[type[Any], Column[Any]]]:
    """Each model with its column that names the client: what hangs on other rows comes before them."""
    order = [table.name for table in Base.metadata.sorted_tables]
    models = [mapper.class_ for mapper in Base.registry.mappers if mapper.class_.__tablename__ in order]
    for model in sorted(models, key=lambda model: order.index(model.__tablename__), reverse=True):
        for column in model.__table__.columns:
            if any(key.column is Tenant.__table__.c.id for key in column.foreign_keys):
                yield model, column


def _remove_portion(model: type[Any], column: Column[Any], tenant_id: str, most: int) -> int:
    some = select(model.id).where(column == tenant_id).limit(most)
    removal = delete(model).where(model.id.in_(some)).execution_options(synchronize_session=False)
    with across_tenants() as session:
        return cast("CursorResult[Any]", session.execute(removal)).rowcount


def _following(portion: int, seconds: float) -> int:
    """How many rows come next, that a portion takes neither long nor next to nothing."""
    if seconds > LONGEST:
        return max(1, portion // 2)
    return portion * 2 if seconds < SHORTEST else portion


def _remove(tenant_id: str, by: Actor) -> None:
    with across_tenants() as session:
        tenant = session.get(Tenant, tenant_id)
        if tenant is not None:
            record("client.purged", by, target=tenant.name, tenant_id=tenant.id, tenant_slug=tenant.slug)
            session.delete(tenant)
    log.info("client purged", tenant=tenant_id)
