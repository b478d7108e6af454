"""What a viewer of a turn sees, in order, and where in the turn it stands.

An event's id is a position in the answer, not a count: `<characters of text so far>` for a piece of text, then
`<characters>.<citation>` and `<characters>.end`. So a viewer that comes back with `Last-Event-ID` is served from the
stored text as well as from memory, on any worker, after a restart too, and never sees a character twice.
"""

from dataclasses import dataclass
from typing import Any

END = 1_000_000


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Characters of text seen (-1: nothing yet, not the start), and how much of what follows the text."""

    characters: int = -1
    after: int = 0

    def __str__(self) -> str:
        if self.after == END:
            return f"{self.characters}.end"
        return f"{self.characters}.{self.after}" if self.after else str(self.characters)


BEGINNING = Position()


def parse_position(value: str | None) -> Position:
    """The position named by a `Last-Event-ID`; the beginning for none, or one that is not ours."""
    head, _dot, tail = (value or "").strip().partition(".")
    if not head.isascii() or not head.isdigit() or len(head) > 9:
        return BEGINNING
    if tail == "end":
        return Position(int(head), END)
    return Position(int(head), int(tail) if tail.isascii() and tail.isdigit() and len(tail) < 6 else 0)


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its kind (waiting, start, delta, citation, done, error), its data, and its position."""

    kind: str
    data: dict[str, Any]
    position: Position

    @property
    def is_last(self) -> bool:
        return self.kind in ("done", "error")


def start(session_id: str, turn_id: str, message_id: str) -> Event:
    return Event("start", {"session_id": session_id, "turn_id": turn_id, "message_id": message_id}, Position(0))


def waiting(ahead: int) -> Event:
    return Event("waiting", {"position": ahead}, BEGINNING)


def delta(text: str, end: int) -> Event:
    """A piece of text that ends at character `end`."""
    return Event("delta", {"text": text}, Position(end))


def citation(data: dict[str, Any], place: int, length: int) -> Event:
    return Event("citation", data, Position(length, place))


def done(message_id: str, finish_reason: str, usage: dict[str, Any], length: int) -> Event:
    data = {"message_id": message_id, "finish_reason": finish_reason, "usage": usage}
    return Event("done", data, Position(length, END))


def error(problem: dict[str, Any], length: int) -> Event:
    return Event("error", problem, Position(length, END))
