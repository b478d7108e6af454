"""What the turn asks of a language model: one narrow method.

`stream(request, call)` yields pieces of text (never empty) and last of all one `Finish`. It raises one of the
`ModelError` family, after which nothing more comes. Whatever retries there are happen inside, before the first piece.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Protocol

from chatbot.knowledge.found import Found
from chatbot.usage.ledger import Usage


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One call. `messages` are (role, content) with roles system, user, assistant; `max_tokens` bounds the answer."""

    messages: tuple[tuple[str, str], ...]
    max_tokens: int
    temperature: float
    model: str | None = None
    question: str = ""
    passages: tuple[Found, ...] = ()
    unknown: str = ""
    contact: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finish:
    """How an answer ended. `usage` is None when the model did not say."""

    reason: str  # stop, length
    model: str
    usage: Usage | None = None


class Stopped(Exception):
    """The call was ended by us: `call.reason` says why."""


@dataclass(slots=True)
class Call:
    """The switch of one running call: deadlines, and a way to end it from another thread.

    `deadline` is on `time.monotonic()`'s clock; `idle` is how many seconds may pass without a byte.
    """

    deadline: float
    idle: float
    reason: str | None = None
    was_asked: bool = False  # the model has the whole question: from here on it may be paid for
    _stopping: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)
    _cut: Callable[[], None] | None = None

    def stop(self, reason: str = "stopped") -> None:
        """End the call: a wait or a read under way in its thread raises Stopped at once."""
        with self._lock:
            self.reason = self.reason or reason
            self._stopping.set()
            cut = self._cut
        if cut is not None:
            cut()

    @property
    def is_stopped(self) -> bool:
        return self._stopping.is_set()

    def on_stop(self, cut: Callable[[], None] | None) -> None:
        """`cut` breaks whatever the call's thread is waiting for. Raises Stopped when it was stopped already."""
        with self._lock:
            self._cut = cut
        if cut is not None and self.is_stopped:
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Sleep, unless stopped meanwhile: then raise Stopped."""
        if self._stopping.wait(max(0.0, seconds)):
            raise Stopped

    def left(self) -> float:
        """Seconds to the deadline; never below zero."""
        return max(0.0, self.deadline - time.monotonic())


class Provider(Protocol):
    """A language model, or what stands in for one."""

    def stream(self, request: ChatRequest, call: Call) -> Iterator[str | Finish]: ...
