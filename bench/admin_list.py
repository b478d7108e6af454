"""`python -m bench.admin_list`: the operator's list of clients with 1,000 clients and 1,000,000 messages.

On SQLite in a directory of its own, or on the PostgreSQL that BENCH_DATABASE_URL and BENCH_DATABASE_OWNER_URL name, which
must be empty. Says p50, p95 and the slowest of each page in milliseconds, as a browser that signed in gets it from one
worker; then deletes the largest client for good, and says how long others waited to write meanwhile.
"""

import argparse
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade
from sqlalchemy import select

from bench.drive import percentile
from bench.many_clients import Size, fill
from chatbot import create_app
from chatbot.accounts.models import Account
from chatbot.accounts.sign_ins import begin_sign_in
from chatbot.audit import COMMAND_LINE
from chatbot.db import across_tenants, write
from chatbot.tenants.purging import purge_client
from chatbot.tenants.standing import delete_client
from chatbot.usage import ledger
from chatbot.usage.ledger import Usage

LARGEST, SECOND = "t" + "0" * 25, "t" + "1".zfill(25)
PAGES: dict[str, Callable[[random.Random], str]] = {
    "by name, any page": lambda rng: f"/admin/clients?page={rng.randint(1, 20)}",
    "by messages": lambda rng: f"/admin/clients?sort=-messages&page={rng.randint(1, 20)}",
    "by words used": lambda rng: f"/admin/clients?sort=-words&page={rng.randint(1, 20)}",
    "by last activity": lambda rng: f"/admin/clients?sort=-activity&page={rng.randint(1, 20)}",
    "searched": lambda rng: f"/admin/clients?q=number+0{rng.randint(0, 9)}",
    "one client": lambda rng: f"/admin/clients/many-{rng.randint(0, 49):04}",
    "the largest client": lambda rng: "/admin/clients/many-0000",
}


def main() -> None:
    """Fill, measure, delete."""
    parser = argparse.ArgumentParser(prog="python -m bench.admin_list", description="The operator's list of clients.")
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=100, help="requests of each page")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        app = make_app(folder)
        with app.app_context():
            upgrade()
            began = time.monotonic()
            fill(Size(given.clients, given.messages))
            print(f"{given.clients} clients, {given.messages} messages, made in {time.monotonic() - began:.0f} s")
        http = operator(app)
        for name, path in PAGES.items():
            show(name, [timed(http, path(random.Random(n))) for n in range(given.rounds)])
        with app.app_context():
            purge(app)


def make_app(folder: str) -> Flask:
    names = ("DATABASE_URL", "DATABASE_OWNER_URL")
    urls = {name: os.environ[f"BENCH_{name}"] for name in names if f"BENCH_{name}" in os.environ}
    return create_app(INSTANCE=folder, LOG_LEVEL="ERROR", **urls)


def operator(app: Flask) -> FlaskClient:
    """A browser in which a platform admin has signed in."""
    with app.app_context(), across_tenants() as session:
        account = session.scalar(select(Account).where(Account.is_platform_admin)) or Account(
            email="root@platform.example", is_platform_admin=True
        )
        session.add(account)
        session.flush()
        cookie = begin_sign_in(account.id, address="127.0.0.1", device="bench")
    http = app.test_client()
    with http.session_transaction() as kept:
        kept["_user_id"] = cookie
    return http


def timed(http: FlaskClient, path: str) -> float:
    """Milliseconds until the page is there."""
    began = time.perf_counter()
    answer = http.get(path)
    spent = (time.perf_counter() - began) * 1000
    assert answer.status_code == 200, (path, answer.status)
    return spent


def show(name: str, times: list[float]) -> None:
    print(
        f"{name:22} p50 {percentile(times, 0.5):6.0f}   p95 {percentile(times, 0.95):6.0f}   slowest {max(times):6.0f} ms"
    )


def purge(app: Flask) -> None:
    """Delete the largest client for good while another writes to its ledger every 20 ms."""
    waits: list[float] = []
    is_over = threading.Event()

    def keep_writing() -> None:
        with app.app_context():
            while not is_over.wait(0.02):
                waits.append(time.perf_counter())
                write(SECOND, entry)
                waits[-1] = (time.perf_counter() - waits[-1]) * 1000

    writer = threading.Thread(target=keep_writing)
    writer.start()
    began = time.monotonic()
    try:
        purge_client(delete_client("many-0000", COMMAND_LINE, for_good=True), COMMAND_LINE)
    finally:
        is_over.set()
        writer.join()
    print(f"the largest client gone in {time.monotonic() - began:.1f} s")
    show("others' writes meanwhile", waits)


def entry(unit: Any) -> None:
    ledger.enter(unit, os.urandom(13).hex(), "page", "m", "complete", Usage(1, 1))


if __name__ == "__main__":
    main()
