"""Lines that break, pages that are reloaded, second tabs: everybody sees the same text, nothing twice, nothing missing."""

import random
import threading
import time

import pytest

from tests.crash.conftest import visitors
from tests.crash.judge import full_answer
from tests.crash.product import Product
from tests.crash.sender import HOME, Note, Sender

TOKENS = 300
WHOLE = full_answer(TOKENS)


@pytest.fixture
def script() -> str:
    return f"paced-50-75-{TOKENS}"  # four seconds


def break_and_come_back(sender: Sender, most: int) -> int:
    """Follow one answer over lines that break at a random byte. Returns how many broke."""
    note = sender.write("Hello?")
    sender.send(note, to_start=True)
    broken = 0
    while note.end is None:
        sender.follow(note, cut_after=random.randrange(1, most))
        broken += note.end is None
    assert note.answer == WHOLE
    assert note.end[0] == "done"
    return broken


def many_breaks(product: Product, streams: int, most: int) -> int:
    counts: list[int] = []
    senders = visitors(product, streams)
    threads = [
        threading.Thread(target=lambda s=sender: counts.append(break_and_come_back(s, most)), daemon=True)
        for sender in senders
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(counts) == streams, "each answer was whole"
    answers = product.rows("SELECT content FROM message WHERE role = 'assistant'")
    assert {row[0] for row in answers} == {WHOLE}
    return sum(counts)


@pytest.mark.timeout(90)
def test_text_is_whole_over_lines_that_break_anywhere(product: Product) -> None:
    assert many_breaks(product, streams=6, most=900) > 40


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_text_is_whole_over_five_hundred_breaks(product: Product) -> None:
    broken = 0
    while broken < 500:
        broken += many_breaks(product, streams=8, most=1500)


def tab(sender: Sender, turn: str, position: str) -> Note:
    """Another view of a turn by the same browser, from a position on."""
    note = Note(sender.id, "", "")
    note.acknowledged, note.last_id = {"turn_id": turn}, position
    sender.follow(note)
    return note


@pytest.mark.timeout(90)
def test_a_reload_and_a_second_tab_show_the_same(product: Product) -> None:
    sender, stranger = visitors(product, 2)
    note = sender.write("Hello?")
    first = threading.Thread(target=sender.send, args=(note,), daemon=True)
    first.start()
    while not product.rows("SELECT 1 FROM message WHERE role = 'assistant' AND content <> ''"):
        time.sleep(0.05)
    assert note.acknowledged
    turn = note.acknowledged["turn_id"]

    page = sender.page()
    begun = page.partition('data-text="')[2].partition('"')[0]
    assert begun, "a reload shows what was said so far"
    assert WHOLE.startswith(begun)
    seen: list[Note] = []
    tabs = [
        threading.Thread(target=lambda at=position: seen.append(tab(sender, turn, at)), daemon=True)
        for position in ("", "0", str(len(begun)))
    ]
    for thread in tabs:
        thread.start()
    for thread in [first, *tabs]:
        thread.join(30)
    assert note.answer == WHOLE
    assert sorted(len(each.answer) for each in seen) == sorted([len(WHOLE), len(WHOLE), len(WHOLE) - len(begun)])
    assert all(WHOLE.endswith(each.answer) for each in seen)
    assert all(each.end and note.end and each.end[1] == note.end[1] for each in seen)

    connection, response = stranger.request("GET", f"{HOME}/turns/{turn}/events", Accept="text/event-stream")
    assert response.status == 404
    connection.close()
    assert sender.retry_path() is None
