"""SIGTERM: open turns end within the grace time or are marked, nothing new begins, nothing acknowledged is lost."""

import threading
import time

import pytest

from tests.crash.conftest import visitors
from tests.crash.judge import Verdict, full_answer, judge_end, wait_until_settled
from tests.crash.product import GRACE, Product
from tests.crash.sender import BROKEN, HOME, Note, Sender

SHORT, LONG = "play paced-50-50-75", "play paced-50-5-900"


@pytest.fixture
def script() -> str:
    return "obey"


def send_all(senders: list[Sender], text: str, watched: bool) -> tuple[list[Note], list[threading.Thread]]:
    """Send one message each; a watched one is followed by its visitor, an unwatched one left once it is acknowledged."""
    notes = [sender.write(text) for sender in senders]
    threads = []
    for sender, note in zip(senders, notes, strict=True):
        threads.append(threading.Thread(target=sender.send, args=(note, not watched), daemon=True))
        threads[-1].start()
    end = time.monotonic() + 20
    while not all(note.acknowledged for note in notes):
        assert time.monotonic() < end
        time.sleep(0.01)
    return notes, threads


def knock(sender: Sender, outcomes: list[str]) -> None:
    """Send messages to a server that is ending, on new connections."""
    sender.timeout = 5
    for _ in range(15):
        note = sender.write("play instant-3")
        try:
            asked = sender.request("POST", HOME, sender.fields(note), Accept="text/event-stream")
            told = asked[1].headers["Retry-After"]
            outcomes.append(f"{asked[1].status}, Retry-After {'given' if told else 'missing'}")
            asked[0].close()
        except BROKEN as error:
            outcomes.append("refused" if isinstance(error, ConnectionError) else type(error).__name__)
        sender.book.remove(note)
        time.sleep(0.1)


def status_of(product: Product, note: Note) -> str:
    [row] = product.rows("SELECT status FROM turn WHERE name = ?", note.name)
    return str(row[0])


@pytest.mark.timeout(120)
def test_open_turns_end_in_time_or_are_marked(product: Product) -> None:
    senders = visitors(product, 13)
    long_seen, threads = send_all(senders[:3], LONG, watched=True)
    long_alone, _ = send_all(senders[3:6], LONG, watched=False)
    short_seen, more = send_all(senders[6:9], SHORT, watched=True)
    short_alone, _ = send_all(senders[9:12], SHORT, watched=False)
    waiting = senders[0].write("play instant-3")  # it waits for the first one's long answer, and is watched too
    waiting.session = str(long_seen[0].acknowledged and long_seen[0].acknowledged["session_id"])
    threads += [threading.Thread(target=senders[0].send, args=(waiting,), daemon=True)]
    threads[-1].start()
    while product.open_turns() < 13:
        time.sleep(0.02)

    outcomes: list[str] = []
    taken = product.terminate(meanwhile=lambda: knock(senders[12], outcomes))
    for thread in [*threads, *more]:
        thread.join(20)
        assert not thread.is_alive()

    assert GRACE - 1 <= taken <= GRACE + 10
    assert [status_of(product, note) for note in short_seen + short_alone] == ["complete"] * 6
    assert [status_of(product, note) for note in long_seen + long_alone] == ["interrupted"] * 6
    assert {note.end and note.end[0] for note in short_seen} == {"done"}
    assert {note.end and note.end[1]["type"] for note in long_seen} == {"urn:shaman:interrupted"}
    for note in long_seen:
        [row] = product.rows(
            "SELECT content FROM message m JOIN turn t ON t.answer_id = m.id WHERE t.name = ?", note.name
        )
        assert row[0] == note.answer, "what was shown is what is stored"
    assert [note.answer for note in short_seen] == [full_answer(75)] * 3
    assert set(outcomes) <= {"refused", "503, Retry-After given"}

    product.forget_leases()
    product.start()
    verdict = Verdict()
    wait_until_settled(product, verdict)
    if status_of(product, waiting) != "complete":
        verdict.faults.append(f"the turn that waited is {status_of(product, waiting)}")
    judge_end(product, senders[1:], verdict)
    assert verdict.faults == []
    assert senders[1].retry_path()


@pytest.mark.timeout(60)
def test_an_idle_server_ends_at_once(product: Product) -> None:
    visitors(product, 2)
    assert product.terminate() < GRACE + 2
    assert product.check() == []
    assert "Traceback" not in product.log.read_text()
