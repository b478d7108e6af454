"""Four fixtures: an application on either database, its HTTP client, its command line, and the story's world."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient, FlaskCliRunner
from flask_migrate import upgrade
from sqlalchemy import create_engine, make_url, text

from bench.model import ModelServer
from chatbot import create_app
from chatbot.tenancy import Base
from tests.world import World, make_world

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")  # gw0, gw1 … where several processes share the tests
DATABASES = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


def need(variable: str, what: str) -> str:
    """The variable's value; without it the test is skipped, in CI it fails."""
    value = os.environ.get(variable)
    if value:
        return value
    if os.environ.get("CI"):
        pytest.fail(f"{variable} is not set: CI must test with {what}")
    pytest.skip(f"{what} is not here: set {variable} to test with it")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with every migration done, to be copied."""
    folder = tmp_path_factory.mktemp("template")
    migrate(create_app(INSTANCE=str(folder)))
    return folder / "shaman.db"


@pytest.fixture(scope="session")
def postgres_urls() -> dict[str, str]:
    """A PostgreSQL database with every migration done: the runtime role's address and the owner's."""
    urls = {
        "DATABASE_URL": need("TEST_DATABASE_URL", "PostgreSQL"),
        "DATABASE_OWNER_URL": need("TEST_DATABASE_OWNER_URL", "PostgreSQL"),
    }
    if WORKER:
        urls = own_database(urls)
    engine = create_engine(urls["DATABASE_OWNER_URL"])
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    migrate(create_app(INSTANCE="/tmp/shaman-tests", **urls))
    return urls


def own_database(urls: dict[str, str]) -> dict[str, str]:
    """The same addresses with a database for this one of several test processes, made if it is not there."""
    owner = make_url(urls["DATABASE_OWNER_URL"])
    name = f"{owner.database}_{WORKER}"
    engine = create_engine(owner, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        if connection.scalar(text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name}) is None:
            connection.execute(text(f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8'"))
    engine.dispose()
    return {key: make_url(url).set(database=name).render_as_string(False) for key, url in urls.items()}


def migrate(app: Flask) -> None:
    with app.app_context():
        upgrade()


@pytest.fixture(scope="session")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Settings of an empty database, on SQLite and on PostgreSQL."""
    if request.param == "postgres":
        urls: dict[str, str] = request.getfixturevalue("postgres_urls")
        empty(urls["DATABASE_OWNER_URL"])
        return urls
    shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "shaman.db")
    return {}


def empty(owner_url: str) -> None:
    """Delete every row. Row by row: few are there, and TRUNCATE makes new files for each table. The audit log lets go no other way."""
    engine = create_engine(owner_url)
    with engine.begin() as connection:
        connection.execute(text("SELECT set_config('app.tenant', '*', true)"))
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(text(f'TRUNCATE "{table.name}"') if table.name == "audit_entry" else table.delete())
    engine.dispose()


@pytest.fixture
def settings() -> dict[str, Any]:
    """Settings that a test module gives its application, beside the database."""
    return {}


@pytest.fixture
def app(database: dict[str, str], settings: dict[str, Any], tmp_path: Path) -> Iterator[Flask]:
    rates = {"CHAT_RATE_LIMIT": "1000 per minute", "KEY_RATE_LIMIT": "100000 per minute"}
    given = {"INSTANCE": str(tmp_path)} | rates | database | settings
    app = create_app(**given)
    app.config["TESTING"] = True
    yield app
    app.extensions["shaman_live"].drain(5)
    with app.app_context():
        app.extensions["shaman_database"].engine.dispose()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def runner(app: Flask) -> FlaskCliRunner:
    return app.test_cli_runner()


@pytest.fixture
def world(app: Flask) -> World:
    return make_world(app)


@pytest.fixture
def wait() -> Callable[..., None]:
    """Wait until something holds, 10 seconds at most."""

    def until(holds: Callable[[], bool], seconds: float = 10) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "it did not come about"
            time.sleep(0.05)

    return until
