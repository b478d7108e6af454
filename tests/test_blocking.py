"""What must not stop all greenlets: tried in a process of its own, where they serve."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
BEGIN = """
from gevent import monkey
monkey.patch_all()
import sqlite3, time, gevent
from chatbot.blocking import off_loop
wait = monkey.get_original("time", "sleep")
"""


def run(program: str, *given: object) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + program, *map(str, given)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_slow_name_servers_hold_up_no_other_work() -> None:
    run("""
names = gevent.get_hub().resolver.pool
for _ in range(names.maxsize):
    gevent.spawn(names.apply, wait, (5,))
gevent.sleep(0.1)
begun = time.monotonic()
assert off_loop(lambda: "done") == "done"
assert time.monotonic() - begun < 2
""")


def test_waiting_for_another_process_that_writes_stops_nobody_else(tmp_path: Path) -> None:
    run(
        """
import sys
from sqlalchemy import create_engine, text
from chatbot.db import listen_sqlite
file = sys.argv[1]
engine = create_engine(f"sqlite:///{file}", connect_args={"check_same_thread": False, "isolation_level": None})
listen_sqlite(engine)
def write(statement):
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(text(statement))
write("CREATE TABLE word (text TEXT)")
other = sqlite3.connect(file, isolation_level=None)
other.execute("BEGIN IMMEDIATE")
writer = gevent.spawn(write, "INSERT INTO word VALUES ('later')")
longest, last = 0.0, time.monotonic()
for _ in range(50):
    gevent.sleep(0.02)
    longest, last = max(longest, time.monotonic() - last), time.monotonic()
assert longest < 0.5 and not writer.ready(), longest
other.execute("COMMIT")
writer.get(timeout=5)
assert other.execute("SELECT text FROM word").fetchall() == [("later",)]
assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
""",
        tmp_path / "shaman.db",
    )
