"""Is it alive, can it serve; and nothing is served or written on another version's schema."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import NullPool, create_engine, text

from chatbot import create_app, jobs
from chatbot.background import BOOT_FAILED, Background
from chatbot.db import across_tenants, as_tenant, db
from tests.rows import insert_one_of_each
from tests.test_migrations import HEAD
from tests.world import BAKERY, World

ROOT = Path(__file__).parent.parent
NEWER = "9999_from_tomorrow"
Stamp = Callable[[str | None], None]


@pytest.fixture
def stamp(app: Flask) -> Iterator[Stamp]:
    """Say that the database has another schema. It is put right again afterwards."""
    engine = create_engine(app.config["SHAMAN"].DATABASE_OWNER_URL, poolclass=NullPool)

    def write(revision: str | None) -> None:
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM alembic_version"))
            if revision:
                connection.execute(text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": revision})

    yield write
    write(HEAD)


def rows_of(app: Flask) -> list[Any]:
    engine = create_engine(app.config["SHAMAN"].DATABASE_OWNER_URL, poolclass=NullPool)
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT set_config('app.tenant', '*', false)"))
        return [
            connection.execute(text(f"SELECT count(*) FROM {table}")).scalar()
            for table in ("visitor", "turn", "job", "tenant")
        ]


# --- asked from outside ---------------------------------------------------------------------------------------------


def test_alive_and_ready(app: Flask) -> None:
    client = app.test_client()
    assert (client.get("/healthz").status_code, client.get("/healthz").json) == (200, {"status": "alive"})
    assert (client.get("/readyz").status_code, client.get("/readyz").json) == (
        200,
        {"status": "ready", "database": "ok", "jobs": "ok"},
    )


def test_it_is_not_ready_while_nobody_takes_jobs(app: Flask, world: World) -> None:
    def put(minutes_ago: int, worker: str | None = None) -> Any:
        with app.app_context(), as_tenant(world.ids[BAKERY]):
            jobs.enqueue("read_source", delay=timedelta(minutes=-minutes_ago)).lease_owner = worker
        return app.test_client().get("/readyz")

    assert put(2).status_code == 200
    waiting = put(6)
    assert (waiting.status_code, waiting.get_json()["jobs"]) == (503, "waiting")
    assert put(-1, "somebody at work").status_code == 200, "a long queue is no fault while it is worked on"


def test_they_tell_nothing_of_clients(app: Flask) -> None:
    with app.app_context(), db.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT set_config('app.tenant', '*', true)"))
        insert_one_of_each(connection, "own")
    for path in ("/healthz", "/readyz"):
        answer = app.test_client().get(path)
        assert answer.status_code == 200 and b"CNRY" not in answer.get_data() and "Set-Cookie" not in answer.headers


def test_without_its_database_it_is_alive_and_not_ready(tmp_path: Path) -> None:
    app = create_app(
        INSTANCE=str(tmp_path), LOG_LEVEL="CRITICAL", DATABASE_URL="postgresql+psycopg://x:hunter2@127.0.0.1:1/x"
    )
    client = app.test_client()
    assert client.get("/healthz").status_code == 200
    ready, page = client.get("/readyz"), client.get(f"/chat/{BAKERY}", headers={"Accept": "text/html"})
    assert (ready.status_code, ready.get_json()["database"]) == (503, "unreachable")
    assert page.status_code == 503 and page.headers["Retry-After"] == "5" and page.mimetype == "text/html"
    problem = client.post("/api/chat", json={"message": "x"})
    assert problem.status_code == 503 and problem.mimetype == "application/problem+json"
    assert b"hunter2" not in ready.get_data() + page.get_data() + problem.get_data()


# --- another schema -------------------------------------------------------------------------------------------------


def asked(world: World) -> list[int]:
    """The status of a request of every kind."""
    vera = world.app.test_client()
    return [
        vera.get("/").status_code,
        vera.get(f"/chat/{BAKERY}").status_code,
        vera.post(f"/chat/{BAKERY}", data={"message": "hello"}).status_code,
        vera.post("/api/chat", json={"message": "hello", "client": BAKERY}).status_code,
        vera.get("/api/client/knowledge", headers=world.key()).status_code,
    ]


@pytest.mark.parametrize(("revision", "said"), [(None, "migrating"), (NEWER, "newer schema")])
def test_on_another_schema_nothing_is_served_or_written(
    revision: str | None, said: str, world: World, stamp: Stamp
) -> None:
    before = rows_of(world.app)
    stamp(revision)
    ready = world.app.test_client().get("/readyz")
    assert (ready.status_code, ready.get_json()["database"]) == (503, said)
    assert asked(world) == [503] * 5 and rows_of(world.app) == before
    assert world.app.test_client().get("/healthz").status_code == 200
    page = world.app.test_client().get(f"/chat/{BAKERY}", headers={"Accept": "text/html"})
    assert "brought up to date" in page.get_data(as_text=True) and "Retry-After" in page.headers
    stamp(HEAD)
    assert world.app.test_client().get("/readyz").status_code == 200
    assert asked(world)[1] == 200


def test_both_versions_are_named(app: Flask, stamp: Stamp) -> None:
    stamp(NEWER)
    detail = app.test_client().get("/readyz").get_json()["detail"]
    assert NEWER in detail and HEAD in detail


def test_a_server_refuses_a_newer_schema(app: Flask, stamp: Stamp) -> None:
    stamp(NEWER)
    with pytest.raises(SystemExit) as refused:
        Background(app).start()
    assert refused.value.code == BOOT_FAILED


def test_a_server_waits_for_its_schema_and_then_begins(
    app: Flask, stamp: Stamp, monkeypatch: pytest.MonkeyPatch, wait: Callable[..., None]
) -> None:
    done: list[int] = []
    monkeypatch.setitem(jobs.handlers, "note", lambda: done.append(1))
    with app.app_context(), across_tenants():
        jobs.enqueue("note")
    stamp(None)
    background = Background(app)
    background.start()
    time.sleep(0.3)
    assert done == []
    stamp(HEAD)
    wait(lambda: done == [1])
    background.end()
    wait(lambda: not {"jobs", "begin"} & {thread.name for thread in threading.enumerate()})


def test_commands_refuse_a_newer_schema(app: Flask, stamp: Stamp) -> None:
    before = rows_of(app)
    stamp(NEWER)
    for words in (["client", "create", "x", "--name", "x"], ["account", "create", "a@x.example"], ["work"], ["sweep"]):
        done = app.test_cli_runner().invoke(args=words)
        assert done.exit_code == 1 and NEWER in done.output and HEAD in done.output, words
    assert rows_of(app) == before


def test_gunicorn_stops_with_both_versions_named(tmp_path: Path) -> None:
    """The whole server, started on a database that a newer version has changed."""
    from flask_migrate import upgrade

    app = create_app(INSTANCE=str(tmp_path))
    with app.app_context():
        upgrade()
        with db.engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :newer"), {"newer": NEWER})
        db.engine.dispose()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    given = os.environ | {"INSTANCE": str(tmp_path), "PORT": str(port)}
    command = [sys.executable, "-m", "gunicorn", "-c", "chatbot/gunicorn.conf.py", "wsgi:app"]
    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, timeout=60)
    assert done.returncode == BOOT_FAILED and NEWER in done.stderr and HEAD in done.stderr
    assert "Traceback" not in done.stderr
