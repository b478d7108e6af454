"""Following a turn, wherever it is: not begun, running here or in another process, or ended.

A viewer stands at a position in the answer, so it may move from one source to the next and miss or repeat nothing.
"""

from collections.abc import Iterator

from flask import Flask

from chatbot.chat import events, store
from chatbot.chat.channel import Channel
from chatbot.chat.events import BEGINNING, Event, Position
from chatbot.chat.running import Running
from chatbot.chat.store import TurnRow
from chatbot.chat.turn import stored_events
from chatbot.db import Unit, read
from chatbot.errors import NotFound

MOMENT = 0.5  # seconds between two looks at the database


class Watching:
    """Follows turns for the viewers of one process, until `is_over`."""

    def __init__(self, app: Flask, running: Running, channel: Channel) -> None:
        self._app, self._running, self._channel = app, running, channel
        self.is_over = False

    def follow(self, tenant_id: str, turn_id: str, after: Position = BEGINNING) -> Iterator[Event | None]:
        """The turn's events after a position, to its last; None about every second in which nothing happened.

        Raises NotFound before the first event. Whose turn it is, the caller has checked. Ends early when the process
        ends: the viewer comes back to another one.
        """
        told = 0  # how many turns ahead the viewer was last told of
        while not self.is_over:
            for event in self._here(turn_id, after):
                yield event
                if event is not None:
                    after = event.position
                    if event.is_last:
                        return
            row, ahead = self._look(tenant_id, turn_id)
            if row.status == "waiting" and ahead != told:
                told = ahead
                yield events.waiting(ahead)
            step = (
                self._elsewhere(tenant_id, row, after)
                if row.status == "running"
                else self._at_rest(tenant_id, row, after)
            )
            for event in step:
                yield event
                if event is not None:
                    after = event.position
                    if event.is_last:
                        return

    def _here(self, turn_id: str, after: Position) -> Iterator[Event | None]:
        """What this process's own turn says; nothing when it runs none by this id."""
        broadcast = self._running.broadcast(turn_id)
        while turn_id in self._running:
            if broadcast.wait_for_begin(1.0):
                yield from broadcast.follow(after)
                return
            yield None

    def _at_rest(self, tenant_id: str, row: TurnRow, after: Position) -> Iterator[Event | None]:
        """The whole of an ended turn; of one that waits a moment's patience, or its begin if that is here."""
        if row.is_open:
            self._running.broadcast(row.id).wait_for_begin(MOMENT)
            yield None
            return
        with self._app.app_context():
            shown = read(tenant_id, lambda unit: stored_events(unit, row))
        for event in shown:
            rest = event_after(event, after)
            if rest is not None:
                yield rest

    def _elsewhere(self, tenant_id: str, row: TurnRow, after: Position) -> Iterator[Event | None]:
        """What another process's turn says: through the channel, and from the database what that did not bring."""
        for event in self._channel.follow(row.id):
            if event is None or _skips(event, after):  # nothing came, or something was lost
                for stored in self._so_far(tenant_id, row, after):
                    yield stored
                    after = stored.position
                yield None
                if self.is_over or row.id in self._running or self._look(tenant_id, row.id)[0].status != "running":
                    return
            rest = event_after(event, after) if event is not None and not _skips(event, after) else None
            if rest is not None:
                yield rest
                after = rest.position
                if rest.is_last:
                    return

    def _look(self, tenant_id: str, turn_id: str) -> tuple[TurnRow, int]:
        def work(unit: Unit) -> tuple[TurnRow, int]:
            row = store.turn_by_id(unit, turn_id)
            if row is None:
                raise NotFound()
            return row, store.turns_ahead(unit, row) if row.status == "waiting" else 0

        with self._app.app_context():
            return read(tenant_id, work)

    def _so_far(self, tenant_id: str, row: TurnRow, after: Position) -> Iterator[Event]:
        """What is stored of an open turn's text beyond a position."""
        with self._app.app_context():
            text, _citations = read(tenant_id, lambda unit: store.answer_text(unit, row.answer_id))
        if after.characters < 0:
            yield events.start(row.conversation_id, row.id, row.question_id)
        if len(text) > max(after.characters, 0):
            yield events.delta(text[max(after.characters, 0) :], len(text))


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
