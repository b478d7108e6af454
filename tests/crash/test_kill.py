"""kill -9 at any moment: what was acknowledged is there once, the text too, and everything ends by itself.

Each cycle kills while ten answers stream. The moments: *commit*, further messages are on their way (0 to 25 ms after they
were sent); *acknowledgement*, as soon as the first of them is acknowledged; *stream*, at random; *settle*, as soon as the
first visitor has heard the model's last word (0 to 10 ms later). In which moment each message really was, its book and the
rows tell afterwards, and the counts are printed.
"""

import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from html import unescape

import pytest

from tests.crash.conftest import Say, visitors
from tests.crash.judge import Verdict, full_answer, judge_crash, judge_end, wait_until_settled
from tests.crash.product import Product
from tests.crash.sender import Note, Sender

STREAMS, EXTRA, TOKENS = 10, 6, 100
WHOLE = full_answer(TOKENS)
MOMENTS = ("commit", "acknowledgement", "stream", "settle")


@dataclass
class Rush:
    """Messages under way, each in a thread of its own."""

    notes: list[Note] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def send(self, senders: list[Sender], text: str) -> list[Note]:
        new = []
        for sender in senders:
            note = sender.write(f"{text} {len(sender.book)} of {sender.id}")
            new.append(note)
            self.threads.append(threading.Thread(target=sender.send, args=(note,), daemon=True))
        self.notes += new
        for thread in self.threads[-len(new) :]:
            thread.start()
        return new

    def join(self) -> None:
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive()


def wait_for(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.0005)


def reach(moment: str, rush: Rush, streaming: list[Note], others: list[Sender]) -> None:
    """Return at the moment at which everything is to be killed."""
    if moment == "settle":
        wait_for(lambda: any(len(note.answer) >= len(WHOLE) for note in streaming))
        time.sleep(random.choice([0, 0, 0.001, 0.002, 0.005, 0.01]))
        return
    time.sleep(random.uniform(0.1, 1.5))
    if moment == "stream":
        return
    extra = rush.send(others, "one more")
    if moment == "commit":
        time.sleep(random.uniform(0, 0.025))
    else:
        wait_for(lambda: any(note.acknowledged for note in extra))


def crash_once(product: Product, moment: str, senders: list[Sender], verdict: Verdict) -> None:
    for sender in senders:
        sender.page()
    rush = Rush()
    streaming = rush.send(senders[:STREAMS], "question")
    wait_for(lambda: all(note.acknowledged for note in streaming))
    reach(moment, rush, streaming, senders[STREAMS:])
    killed_at = time.monotonic()
    product.kill()
    rush.join()
    judge_crash(product, rush.notes, killed_at, WHOLE, verdict)
    began = time.monotonic()
    product.start()
    verdict.seen["slowest start, ms"] = max(verdict.seen["slowest start, ms"], round((time.monotonic() - began) * 1000))
    by_id = {sender.id: sender for sender in senders}
    again = [(by_id[note.sender], note) for note in rush.notes if note.acknowledged is None]
    threads = [threading.Thread(target=sender.send, args=(note, True)) for sender, note in again]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    verdict.faults += [
        f"{note.name}: sent again, and not acknowledged" for _, note in again if note.acknowledged is None
    ]


def run_cycles(product: Product, cycles: int, say: Say) -> Verdict:
    """Crash so many times, then let everything settle and judge the whole."""
    verdict, everybody = Verdict(), []
    for number in range(cycles):
        senders = visitors(product, STREAMS + EXTRA)
        everybody += senders
        crash_once(product, MOMENTS[number % len(MOMENTS)], senders, verdict)
    verdict.seen["slowest settling, ms"] = round(wait_until_settled(product, verdict) * 1000)
    judge_end(product, everybody, verdict)
    _judge_ways_on(product, everybody, verdict)
    say(f"{cycles} kills of all processes: {dict(verdict.seen)}")
    return verdict


def _judge_ways_on(product: Product, senders: list[Sender], verdict: Verdict) -> None:
    """An interrupted answer offers Retry, and Retry answers."""
    interrupted = {row[0] for row in product.rows("SELECT name FROM turn WHERE status = 'interrupted'")}
    cut_off = [sender for sender in senders if sender.book and sender.book[-1].name in interrupted]
    assert cut_off
    for sender in random.sample(cut_off, min(3, len(cut_off))):
        path = sender.retry_path()
        if path is None or sender.press(path) != 303 or sender.retry_path() is not None:
            verdict.faults.append(f"{sender.book[-1].name}: its Retry does not work")
        elif WHOLE not in plain(sender.page()):
            verdict.faults.append(f"{sender.book[-1].name}: the answer of its Retry is not on the page")


def plain(page: str) -> str:
    """A page's words with its tags and line breaks taken off."""
    return unescape(re.sub(r"<[^>]+>", "", page))


@pytest.mark.timeout(180)
def test_nothing_is_lost_when_all_processes_are_killed(product: Product, say: Say) -> None:
    verdict = run_cycles(product, 6, say)
    assert verdict.faults == []
    assert verdict.seen["in mid-stream"]


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_nothing_is_lost_in_fifty_kills(product: Product, say: Say) -> None:
    verdict = run_cycles(product, int(os.environ.get("CRASH_CYCLES", "52")), say)
    assert verdict.faults == []
    for moment in ("before the commit", "after the acknowledgement", "in mid-stream", "while settling"):
        assert verdict.seen[moment], f"no kill hit a message {moment}"


# --- the worker alone -----------------------------------------------------------------------------------------------


def kill_workers(product: Product, times: int, say: Say, waits: bool = True) -> Verdict:
    """Kill gunicorn's child while ten answers stream; its master begins another."""
    verdict, everybody = Verdict(), []
    for _ in range(times):
        senders = visitors(product, STREAMS)
        everybody += senders
        rush = Rush()
        notes = rush.send(senders, "question")
        wait_for(lambda notes=notes: all(note.acknowledged for note in notes))  # type: ignore[misc]
        time.sleep(random.uniform(0, 2.3))
        killed_at = time.monotonic()
        for worker in product.workers():
            worker.send_signal(signal.SIGKILL)
        rush.join()
        product.wait_until_ready()
        judge_crash(product, notes, killed_at, WHOLE, verdict)
    if not waits:
        product.forget_leases()
    for sender in everybody:
        for note in sender.book:
            if note.end is None:
                sender.follow(note)  # as the page does: it comes back with the last position that it saw
                if note.end is None:
                    verdict.faults.append(f"{note.name}: whoever comes back is never told the end")
    verdict.seen["slowest settling, ms"] = round(wait_until_settled(product, verdict) * 1000)
    judge_end(product, everybody, verdict)
    say(f"{times} kills of the worker: {dict(verdict.seen)}")
    return verdict


@pytest.mark.timeout(120)
def test_nothing_is_lost_when_the_worker_is_killed(product: Product, say: Say) -> None:
    assert kill_workers(product, 2, say, waits=False).faults == []


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_nothing_is_lost_when_ten_workers_are_killed(product: Product, say: Say) -> None:
    assert kill_workers(product, 10, say).faults == []
