"""The database's schema: the one it has, and the one that this program was written for.

Alembic, which moves it, is 8 MB that a web process does without: it is loaded when a `flask db …` command asks for it.
"""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import click
from flask import Flask
from sqlalchemy import Select, column, inspect, select, table

from chatbot.db import db

MIGRATIONS = Path(__file__).resolve().parent / "migrations"
_REVISION = re.compile(r'^revision = "(\w+)"$.*?^down_revision = (?:None|"(\w+)")$', re.MULTILINE | re.DOTALL)
_AT: Select[Any] = select(column("version_num")).select_from(table("alembic_version"))


def init_schema(app: Flask) -> None:
    app.extensions["migrate"] = _Migrate()  # where Flask-Migrate's commands look
    app.cli.add_command(_Commands("db", help="Move the database's schema."))


class _Commands(click.Command):
    """Flask-Migrate's own commands, loaded when they are asked for."""

    def make_context(self, *given: Any, **named: Any) -> click.Context:
        from flask_migrate.cli import db as commands

        return cast(click.Group, commands).make_context(*given, **named)


class _Migrate:
    """What Flask-Migrate keeps for an application, made when its commands first ask."""

    def __getattr__(self, name: str) -> Any:
        from flask_migrate import Migrate
        from flask_migrate import _MigrateConfig as Config  # Flask-Migrate has no public way to make one

        made = Config(Migrate(directory=str(MIGRATIONS)), db, render_as_batch=True, compare_type=True)
        self.__dict__.update(vars(made))
        return getattr(made, name)


def revision_of_database() -> str | None:
    """The schema that the database has; None for an empty database. Raises SQLAlchemyError when it can't be asked."""
    with db.engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return cast(str | None, connection.execute(_AT).scalar())


@lru_cache(maxsize=1)
def own_revisions() -> tuple[str, frozenset[str]]:
    """This program's newest revision, and all that it knows. They never change while it runs."""
    found = [_REVISION.search(path.read_text()) for path in sorted((MIGRATIONS / "versions").glob("*.py"))]
    steps = {match[1]: match[2] for match in found if match}
    [head] = steps.keys() - set(steps.values())
    return head, frozenset(steps)
