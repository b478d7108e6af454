"""What comes before serving: the schema brought up to date, and the demo client on the first run."""

from collections.abc import Callable
from urllib.parse import urlsplit

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from flask_migrate import upgrade

from chatbot import create_app
from chatbot.config import PROJECT, Settings
from chatbot.db import db
from chatbot.demo import ensure_demo


def prepare(settings: Settings, say: Callable[[str], None]) -> None:
    """Make the database ready for this version of Shaman, telling `say` each thing that was done."""
    app = create_app()
    with app.app_context():
        if _is_behind(app):
            say("bringing the database up to date")
            upgrade()
        say(f"database ready ({_database_name(settings)})")
    if ensure_demo(app):
        say('demo client "demo" made')


def _is_behind(app: Flask) -> bool:
    """Whether a migration is still to come."""
    with db.engine.connect() as connection:
        here = MigrationContext.configure(connection).get_current_heads()
    return set(here) != set(ScriptDirectory(app.extensions["migrate"].directory).get_heads())


def _database_name(settings: Settings) -> str:
    """What to call the database on the console: its file, or its host and name without the password."""
    file = settings.database_file
    if file is None:
        address = urlsplit(settings.DATABASE_URL)
        return f"PostgreSQL at {address.hostname}{address.path}"
    return str(file.relative_to(PROJECT)) if file.is_relative_to(PROJECT) else str(file)
