"""Tenant-owned rows and the tenant-bound session.

Every model is a `TenantModel` or, on a short list, a `PlatformModel`. A session belongs to one tenant for life:
it scopes each ORM read, update and delete, stamps and checks each write, and without a tenant refuses tenant rows.
Statements that the scope cannot reach (Core, text, bulk inserts) are refused here; `db.Unit` is where they may run.
"""

import secrets
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from flask_sqlalchemy.session import Session as FlaskSession
from sqlalchemy import DateTime, Engine, ForeignKey, MetaData, String, Table, UniqueConstraint, event, text
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    ORMExecuteState,
    declared_attr,
    mapped_column,
    registry,
    with_loader_criteria,
)
from sqlalchemy.sql.visitors import iterate
from sqlalchemy.types import TypeDecorator

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id() -> str:
    """A ULID in lower case: 26 characters, ordered by time, 80 random bits. Never proof of a right."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))


def now() -> datetime:
    return datetime.now(UTC)


class UTCDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC, on SQLite too (which keeps no zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class Base(DeclarativeBase):
    registry = registry(metadata=MetaData(naming_convention=NAMES), type_annotation_map={datetime: UTCDateTime})


class PlatformModel(Base):
    """A row of the platform itself: `tests/test_isolation.py` holds the short list of them."""

    __abstract__ = True
    id: Mapped[str] = mapped_column(String(26), primary_key=True, default=new_id)


class TenantModel(Base):
    """A row that one tenant owns. Children refer to parents by (tenant_id, id); `id` alone is the key.

    The pair is unique where there are children: it is what their composite keys point at.
    """

    __abstract__ = True
    has_children = False
    id: Mapped[str] = mapped_column(String(26), primary_key=True, default=new_id)

    @declared_attr
    def tenant_id(cls) -> Mapped[str]:
        return mapped_column(String(26), ForeignKey("tenant.id", ondelete="CASCADE"), index=False)

    @declared_attr.directive
    def __table_args__(cls) -> tuple[Any, ...]:
        pair = (UniqueConstraint("tenant_id", "id"),) if cls.has_children else ()
        return (*pair, *cls._table_args())

    @classmethod
    def _table_args(cls) -> Iterable[Any]:
        return ()


class TenancyError(RuntimeError):
    """The code tried to step over the wall between tenants. Never caught: it is a fault of ours."""


EVERY_TENANT = "*"


class TenantSession(FlaskSession):
    """A session that belongs to one tenant for life, or to `EVERY_TENANT`, or (as made) to none."""

    @property
    def tenant_id(self) -> str | None:
        return self.info.get("tenant_id")

    def enter(self, tenant_id: str) -> None:
        """Bind this session to a tenant. Raises TenancyError when it already belongs to another."""
        if self.tenant_id not in (None, tenant_id):
            raise TenancyError("this session belongs to another tenant already")
        self.info["tenant_id"] = tenant_id
        if self.in_transaction():
            bind_connection(self.connection(), tenant_id)

    def get_bind(self, *args: Any, **kwargs: Any) -> Any:
        """The engine, told whether this session writes: on SQLite a writer takes its lock at BEGIN."""
        engine = super().get_bind(*args, **kwargs)
        return _writing(engine) if self.info.get("writes", True) else engine

    def bulk_save_objects(self, *args: Any, **kwargs: Any) -> None:
        raise TenancyError("bulk writes escape the tenant's scope")

    bulk_insert_mappings = bulk_update_mappings = bulk_save_objects  # type: ignore[assignment]


@lru_cache(maxsize=16)
def _writing(engine: Engine) -> Engine:
    return engine.execution_options(writes=True)


def bind_connection(connection: Any, tenant_id: str | None) -> None:
    """Tell PostgreSQL's row-level security whose transaction this is (nothing to do on SQLite)."""
    if connection.dialect.name == "postgresql":
        connection.execute(_SET_TENANT, {"tenant": tenant_id or ""})


_SET_TENANT = text("SELECT set_config('app.tenant', :tenant, true)")


@event.listens_for(TenantSession, "after_begin")
def _tell_database(session: TenantSession, transaction: Any, connection: Any) -> None:
    bind_connection(connection, session.tenant_id)


@event.listens_for(TenantSession, "do_orm_execute")
def _scope(state: ORMExecuteState) -> None:
    session = state.session
    if not isinstance(session, TenantSession) or session.tenant_id == EVERY_TENANT:
        return
    if state.is_insert or state.is_from_statement or not state.is_orm_statement:
        raise TenancyError("a statement that the tenant's scope does not reach")
    tenant_id = session.tenant_id
    if tenant_id is None:
        if _touches_tenant_rows(state):
            raise TenancyError("tenant rows were asked for outside any tenant")
        return
    if isinstance(state.parameters, list):
        raise TenancyError("a bulk update by key escapes the tenant's scope")
    state.statement = state.statement.options(
        with_loader_criteria(TenantModel, lambda cls: cls.tenant_id == tenant_id, include_aliases=True)
    )


def _touches_tenant_rows(state: ORMExecuteState) -> bool:
    """Whether any table of the statement, in its subqueries too, holds tenant rows."""
    if any(issubclass(mapper.class_, TenantModel) for mapper in state.all_mappers):
        return True
    tables = (part for part in iterate(state.statement) if isinstance(part, Table))
    return any("tenant_id" in table.columns and table.name not in PLATFORM_TABLES for table in tables)


PLATFORM_TABLES = {"api_key", "job"}  # they name a tenant, but are looked up before one is known


@event.listens_for(TenantSession, "before_flush")
def _stamp(session: TenantSession, context: Any, instances: Any) -> None:
    if not session.info.get("writes", True):
        raise TenancyError("this session reads only: a GET never writes")
    for row in [*session.new, *session.dirty, *session.deleted]:
        if not isinstance(row, TenantModel) or session.tenant_id == EVERY_TENANT:
            continue
        if session.tenant_id is None:
            raise TenancyError("a tenant row was written outside any tenant")
        if row.tenant_id is None and row in session.new:
            row.tenant_id = session.tenant_id
        if row.tenant_id != session.tenant_id:
            raise TenancyError("a row of another tenant was written")
