"""`make run` after its libraries: from an empty folder to an address that answers."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "bin/serve"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(instance: Path, **settings: str) -> dict[str, str]:
    quiet = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "DATABASE_"))}
    return quiet | {"INSTANCE": str(instance), "PORT": str(free_port()), "REDIS_URL": ""} | settings


@contextmanager
def serving(instance: Path, stderr: IO[str] | None = None, **settings: str):
    """A running server, and what it said until it printed its address."""
    given = environment(instance, **settings)
    server = subprocess.Popen(COMMAND, cwd=ROOT, env=given, stdout=subprocess.PIPE, stderr=stderr, text=True)
    assert server.stdout
    said = ""
    try:
        for line in server.stdout:
            said += line
            if "Ctrl-C" in line:
                break
        yield server, said
    finally:
        server.terminate()
        server.communicate(timeout=50)


def address(said: str) -> str:
    found = re.search(r"http://\S+", said)
    assert found, said
    return found[0]


@pytest.fixture(scope="module")
def instance(tmp_path_factory):
    """An installation's folder after its first run, and what that run said."""
    folder = tmp_path_factory.mktemp("first") / "instance"
    with serving(folder) as (_, said):
        page = urllib.request.urlopen(address(said), timeout=20).read().decode()
    return folder, said, page


def refusal(instance: Path, **settings: str) -> str:
    """The one line with which a start is refused."""
    given = environment(instance, **settings)
    ended = subprocess.run(COMMAND, cwd=ROOT, env=given, capture_output=True, text=True, timeout=50)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1, ended.stderr
    return ended.stderr


def test_a_first_run_ends_at_the_demos_chat_page(instance):
    _, said, page = instance
    assert 'demo client "demo" made' in said
    assert address(said).endswith("/chat/demo")
    assert "Message" in page


def test_a_second_run_keeps_what_is_there(instance):
    with serving(instance[0]) as (_, said):
        assert "made" not in said
        assert "bringing" not in said
        assert urllib.request.urlopen(address(said), timeout=20).status == 200


def test_secrets_are_their_owners_alone(instance):
    modes = {(instance[0] / name).stat().st_mode & 0o777 for name in ("secret_key", "encryption_keys")}
    assert modes == {0o600}


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly(instance, sign):
    with serving(instance[0]) as (server, _):
        server.send_signal(sign)
        assert server.wait(timeout=50) == 0


def sent(said: str, request: bytes) -> socket.socket:
    """A connection on which `request` was sent."""
    host, port = address(said).split("/")[2].split(":")
    line = socket.create_connection((host, int(port)), timeout=30)
    line.sendall(request)
    return line


def test_what_the_server_itself_logs_has_our_form_and_nobodys_words(instance, tmp_path):
    bad = (b"GET /?CNRY=1\r\n\r\n", b"GET /?CNRY=1 HTTP/1.1\r\nCNRY CNRY: 1\r\n\r\n", b"CNRY{} / HTTP/1.1\r\n\r\n")
    with (tmp_path / "log").open("w") as log, serving(instance[0], log) as (_, said):
        for request in bad:
            with sent(said, request) as line:
                assert line.recv(100).startswith(b"HTTP/1.1 4")
    lines = (tmp_path / "log").read_text().splitlines()
    refused = [record for record in map(json.loads, lines) if record["event"].startswith("Invalid request from ip")]
    assert len(refused) == len(bad) and {record["level"] for record in refused} == {"warning"}
    assert not [line for line in lines if "CNRY" in line or "127.0.0.1" in line]


def test_a_taken_port_is_one_line(tmp_path):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        assert f"port {port} is taken" in refusal(tmp_path, PORT=str(port))


def test_a_bad_setting_is_one_line_that_names_it(tmp_path):
    assert "PORT" in refusal(tmp_path, PORT="many")


def test_an_unreachable_database_is_one_line_without_its_password(tmp_path):
    line = refusal(tmp_path, DATABASE_URL=f"postgresql+psycopg://shaman:geheim@127.0.0.1:{free_port()}/shaman")
    assert "the database can't be used" in line
    assert "geheim" not in line


def test_a_newer_schema_is_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / "shaman.db") as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        database.execute("INSERT INTO alembic_version VALUES ('9999')")
    database.close()
    assert "newer than this version of Shaman" in refusal(tmp_path)
