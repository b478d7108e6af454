"""Secrets at rest: what the database holds of them is ciphertext, under the first of ENCRYPTION_KEYS.

Each is bound to its place, which for a column's value is the table, the column and the row's id: a ciphertext that
somebody with access to the database copies to another row or column doesn't open there. `encryption_keys.py` changes the keys.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from flask import current_app
from sqlalchemy import Column, ColumnElement, Text, event, inspect, literal, type_coerce
from sqlalchemy.orm import Mapper
from sqlalchemy.types import TypeDecorator

from chatbot.config import Settings
from chatbot.errors import SecretUnreadable
from chatbot.tenancy import Base, new_id

log = structlog.get_logger(__name__)


def seal(text: str, place: str) -> str:
    """`text` as ciphertext (ASCII) under the first key. It opens for the same `place` alone, which holds no zero byte."""
    return _fernet(current_keys()).encrypt(f"{place}\0{text}".encode()).decode()


def unseal(token: str, place: str) -> str:
    """What `seal` was given. Raises SecretUnreadable when no key opens it, or when it was sealed for another place."""
    try:
        bound_to, _, text = _fernet(current_keys()).decrypt(token).decode().partition("\0")
    except (InvalidToken, ValueError):  # the latter for what is no ciphertext at all
        bound_to, text = "", ""
    if bound_to != place:
        log.error("a secret can't be opened", place=place)
        raise SecretUnreadable()
    return text


def opens(token: str) -> bool:
    """Whether one of the keys opens `token`, wherever it belongs."""
    return _is_under(current_keys(), token)


def resealed(token: str) -> str | None:
    """`token` under the first key, for the same place; None when it is so already. Raises SecretUnreadable."""
    keys = current_keys()
    if _is_under(keys[:1], token):
        return None
    if not _is_under(keys, token):
        raise SecretUnreadable()
    return _fernet(keys).rotate(token).decode()


def _is_under(keys: tuple[str, ...], token: str) -> bool:
    try:
        _fernet(keys).decrypt(token)
    except (InvalidToken, ValueError):
        return False
    return True


def current_keys() -> tuple[str, ...]:
    """The keys that count now: the first encrypts, all decrypt.

    A process that runs while its keys' file is changed follows at once, for a look at the file costs a microsecond.
    """
    settings: Settings = current_app.config["SHAMAN"]
    if settings.keys_file is not None:
        try:
            at = settings.keys_file.stat()
            return _kept_keys(settings.keys_file, at.st_ino, at.st_mtime_ns)
        except (OSError, ValueError):  # taken away, or no keys any more: those from the start still hold
            pass
    return tuple(settings.ENCRYPTION_KEYS)


@lru_cache(maxsize=4)
def _kept_keys(path: Path, inode: int, changed: int) -> tuple[str, ...]:
    keys = tuple(path.read_text().strip().split(","))
    _fernet(keys)
    return keys


@lru_cache(maxsize=8)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


class Encrypted(TypeDecorator[str]):
    """A text column that is ciphertext in the database: `secret: Mapped[str | None] = mapped_column(Encrypted)`.

    Its table has an `id`. Set it on a row of the ORM, where the place is known; any text in a Core statement, a bulk
    update or a comparison is refused. Reading works in all of them. None stays None. Raises SecretUnreadable.
    """

    impl = Text
    cache_ok = True

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """What a SELECT asks for in the column's stead: `table.column:id ciphertext`."""
        [own] = column.base_columns  # that of an alias or a subquery stands for a table's
        asked, kept = cast("Column[str]", column), cast("Column[str]", own)
        return type_coerce(literal(place_in(kept, "")).concat(asked.table.c.id).concat(" ").concat(asked), self)

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        if value is None:
            return None
        if not (isinstance(value, Placed) and value.place):
            raise TypeError("a secret is written through its row, for the row's id is part of its place")
        return seal(value, value.place)

    def process_result_value(self, value: str | None, dialect: Any) -> str | None:
        if value is None:
            return None
        place, _, token = value.partition(" ")
        return unseal(token, place)


class Placed(str):
    """A secret on its way into an Encrypted column, with its place there."""

    place: str

    def __new__(cls, text: str, place: str = "") -> "Placed":  # a copy is given its place later
        placed = super().__new__(cls, text)
        placed.place = place
        return placed


def place_in(column: Column[Any], row_id: str) -> str:
    """The place of a row's value in `column`, which is a table's own."""
    return f"{column.table.name}.{column.name}:{row_id}"


@event.listens_for(Base, "before_insert", propagate=True)
@event.listens_for(Base, "before_update", propagate=True)
def _place(mapper: Mapper[Any], connection: Any, row: Any) -> None:
    for name, column in _encrypted(mapper):
        value = row.__dict__.get(name)
        if value is not None and inspect(row).attrs[name].history.has_changes():
            row.id = row.id or new_id()
            setattr(row, name, Placed(value, place_in(column, row.id)))


@lru_cache(maxsize=256)
def _encrypted(mapper: Mapper[Any]) -> tuple[tuple[str, Column[Any]], ...]:
    """The names and columns of a model's secrets."""
    columns = ((name, property_.columns[0]) for name, property_ in mapper.column_attrs.items())
    return tuple((name, cast("Column[Any]", column)) for name, column in columns if isinstance(column.type, Encrypted))
