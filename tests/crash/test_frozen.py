"""A worker that stops breathing while another process takes its turn away: one final answer, one charge."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import psutil
import pytest

from bench.model import ModelServer
from chatbot.chat.opening import LEASE
from tests.crash.conftest import visitors
from tests.crash.judge import Verdict, judge_end
from tests.crash.product import ROOT, Product
from tests.crash.sender import Note, Sender


@pytest.fixture
def script() -> str:
    return "paced-50-40-100"  # two and a half seconds


def begin(sender: Sender) -> tuple[Note, threading.Thread]:
    """A message whose answer has begun to come."""
    note = sender.write("Hello?")
    thread = threading.Thread(target=sender.send, args=(note,), daemon=True)
    thread.start()
    end = time.monotonic() + 20
    while not note.answer:
        assert time.monotonic() < end
        time.sleep(0.01)
    return note, thread


def freeze(product: Product) -> psutil.Process:
    """Stop the worker, at a moment in which it does not hold SQLite's write lock: that would stop everybody."""
    [worker] = product.workers()
    while True:
        worker.send_signal(signal.SIGSTOP)
        try:
            product.change("UPDATE turn SET is_stopping = is_stopping")
            return worker
        except sqlite3.OperationalError:
            worker.send_signal(signal.SIGCONT)
            time.sleep(0.05)


def sweep(product: Product) -> str:
    command = [sys.executable, "-m", "flask", "--app", "wsgi:app", "sweep"]
    env = {**os.environ, **product.environment()}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60).stdout


def take_away(product: Product, model: ModelServer, waits: bool) -> None:
    [sender] = visitors(product, 1)
    note, thread = begin(sender)
    time.sleep(1)
    worker = freeze(product)
    if waits:
        time.sleep(LEASE.total_seconds() + 1)
    else:  # as if so much time had passed
        product.forget_leases()
    assert "1 turn" in sweep(product)
    [before] = product.rows("SELECT t.status, m.content FROM turn t JOIN message m ON m.id = t.answer_id")
    assert before["status"] == "interrupted"
    assert note.answer.startswith(before["content"]) or before["content"].startswith(note.answer)

    worker.send_signal(signal.SIGCONT)
    thread.join(30)
    assert not thread.is_alive()
    assert note.end
    assert note.end[1]["type"] == "urn:shaman:interrupted"
    time.sleep(1.5)
    [after] = product.rows("SELECT t.status, m.content FROM turn t JOIN message m ON m.id = t.answer_id")
    assert tuple(after) == tuple(before), "whoever wakes up late changes nothing"
    assert len(product.rows("SELECT id FROM ledger_entry")) == 1
    assert model.wait_for(lambda request: request["closed_by_caller_at"] or request["completed_at"])
    path = sender.retry_path()
    assert path
    assert sender.press(path) == 303
    verdict = Verdict()
    judge_end(product, [sender], verdict)
    assert verdict.faults == []


@pytest.mark.timeout(90)
def test_a_frozen_worker_changes_nothing_when_it_wakes(product: Product, model_process: ModelServer) -> None:
    take_away(product, model_process, waits=False)


@pytest.mark.nightly
@pytest.mark.timeout(180)
def test_a_worker_frozen_past_its_lease_changes_nothing_when_it_wakes(
    product: Product, model_process: ModelServer
) -> None:
    take_away(product, model_process, waits=True)
