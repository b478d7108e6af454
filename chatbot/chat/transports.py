"""The ways a turn's events reach a caller: an event stream, or one answer at the end."""

import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
from flask import Flask, Response, current_app, g, request
from flask_babel import gettext as _

from chatbot.chat.doors import reader
from chatbot.chat.events import BEGINNING, Event, Position
from chatbot.chat.live import Live
from chatbot.chat.readers import ASK_EVERY, Reader
from chatbot.chat.viewers import MOST_A_BROWSER, MOST_AN_ADDRESS
from chatbot.db import db
from chatbot.errors import Forbidden
from chatbot.security import caller_address

COMMENT_EVERY = 10  # seconds of silence; a proxy cuts an idle stream at 60, a caller may at 15


def frame(event: Event) -> bytes:
    """One server-sent event."""
    return b"event: %s\nid: %s\ndata: %s\n\n" % (
        event.kind.encode(),
        str(event.position).encode(),
        orjson.dumps(event.data),
    )


def event_stream(live: Live, tenant_id: str, turn_id: str, after: Position = BEGINNING) -> Response:
    """The turn as `text/event-stream`, from its start or after a position. The turn goes on when the caller leaves.

    Raises Unavailable or RateLimited when there is no place for another viewer.
    """
    give_back = live.viewers.take_place(_groups())
    asked = cast(Any, current_app)._get_current_object(), reader(g.tenant)
    frames = _frames(
        _while_allowed(live.follow(tenant_id, turn_id, after), after, *asked), request.environ.get("gunicorn.socket")
    )
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    response = Response(frames, mimetype="text/event-stream", headers=headers)
    response.call_on_close(give_back)
    return response


def _groups() -> dict[str, int]:
    """What a viewer is counted by beside the whole: a browser and its address. A program's key is counted as a whole only."""
    browser = g.get("browser")
    if browser is None:
        return {}
    return {f"browser:{browser.id}": MOST_A_BROWSER, f"address:{caller_address()}": MOST_AN_ADDRESS}


def _while_allowed(
    followed: Iterator[Event | None], position: Position, app: Flask, reader: Reader
) -> Iterator[Event | None]:
    """The events, until the right to read them is withdrawn: that ends the stream within some seconds, the turn goes on."""
    asked = time.monotonic()
    for event in followed:
        if time.monotonic() - asked > ASK_EVERY:
            with app.app_context():
                if not reader.may_read():
                    yield Event("error", Forbidden(_("You may not read this any more.")).problem(), position)
                    return
            asked = time.monotonic()
        yield event
        position = event.position if event is not None else position


def _frames(followed: Iterator[Event | None], connection: socket.socket | None) -> Iterator[bytes]:
    silent_since = time.monotonic()
    for event in followed:
        if event is not None:
            yield frame(event)
            silent_since = time.monotonic()
        elif _has_left(connection):
            return
        elif time.monotonic() - silent_since > COMMENT_EVERY:
            yield b": still here\n\n"
            silent_since = time.monotonic()


def _has_left(connection: socket.socket | None) -> bool:
    """Whether the caller closed its side. Without this look a silent stream's viewer is noticed gone at its second write."""
    if connection is None:
        return False
    try:
        looking = select.poll()
        looking.register(connection, select.POLLIN)
        return bool(looking.poll(0)) and connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except (BlockingIOError, InterruptedError):
        return False
    except (OSError, ValueError):
        return isinstance(connection, socket.socket) and not hasattr(connection, "pending")


@dataclass(slots=True)
class Answer:
    """What a caller that waits for the whole answer gets. `end` is None while the turn is still open."""

    session_id: str = ""
    turn_id: str = ""
    question_id: str = ""
    text: str = ""
    citations: list[dict[str, Any]] = field(default_factory=list)
    end: Event | None = None


def drain(live: Live, tenant_id: str, turn_id: str, seconds: float) -> Answer:
    """Follow a turn to its end, or for `seconds`. Raises Unavailable or RateLimited when there is no place for a viewer."""
    give_back = live.viewers.take_place(_groups())
    try:
        return _drain(live, tenant_id, turn_id, seconds)
    finally:
        give_back()


def _drain(live: Live, tenant_id: str, turn_id: str, seconds: float) -> Answer:
    answer, pieces = Answer(turn_id=turn_id), []
    until = time.monotonic() + seconds
    connection = request.environ.get("gunicorn.socket")
    db.session.close()  # the request's own connection: nobody holds one while the model speaks
    for event in live.follow(tenant_id, turn_id):
        if event is None:
            if _has_left(connection):
                break
        elif event.kind == "start":
            answer.session_id, answer.question_id = event.data["session_id"], event.data["message_id"]
        elif event.kind == "delta":
            pieces.append(event.data["text"])
        elif event.kind == "citation":
            answer.citations.append(event.data)
        elif event.is_last:
            answer.end = event
        if time.monotonic() > until:
            break
    answer.text = "".join(pieces)
    return answer
