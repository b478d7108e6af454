"""Tenant-owned rows and the tenant-bound session.

Every model is a `TenantModel` or, on a short list, a `PlatformModel`. A session belongs to one tenant for life:
it scopes each ORM read, update and delete, stamps and checks each write, and without a tenant refuses tenant rows.
Statements that the scope cannot reach (Core, text, bulk inserts) are refused here; `db.Unit` is where they may run.
"""

import secrets
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, cast

from flask_sqlalchemy.session import Session as FlaskSession
from sqlalchemy import (
    Alias,
    Column,
    DateTime,
    Engine,
    ForeignKey,
    MetaData,
    SelectBase,
    String,
    Table,
    UniqueConstraint,
    event,
    text,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    ORMExecuteState,
    attributes,
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
    """A row of the platform itself: `tests/test_tenancy.py` holds the short list of them."""

    __abstract__ = True
    id: Mapped[str] = mapped_column(String(26), primary_key=True, default=new_id)


class NamesTenant(PlatformModel):
    """A row of the platform that may name a tenant and is looked up before one is known: keys and jobs.

    Once a session has a tenant it reads and writes that tenant's alone.
    """

    __abstract__ = True
    tenant_id: Mapped[str | None] = mapped_column(String(26), ForeignKey("tenant.id", ondelete="CASCADE"), index=True)


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
        return (*pair, *cls._table_args(), {"info": {"of_tenants": True}})

    @classmethod
    def _table_args(cls) -> Iterable[Any]:
        return ()


def table_of(model: type[Base]) -> Table:
    """A model's table, for Core statements."""
    return cast(Table, model.__table__)


class TenancyError(RuntimeError):
    """The code tried to step over the wall between tenants. Never caught: it is a fault of ours."""


EVERY_TENANT = "*"
READS_ONLY = "this session reads only: a GET never writes"


class TenantSession(FlaskSession):
    """A session that belongs to one tenant for life, or to `EVERY_TENANT`, or (as made) to none."""

    @property
    def tenant_id(self) -> str | None:
        return cast("str | None", self.info.get("tenant_id"))

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

    bulk_insert_mappings = bulk_update_mappings = bulk_save_objects


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
    if not isinstance(session, TenantSession):
        return
    if not (state.is_select or session.info.get("writes", True)):
        raise TenancyError(READS_ONLY)
    if session.tenant_id == EVERY_TENANT:
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
    if not state.is_relationship_load:  # those are the ORM's own statements, on tables that a model names
        _refuse_unscoped(state)
    state.statement = state.statement.options(
        with_loader_criteria(TenantModel, lambda cls: cls.tenant_id == tenant_id, include_aliases=True),
        with_loader_criteria(NamesTenant, lambda cls: cls.tenant_id == tenant_id, include_aliases=True),
    )


def _touches_tenant_rows(state: ORMExecuteState) -> bool:
    """Whether any table of the statement, in its subqueries too, holds tenant rows."""
    if any(issubclass(mapper.class_, TenantModel) for mapper in state.all_mappers):
        return True
    return any(_tenant_table(part) is not None for part in iterate(cast(Any, state.statement)))


def _refuse_unscoped(state: ORMExecuteState) -> None:
    """Refuse what the criteria pass over: a table used beside its model, a second model in an UPDATE, a new owner."""
    statement, mapper = cast(Any, state.statement), state.bind_mapper
    keys = mapper.primary_key if mapper is not None else ()  # bare, where session.get asks for a row
    tables: set[str] = set()
    modelled: set[str] = set()
    for part in iterate(statement):
        table = _tenant_table(part)
        if table is None:
            continue
        if isinstance(part, Column) and not part._annotations and not any(part is key for key in keys):
            raise TenancyError(f"a column of the table {table.name}: name the model's, which is scoped")
        (modelled if part._annotations else tables).add(table.name)
    if tables - modelled:
        raise TenancyError(f"the tables {tables - modelled}: name their models, which are scoped")
    if state.is_update or state.is_delete:
        _refuse_unscoped_write(state, statement)


def _refuse_unscoped_write(state: ORMExecuteState, statement: Any) -> None:
    for part in _outside_selects(statement):
        owner = part._annotations.get("parententity") if isinstance(part, Column) else None
        if owner is not None and owner is not state.bind_mapper:
            raise TenancyError("a second model in an UPDATE or DELETE isn't scoped: put it in a subquery")
    given = {getattr(column, "key", column) for column in getattr(statement, "_values", None) or {}}
    if "tenant_id" in given | set(cast("dict[str, Any] | None", state.parameters) or {}):
        raise TenancyError("a row stays with its tenant")


def _outside_selects(part: Any) -> Iterator[Any]:
    yield part
    if not isinstance(part, SelectBase):
        for child in part.get_children():
            yield from _outside_selects(child)


def _tenant_table(part: Any) -> Table | None:
    """The table of tenant rows that a piece of a statement is, or is a column of; an alias counts as its table."""
    table = part.table if isinstance(part, Column) else part
    if isinstance(table, Alias):
        table = table.element
    return table if isinstance(table, Table) and table.info.get("of_tenants") else None


@event.listens_for(TenantSession, "before_flush")
def _stamp(session: TenantSession, context: Any, instances: Any) -> None:
    if not session.info.get("writes", True):
        raise TenancyError(READS_ONLY)
    if session.tenant_id == EVERY_TENANT:
        return
    for row in [*session.new, *session.dirty, *session.deleted]:
        if isinstance(row, TenantModel):
            if session.tenant_id is None:
                raise TenancyError("a tenant row was written outside any tenant")
            if row.tenant_id is None and row in session.new:
                row.tenant_id = session.tenant_id
            _check_owner(session, row)
        elif isinstance(row, NamesTenant) and session.tenant_id is not None:
            _check_owner(session, row)


def _check_owner(session: TenantSession, row: TenantModel | NamesTenant) -> None:
    if row.tenant_id != session.tenant_id:
        raise TenancyError("a row of another tenant was written")
    if row not in session.new and attributes.get_history(row, "tenant_id").has_changes():
        raise TenancyError("a row stays with its tenant")
