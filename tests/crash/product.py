"""Shaman as it is served, in processes of its own that a test may kill, freeze or ask to end."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
GRACE = 3
START_SECONDS = 60.0


@dataclass
class Product:
    """gunicorn with the project's own settings file, over a SQLite database in `instance`."""

    instance: Path
    env: dict[str, str]
    port: int = field(default_factory=free_port)
    child: "subprocess.Popen[bytes] | None" = None

    @property
    def log(self) -> Path:
        return self.instance / "server.log"

    @property
    def database(self) -> Path:
        return self.instance / "shaman.db"

    def environment(self) -> dict[str, str]:
        own = {"INSTANCE": str(self.instance), "PORT": str(self.port), "GRACE_SECONDS": str(GRACE)}
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return kept | own | {"CHAT_RATE_LIMIT": "100000 per minute", "WEB_CONNECTIONS": "96"} | self.env

    def start(self) -> None:
        """Serve; returns once it is ready."""
        self.spawn()
        self.wait_until_ready()

    def spawn(self) -> None:
        command = [sys.executable, "-m", "gunicorn", "-c", "chatbot/gunicorn.conf.py", "wsgi:app"]
        with self.log.open("ab") as out:
            self.child = subprocess.Popen(
                command, cwd=ROOT, env=self.environment(), stdout=out, stderr=out, start_new_session=True
            )

    def wait_until_ready(self) -> None:
        end = time.monotonic() + START_SECONDS
        while not self.is_ready():
            assert self.child is not None
            assert self.child.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < end, "it did not become ready"
            time.sleep(0.02)

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def workers(self) -> list[psutil.Process]:
        assert self.child is not None
        return [child for child in psutil.Process(self.child.pid).children() if child.is_running()]

    def kill(self) -> None:
        """kill -9 to every process of it, at once."""
        assert self.child is not None
        os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait(10)

    def terminate(self, meanwhile: Callable[[], None] = lambda: None) -> float:
        """SIGTERM to the master; the seconds until it was gone. `meanwhile` is done half a second after the signal."""
        assert self.child is not None
        began = time.monotonic()
        self.child.terminate()
        time.sleep(0.5)
        meanwhile()
        self.child.wait(60)
        return time.monotonic() - began

    def stop(self) -> None:
        if self.child is not None and self.child.poll() is None:
            self.kill()

    def rows(self, statement: str, *values: Any) -> list[Any]:
        """What a statement finds in the database file, read from outside."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=20)) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(statement, values).fetchall()

    def change(self, statement: str, values: Sequence[Any] = ()) -> int:
        with closing(sqlite3.connect(self.database, timeout=20)) as connection, connection:
            return connection.execute(statement, values).rowcount

    def forget_leases(self) -> None:
        """As if the leases of all open turns had run out: their worker is known to be gone."""
        self.change("UPDATE turn SET lease_until = '2020-01-01 00:00:00.000000' WHERE status IN ('waiting', 'running')")

    def open_turns(self) -> int:
        return int(self.rows("SELECT count(*) FROM turn WHERE status IN ('waiting', 'running')")[0][0])

    def check(self) -> list[str]:
        """What SQLite itself finds wrong with the file; empty when it is sound."""
        found = [row[0] for row in self.rows("PRAGMA integrity_check") if row[0] != "ok"]
        return found + [f"{row[0]} {row[1]}: no parent in {row[2]}" for row in self.rows("PRAGMA foreign_key_check")]
