"""Keeping a crowd off a model that asked for rest.

Once a model has said that it is busy, whoever would ask it waits. When the rest is over one goes first, and the others
learn from that whether they may follow. So a busy model with a hundred visitors hears one of them a second, not three
hundred calls at once, and all of them again as soon as it answers.
"""

import time
from threading import Lock

import structlog

from chatbot.errors import ModelBusy
from chatbot.providers.contract import Call

log = structlog.get_logger(__name__)

LONGEST_WAIT = 8.0  # seconds that a visitor is kept waiting for a busy model
LONGEST_REST = 30.0  # a model that asks for a day may be well before: somebody looks after this
LOOK = 0.25


class Gate:
    """Open, or shut until the model has rested. One for each model of an endpoint."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._until: float | None = None  # on the monotonic clock; None: open
        self._first: Call | None = None
        self._refusals = 0  # of those who went first

    def admit(self, call: Call) -> bool:
        """Wait until `call` may be made. False when another went first meanwhile and was refused.

        Raises ModelBusy when the rest is longer than anybody waits, Stopped when the call is stopped.
        """
        if self._until is None:
            return True
        refusals = self._refusals
        while True:
            with self._lock:
                if self._until is None:
                    return True
                if self._refusals != refusals:
                    return False
                left = self._until - time.monotonic()
                if left > LONGEST_WAIT or call.left() <= max(left, 0):
                    raise ModelBusy(retry_after=max(left, 1))
                if left <= 0 and self._first is None:
                    self._first = call
                    return True
            call.wait(min(max(left, 0.02), LOOK))

    def shut(self, call: Call, seconds: float) -> None:
        """The model told `call` that it is busy, for so many seconds."""
        with self._lock:
            if self._until is None:
                log.warning("model is busy", seconds=round(seconds, 1))
            self._until = max(self._until or 0.0, time.monotonic() + min(seconds, LONGEST_REST))
            if self._first is call:
                self._first = None
                self._refusals += 1

    def open(self, call: Call) -> None:
        """The model answered `call`. One that was on its way before the gate shut proves nothing."""
        if self._first is call:
            with self._lock:
                self._until = self._first = None

    def leave(self, call: Call) -> None:
        """`call` has ended; if it went first and learned nothing of the model, another may."""
        if self._first is call:
            with self._lock:
                self._first = None
