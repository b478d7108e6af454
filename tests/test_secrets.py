"""Secrets at rest: ciphertext in the database, bound to its place; and a key that can be changed at any moment."""

import base64
import copy
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from flask import Flask
from flask.testing import FlaskCliRunner
from sqlalchemy import Text, func, select, type_coerce, update
from sqlalchemy.exc import StatementError

from chatbot import create_app, encryption_keys
from chatbot.accounts.models import Account, IdentityProvider
from chatbot.config import BadSetting, load_settings
from chatbot.db import across_tenants, as_tenant
from chatbot.encryption_keys import CANARY, keep_canary, key_problem
from chatbot.errors import SecretUnreadable
from chatbot.jobs import Job, enqueue
from chatbot.prepare import prepare
from chatbot.secrets_at_rest import seal, unseal
from chatbot.tenancy import table_of
from chatbot.tenants.models import ModelEndpoint, PlatformSetting
from tests.test_commands import refused, said
from tests.world import BAKERY, OTHER, World

ROOT = Path(__file__).parent.parent
Again = Callable[..., Flask]
SECRET = "CNRY-JBSWY3DPEHPK3PXP-ü"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encryption_keys, "SETTLED", 0)


@pytest.fixture
def keys_file(app: Flask) -> Path:
    return Path(app.config["SHAMAN"].INSTANCE) / "encryption_keys"


@pytest.fixture
def again(app: Flask) -> Iterator[Again]:
    """Makes another process's application of the same installation."""
    settings, made = app.config["SHAMAN"], []
    urls = {name: getattr(settings, name) for name in ("DATABASE_URL", "DATABASE_OWNER_URL")}

    def make(**given: Any) -> Flask:
        made.append(create_app(**({"INSTANCE": str(settings.INSTANCE), "LOG_LEVEL": "CRITICAL"} | urls | given)))
        return made[-1]

    yield make
    for other in made:
        other.extensions["shaman_database"].engine.dispose()


def provider(world: World, slug: str = BAKERY, secret: str | None = SECRET) -> str:
    """A client's own identity provider, whose secret is kept."""
    with world.app.app_context(), as_tenant(world.ids[slug]) as session:
        row = IdentityProvider(issuer="https://id.example", client_id="shaman", client_secret=secret)
        session.add(row)
        session.flush()
        return row.id


def secret_of(app: Flask, row_id: str) -> str | None:
    with app.app_context(), across_tenants(writes=False) as session:
        return session.get(IdentityProvider, row_id).client_secret


def kept(app: Flask, column: Any = IdentityProvider.client_secret) -> list[str]:
    """What the database really holds."""
    with app.app_context(), across_tenants(writes=False) as session:
        return list(session.scalars(select(type_coerce(column, Text)).where(column.is_not(None)).order_by(column)))


def put(app: Flask, row_id: str, ciphertext: str) -> None:
    """As somebody with write access to the database would."""
    table = table_of(IdentityProvider)
    with app.app_context(), across_tenants() as session:
        session.execute(table.update().where(table.c.id == row_id).values(client_secret=type_coerce(ciphertext, Text)))


# --- the column -----------------------------------------------------------------------------------------------------


def test_what_is_stored_is_ciphertext(world: World) -> None:
    row_id = provider(world)
    [ciphertext] = kept(world.app)
    assert secret_of(world.app, row_id) == SECRET and SECRET not in ciphertext and ciphertext.isascii()
    assert provider(world, OTHER) and len(set(kept(world.app))) == 2, "the same secret looks different each time"


