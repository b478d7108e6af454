"""A full disk, a locked, an old or a missing database: what people read, what is kept, and that it passes by itself."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import create_engine, event, text

from bench.model import ModelServer
from bench.model.scripts import PIECES
from chatbot import create_app
from chatbot.chat.models import Message, Turn
from chatbot.config import BadSetting
from tests.chat.test_faults import rows, texts
from tests.world import World, read_events, text_of

ROOT = Path(__file__).resolve().parents[2]
FULL_ANSWER = "".join(PIECES[number % len(PIECES)] for number in range(400))
SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def settings(model: ModelServer) -> dict[str, Any]:
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "paced-20-400-400"}


@contextmanager
def pragma(app: Flask, during: str, after: str) -> Iterator[None]:
    """Give every connection that the application takes `during` as a pragma, and `after` from the end on."""
    engine, current = app.extensions["shaman_database"].engine, [during]

    def apply(connection: Any, record: Any, proxy: Any) -> None:
        with suppress(sqlite3.OperationalError):
            connection.execute(f"PRAGMA {current[0]}")

    event.listen(engine, "checkout", apply)
    try:
        yield
    finally:
        current[0] = after


@contextmanager
def full_disk(app: Flask) -> Iterator[None]:
    """No page more than there is: what SQLite says then is what it says of a full disk."""
    with closing(sqlite3.connect(database_file(app))) as connection:
        connection.execute("VACUUM")  # a migration that rebuilt a table left pages free
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        [free] = connection.execute("PRAGMA freelist_count").fetchone()
    assert free == 0
    with pragma(app, f"max_page_count={pages}", "max_page_count=1073741823"):
        yield


@contextmanager
def locked(app: Flask) -> Iterator[None]:
    """Another program holds the write lock."""
    with closing(sqlite3.connect(database_file(app), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def database_file(app: Flask) -> Path:
    return Path(app.config["SHAMAN"].database_file)


LONG = "Is there bread? " * 450  # longer than a page: it cannot be stored without a new one


@SQLITE
class TestFullDisk:
    def test_the_page_keeps_the_text_and_says_why(self, world: World) -> None:
        vera = world.vera
        vera.page()
        with full_disk(world.app):
            answer = vera.post(message=LONG, name="first")
            assert answer.status_code == 507
            body = answer.get_data(as_text=True)
            assert LONG.strip() in body
            assert "disk is full" in body
            assert vera.http.get(vera.home).status_code == 200, "what is stored can be read"
        assert rows(world, Message) == []
        assert vera.post(message=LONG, name="first").status_code == 303
        assert [text for _, text, _ in texts(world)] == [LONG.strip(), FULL_ANSWER]

    def test_programs_are_told_to_come_back(self, world: World) -> None:
        http = world.app.test_client()
        with full_disk(world.app):
            answer = http.post("/api/chat", json={"message": LONG}, headers=world.key())
        assert (answer.status_code, answer.mimetype) == (507, "application/problem+json")
        assert answer.headers["Retry-After"]
        assert rows(world, Turn) == []

    def test_script_gets_a_problem_and_no_stream(self, world: World) -> None:
        with full_disk(world.app):
            answer = world.vera.post(script=True, message=LONG)
        assert (answer.status_code, answer.get_json()["type"]) == (507, "urn:shaman:storage-full")

    def test_an_answer_under_way_is_stored_once_there_is_room(self, world: World) -> None:
        answer = world.vera.post(script=True, message="Hello?")
        stream: Iterator[Any] = iter(answer.response)
        received = bytes(next(stream))
        with full_disk(world.app):
            time.sleep(2)
        events = read_events(received + b"".join(stream))
        assert events[-1].kind == "done"
        assert texts(world)[1] == ("assistant", FULL_ANSWER, "complete")
        assert text_of(events) == FULL_ANSWER

    def test_many_at_once_are_stored_or_refused_each_for_itself(self, world: World) -> None:
        """One commit carries many messages: a message that does not fit takes none of the others with it."""
        answers: list[int] = []

        def send(text: str) -> None:
            body = {"message": text, "user_id": text[:8]}
            answers.append(world.app.test_client().post("/api/chat", json=body, headers=world.key()).status_code)

        with full_disk(world.app):
            threads = [threading.Thread(target=send, args=(f"user {n:3}{LONG}",)) for n in range(12)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert set(answers) == {507}
        assert rows(world, Turn) == []


@SQLITE
class TestLockedDatabase:
    def test_a_short_lock_is_waited_for(self, world: World) -> None:
        vera = world.vera
        vera.page()
        with locked(world.app):
            sender = threading.Thread(target=vera.post, kwargs={"message": "Hello?"})
            sender.start()
            time.sleep(1)
            assert rows(world, Turn) == [], "and reading goes on meanwhile"
        sender.join()
        assert texts(world)[1][2] == "complete"

    def test_a_lock_under_an_answer_costs_nothing(self, world: World) -> None:
        answer = world.vera.post(script=True, message="Hello?")
        stream: Iterator[Any] = iter(answer.response)
        received = bytes(next(stream))
        with locked(world.app):
            time.sleep(2)
        assert read_events(received + b"".join(stream))[-1].kind == "done"
        assert texts(world)[1] == ("assistant", FULL_ANSWER, "complete")

    def test_a_lock_that_stays_is_said_and_the_text_kept(self, world: World) -> None:
        vera, http = world.vera, world.app.test_client()
        with pragma(world.app, "busy_timeout=300", "busy_timeout=20000"), locked(world.app):
            page = vera.post(message="Are you open?", name="first")
            problem = http.post("/api/chat", json={"message": "Hello?"}, headers=world.key())
        assert page.status_code == problem.status_code == 503
        assert "Are you open?" in page.get_data(as_text=True)
        assert page.headers["Retry-After"]
        assert problem.headers["Retry-After"]
        assert vera.post(message="Are you open?", name="first").status_code == 303
        assert len(rows(world, Turn)) == 1


class TestSchema:
    def test_an_old_schema_is_said_and_passes(self, app: Flask, world: World) -> None:
        vera, http = world.vera, app.test_client()
        with app.app_context():
            downgrade(revision="base")
        try:
            answers = [http.get("/readyz"), http.get(vera.home), http.post("/api/chat", json={"message": "Hello?"})]
            assert [answer.status_code for answer in answers] == [503, 503, 503]
            assert answers[0].get_json()["database"] == "migrating"
            assert all(answer.headers.get("Retry-After") for answer in answers[1:])
            assert http.get("/healthz").status_code == 200
        finally:
            with app.app_context():
                upgrade()
        assert http.get("/readyz").status_code == 200

    def test_a_newer_schema_is_said(self, app: Flask) -> None:
        with app.app_context():
            url = app.config["SHAMAN"].DATABASE_OWNER_URL
        engine = create_engine(url)
        with engine.begin() as connection:
            [known] = connection.execute(text("SELECT version_num FROM alembic_version")).one()
            connection.execute(text("UPDATE alembic_version SET version_num = 'from the future'"))
        try:
            answer = app.test_client().get("/readyz")
            assert (answer.status_code, answer.get_json()["database"]) == (503, "newer schema")
        finally:
            with engine.begin() as connection:
                connection.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": known})
            engine.dispose()


class TestMissingDatabase:
    def test_a_folder_that_is_not_there_is_one_clear_line(self, tmp_path: Path) -> None:
        with pytest.raises(BadSetting) as refused:
            create_app(INSTANCE=str(tmp_path), DATABASE_URL=f"sqlite:///{tmp_path}/nowhere/shaman.db")
        assert "nowhere/shaman.db" in str(refused.value)
        assert "\n" not in str(refused.value)

    @pytest.mark.parametrize("command", [["bin/serve"], ["-m", "flask", "sweep"], ["-m", "flask", "db", "upgrade"]])
    def test_no_command_shows_a_traceback(self, tmp_path: Path, command: list[str]) -> None:
        env = {"PATH": "/usr/bin:/bin", "INSTANCE": str(tmp_path), "PORT": "50999", "FLASK_APP": "wsgi:app"}
        env["DATABASE_URL"] = f"sqlite:///{tmp_path}/nowhere/shaman.db"
        done = subprocess.run([sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True, timeout=50)
        said = (done.stdout + done.stderr).strip().splitlines()
        assert done.returncode != 0
        assert len(said) == 1
        assert "DATABASE_URL" in said[0]

    def test_a_database_that_does_not_answer(self, tmp_path: Path) -> None:
        url = "postgresql+psycopg://nobody@127.0.0.1:9/none"
        app = create_app(INSTANCE=str(tmp_path), DATABASE_URL=url, DATABASE_OWNER_URL=url)
        http = app.test_client()
        answers = [http.get("/healthz"), http.get("/readyz"), http.get("/chat/demo")]
        assert [answer.status_code for answer in answers] == [200, 503, 503]
        assert answers[1].get_json()["database"] == "unreachable"
        assert answers[2].headers["Retry-After"]


@pytest.mark.parametrize("database", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
def test_connections_that_the_server_ends_are_made_anew(world: World, wait: Callable[..., None]) -> None:
    answer = world.vera.post(script=True, message="Hello?")
    stream: Iterator[Any] = iter(answer.response)
    received = bytes(next(stream))
    engine = create_engine(world.app.config["SHAMAN"].DATABASE_URL)
    for _ in range(5):
        with engine.begin() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = current_user AND pid <> pg_backend_pid()"
                )
            )
        time.sleep(0.2)
    engine.dispose()
    assert read_events(received + b"".join(stream))[-1].kind == "done"
    assert texts(world)[1] == ("assistant", FULL_ANSWER, "complete")
    assert len(rows(world, Turn)) == 1
