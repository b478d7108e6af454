"""`flask …`: each command does what it says, or ends non-zero with one clear line."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskCliRunner
from sqlalchemy import delete, func, select

from chatbot import create_app
from chatbot.accounts.models import Account, Membership
from chatbot.chat.models import Turn
from chatbot.db import across_tenants, as_tenant
from chatbot.tenancy import now
from chatbot.tenants.clients import create_client
from chatbot.tenants.models import ApiKey, SettingsVersion, Tenant
from chatbot.usage.models import LedgerEntry
from tests.world import BAKERY, World

ROOT = Path(__file__).parent.parent


@pytest.fixture
def bakery(app: Flask) -> str:
    with app.app_context():
        return create_client("bakery", "Bakery").id


def said(runner: FlaskCliRunner, *words: str, **given: Any) -> list[str]:
    """What a command that succeeds prints, line by line."""
    done = runner.invoke(args=words, **given)
    assert done.exit_code == 0, done.output
    return str(done.output).splitlines()


def refused(runner: FlaskCliRunner, *words: str, **given: Any) -> str:
    """The line with which a command ends that can't do its work: it begins with `Error:`, and there is no traceback."""
    done = runner.invoke(args=words, **given)
    assert done.exit_code not in (0, None) and isinstance(done.exception, SystemExit), repr(done.exception)
    [line] = [line for line in str(done.output).splitlines() if line.startswith("Error:")]
    assert len(line) < 300
    return line


def count(app: Flask, kind: type[Any]) -> int:
    with app.app_context(), across_tenants(writes=False) as session:
        return int(session.scalar(select(func.count(kind.id))) or 0)


# --- clients --------------------------------------------------------------------------------------------------------


def test_client_create(app: Flask, runner: FlaskCliRunner) -> None:
    assert said(runner, "client", "create", "bakery", "--name", "Bäckerei ☕") == ["Client bakery is made."]
    said(runner, "client", "create", "members", "--name", "Members", "--sign-in")
    with app.app_context(), across_tenants(writes=False) as session:
        made = {t.slug: (t.name, t.anonymous_chat, t.status) for t in session.scalars(select(Tenant))}
        assert session.scalar(select(func.count(SettingsVersion.id))) == 2
    assert made == {"bakery": ("Bäckerei ☕", True, "active"), "members": ("Members", False, "active")}


def test_client_create_refuses_a_bad_short_name(app: Flask, runner: FlaskCliRunner) -> None:
    for slug in ("Bakery", "-bakery", "bakery-", "a b", "bäckerei", "../x", "a" * 64, "", "x\n", "%00", "'--"):
        assert "letters a to z" in refused(runner, "client", "create", "--name", "x", "--", slug)
    assert count(app, Tenant) == 0


def test_client_create_refuses_a_name_that_is_taken(app: Flask, runner: FlaskCliRunner, bakery: str) -> None:
    assert "already" in refused(runner, "client", "create", "bakery", "--name", "Another")
    assert count(app, Tenant) == 1


def test_client_delete_takes_everything_with_it(world: World, runner: FlaskCliRunner) -> None:
    world.vera.post(message="hello")
    assert said(runner, "client", "delete", BAKERY)[0] == f"Client {BAKERY} is deleted."
    assert world.app.test_client().get(f"/chat/{BAKERY}").status_code == 404 and count(world.app, Turn) == 1
    refused(runner, "client", "delete", BAKERY)
    assert "undone" in refused(runner, "client", "create", BAKERY, "--name", "Another")
    assert said(runner, "client", "delete", BAKERY, "--now") == [f"Client {BAKERY} is deleted."]
    assert count(world.app, Tenant) == 1 and count(world.app, Turn) == 0 and count(world.app, ApiKey) == 1
    said(runner, "client", "create", BAKERY, "--name", "Another")


def test_client_undelete_takes_it_back(world: World, runner: FlaskCliRunner) -> None:
    refused(runner, "client", "undelete", BAKERY)
    said(runner, "client", "delete", BAKERY)
    said(runner, "client", "undelete", BAKERY)
    assert world.app.test_client().get(f"/chat/{BAKERY}").status_code == 200
    said(runner, "client", "delete", BAKERY, "--now")
    refused(runner, "client", "undelete", BAKERY)


# --- keys -----------------------------------------------------------------------------------------------------------


