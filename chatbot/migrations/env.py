"""How migrations run: as the database's owner, one at a time, and on SQLite with care.

SQLite's schema changes rebuild tables: with foreign keys on, rebuilding a parent deleted every child and reported
success. So foreign keys are off before the transaction begins, rows are counted before and after, and the keys are
checked at the end. The file is copied first. On PostgreSQL an advisory lock lets one process migrate while others wait.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from alembic import context
from alembic.migration import MigrationContext
from flask import current_app
from sqlalchemy import Connection, NullPool, create_engine, inspect, text

from chatbot import models
from chatbot.config import Settings
from chatbot.tenancy import Base

LOCK = 7_421_001  # any number, the same for every process of ours
settings: Settings = current_app.config["SHAMAN"]
assert models


def run() -> None:
    engine = create_engine(settings.DATABASE_OWNER_URL, poolclass=NullPool)
    with engine.connect() as connection:
        guard = _sqlite_guard if connection.dialect.name == "sqlite" else _postgres_guard
        with guard(connection):
            context.configure(
                connection=connection,
                target_metadata=Base.metadata,
                render_as_batch=True,
                compare_type=True,
                transactional_ddl=True,
                include_name=_ours,
            )
            with context.begin_transaction():
                context.run_migrations()


def _ours(name: str | None, kind: str, parents: Any) -> bool:
    """Whether autogenerate looks at it: `passage.words` is PostgreSQL's alone, and no model's."""
    if kind == "column":
        return (parents["table_name"], name) != ("passage", "words")
    return kind != "table" or name in Base.metadata.tables


@contextmanager
def _postgres_guard(connection: Connection) -> Iterator[None]:
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})
        connection.commit()


@contextmanager
def _sqlite_guard(connection: Connection) -> Iterator[None]:
    raw = connection.connection.driver_connection
    assert raw is not None
    raw.isolation_level = None  # BEGIN is ours: python's sqlite3 would commit before each schema change
    raw.execute("PRAGMA busy_timeout=60000")
    raw.execute("PRAGMA foreign_keys=OFF")
    _copy(connection)
    raw.execute("BEGIN IMMEDIATE")
    before = _counts(connection)
    for name in inspect(connection).get_table_names():
        if name.startswith("_alembic_tmp_"):
            raise RuntimeError(
                f"a table {name} is left from a migration that broke off: restore the copy made before it"
            )
    yield
    after = _counts(connection)
    lost = {name: (rows, after[name]) for name, rows in before.items() if name in after and after[name] < rows}
    broken = raw.execute("PRAGMA foreign_key_check").fetchall()
    if lost or broken:
        connection.rollback()
        raise RuntimeError(f"the migration would lose rows ({lost or broken}): nothing was changed")
    connection.commit()


def _copy(connection: Connection) -> None:
    """Keep what is there as `….before-upgrade`, whole and for its owner alone, unless it is empty or nothing will change."""
    current = MigrationContext.configure(connection).get_current_heads()
    connection.rollback()
    try:
        destination = context.get_revision_argument()
    except KeyError:
        return  # `flask db migrate`, which only compares
    if settings.database_file is None or not current or current == (destination,):
        return
    kept = settings.database_file.with_suffix(".before-upgrade")
    kept.unlink(missing_ok=True)
    os.close(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(kept)) as copy:
        connection.connection.driver_connection.backup(copy)  # whole, though a server may be writing


def _counts(connection: Connection) -> dict[str, int]:
    names = [name for name in inspect(connection).get_table_names() if name != "alembic_version"]
    return {name: connection.exec_driver_sql(f'SELECT count(*) FROM "{name}"').scalar_one() for name in names}  # noqa: S608


run()
