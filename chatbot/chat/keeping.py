"""One thread a process that keeps its turns safe: saves what has been said, renews leases, sweeps up after dead workers."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from flask import Flask

from chatbot.chat import ending, store
from chatbot.chat.ending import Ending
from chatbot.chat.opening import LEASE
from chatbot.chat.running import Running
from chatbot.chat.stopping import stop_unserved
from chatbot.chat.store import TurnRow
from chatbot.chat.turn import RunningTurn, interruption
from chatbot.db import Unit, read, write
from chatbot.tenancy import EVERY_TENANT, now
from chatbot.usage.ledger import Usage, estimate_tokens

log = structlog.get_logger(__name__)

SAVE_EVERY = 0.8  # seconds: with the write itself, at most the last second of an answer is missing after kill -9
SWEEP_EVERY = 5.0


class Keeper:
    """Keeps the turns of one process. `take_up` runs a turn that this process has claimed."""

    def __init__(self, app: Flask, running: Running, owner: str, take_up: Callable[[TurnRow], None]) -> None:
        self._app, self._running, self._owner, self._take_up = app, running, owner, take_up
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.is_sweeping = True

    def wake(self) -> None:
        """Start the thread unless it runs (it does not outlive a fork)."""
        if self._thread is not None and self._thread.is_alive():
            return
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._loop, name="keeper", daemon=True)
                self._thread.start()

    def _loop(self) -> None:
        swept = 0.0
        while True:
            with self._app.app_context():
                try:
                    self.save()
                    if self.is_sweeping and time.monotonic() - swept > SWEEP_EVERY:
                        swept = time.monotonic()
                        self.sweep()
                except Exception as error:  # the database is away: the turns go on, the next round tries again
                    log.warning("keeper pauses", error=type(error).__name__)
            time.sleep(SAVE_EVERY)

    def save(self) -> None:
        """Save the texts and renew the leases of this process's turns, one transaction a tenant."""
        by_tenant: dict[str, list[RunningTurn]] = {}
        for turn in self._running.all():
            by_tenant.setdefault(turn.row.tenant_id, []).append(turn)
        for tenant_id, turns in by_tenant.items():
            with _alone("texts were not saved", tenant=tenant_id):
                self._save_tenant(tenant_id, turns)

    def _save_tenant(self, tenant_id: str, turns: list[RunningTurn]) -> None:
        texts = {turn: turn.speech.text for turn in turns if turn.speech.length > turn.saved_length}

        def work(unit: Unit) -> dict[str, bool]:
            # Turns first, then messages: as those who end a turn do. The other way round they waited for each other.
            ours = store.renew(unit, self._owner, [turn.row.id for turn in turns], now() + LEASE)
            store.save_texts(unit, [(turn.row.answer_id, text) for turn, text in texts.items() if turn.row.id in ours])
            return ours

        to_stop = write(tenant_id, work)
        for turn, text in texts.items():
            turn.saved_length = len(text)
        for turn in turns:
            if turn.call.left() <= 0:
                turn.call.stop("late")  # its provider ends it by then; a server that drips bytes may put that off
            elif to_stop.get(turn.row.id, True):
                turn.call.stop()  # somebody asked for it, or it was swept while this worker slept

    def sweep(self) -> int:
        """End the turns of dead workers, begin those that waited for them. Returns how many were ended. Safe anywhere, any time."""
        ended = 0
        with _alone("the turns of clients that are not served were not stopped"):
            stop_unserved()
        for tenant_id, turn_id in read(EVERY_TENANT, ending.expired):
            if turn_id in self._running:
                continue
            with _alone("a dead turn was not ended", tenant=tenant_id, turn=turn_id):
                ended += int(write(tenant_id, lambda unit, turn_id=turn_id: _end_dead(unit, turn_id)))  # type: ignore[misc]
        for tenant_id, conversation_id in read(EVERY_TENANT, ending.orphans):
            with _alone("a waiting turn was not begun", tenant=tenant_id, conversation=conversation_id):
                self._claim(tenant_id, conversation_id)
        return ended

    def _claim(self, tenant_id: str, conversation_id: str) -> None:
        until = now() + LEASE
        row = write(tenant_id, lambda unit: ending.claim_next(unit, conversation_id, self._owner, until))
        if row is not None:
            self._take_up(row)


@contextmanager
def _alone(trouble: str, **where: str) -> Iterator[None]:
    """Log what fails here, and go on: one client's trouble is no other's."""
    try:
        yield
    except Exception as error:
        log.warning(trouble, error=type(error).__name__, **where)


def _end_dead(unit: Unit, turn_id: str) -> bool:
    row = store.turn_by_id(unit, turn_id)
    if row is None:
        return False
    text, _citations = store.answer_text(unit, row.answer_id)
    question, _position = store.question(unit, row.question_id)
    # The worker took with it whether the model was asked: most likely it was, so the question is counted.
    usage = Usage(estimate_tokens(question), estimate_tokens(text), estimated=True)
    return ending.end_dead(unit, row, Ending("interrupted", None, problem=interruption(), usage=usage))
