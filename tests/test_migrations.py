"""The schema can be moved, up and down, with rows in it; broken off it is whole; and one process moves it, not two."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from flask_migrate import downgrade, upgrade
from sqlalchemy import Connection, MetaData, NullPool, create_engine, text

from chatbot import create_app
from chatbot.tenancy import Base, new_id
from tests.conftest import DATABASES, need
from tests.rows import contents, insert_one_of_each

ROOT = Path(__file__).parent.parent
MIGRATIONS = ROOT / "chatbot" / "migrations"
REVISIONS = [revision.revision for revision in ScriptDirectory(str(MIGRATIONS)).walk_revisions()][::-1]
HEAD = REVISIONS[-1]
Step = Callable[[], None]


class Place:
    """An empty database of a test's own, and the application on it. `owner()` is a connection that may do everything."""

    def __init__(self, folder: Path, urls: dict[str, str]) -> None:
        self.settings = {"INSTANCE": str(folder), "LOG_LEVEL": "ERROR"} | urls
        self.folder = folder
        self.app: Flask = create_app(**self.settings)
        self.migrations = MIGRATIONS

    @contextmanager
    def owner(self) -> Iterator[Connection]:
        settings = self.app.config["SHAMAN"]
        engine = create_engine(settings.DATABASE_OWNER_URL, poolclass=NullPool)
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT set_config('app.tenant', '*', false)"))
            else:
                connection.exec_driver_sql("PRAGMA foreign_keys=ON")
            yield connection

    def move(self, how: Callable[..., Any], to: str) -> None:
        with self.app.app_context():
            how(directory=str(self.migrations), revision=to)

    def version(self) -> str | None:
        with self.owner() as connection:
            return MigrationContext.configure(connection).get_current_revision()

    def fill(self, mark: str) -> None:
        """A client with a row in every table there is at this revision."""
        with self.owner() as connection:
            insert_one_of_each(connection, mark, tables(connection))

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        with self.owner() as connection:
            return {table.name: contents(connection, table) for table in tables(connection)}

    def schema(self) -> list[Any]:
        """Everything the database knows of its tables, keys, indexes, policies and rights."""
        with self.owner() as connection:
            return sorted(
                tuple(map(str, row))
                for query in SCHEMA[connection.dialect.name]
                for row in connection.execute(text(query))
            )

    def extended(self, body: str, name: str = "9001") -> "Place":
        """The same database with one more migration: `body` is what its upgrade does."""
        self.migrations = self.folder / "migrations"
        if not self.migrations.exists():
            shutil.copytree(MIGRATIONS, self.migrations, ignore=shutil.ignore_patterns("__pycache__"))
        above = sorted(path.stem for path in (self.migrations / "versions").glob("9*.py") if path.stem != name)
        (self.migrations / "versions" / f"{name}.py").write_text(
            "import os, time\nimport sqlalchemy as sa\nfrom alembic import op\nfrom pathlib import Path\n"
            f"revision, down_revision = {name!r}, {(above or [HEAD])[-1]!r}\n"
            f"def upgrade():\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"
            "def downgrade():\n    pass\n"
        )
        return self

    def command(self, *words: str) -> "subprocess.Popen[str]":
        """`flask …` in a process of its own."""
        command = [sys.executable, "-m", "flask", *words]
        given = os.environ | self.settings | {"FLASK_APP": "chatbot"}
        return subprocess.Popen(
            command, cwd=ROOT, env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def upgrading(self) -> "subprocess.Popen[str]":
        return self.command("db", "upgrade", "-d", str(self.migrations))


SCHEMA = {
    "sqlite": [  # a table that was rebuilt is written another way, and means the same
        "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE type <> 'table' AND name NOT LIKE 'sqlite_%'",
        'SELECT m.name, c.name, c.type, c."notnull", c.dflt_value, c.pk FROM sqlite_master m, pragma_table_info(m.name) c',
        'SELECT m.name, k."table", k."from", k."to", k.on_delete FROM sqlite_master m, pragma_foreign_key_list(m.name) k',
        "SELECT m.name, i.origin, (SELECT group_concat(name) FROM pragma_index_info(i.name))"  # noqa: ISC004
        ' FROM sqlite_master m, pragma_index_list(m.name) i WHERE i."unique"',
        "SELECT name, sql LIKE '%CHECK%', '' FROM sqlite_master WHERE type = 'table'",
    ],
    "postgresql": [
        "SELECT table_name, column_name, data_type, is_nullable, character_maximum_length, generation_expression"  # noqa: ISC004
        " FROM information_schema.columns WHERE table_schema = 'public'",
        "SELECT indexname, indexdef, '' FROM pg_indexes WHERE schemaname = 'public'",
        "SELECT conname, conrelid::regclass, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
        "SELECT tablename, policyname, qual || with_check FROM pg_policies",
        "SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
        "SELECT table_name, grantee, privilege_type FROM information_schema.role_table_grants WHERE table_schema = 'public'",
    ],
}


def tables(connection: Connection) -> list[Any]:
    """The tables that are really there, parents before children."""
    found = MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != "alembic_version"]