def test_key_create_prints_the_key_once_alone_on_the_last_line(app: Flask, runner: FlaskCliRunner, bakery: str) -> None:
    key = said(runner, "key", "create", "bakery", "--name", "shop", "--scope", "chat", "--scope", "read")[-1]
    head, id_, secret = key.split("_", 2)
    assert head == "shm" and len(secret) >= 40
    with app.app_context(), across_tenants(writes=False) as session:
        [row] = session.scalars(select(ApiKey))
        assert (row.id, row.tenant_id, row.name, row.scopes, row.last_four) == (
            id_,
            bakery,
            "shop",
            ["chat", "read"],
            secret[-4:],
        )
        assert secret not in str(vars(row))
    answer = app.test_client().get("/api/client/search?q=x", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200


def test_a_platform_key_belongs_to_no_client(app: Flask, runner: FlaskCliRunner) -> None:
    said(runner, "key", "create", "--platform", "--name", "ops", "--scope", "manage")
    with app.app_context(), across_tenants(writes=False) as session:
        assert [row.tenant_id for row in session.scalars(select(ApiKey))] == [None]


def test_key_create_refuses(app: Flask, runner: FlaskCliRunner, bakery: str) -> None:
    for words in (
        ["nobody", "--name", "x", "--scope", "chat"],
        ["bakery", "--name", "x", "--scope", "everything"],
        ["bakery", "--platform", "--name", "x", "--scope", "chat"],
        ["--name", "x", "--scope", "chat"],
        ["bakery", "--name", "x"],
        ["bakery", "--scope", "chat"],
    ):
        assert refused(runner, "key", "create", *words)
    assert count(app, ApiKey) == 0


# --- accounts -------------------------------------------------------------------------------------------------------


def test_account_create(app: Flask, runner: FlaskCliRunner, bakery: str) -> None:
    given = ["--name", "Ada", "--client", "bakery", "--role", "admin", "--password-stdin"]
    assert said(runner, "account", "create", "Ada@Bakery.example", *given, input="correct horse battery\n")
    with app.app_context(), across_tenants(writes=False) as session:
        [account], [membership] = session.scalars(select(Account)), session.scalars(select(Membership))
        assert (account.email, account.name, account.is_platform_admin) == ("ada@bakery.example", "Ada", False)
        assert (membership.tenant_id, membership.account_id, membership.role) == (bakery, account.id, "admin")
        assert PasswordHasher().verify(account.password_hash or "", "correct horse battery")


def test_account_create_refuses(app: Flask, runner: FlaskCliRunner, bakery: str) -> None:
    for words, typed in (
        (["no address"], ""),
        (["a@x.example", "--password-stdin"], "short\n"),
        (["a@x.example", "--password-stdin"], ""),
        (["a@x.example", "--client", "nobody"], ""),
        (["a@x.example", "--client", "bakery", "--role", "owner"], ""),
    ):
        assert refused(runner, "account", "create", *words, input=typed)
    assert count(app, Account) == 0 and count(app, Membership) == 0


def test_account_create_refuses_a_known_address(app: Flask, runner: FlaskCliRunner) -> None:
    said(runner, "account", "create", "ada@bakery.example")
    assert "already" in refused(runner, "account", "create", "ADA@bakery.example")


# --- the rest -------------------------------------------------------------------------------------------------------


def test_sweep_ends_what_a_dead_worker_left(world: World, runner: FlaskCliRunner) -> None:
    assert said(runner, "sweep")[0].startswith("0 turns")
    assert world.vera.post(message="hello").status_code == 303
    with world.app.app_context(), as_tenant(world.ids[BAKERY]) as session:
        turn = session.scalars(select(Turn)).one()
        session.execute(delete(LedgerEntry))
        turn.status, turn.lease_owner, turn.lease_until = "running", "dead", now().replace(year=2020)
    assert said(runner, "sweep")[0].startswith("1 turns")
    with world.app.app_context(), as_tenant(world.ids[BAKERY], writes=False) as session:
        assert session.scalars(select(Turn.status)).all() == ["interrupted"]


def test_routes_and_rights_names_every_route(app: Flask, runner: FlaskCliRunner) -> None:
    lines = said(runner, "routes-and-rights")
    assert {line.split()[1] for line in lines} == {str(rule) for rule in app.url_map.iter_rules()}
    assert "GET /api/client/knowledge key:manage" in map(" ".join, map(str.split, lines))
    assert "POST /chat/<slug> anyone" in map(" ".join, map(str.split, lines))
    assert not [line for line in lines if line.endswith(" nobody")]


COMMANDS = [
    ["client", "create", "bakery", "--name", "x"],
    ["client", "delete", "bakery"],
    ["key", "create", "bakery", "--name", "x", "--scope", "chat"],
    ["account", "create", "a@x.example"],
    ["knowledge", "add", "bakery", "README.md"],
    ["sweep"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_without_a_schema_commands_say_what_to_do(words: list[str], tmp_path: Path) -> None:
    app = create_app(INSTANCE=str(tmp_path), LOG_LEVEL="CRITICAL")
    assert "flask db upgrade" in refused(app.test_cli_runner(), *words)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_without_a_database_commands_say_so(words: list[str], tmp_path: Path) -> None:
    app = create_app(
        INSTANCE=str(tmp_path), LOG_LEVEL="CRITICAL", DATABASE_URL="postgresql+psycopg://x:hunter2@127.0.0.1:1/x"
    )
    line = refused(app.test_cli_runner(), *words)
    assert "connection" in line and "hunter2" not in line


def test_a_bad_setting_is_one_line(tmp_path: Path) -> None:
    given = os.environ | {"PORT": "0", "INSTANCE": str(tmp_path), "FLASK_APP": "chatbot"}
    command = [sys.executable, "-m", "flask", "client", "create", "bakery", "--name", "x"]
    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "PORT" in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