def test_nothing_of_a_secret_is_on_the_disk(world: World, tmp_path: Path) -> None:
    provider(world, secret=(long := SECRET * 5))
    plain = long.encode()
    forms = [plain, plain.hex().encode(), *(base64.b64encode(plain[start:])[4:40] for start in range(3))]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files and not [path.name for path in files for form in forms if form in path.read_bytes()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_none_stays_none(world: World) -> None:
    row_id = provider(world, secret=None)
    assert secret_of(world.app, row_id) is None and kept(world.app) == []
    with world.app.app_context(), as_tenant(world.ids[BAKERY]) as session:
        session.get(IdentityProvider, row_id).client_secret = ""
    assert secret_of(world.app, row_id) == "" and len(kept(world.app)) == 1
    with world.app.app_context(), as_tenant(world.ids[BAKERY]) as session:
        session.execute(update(IdentityProvider).values(client_secret=None))
    assert kept(world.app) == []


def test_it_is_read_however_it_is_asked_for(world: World) -> None:
    provider(world)
    alone = select(IdentityProvider.client_secret)
    inside = select(IdentityProvider.id, IdentityProvider.client_secret).subquery()
    with world.app.app_context(), across_tenants() as session:
        assert session.scalar(alone) == session.scalar(select(inside.c.client_secret)) == SECRET
        row = session.scalars(select(IdentityProvider)).one()
        session.expire(row)
        assert row.client_secret == SECRET
        row.client_secret = "new"
        session.flush()
        assert session.scalar(alone) == "new" == copy.deepcopy(row.client_secret)


def test_it_is_written_through_its_row_alone(world: World) -> None:
    provider(world)
    with world.app.app_context(), across_tenants() as session:
        for statement in (
            update(IdentityProvider).values(client_secret="x"),
            select(IdentityProvider.id).where(IdentityProvider.client_secret == SECRET),
        ):
            with pytest.raises(StatementError, match="through its row") as failed:
                session.execute(statement)
            assert SECRET not in str(failed.value)


def test_a_change_beside_it_leaves_it_alone(world: World) -> None:
    row_id, before = provider(world), kept(world.app)
    with world.app.app_context(), as_tenant(world.ids[BAKERY]) as session:
        row = session.get(IdentityProvider, row_id)
        row.client_id, row.client_secret = "other", copy.deepcopy(row.client_secret)
    assert kept(world.app) == before


def test_copied_elsewhere_it_does_not_open(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    alices, charlies = provider(world, secret="hers"), provider(world, OTHER, secret="his")
    with world.app.app_context(), across_tenants(writes=False) as session:
        raw = select(IdentityProvider.id, type_coerce(IdentityProvider.client_secret, Text))
        stolen = dict(session.execute(raw).all())[alices]
    put(world.app, charlies, stolen)
    with pytest.raises(SecretUnreadable) as refusal:
        secret_of(world.app, charlies)
    for words in (str(refusal.value), str(refusal.value.problem()), "".join(capfd.readouterr())):
        assert stolen not in words and "hers" not in words
    assert secret_of(world.app, alices) == "hers"


@pytest.mark.parametrize(
    "damaged",
    ["", " ", "x", "ü", "gAAAAA", pytest.param(Fernet(Fernet.generate_key()).encrypt(b"x").decode(), id="anothers")],
)
def test_what_no_key_opens_is_refused(damaged: str, world: World) -> None:
    row_id = provider(world)
    put(world.app, row_id, damaged)
    with pytest.raises(SecretUnreadable):
        secret_of(world.app, row_id)


def test_any_key_opens_and_the_first_seals(again: Again, world: World) -> None:
    row_id, old = provider(world), world.app.config["SHAMAN"].ENCRYPTION_KEYS[0]
    new = Fernet.generate_key().decode()
    both = again(ENCRYPTION_KEYS=[new, old])
    assert secret_of(both, row_id) == SECRET
    with both.app_context():
        assert Fernet(new).decrypt(seal("x", "here")) == b"here\0x"


# --- the right keys -------------------------------------------------------------------------------------------------


def test_wrong_keys_are_known_by_the_canary(again: Again, app: Flask) -> None:
    with app.app_context():
        assert key_problem() is None
        keep_canary()
        keep_canary()
        assert key_problem() is None
    with again(ENCRYPTION_KEYS=[Fernet.generate_key().decode()]).app_context():
        problem = str(key_problem())
        assert "ENCRYPTION_KEYS does not open" in problem and "\n" not in problem


def test_wrong_keys_are_known_by_any_secret_before_there_is_a_canary(again: Again, world: World) -> None:
    provider(world)
    with again(ENCRYPTION_KEYS=[Fernet.generate_key().decode()]).app_context():
        with pytest.raises(SecretUnreadable):
            keep_canary()
        with across_tenants(writes=False) as session:
            assert session.scalar(select(func.count(PlatformSetting.id))) == 0


def test_shaman_does_not_start_with_wrong_keys(
    world: World, again: Again, keys_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row_id, settings = provider(world), world.app.config["SHAMAN"]
    monkeypatch.setattr("chatbot.prepare.create_app", again)
    said_lines: list[str] = []
    prepare(settings, said_lines.append)
    before, right = kept(world.app), keys_file.read_text()
    keys_file.write_text(Fernet.generate_key().decode())
    with pytest.raises(SystemExit) as refusal:
        prepare(settings, said_lines.append)
    assert "ENCRYPTION_KEYS does not open" in str(refusal.value) and "\n" not in str(refusal.value)
    keys_file.write_text(right)
    assert prepare(settings, said_lines.append) and kept(world.app) == before
    assert secret_of(world.app, row_id) == SECRET


@pytest.mark.parametrize("content", ["x", "x,y", "☕", pytest.param(Fernet.generate_key().decode()[:-2], id="cut")])
def test_a_file_that_holds_no_keys_is_named_and_left(content: str, app: Flask, keys_file: Path) -> None:
    keys_file.write_text(content)
    with pytest.raises(BadSetting, match="encryption_keys") as refusal:
        load_settings(INSTANCE=str(keys_file.parent))
    assert "\n" not in str(refusal.value) and content not in str(refusal.value) and keys_file.read_text() == content


# --- changing the key -----------------------------------------------------------------------------------------------


def filled(world: World) -> tuple[str, list[str]]:
    """Secrets in columns of clients and of the platform, in a job and in a platform setting; the ciphertexts."""
    row_id = provider(world)
    provider(world, OTHER)
    with world.app.app_context(), across_tenants() as session:
        session.add(ModelEndpoint(name="own", base_url="https://model.example", api_key=SECRET))
        session.scalars(select(Account).limit(1)).one().totp_secret = SECRET
        enqueue("note", sealed=seal(SECRET, "a job"), other=1)
        enqueue("other", words="nothing of a secret")
        session.add(PlatformSetting(name="other", value=["no", "secret"]))
    with world.app.app_context():
        keep_canary()
    return row_id, everything_kept(world.app)


def everything_kept(app: Flask) -> list[str]:
    columns = (IdentityProvider.client_secret, ModelEndpoint.api_key, Account.totp_secret)
    with app.app_context(), across_tenants(writes=False) as session:
        payloads = session.scalars(select(Job.payload)).all()
        canary = session.scalar(select(PlatformSetting.value).where(PlatformSetting.name == CANARY))
    in_json = [payload["sealed"] for payload in [*payloads, canary] if "sealed" in payload]
    return [token for column in columns for token in kept(app, column)] + in_json


def test_rotate_key_puts_everything_under_a_new_key(
    again: Again, world: World, runner: FlaskCliRunner, keys_file: Path
) -> None:
    row_id, before = filled(world)
    old = keys_file.read_text().strip()
    assert len(before) == 6
    [line] = said(runner, "rotate-key")
    assert "6 secrets" in line and str(keys_file) in line
    [new] = keys_file.read_text().strip().split(",")
    after = everything_kept(world.app)
    assert new != old and stat.S_IMODE(keys_file.stat().st_mode) == 0o600
    assert not set(before) & set(after) and [Fernet(new).decrypt(token) for token in after]
    for app in (world.app, again()):
        assert secret_of(app, row_id) == SECRET
        with app.app_context():
            assert key_problem() is None
            with across_tenants(writes=False) as session:
                payload = session.scalars(select(Job.payload).where(Job.kind == "note")).one()
            assert unseal(payload["sealed"], "a job") == SECRET and payload["other"] == 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_old_ciphertext_is_gone_from_the_disk(world: World, runner: FlaskCliRunner, tmp_path: Path) -> None:
    _row, before = filled(world)
    said(runner, "rotate-key")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path.name for path in files for token in before if token.encode() in path.read_bytes()]


def test_a_process_that_runs_follows_the_file(again: Again, world: World, runner: FlaskCliRunner) -> None:
    running = again()
    row_id, _before = filled(world)
    said(runner, "rotate-key")
    assert secret_of(running, row_id) == SECRET
    with running.app_context(), as_tenant(world.ids[BAKERY]) as session:
        session.get(IdentityProvider, row_id).client_secret = "from the running one"
    assert secret_of(again(), row_id) == "from the running one"


def test_many_secrets_are_done_in_batches(
    world: World, runner: FlaskCliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encryption_keys, "BATCH", 2)
    with world.app.app_context(), across_tenants() as session:
        for number in range(5):
            session.add(ModelEndpoint(name=f"model {number}", base_url="https://model.example", api_key=str(number)))
    assert "6 secrets" in said(runner, "rotate-key")[0]
    with world.app.app_context(), across_tenants(writes=False) as session:
        assert sorted(map(str, session.scalars(select(ModelEndpoint.api_key)))) == list("01234")


def test_what_no_key_opens_is_left_and_named_and_no_key_is_forgotten(
    again: Again, world: World, runner: FlaskCliRunner, keys_file: Path
) -> None:
    row_id, lost = provider(world), provider(world, OTHER)
    old = keys_file.read_text().strip()
    put(world.app, lost, "somebody's own")
    assert lost in refused(runner, "rotate-key")
    assert len(keys_file.read_text().split(",")) == 2 and old in keys_file.read_text()
    assert "somebody's own" in kept(world.app) and secret_of(world.app, row_id) == SECRET
    with world.app.app_context(), as_tenant(world.ids[OTHER]) as session:
        session.execute(update(IdentityProvider).values(client_secret=None))
    said(runner, "rotate-key")
    assert old not in keys_file.read_text() and secret_of(again(), row_id) == SECRET


def test_rotate_key_refuses_wrong_keys(world: World, runner: FlaskCliRunner, keys_file: Path) -> None:
    _row, before = filled(world)
    wrong = Fernet.generate_key().decode()
    keys_file.write_text(wrong)
    assert "does not open" in refused(runner, "rotate-key")
    assert keys_file.read_text() == wrong and everything_kept(world.app) == before


def test_one_rotation_at_a_time(world: World, runner: FlaskCliRunner, keys_file: Path) -> None:
    with encryption_keys._alone(keys_file):
        assert "already" in refused(runner, "rotate-key")
    said(runner, "rotate-key")


def test_keys_that_were_given_stay_the_operators(again: Again, world: World, keys_file: Path) -> None:
    row_id, before = filled(world)
    old, file = keys_file.read_text().strip(), keys_file.read_text()
    *_words, new = said(again(ENCRYPTION_KEYS=[old]).test_cli_runner(), "rotate-key")
    both = again(ENCRYPTION_KEYS=[new, old])
    lines = said(both.test_cli_runner(), "rotate-key")
    assert "6 secrets" in lines[0] and "take the other keys out" in lines[1] and old not in "".join(lines)
    alone = again(ENCRYPTION_KEYS=[new])
    assert secret_of(alone, row_id) == SECRET and not set(before) & set(everything_kept(alone))
    assert keys_file.read_text() == file


class Killed(BaseException):
    """The power is cut."""


def cut_power(keys: pytest.MonkeyPatch, name: str, at: int, *, after: bool = False) -> None:
    """Have the `at`-th call of a step of `encryption_keys` be the last thing that happens, done or not begun."""
    calls, step = [], getattr(encryption_keys, name)

    def until(*given: Any) -> Any:
        calls.append(1)
        if len(calls) == at and not after:
            raise Killed
        done = step(*given)
        if len(calls) == at:
            raise Killed
        return done

    keys.setattr(encryption_keys, name, until)


MOMENTS = {
    "before the new key is there": ("_write", 1, False),
    "when the new key is there": ("_write", 1, True),
    "in the middle": ("_rotate_row", 4, False),
    "when all is done": ("rotate", 2, True),
    "before the old key goes": ("_write", 2, False),
    "when the old key is gone": ("_write", 2, True),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_broken_off_at_any_moment_everything_is_readable_and_the_next_run_ends_it(
    moment: str, world: World, again: Again, runner: FlaskCliRunner, keys_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row_id, before = filled(world)
    old, (name, at, after) = keys_file.read_text().strip(), MOMENTS[moment]
    monkeypatch.setattr(encryption_keys, "BATCH", 1)
    with monkeypatch.context() as keys, pytest.raises(Killed):
        cut_power(keys, name, at, after=after)
        runner.invoke(args=["rotate-key"], catch_exceptions=False)
    assert (old in keys_file.read_text()) == (moment != "when the old key is gone")
    ends_well(again, row_id)
    said(runner, "rotate-key")
    ends_well(again, row_id)
    assert old not in keys_file.read_text() and "," not in keys_file.read_text()
    assert not set(before) & set(everything_kept(world.app))


def ends_well(again: Again, row_id: str) -> None:
    app = again()
    assert secret_of(app, row_id) == SECRET
    with app.app_context():
        assert key_problem() is None


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_killed_the_next_run_ends_it(
    world: World, again: Again, runner: FlaskCliRunner, keys_file: Path, tmp_path: Path
) -> None:
    row_id, before = filled(world)
    command = [sys.executable, "-c", KILLED]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"INSTANCE": str(tmp_path)}, stderr=subprocess.PIPE)
    assert done.returncode == -9, done.stderr.decode()
    assert 0 < len(set(before) & set(everything_kept(world.app))) < len(before)
    ends_well(again, row_id)
    said(runner, "rotate-key")
    ends_well(again, row_id)
    assert {path.name for path in keys_file.parent.glob("encryption_keys*")} == {"encryption_keys"}


KILLED = """
import os, signal
from chatbot import create_app, encryption_keys as keys

step, calls = keys._rotate_row, []

def row(*given):
    calls.append(1)
    if len(calls) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*given)

keys._rotate_row, keys.BATCH = row, 1
app = create_app()
with app.app_context():
    keys.replace_key(app.config["SHAMAN"].keys_file)
"""
