"""How a turn's events reach viewers in other processes: not at all (one process), or through Redis."""

import time
from collections.abc import Iterator
from typing import Protocol

from chatbot.chat.events import Event


class Channel(Protocol):
    """Carries the events of running turns between processes. Losing it costs viewers a second, never a character."""

    def publish(self, turn_id: str, event: Event) -> None: ...

    def follow(self, turn_id: str) -> Iterator[Event | None]:
        """The turn's events from its first; None when nothing came for a while (then the database is asked)."""
        ...


class NoChannel:
    """One process: whoever is not found here has ended, or its worker is dead and will be swept."""

    def publish(self, turn_id: str, event: Event) -> None:
        pass

    def follow(self, turn_id: str) -> Iterator[Event | None]:
        while True:
            time.sleep(0.5)
            yield None
