"""One row of every model for a client, with a canary in every text: what a new model gets without being asked."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Table,
    Text,
)

import chatbot.models
from chatbot.secrets_at_rest import Encrypted, Placed, place_in
from chatbot.tenancy import Base, PlatformModel, TenantModel, new_id

assert chatbot.models

WHEN = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
LONGEST_CODE = 64  # a text column up to here holds a code, a hash or a name that programs read, never people's words
CODES = {"scope": "messages", "period": "2026-03", "role": "user", "currency": "USD", "state": "published"}


def models() -> list[type[Any]]:
    """Every model of the product, parents before children."""
    order = [table.name for table in Base.metadata.sorted_tables]
    mapped = [mapper.class_ for mapper in Base.registry.mappers if mapper.class_.metadata is Base.metadata]
    return sorted(mapped, key=lambda model: order.index(model.__tablename__))


def tenant_models() -> list[type[TenantModel]]:
    return [model for model in models() if issubclass(model, TenantModel)]


def platform_models() -> list[type[PlatformModel]]:
    return [model for model in models() if issubclass(model, PlatformModel)]


def tenant_tables() -> list[str]:
    return [model.__tablename__ for model in tenant_models()]


def canary(mark: str, column: Column[Any]) -> str:
    return f"CNRY-{mark}-{column.table.name}-{column.name}"


def insert_one_of_each(connection: Connection, mark: str, tables: list[Table] | None = None) -> dict[str, str]:
    """Insert a client called `mark` with one row in every table, by Core. Returns the ids by table."""
    ids: dict[str, str] = {}
    for table in tables or Base.metadata.sorted_tables:
        if "id" in table.columns:
            ids[table.name] = new_id()
            connection.execute(table.insert().values(row_of(table, mark, ids)))
    return ids


def row_of(table: Table, mark: str, ids: dict[str, str]) -> dict[str, Any]:
    """Values for a row of `table`; `ids` has its own id and those of the rows it may point at."""
    return {column.name: _value(column, mark, ids) for column in table.columns if column.computed is None}


def _value(column: Column[Any], mark: str, ids: dict[str, str]) -> Any:
    if column.name == "id":
        return ids[column.table.name]
    for key in column.foreign_keys:
        parent = key.target_fullname.split(".")[0]
        if key.column.name == "id":
            return ids[parent]
    if column.name.endswith("_id") and isinstance(column.type, String):
        return ids.get(column.name.removesuffix("_id"), new_id())
    if isinstance(column.type, Encrypted):
        return Placed(canary(mark, column), place_in(column, ids[column.table.name]))
    return _value_by_type(column, mark)


def _value_by_type(column: Column[Any], mark: str) -> Any:
    kind = column.type
    if isinstance(kind, Text) or (isinstance(kind, String) and (kind.length or 0) > LONGEST_CODE):
        return canary(mark, column)[: getattr(kind, "length", None)]
    if isinstance(kind, String):
        return CODES.get(column.name, f"{mark}-{column.name}"[: kind.length])
    if isinstance(kind, JSON):
        return {"text": canary(mark, column)}
    if isinstance(kind, LargeBinary):
        return canary(mark, column).encode()
    for base, value in ((Boolean, True), (Integer, 7), (BigInteger, 7), (Numeric, Decimal("1.25"))):
        if isinstance(kind, base):
            return value
    if isinstance(getattr(kind, "impl", kind), DateTime):
        return WHEN
    raise TypeError(f"tests/rows.py has no value for {column} of type {kind!r}")


def contents(connection: Connection, table: Table) -> list[dict[str, Any]]:
    """Every row of a table as plain values, in the order of ids: equal when nothing was lost or changed."""
    rows = connection.execute(table.select()).mappings()
    return sorted(({name: _plain(value) for name, value in row.items()} for row in rows), key=json.dumps)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return str(value) if isinstance(value, Decimal) else value