@pytest.fixture(params=DATABASES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        yield Place(tmp_path, {})
        return
    with database_of_its_own() as urls:
        yield Place(tmp_path, urls)


@contextmanager
def database_of_its_own() -> Iterator[dict[str, str]]:
    owner = need("TEST_DATABASE_OWNER_URL", "PostgreSQL")
    name = f"shaman_moved_{new_id()}"
    engine = create_engine(owner, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8'"))
    try:
        yield {
            variable: urlunsplit(urlsplit(need(f"TEST_{variable}", "PostgreSQL"))._replace(path=f"/{name}"))
            for variable in ("DATABASE_URL", "DATABASE_OWNER_URL")
        }
    finally:
        with engine.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


# --- the product's own migrations -----------------------------------------------------------------------------------


def test_there_is_one_line_of_revisions() -> None:
    script = ScriptDirectory(str(MIGRATIONS))
    assert len(script.get_heads()) == len(script.get_bases()) == 1


def test_the_newest_schema_is_the_models(place: Place) -> None:
    place.move(upgrade, "head")
    with place.owner() as connection:
        options = {"compare_type": True, "include_name": is_a_models}
        found = compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)
    assert found == []


def is_a_models(name: str | None, kind: str, parents: Any) -> bool:
    return kind != "column" or (parents["table_name"], name) != ("passage", "words")


def test_up_down_and_up_again_is_the_same_schema(place: Place) -> None:
    place.move(upgrade, "head")
    first = place.schema()
    place.move(downgrade, "base")
    assert place.rows() == {} and place.version() is None
    place.move(upgrade, "head")
    assert place.schema() == first and len(first) > len(Base.metadata.tables)


def test_each_step_keeps_every_row(place: Place) -> None:
    """Up revision by revision with a new client's rows in every table at each, down likewise, and up again."""
    schemas: dict[str, list[Any]] = {}
    first: Any = ()  # the tables of the first revision, which are there all the way
    for revision in REVISIONS:
        kept(place, partial(place.move, upgrade, revision))
        place.fill(f"at-{revision}")
        schemas[revision] = place.schema()
        first = place.rows().keys() if len(schemas) == 1 else first
    for revision in REVISIONS[-2::-1]:
        kept(place, partial(place.move, downgrade, revision))
        assert place.schema() == schemas[revision]
        place.fill(f"back-at-{revision}")
    kept(place, lambda: place.move(upgrade, "head"))
    assert place.schema() == schemas[HEAD]
    assert all(len(rows) >= len(REVISIONS) for table, rows in place.rows().items() if table in first)
    place.move(downgrade, "base")
    assert place.rows() == {}


def kept(place: Place, step: Step) -> None:
    """Take a step: every row that had a place before it and has one after it holds what it held."""
    before = place.rows()
    step()
    after = place.rows()
    for table in before.keys() & after.keys():
        shared = (before[table] or [{}])[0].keys() & (after[table] or [{}])[0].keys()
        assert len(after[table]) == len(before[table]), table
        assert shared_values(after[table], shared) == shared_values(before[table], shared), table


def shared_values(rows: list[dict[str, Any]], columns: set[str]) -> list[dict[str, Any]]:
    return sorted(({column: row[column] for column in sorted(columns)} for row in rows), key=str)


def test_the_program_can_use_what_was_moved(place: Place) -> None:
    from tests.world import BAKERY, make_world

    place.move(upgrade, "head")
    place.fill("before")
    place.move(upgrade, "head")
    world = make_world(place.app)
    assert world.vera.http.get(f"/chat/{BAKERY}").status_code == 200
    place.app.extensions["shaman_live"].drain(0)
    place.app.extensions["shaman_database"].engine.dispose()


# --- what the guard holds, by migrations that should never be -------------------------------------------------------

REBUILD = """
    with op.batch_alter_table("visitor", recreate="always") as batch:
        batch.alter_column("subject", existing_type=sa.String(400), type_=sa.String(500), existing_nullable=False)
    with op.batch_alter_table("tenant", recreate="always") as batch:
        batch.add_column(sa.Column("motto", sa.String(100), nullable=True))
"""


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_rebuilding_a_parent_keeps_its_children(place: Place) -> None:
    """With foreign keys on, SQLite's rebuilding of a table deletes whatever hangs on it, and says that all is well."""
    place.move(upgrade, "head")
    place.fill("one")
    kept(place, lambda: place.extended(REBUILD).move(upgrade, "head"))
    with place.owner() as connection:
        assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
        assert "motto" in {
            column.name for table in tables(connection) if table.name == "tenant" for column in table.columns
        }


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "body",
    [
        'op.execute("DELETE FROM message")',
        'op.execute("DELETE FROM visitor")',
        "op.execute(\"UPDATE message SET conversation_id = 'nowhere'\")",
        'op.execute("ALTER TABLE turn ADD COLUMN x TEXT")\nop.execute("DELETE FROM ledger_entry")',
    ],
    ids=["lost rows", "lost parents", "broken keys", "half a change"],
)
def test_a_migration_that_loses_rows_is_refused_whole(place: Place, body: str) -> None:
    place.move(upgrade, "head")
    place.fill("one")
    rows, schema = place.rows(), place.schema()
    with pytest.raises(SystemExit):
        place.extended(body).move(upgrade, "head")
    assert (place.version(), place.rows(), place.schema()) == (HEAD, rows, schema)


