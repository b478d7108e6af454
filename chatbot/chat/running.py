"""The turns that this process runs, and the broadcasts through which they are watched here."""

import threading
import time
from weakref import WeakValueDictionary

from chatbot.chat.broadcast import Broadcast
from chatbot.chat.turn import RunningTurn


class Running:
    """A turn is here from before its thread starts until after its last event.

    A broadcast is made by whoever needs it first, a viewer or the turn, and lives as long as one of them holds it.
    """

    def __init__(self) -> None:
        self._turns: dict[str, RunningTurn] = {}
        self._broadcasts: WeakValueDictionary[str, Broadcast] = WeakValueDictionary()
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._turns)

    def __contains__(self, turn_id: str) -> bool:
        return turn_id in self._turns

    def get(self, turn_id: str) -> RunningTurn | None:
        return self._turns.get(turn_id)

    def all(self) -> list[RunningTurn]:
        with self._changed:
            return list(self._turns.values())

    def add(self, turn: RunningTurn) -> None:
        with self._changed:
            self._turns[turn.row.id] = turn

    def remove(self, turn_id: str) -> None:
        """The turn is over here: its viewers look for themselves what became of it."""
        with self._changed:
            self._turns.pop(turn_id, None)
            broadcast = self._broadcasts.pop(turn_id, None)
            self._changed.notify_all()
        if broadcast is not None:
            broadcast.close()

    def broadcast(self, turn_id: str) -> Broadcast:
        """The turn's broadcast, the same for all who hold it."""
        with self._changed:
            found = self._broadcasts.get(turn_id)
            if found is None:
                found = self._broadcasts[turn_id] = Broadcast()
            return found

    def wait_until_none(self, seconds: float) -> bool:
        """Wait for the turns to end, `seconds` at most. Whether none is left."""
        until = time.monotonic() + seconds
        with self._changed:
            while self._turns and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            return not self._turns
