"""Many writers, a long reader and a backup on one SQLite file: nobody ever reads 'database is locked'."""

import http.client
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from tests.crash.conftest import Say
from tests.crash.product import Product
from tests.world import BAKERY


@pytest.fixture
def script() -> str:
    return "instant-20"


def write_for(product: Product, seconds: float, number: int, seen: Counter[int], slowest: list[float]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", product.port, timeout=60)
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        count += 1
        body = orjson.dumps({"message": f"Message {count} of {number}", "client": BAKERY})
        began = time.monotonic()
        connection.request("POST", "/api/chat", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        seen[answer.status] += 1
        slowest.append(time.monotonic() - began)
    connection.close()


def read_for(product: Product, seconds: float) -> None:
    """One read transaction all the while, which keeps the write-ahead log from being folded in."""
    with closing(sqlite3.connect(product.database, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM message").fetchone()
        time.sleep(seconds)
        connection.execute("ROLLBACK")


def back_up(product: Product, target: Path) -> None:
    with closing(sqlite3.connect(product.database)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy, pages=200, sleep=0.01)


def rush(product: Product, writers: int, seconds: float, say: Say) -> None:
    seen: Counter[int] = Counter()
    taken: list[float] = []
    threads = [threading.Thread(target=write_for, args=(product, seconds, n, seen, taken)) for n in range(writers)]
    threads.append(threading.Thread(target=read_for, args=(product, seconds)))
    for thread in threads:
        thread.start()
    copies = [product.instance / f"copy-{n}.db" for n in range(3)]
    for copy in copies:
        time.sleep(seconds / 5)
        back_up(product, copy)
    for thread in threads:
        thread.join(seconds + 60)
    assert set(seen) == {200}
    assert "locked" not in product.log.read_text()
    say(f"{writers} writers, {seconds:.0f} s: {seen[200]} turns, the slowest {max(taken) * 1000:.0f} ms")
    assert product.check() == []
    for copy in copies:
        with closing(sqlite3.connect(copy)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    [row] = product.rows("SELECT count(*), count(DISTINCT turn_id) FROM ledger_entry")
    assert tuple(row) == (seen[200], seen[200])


@pytest.mark.timeout(120)
def test_writers_a_reader_and_a_backup_get_along(product: Product, say: Say) -> None:
    rush(product, writers=16, seconds=6, say=say)


@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_many_writers_for_a_minute(product: Product, say: Say) -> None:
    rush(product, writers=64, seconds=60, say=say)
