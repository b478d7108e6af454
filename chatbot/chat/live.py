"""Running turns to their end, whoever listens.

`Live` drives each turn's generator on a thread of its own (a greenlet where gevent has patched threads) and tells its
viewers. A viewer follows from a position, may leave, and may come back: to this process (memory), to another one
(through the channel), or after the end (from what is stored). One keeper thread a process saves what has been said
about every second, renews the leases of its turns, sees who asked to stop, and sweeps up after dead workers.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from flask import Flask

from chatbot.chat import ending, events, store
from chatbot.chat.broadcast import Broadcast
from chatbot.chat.channel import Channel
from chatbot.chat.ending import Ending
from chatbot.chat.events import BEGINNING, Event, Position
from chatbot.chat.opening import LEASE, OpenedTurn
from chatbot.chat.store import TurnRow
from chatbot.chat.turn import RunningTurn, Worker, interruption, stored_events
from chatbot.db import Unit, read, write
from chatbot.errors import NotFound, Unavailable
from chatbot.tenancy import EVERY_TENANT, now
from chatbot.usage.ledger import Usage, estimate_tokens

log = structlog.get_logger(__name__)

SAVE_EVERY = 0.8  # seconds: with the write itself, at most the last second of an answer is missing after kill -9
SWEEP_EVERY = 5.0
POLL = 0.5
MOST_RUNNING = 2000


class Live:
    """The running turns of one process."""

    def __init__(self, app: Flask, worker: Worker, channel: Channel) -> None:
        self._app, self._worker, self._channel = app, worker, channel
        self._running: dict[str, RunningTurn] = {}
        self._broadcasts: dict[str, Broadcast] = {}
        self._lock = threading.Lock()
        self._keeper: threading.Thread | None = None
        self._draining = self._is_over = False
        self._idle = threading.Condition(self._lock)

    # --- beginning ---------------------------------------------------------------------------------------------------

    def check_open(self) -> None:
        """Raise Unavailable when this process takes no new turns: it is ending, or full."""
        if self._draining:
            raise Unavailable(retry_after=2)
        if len(self._running) >= MOST_RUNNING:
            raise Unavailable(retry_after=10)

    def start(self, opened: OpenedTurn) -> None:
        """Run a turn that was just opened; one that waits begins when the turn before it ends, one handed back runs already."""
        if not opened.is_new:
            return
        self._wake_keeper()
        row = opened.turn
        if row.status == "waiting" and self._channel.is_shared:
            return  # whichever process ends the turn before it takes it up
        broadcast = Broadcast()
        with self._lock:
            self._broadcasts[row.id] = broadcast
        if row.status == "running":
            broadcast.publish(
                events.start(row.conversation_id, row.id, row.question_id)
            )  # it is stored: say so at once
            self._spawn(row)

    def _spawn(self, row: TurnRow) -> None:
        threading.Thread(target=self._drive, args=(row,), name="turn", daemon=True).start()

    def _drive(self, row: TurnRow | None) -> None:
        """Run a turn, then those of its conversation that waited for it."""
        with self._app.app_context():
            while row is not None:
                row = self._run(row)

    def _run(self, row: TurnRow) -> TurnRow | None:
        turn = RunningTurn(row, self._worker)
        with self._lock:
            self._running[row.id] = turn
            broadcast = self._broadcasts.setdefault(row.id, Broadcast())
        if row.is_stopping:
            turn.call.stop()
        try:
            for event in turn.events():
                if event.kind != "start" or not broadcast.has_begun:
                    broadcast.publish(event)
                self._channel.publish(row.id, event)
        finally:
            with self._idle:
                self._running.pop(row.id, None)
                self._broadcasts.pop(row.id, None)
                self._idle.notify_all()
        return turn.next

    # --- watching ----------------------------------------------------------------------------------------------------

    def follow(self, tenant_id: str, turn_id: str, after: Position = BEGINNING) -> Iterator[Event | None]:
        """The turn's events after a position, to its last; None about every second in which nothing happened.

        Raises NotFound before the first event. Whose turn it is, the caller has checked.
        """
        ahead = -1
        while True:
            with self._lock:
                broadcast = self._broadcasts.get(turn_id)
            if broadcast is not None and broadcast.has_begun:
                yield from broadcast.follow(after)
                return
            row, waits = self._look(tenant_id, turn_id)
            if not row.is_open:
                yield from self._stored(tenant_id, row, after)
                return
            if self._is_over:
                return  # it waits for the next process, and so may its viewer
            if row.status == "running" and broadcast is None:
                yield from self._follow_elsewhere(tenant_id, row, after)
                return
            if waits != ahead and row.status == "waiting":
                ahead = waits
                yield events.waiting(ahead)
            yield from _pause(broadcast)

    def _look(self, tenant_id: str, turn_id: str) -> tuple[TurnRow, int]:
        def work(unit: Unit) -> tuple[TurnRow, int]:
            row = store.turn_by_id(unit, turn_id)
            if row is None:
                raise NotFound()
            return row, store.turns_ahead(unit, row) if row.status == "waiting" else 0

        with self._app.app_context():
            return read(tenant_id, work)

    def _stored(self, tenant_id: str, row: TurnRow, after: Position) -> Iterator[Event]:
        with self._app.app_context():
            shown = read(tenant_id, lambda unit: stored_events(unit, row))
        for event in shown:
            rest = event_after(event, after)
            if rest is not None:
                yield rest

    def _follow_elsewhere(self, tenant_id: str, row: TurnRow, after: Position) -> Iterator[Event | None]:
        """Watch a turn that another process runs: through the channel, and the database as the last word."""
        for event in self._channel.follow(row.id):
            if event is None or _skips(event, after):  # nothing came, or the channel lost something
                yield None
                fresh, _ahead = self._look(tenant_id, row.id)
                if not fresh.is_open:
                    yield from self._stored(tenant_id, fresh, after)
                    return
                if self._is_over:
                    return
                for rest in self._so_far(tenant_id, fresh, after):
                    yield rest
                    after = rest.position
            if event is None or _skips(event, after):
                continue
            rest_of_it = event_after(event, after)
            if rest_of_it is not None:
                yield rest_of_it
                after = rest_of_it.position
                if rest_of_it.is_last:
                    return

    def _so_far(self, tenant_id: str, row: TurnRow, after: Position) -> Iterator[Event]:
        """What is stored of an open turn's text beyond a position."""
        with self._app.app_context():
            text, _citations = read(tenant_id, lambda unit: store.answer_text(unit, row.answer_id))
        if after.characters < 0:
            yield events.start(row.conversation_id, row.id, row.question_id)
        if len(text) > max(after.characters, 0):
            yield events.delta(text[max(after.characters, 0) :], len(text))

    # --- ending ------------------------------------------------------------------------------------------------------

    def stop(self, tenant_id: str, turn_id: str) -> None:
        """End a turn, keeping what was said; wherever it runs, within about a second. An ended turn stays as it is."""

        def work(unit: Unit) -> str | None:
            status = store.ask_to_stop(unit, turn_id)
            row = store.turn_by_id(unit, turn_id) if status == "waiting" else None
            if row is not None:
                ending.end_waiting(unit, row, Ending("stopped", "", "stopped"))
            return status

        write(tenant_id, work)
        with self._lock:
            turn = self._running.get(turn_id)
        if turn is not None:
            turn.call.stop()

    def drain(self, grace: float) -> None:
        """Take no new turns, let those that run end within `grace` seconds, then interrupt the rest and settle them."""
        self._draining = True
        deadline = time.monotonic() + grace
        with self._idle:
            while self._running and time.monotonic() < deadline:
                self._idle.wait(0.2)
        deadline = time.monotonic() + 5
        with self._idle:
            while self._running and time.monotonic() < deadline:
                for turn in self._running.values():  # each time: one may have begun in the place of one that ended
                    turn.call.stop("interrupted")
                self._idle.wait(0.1)
        self._is_over = True

    def warm_up(self) -> None:
        """Do now what the first visitor would wait for."""
        with self._app.app_context():
            self._worker.providers.warm_up()

    @property
    def owner(self) -> str:
        """The name under which this process holds leases."""
        return self._worker.owner

    @property
    def running(self) -> int:
        return len(self._running)

    # --- keeping -----------------------------------------------------------------------------------------------------

    def keep(self) -> None:
        """Start the keeper of this process, which also sweeps up what a worker before it left."""
        self._wake_keeper()

    def _wake_keeper(self) -> None:
        if self._keeper is not None and self._keeper.is_alive():
            return
        with self._lock:
            if self._keeper is None or not self._keeper.is_alive():
                self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
                self._keeper.start()

    def _keep(self) -> None:
        swept = 0.0
        while True:
            with self._app.app_context():
                try:
                    self._save()
                    if time.monotonic() - swept > SWEEP_EVERY and not self._draining:
                        swept = time.monotonic()
                        self.sweep()
                except Exception as error:  # the database is away: the turns go on, the next round tries again
                    log.warning("keeper pauses", error=type(error).__name__)
            time.sleep(SAVE_EVERY)

    def _save(self) -> None:
        """Save the texts and renew the leases of this process's turns, one transaction a tenant."""
        by_tenant: dict[str, list[RunningTurn]] = {}
        for turn in list(self._running.values()):
            by_tenant.setdefault(turn.row.tenant_id, []).append(turn)
        for tenant_id, turns in by_tenant.items():
            with _alone("texts were not saved", tenant=tenant_id):
                self._save_tenant(tenant_id, turns)

    def _save_tenant(self, tenant_id: str, turns: list[RunningTurn]) -> None:
        texts = {turn: turn.speech.text for turn in turns if turn.speech.length > turn.saved_length}

        def work(unit: Unit) -> dict[str, bool]:
            store.save_texts(unit, [(turn.row.answer_id, text) for turn, text in texts.items()])
            return store.renew(unit, self._worker.owner, [turn.row.id for turn in turns], now() + LEASE)

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
        dead = [(tenant, turn) for tenant, turn in read(EVERY_TENANT, ending.expired) if turn not in self._running]
        ended = 0
        for tenant_id, turn_id in dead:
            with _alone("a dead turn was not ended", tenant=tenant_id, turn=turn_id):
                ended += int(write(tenant_id, lambda unit, turn_id=turn_id: _end_dead(unit, turn_id)))  # type: ignore[misc]
        for tenant_id, conversation_id in read(EVERY_TENANT, ending.orphans):
            with _alone("a waiting turn was not begun", tenant=tenant_id, conversation=conversation_id):
                self._take_up(tenant_id, conversation_id)
        return ended

    def _take_up(self, tenant_id: str, conversation_id: str) -> None:
        until = now() + LEASE
        row = write(tenant_id, lambda unit: ending.claim_next(unit, conversation_id, self._worker.owner, until))
        if row is not None:
            self._spawn(row)


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
    usage = Usage()
    if text:
        question, _position = store.question(unit, row.question_id)
        usage = Usage(estimate_tokens(question), estimate_tokens(text), estimated=True)
    return ending.end_dead(unit, row, Ending("interrupted", None, problem=interruption(), usage=usage))


def event_after(event: Event, after: Position) -> Event | None:
    """What of `event` a viewer at `after` has not seen: all, the rest of a piece of text, or nothing."""
    if event.position <= after and not (event.is_last and after.after != events.END):
        return None  # the end is told even to a viewer who saw more than a dead worker had stored
    if event.kind != "delta":
        return event
    text = event.data["text"]
    begin = event.position.characters - len(text)
    if begin >= max(after.characters, 0):
        return event
    return events.delta(text[max(after.characters, 0) - begin :], event.position.characters)


def _skips(event: Event, after: Position) -> bool:
    """Whether text is missing between a viewer at `after` and this event."""
    begins = event.position.characters - len(event.data["text"] if event.kind == "delta" else "")
    return begins > max(after.characters, 0)


def _pause(broadcast: Broadcast | None) -> Iterator[None]:
    """Wait until a waiting turn begins here, or a moment; tell the transport that it may look around."""
    if broadcast is not None:
        broadcast.wait_for_begin(POLL)
    else:
        time.sleep(POLL)
    yield None
