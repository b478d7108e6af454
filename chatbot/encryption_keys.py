"""ENCRYPTION_KEYS as a whole: whether they open this database's secrets, and putting another key in their place."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from flask_babel import gettext as _
from sqlalchemy import JSON, Column, Text, select, type_coerce
from sqlalchemy.exc import IntegrityError

from chatbot.db import across_tenants, db
from chatbot.errors import Conflict, SecretUnreadable
from chatbot.secrets_at_rest import Encrypted, current_keys, opens, resealed, seal
from chatbot.tenancy import Base, TenantSession, new_id

CANARY = "encryption_canary"  # a row of platform_setting, sealed under the keys that this database belongs to
SEALED = "sealed"  # where a JSON value keeps ciphertext
WRONG_KEYS = (
    "ENCRYPTION_KEYS does not open this database's secrets: give it the keys that they were made with"
    " (by default they are kept in instance/encryption_keys)"
)
BATCH = 200  # rows in a transaction
SETTLED = 1.0  # seconds after which no transaction is under way that still has the old first key


def key_problem() -> str | None:
    """Why this database's secrets can't be opened, in one line; None when they can, or when there are none."""
    with across_tenants(writes=False) as session:
        token = _canary(session) or _any_secret(session)
    return None if token is None or opens(token) else WRONG_KEYS


def keep_canary() -> None:
    """Keep a value by which the right keys are known from now on. Raises SecretUnreadable when these are not the right ones."""
    if key_problem():
        raise SecretUnreadable(WRONG_KEYS)
    row = {"id": new_id(), "name": CANARY, "value": {SEALED: seal("canary", CANARY)}}
    with suppress(IntegrityError), across_tenants() as session:  # another process may be first
        if _canary(session) is None:
            session.execute(_settings().table.insert().values(row))


def rotate() -> int:
    """Put every secret in the database under the first key. Returns how many were not.

    It goes in batches, each a transaction; broken off anywhere and begun anew, it ends the same. What no key opens is
    left as it is, and named in the SecretUnreadable that is raised after all others are done.
    """
    lost: list[str] = []
    count = sum(_rotate(column, lost) for column in _places())
    if lost:
        named = ", ".join(lost[:3]) + (" …" if len(lost) > 3 else "")
        raise SecretUnreadable(
            _(
                "%(n)s secrets can't be opened with any of the keys, and were left: %(places)s",
                n=len(lost),
                places=named,
            )
        )
    return count


def replace_key(file: Path) -> int:
    """Make a new key, put everything under it, and forget the others. Returns how many secrets that were.

    `file` has both keys until all is done, so whenever this is broken off everything is readable, and the next call
    ends it (without yet another key). Processes that run follow the file. Raises Conflict while another call is at it.
    """
    file = file.resolve()
    with _alone(file):
        keep_canary()
        if len(current_keys()) == 1:
            _write(file, (Fernet.generate_key().decode(), *current_keys()))
        count = rotate()
        time.sleep(SETTLED)
        count += rotate()
        _write(file, current_keys()[:1])
    return count


def forget_overwritten() -> None:
    """Have SQLite write its log's pages to their places, so that what was overwritten is not in the log either."""
    if db.engine.dialect.name == "sqlite":
        connection = db.engine.raw_connection()
        connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")  # a statement that no transaction can hold
        connection.close()


def _settings() -> Column[Any]:
    """`platform_setting.value`. Named by its table: its model stands in a layer above."""
    return Base.metadata.tables["platform_setting"].c.value


def _canary(session: TenantSession) -> str | None:
    kept = session.scalar(select(_settings()).where(_settings().table.c.name == CANARY))
    return kept.get(SEALED) if kept else None


def _any_secret(session: TenantSession) -> str | None:
    columns = (column for column in _places() if isinstance(column.type, Encrypted))
    found = (session.scalar(select(_raw(column)).where(column.is_not(None)).limit(1)) for column in columns)
    return next(filter(None, found), None)


def _places() -> list[Column[Any]]:
    """Every column that has secrets: those that are encrypted, and the JSON ones with a value at `sealed`."""
    columns = [column for table in Base.metadata.sorted_tables for column in table.columns]
    kept_in_json = {_settings(), Base.metadata.tables["job"].c.payload}
    return [column for column in columns if isinstance(column.type, Encrypted) or column in kept_in_json]


def _raw(column: Column[Any]) -> Any:
    return column if isinstance(column.type, JSON) else type_coerce(column, Text)


def _rotate(column: Column[Any], lost: list[str]) -> int:
    count, last = 0, ""
    while True:
        with across_tenants() as session:
            rows = _batch(session, column, last)
            count += sum(_rotate_row(session, column, row_id, value, lost) for row_id, value in rows)
        if len(rows) < BATCH:
            return count
        last = rows[-1][0]


def _batch(session: TenantSession, column: Column[Any], after: str) -> list[tuple[str, Any]]:
    own = column.table.c.id
    asked = select(own, _raw(column)).where(column.is_not(None), own > after).order_by(own).limit(BATCH)
    return [(row_id, value) for row_id, value in session.execute(asked.with_for_update())]


def _rotate_row(session: TenantSession, column: Column[Any], row_id: str, value: Any, lost: list[str]) -> int:
    """1 when the value was put under the first key, 0 when it was there, is no secret, or can't be opened."""
    in_json = isinstance(column.type, JSON)
    token = (value.get(SEALED) if isinstance(value, dict) else None) if in_json else value
    if not isinstance(token, str):
        return 0
    try:
        new = resealed(token)
    except SecretUnreadable:
        lost.append(f"{column.table.name}.{column.name} {row_id}")
        return 0
    if new is None:
        return 0
    changed = {**value, SEALED: new} if in_json else type_coerce(new, Text)
    session.execute(column.table.update().where(column.table.c.id == row_id).values({column: changed}))
    return 1


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Hold a lock on the folder of `file`. Raises Conflict when another process has it."""
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Conflict(_("The key is being changed by another process already.")) from None
    finally:
        os.close(folder)


def _write(file: Path, keys: tuple[str, ...]) -> None:
    """Put `keys` into `file` at one moment, on the disk, with the owner that it has and for that owner alone."""
    new, owner = file.with_name(f"{file.name}.new"), file.stat()
    new.unlink(missing_ok=True)  # left by a run that was broken off
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as written:
        os.fchown(written.fileno(), owner.st_uid, owner.st_gid)
        written.write(",".join(keys) + "\n")
        written.flush()
        os.fsync(written.fileno())
    new.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
