"""Running turns to their end, whoever listens.

`Live` drives each turn's generator on a thread of its own (a greenlet where gevent has patched threads) and tells its
viewers. A viewer follows from a position, may leave, and may come back: to this process (memory), to another one
(through the channel), or after the end (from what is stored); `watching.py` does that, `keeping.py` keeps the turns safe.
"""

import threading
from collections.abc import Iterator

import structlog
from flask import Flask

from chatbot.chat.channel import Channel
from chatbot.chat.events import BEGINNING, Event, Position
from chatbot.chat.keeping import Keeper
from chatbot.chat.opening import OpenedTurn
from chatbot.chat.running import Running
from chatbot.chat.stopping import stop_turn
from chatbot.chat.store import TurnRow
from chatbot.chat.turn import RunningTurn, Worker
from chatbot.chat.viewers import Viewers
from chatbot.chat.watching import Watching
from chatbot.db import write
from chatbot.errors import Unavailable

log = structlog.get_logger(__name__)

MOST_RUNNING = 2000
LAST_WORDS = 5.0  # seconds that interrupted turns have to be settled


class Live:
    """The running turns of one process."""

    def __init__(self, app: Flask, worker: Worker, channel: Channel) -> None:
        self._app, self._worker, self._channel = app, worker, channel
        self._running = Running()
        self._watching = Watching(app, self._running, channel)
        self._keeper = Keeper(app, self._running, worker.owner, self._spawn)
        self._is_draining = False
        self.viewers = Viewers(worker.settings.WEB_CONNECTIONS)

    # --- beginning ---------------------------------------------------------------------------------------------------

    def check_open(self) -> None:
        """Raise Unavailable when this process takes no new turns: it is ending, or full."""
        if self._is_draining:
            raise Unavailable(retry_after=2)
        if len(self._running) >= MOST_RUNNING or self.viewers.is_full:
            raise Unavailable(retry_after=10)

    def start(self, opened: OpenedTurn) -> None:
        """Run a turn that was just opened; one that waits begins when the turn before it ends, one handed back runs already."""
        if not opened.is_new:
            return
        self._keeper.wake()
        if opened.turn.status == "running":
            self._spawn(opened.turn)

    def _spawn(self, row: TurnRow) -> None:
        turn = self._admit(row)
        try:
            threading.Thread(target=self._drive, args=(turn,), name="turn", daemon=True).start()
        except RuntimeError:  # no thread is to be had: its lease runs out, and the sweep ends it
            log.exception("turn could not be begun", turn=row.id, tenant=row.tenant_id)
            self._running.remove(row.id)

    def _admit(self, row: TurnRow) -> RunningTurn:
        turn = RunningTurn(row, self._worker)
        self._running.add(turn)
        if row.is_stopping:
            turn.call.stop()
        return turn

    def _drive(self, turn: RunningTurn) -> None:
        """Run a turn, then those of its conversation that waited for it."""
        with self._app.app_context():
            self._run(turn)
            while turn.next is not None:
                turn = self._admit(turn.next)
                self._run(turn)

    def _run(self, turn: RunningTurn) -> None:
        broadcast = self._running.broadcast(turn.row.id)
        try:
            for event in turn.events():
                broadcast.publish(event)
                self._channel.publish(turn.row.id, event)
        finally:
            self._running.remove(turn.row.id)

    # --- watching ----------------------------------------------------------------------------------------------------

    def follow(self, tenant_id: str, turn_id: str, after: Position = BEGINNING) -> Iterator[Event | None]:
        """The turn's events after a position, to its last; None about every second in which nothing happened."""
        return self._watching.follow(tenant_id, turn_id, after)

    # --- ending ------------------------------------------------------------------------------------------------------

    def stop(self, tenant_id: str, turn_id: str) -> None:
        """End a turn, keeping what was said; wherever it runs, within about a second. An ended turn stays as it is."""
        write(tenant_id, lambda unit: stop_turn(unit, turn_id))
        turn = self._running.get(turn_id)
        if turn is not None:
            turn.call.stop()

    def drain(self, grace: float) -> None:
        """Take no new turns, let those that run end within `grace` seconds, then interrupt the rest and settle them."""
        self._is_draining = True
        self._keeper.is_sweeping = False
        self._running.wait_until_none(grace)
        for _ in range(int(LAST_WORDS / 0.1)):
            for turn in self._running.all():  # each time: one may have begun in the place of one that ended
                turn.call.stop("interrupted")
            if self._running.wait_until_none(0.1):
                break
        self._watching.is_over = True

    # --- keeping -----------------------------------------------------------------------------------------------------

    def keep(self) -> None:
        """Start the keeper of this process, which also sweeps up what a worker before it left."""
        self._keeper.wake()

    def sweep(self) -> int:
        """End the turns of dead workers, begin those that waited for them. Returns how many were ended."""
        return self._keeper.sweep()

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
