"""The database: sessions that belong to one tenant, and units of work for the turn.

Two ways in. The ORM session `db.session` (pages, forms, commands, jobs), whose tenant is entered by a door or by
`as_tenant()`. And `write()` / `read()`, which run one prepared piece of Core work in a transaction of its own
(`chat/store.py`, `usage/quotas.py`): on SQLite all such writes go through one writer thread with group commit.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ColumnElement, Connection, CursorResult, Engine, Executable, Insert, event, func
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.pool import QueuePool

from chatbot.config import BadSetting, Settings
from chatbot.sqlite_writer import SQLiteWriter
from chatbot.tenancy import EVERY_TENANT, Base, TenancyError, TenantSession, bind_connection

T = TypeVar("T")
BUSY_SECONDS = 20
LOOK_AGAIN = 0.005  # seconds between two looks whether another process still writes


class Database(SQLAlchemy):
    session: Any  # a scoped TenantSession; typed loosely because scoped_session proxies it


db = Database(
    model_class=Base, session_options={"class_": TenantSession, "expire_on_commit": False}, disable_autonaming=True
)


@dataclass(frozen=True, slots=True)
class Unit:
    """One transaction of one tenant, for Core statements whose tenant is bound here and nowhere else.

    A statement asks for its tenant as `:of_tenant`; an `insert()` is given the column itself. (SQLAlchemy keeps a
    column's own name for SET and VALUES.)
    """

    connection: Connection
    tenant_id: str

    def execute(self, statement: Executable, values: dict[str, Any] | None = None) -> CursorResult[*tuple[Any, ...]]:
        return self.connection.execute(statement, {**(values or {}), _tenant_key(statement): self.tenant_id})

    def execute_many(self, statement: Executable, rows: list[dict[str, Any]]) -> None:
        if rows:
            key = _tenant_key(statement)
            self.connection.execute(statement, [{**row, key: self.tenant_id} for row in rows])


def _tenant_key(statement: Executable) -> str:
    return "tenant_id" if isinstance(statement, Insert) else "of_tenant"


def write(tenant_id: str, work: Callable[[Unit], T]) -> T:
    """Run `work` in one write transaction of `tenant_id`, committed when this returns. What it raises is rolled back."""
    _let_go()
    return _state().write(tenant_id, work)


def is_passing(error: Exception) -> bool:
    """Whether `error` may be over soon without anybody's doing: a lock, a full disk, a server that restarts."""
    return isinstance(error, OperationalError | InterfaceError | PoolTimeout)


def read(tenant_id: str, work: Callable[[Unit], T]) -> T:
    """Run `work` on one consistent snapshot of `tenant_id`; once more when the server ended the connection under it."""
    _let_go()
    try:
        return _read(tenant_id, work)
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        return _read(tenant_id, work)


def _read(tenant_id: str, work: Callable[[Unit], T]) -> T:
    with db.engine.connect() as connection:
        bind_connection(connection, tenant_id)
        return work(Unit(connection, tenant_id))


@contextmanager
def as_tenant(tenant_id: str, *, writes: bool = True) -> Iterator[TenantSession]:
    """A fresh session of one tenant (jobs, streams, commands, tests); commits at the end, rolls back on an error."""
    if not tenant_id or tenant_id == EVERY_TENANT:
        raise TenancyError("as_tenant() needs a tenant")
    with _fresh_session(tenant_id, writes) as session:
        yield session


@contextmanager
def across_tenants(*, writes: bool = True) -> Iterator[TenantSession]:
    """The one way over the wall, for the admin area, the job runner and the command line."""
    with _fresh_session(EVERY_TENANT, writes) as session:
        yield session


@contextmanager
def _fresh_session(tenant_id: str, writes: bool) -> Iterator[TenantSession]:
    _let_go()
    app = cast(Any, current_app)._get_current_object()
    with app.app_context():
        session = db.session()
        session.info["writes"] = writes
        session.enter(tenant_id)
        yield session
        session.commit()


def _let_go() -> None:
    """Give back the connection that this context's session reads with, before another is taken.

    As many requests as the pool has connections, each with one in its hand and waiting for a second, waited until they
    were refused. And SQLite has one write lock: a write inside a write would wait for itself, so that is refused here.
    """
    registry = db.session.registry
    if registry.has() and registry().in_transaction():
        outer = registry()
        if outer.info.get("writes", True):
            raise TenancyError("this context's session is in a write transaction: commit it first, or use it")
        outer.commit()  # its rows stay as they are


def init_database(app: Flask, settings: Settings) -> None:
    """Bind `db` to the settings' database; SQLite gets its pragmas and its writer."""
    if settings.database_file is not None:
        _make_file(settings.database_file)
    app.config["SQLALCHEMY_DATABASE_URI"] = settings.DATABASE_URL
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = _engine_options(settings)
    db.init_app(app)
    with app.app_context():
        engine = db.engine
    if settings.is_sqlite:
        listen_sqlite(engine)
    app.extensions["shaman_database"] = _State(engine)


def _make_file(path: Path) -> None:
    """An empty database that its owner alone can read; SQLite gives its side files the same rights."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise BadSetting(f"Setting DATABASE_URL: {path} can't be opened: {error.strerror}") from None


def _engine_options(settings: Settings) -> dict[str, Any]:
    if settings.is_sqlite:
        return {
            "poolclass": QueuePool,
            "pool_size": 8,
            "max_overflow": 24,
            "connect_args": {"timeout": BUSY_SECONDS, "check_same_thread": False, "isolation_level": None},
            "hide_parameters": True,  # an error never carries anybody's words into a log
        }
    return {
        "pool_size": 8,
        "max_overflow": 24,
        "pool_pre_ping": True,
        "pool_recycle": 1800,
        "hide_parameters": True,
    }


def listen_sqlite(engine: Engine) -> None:
    """SQLite as we run it: WAL, every commit on the disk, foreign keys on, writers queue at BEGIN."""

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, record: Any) -> None:
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",  # what was deleted or changed, an old secret too, is overwritten at once
            f"busy_timeout={BUSY_SECONDS * 1000}",
        ):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("PRAGMA cache_size=-8000")
        connection.create_function("casefold", 1, _casefold, deterministic=True)

    turn = threading.Lock()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A deferred BEGIN that writes later fails with 'database is locked' whatever the time-out.
        writes = connection.get_execution_options().get("writes", False)
        if writes:
            _take_turn(turn, connection)
            _take_lock(connection.connection.dbapi_connection)
        else:
            connection.exec_driver_sql("BEGIN")

    @event.listens_for(engine, "checkin")
    def _give_turn_back(connection: Any, record: Any) -> None:
        if record.info.pop("writes", False):
            turn.release()


def _take_turn(turn: threading.Lock, connection: Connection) -> None:
    """Wait in line with this process's other writers; SQLite's own lock is then for other processes.

    SQLite waits by sleeping, and where greenlets serve, the whole process with it: the one that holds the lock too.
    """
    if connection.info.get("writes"):
        return  # this connection's second transaction: it has not been given back since the first
    if not turn.acquire(timeout=BUSY_SECONDS):
        raise OperationalError("BEGIN IMMEDIATE", {}, sqlite3.OperationalError("database is locked"))
    connection.info["writes"] = True


def _take_lock(raw: Any) -> None:
    """Begin to write once no other process does. Waits here, where other greenlets go on meanwhile, and not in SQLite."""
    end = time.monotonic() + BUSY_SECONDS
    raw.execute("PRAGMA busy_timeout=0")
    try:
        while True:
            try:
                raw.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise OperationalError("BEGIN IMMEDIATE", {}, error) from None
            time.sleep(LOOK_AGAIN)
    finally:
        raw.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")


def _casefold(text: str | None) -> str | None:
    return text.casefold() if isinstance(text, str) else text


def holds(column: ColumnElement[Any] | InstrumentedAttribute[Any], words: str) -> ColumnElement[bool]:
    """Whether a text column holds `words`, in any alphabet's big or small letters (SQLite's own know A to Z alone)."""
    if db.engine.dialect.name == "sqlite":
        return func.casefold(column).contains(words.casefold(), autoescape=True)
    return column.icontains(words, autoescape=True)


class _State:
    """What one application keeps beside the engine: on SQLite, the writer."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.writer = SQLiteWriter(engine) if engine.dialect.name == "sqlite" else None

    def write(self, tenant_id: str, work: Callable[[Unit], T]) -> T:
        if self.writer is not None:
            return self.writer.run(lambda connection: work(Unit(connection, tenant_id)))
        with self.engine.begin() as connection:
            bind_connection(connection, tenant_id)
            return work(Unit(connection, tenant_id))


def _state() -> _State:
    return cast(_State, current_app.extensions["shaman_database"])
