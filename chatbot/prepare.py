"""What comes before serving: the schema brought up to date, and the demo client on the first run."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from chatbot import create_app
from chatbot.accounts.links import make_first_admin_link
from chatbot.config import PROJECT, Settings
from chatbot.db import db
from chatbot.demo import ensure_demo
from chatbot.encryption_keys import keep_canary
from chatbot.errors import SecretUnreadable
from chatbot.health import database_problem, newer_schema
from chatbot.tenants.clients import default_client

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where people begin: the path of the chat page, and the link that makes the first admin while there is none."""

    path: str
    first_admin: str | None


def prepare(settings: Settings, say: Say) -> Beginning:
    """Make the database ready for this version of Shaman, telling `say` each thing that was done.

    Raises SystemExit with one line when the database can't be used.
    """
    app = create_app()
    name = database_name(settings)
    with app.app_context():
        try:
            _bring_up_to_date(app, settings, say)
            keep_canary()
        except SecretUnreadable as error:
            raise SystemExit(f"Shaman: {error.detail}") from None
        except (SQLAlchemyError, OSError, RuntimeError) as error:
            reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            raise SystemExit(f"Shaman: the database can't be used ({name}): {reason}") from None
    say(f"database ready ({name})")
    pages = ensure_demo(app)
    if pages is not None:
        say(f'demo client "demo" made with {pages} pages')
    with app.app_context():
        first_admin = make_first_admin_link()
        return Beginning(_first_page(settings), first_admin)


def _first_page(settings: Settings) -> str:
    """The path of the chat page to try first: the default client's, else the demo's while there is one."""
    client = default_client(settings.DEFAULT_CLIENT) or default_client("demo")
    return f"/chat/{client.slug}" if client else "/"


def _bring_up_to_date(app: Flask, settings: Settings, say: Say) -> None:
    file = settings.database_file
    if file is None or file.exists():  # else connecting would make an empty file
        db.engine.connect().close()
        problem = database_problem(app)
        if problem is None:
            return
        if problem == "newer schema":
            raise RuntimeError(newer_schema(app))
    say("bringing the database up to date")
    from flask_migrate import upgrade  # 8 MB that whoever serves does without

    upgrade()


def database_name(settings: Settings) -> str:
    """What to call the database on the console: its file, or its host and name without the password."""
    file = settings.database_file
    if file is None:
        address = urlsplit(settings.DATABASE_URL)
        return f"PostgreSQL at {address.hostname}{address.path}"
    return str(file.relative_to(PROJECT)) if file.is_relative_to(PROJECT) else str(file)
