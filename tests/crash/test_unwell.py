"""A model that fails every other call for minutes, and a crowd that goes on asking: nothing hangs, and then all is well."""

import os
import threading
import time
from pathlib import Path

import pytest

from bench.model import ModelServer
from tests.crash.conftest import Say, make_product
from tests.crash.judge import Verdict, wait_until_settled
from tests.crash.sender import Note, Sender

VISITORS, PAUSE = 100, 2.0  # each asks, reads the answer, and asks again after so many seconds
WELL_WITHIN = 30.0  # seconds after the model is


def ask_on(sender: Sender, until: float) -> None:
    """One visitor: a question every PAUSE seconds, each read to its end."""
    while time.time() < until:
        note = sender.write("Is it open today?")
        sender.send(note)
        time.sleep(PAUSE)


def crowd(port: int, until: float) -> list[Sender]:
    # Ten to an address: an office, of which no more than sixty may watch at a time.
    senders = [Sender(port, address=f"127.0.0.{2 + number // 10}") for number in range(VISITORS)]
    for sender in senders:
        sender.page()
    threads = [threading.Thread(target=ask_on, args=(sender, until), daemon=True) for sender in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(until - time.time() + 90)
        assert not thread.is_alive(), "a visitor waits for ever"
    return senders


def run(folder: Path, template: Path, model: ModelServer, say: Say, seconds: float) -> None:
    well_at = time.time() + seconds
    product = make_product(folder, template, model, f"unwell-{int(well_at)}", CHAT_TIMEOUT="10", WEB_CONNECTIONS="256")
    model.reset()
    product.start()
    try:
        senders = crowd(product.port, well_at + WELL_WITHIN + 15)
        well = time.monotonic() - (time.time() - well_at)  # on the clock that the notes are kept by
        notes = [note for sender in senders for note in sender.book]
        after = [note for note in notes if note.sent_at > well + WELL_WITHIN]
        verdict = Verdict()
        settled = wait_until_settled(product, verdict)
        say(figures(notes, after, model, settled, seconds))
        assert after and all(note.end and note.end[0] == "done" for note in after)
        bad = [(note.status, note.end, note.acknowledged) for note in notes if note.status != 200 or not note.end]
        assert not bad, bad[:5]
        assert verdict.faults == []
        # No herd: a failing call is tried again at most twice, and while the model rests one goes ahead.
        assert model.tally()["calls"] <= 2.2 * len(notes)
    finally:
        product.stop()


def figures(notes: list[Note], after: list[Note], model: ModelServer, settled: float, seconds: float) -> str:
    good = sum(bool(note.end and note.end[0] == "done") for note in notes)
    return (
        f"{seconds:.0f} s of every other call failing: {len(notes)} questions, {good} answered, {model.tally()['calls']} calls;"
        f" {WELL_WITHIN:.0f} s after it was well again {sum(bool(note.end and note.end[0] == 'done') for note in after)} of {len(after)} questions went well; settled in {settled:.1f} s"
    )


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_a_crowd_outlasts_an_unwell_model(
    tmp_path: Path, sqlite_template: Path, model_process: ModelServer, say: Say
) -> None:
    run(tmp_path, sqlite_template, model_process, say, float(os.environ.get("UNWELL_SECONDS", "300")))
