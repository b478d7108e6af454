"""The verdict after a crash: every sender's book against what the database holds."""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from bench.model.scripts import PIECES
from tests.crash.product import Product
from tests.crash.sender import Note, Sender

LOST_SECONDS = (
    1.6  # 'about the last second': the keeper saves every 0.8 s, and one save may be under way on a busy machine
)
STORED = """
SELECT t.id, t.name, t.status, t.question_id, q.content AS question, a.content AS answer, a.status AS answer_status,
       (SELECT count(*) FROM ledger_entry l WHERE l.turn_id = t.id) AS entries
FROM turn t JOIN message q ON q.id = t.question_id JOIN message a ON a.id = t.answer_id
"""


def full_answer(tokens: int) -> str:
    """What the simulated model says in so many tokens."""
    return "".join(PIECES[number % len(PIECES)] for number in range(tokens))


@dataclass
class Verdict:
    """What was found wrong, in words, and what was seen how often."""

    faults: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)


def stored_turns(product: Product) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in product.rows(STORED):
        found.setdefault(row["name"], []).append(row)
    return found


def classify(note: Note, stored: dict[str, list[Any]], killed_at: float, whole: str) -> str:
    """At which moment of its turn a message was when everything was killed, told from its book and the rows."""
    if note.acknowledged is None:
        return "after the commit, before its acknowledgement" if note.name in stored else "before the commit"
    if note.end is not None:
        return "after the end"
    heard = note.heard_before(killed_at)
    if heard == whole:
        return "while settling"
    return "in mid-stream" if heard else "after the acknowledgement"


def judge_crash(product: Product, notes: list[Note], killed_at: float, whole: str, verdict: Verdict) -> None:
    """Right after a kill, nothing running: is what was acknowledged there, and the text all but its last second?"""
    stored = stored_turns(product)
    for note in notes:
        verdict.seen[classify(note, stored, killed_at, whole)] += 1
        rows = stored.get(note.name, [])
        if note.acknowledged is not None:
            _judge_acknowledged(note, rows, killed_at, whole, verdict)
        if len(rows) > 1:
            verdict.faults.append(f"{note.name}: stored {len(rows)} times")
    verdict.faults += product.check()


def _judge_acknowledged(note: Note, rows: list[Any], killed_at: float, whole: str, verdict: Verdict) -> None:
    if len(rows) != 1 or rows[0]["question"] != note.text:
        verdict.faults.append(f"{note.name}: acknowledged, and stored {len(rows)} times")
        return
    answer = rows[0]["answer"]
    if not whole.startswith(answer):
        verdict.faults.append(f"{note.name}: the stored answer is not what the model said: {answer[-80:]!r}")
    lost = killed_at - note.when_heard(len(answer) + 1) if len(note.answer) > len(answer) else 0.0
    verdict.seen["longest loss, ms"] = max(verdict.seen["longest loss, ms"], round(lost * 1000))
    if lost > LOST_SECONDS:
        verdict.faults.append(f"{note.name}: what it heard {lost:.2f} seconds before the kill is not stored")
    if note.end is not None and note.end[0] == "done" and answer != note.answer:
        verdict.faults.append(f"{note.name}: its end was told, and {len(answer)} of {len(note.answer)} are stored")


def wait_until_settled(product: Product, verdict: Verdict, seconds: float = 60) -> float:
    """How long turns were still running or waiting after a restart."""
    began = time.monotonic()
    while product.open_turns():
        if time.monotonic() - began > seconds:
            verdict.faults.append(f"{product.open_turns()} turns are still open after {seconds} s")
            break
        time.sleep(0.1)
    return time.monotonic() - began


def judge_end(product: Product, senders: list[Sender], verdict: Verdict) -> None:
    """When all has settled: each message once, in order, each turn with one ledger row, and a way on for the visitor."""
    stored = stored_turns(product)
    names = [note.name for sender in senders for note in sender.book]
    for name in names:
        if len(stored.get(name, [])) != 1:
            verdict.faults.append(f"{name}: stored {len(stored.get(name, []))} times in the end")
    for name, rows in stored.items():
        verdict.faults += [f"{name}: {row['entries']} ledger rows" for row in rows if row["entries"] != 1]
        verdict.faults += [
            f"{name}: its answer is {row['answer_status']}" for row in rows if row["status"] != row["answer_status"]
        ]
    verdict.faults += [f"{row[0]} is held for nothing" for row in product.rows("SELECT turn_id FROM hold")]
    verdict.faults += [f"a quota holds {row[0]}" for row in product.rows("SELECT held FROM quota WHERE held <> 0")]
    verdict.faults += product.check()