def test_a_migration_that_fails_leaves_nothing_of_itself(place: Place) -> None:
    place.move(upgrade, "head")
    place.fill("one")
    rows, schema = place.rows(), place.schema()
    body = 'op.create_table("half", sa.Column("id", sa.Integer))\nop.execute("DROP TABLE hold")\nop.execute("nonsense")'
    with pytest.raises(Exception, match="nonsense"):
        place.extended(body).move(upgrade, "head")
    assert (place.version(), place.rows(), place.schema()) == (HEAD, rows, schema)


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_what_was_there_is_kept_beside_it(place: Place) -> None:
    place.move(upgrade, "head")
    place.fill("one")
    rows, copy = place.rows(), place.folder / "shaman.before-upgrade"
    place.move(upgrade, "head")
    assert not copy.exists()  # nothing was to be done
    place.extended(REBUILD).move(upgrade, "head")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    older = place.folder / "older"
    older.mkdir()
    shutil.copy(copy, older / "shaman.db")
    assert Place(older, {}).rows() == rows


# --- broken off, and all at once ------------------------------------------------------------------------------------

SLOW = """
    op.create_table("half", sa.Column("id", sa.Integer))
    op.execute("INSERT INTO half (id) VALUES (1)")
    Path({marker!r}).write_text("half")
    time.sleep({seconds})
    op.create_table("whole", sa.Column("id", sa.Integer))
"""


def kill_in_the_middle(place: Place, seconds: float) -> None:
    """Kill an upgrade some time after its first half was done."""
    marker = place.folder / "marker"
    marker.unlink(missing_ok=True)
    process = place.upgrading()
    wait_for(lambda: marker.exists() or process.poll() is not None)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)


def wait_for(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def test_killed_in_the_middle_the_old_schema_is_whole(place: Place) -> None:
    place.move(upgrade, "head")
    place.fill("one")
    rows, schema = place.rows(), place.schema()
    place.extended(SLOW.format(marker=str(place.folder / "marker"), seconds=60))
    kill_in_the_middle(place, 0)
    assert (place.version(), place.rows(), place.schema()) == (HEAD, rows, schema)
    place.extended(SLOW.format(marker=str(place.folder / "marker"), seconds=0))
    process = place.upgrading()
    assert (process.communicate(timeout=60), process.returncode)[1] == 0
    assert place.version() == "9001" and {"half", "whole"} <= place.rows().keys()


@pytest.mark.nightly
def test_killed_at_any_moment_the_schema_is_the_old_or_the_new(place: Place) -> None:
    place.move(upgrade, "head")
    place.fill("one")
    old = (HEAD, place.rows(), place.schema())
    place.extended(SLOW.format(marker=str(place.folder / "marker"), seconds=0.3))
    for round_ in range(20):
        kill_in_the_middle(place, 0.04 * round_)
        if place.version() != HEAD:
            break
        assert (place.version(), place.rows(), place.schema()) == old
    assert place.version() in (HEAD, "9001")


def test_of_many_that_upgrade_at_once_one_does(place: Place) -> None:
    """From an empty database to the newest schema: the others wait for it, find it done, and succeed."""
    place.extended(SLOW.format(marker=str(place.folder / "marker"), seconds=0.5))
    processes = [place.upgrading() for _ in range(3)]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    with place.owner() as connection:
        assert connection.execute(text("SELECT count(*) FROM half")).scalar() == 1
    assert place.version() == "9001"
