"""Viewers: how many there may be, and that none is left waiting when a turn's thread is gone."""

import gc
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from bench.model import ModelServer
from chatbot.chat.events import Event
from chatbot.chat.live import Live
from chatbot.chat.opening import Ask, OpenedTurn, open_turn
from chatbot.chat.viewers import Viewers
from chatbot.errors import RateLimited, Unavailable
from chatbot.tenancy import new_id
from chatbot.usage.quotas import Limits
from tests.world import BAKERY, World


@pytest.fixture
def settings(model: ModelServer) -> dict[str, Any]:
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "paced-20-40-20"}


@pytest.fixture
def live(app: Flask) -> Live:
    found: Live = app.extensions["shaman_live"]
    return found


def begin(world: World, conversation_id: str | None = None) -> OpenedTurn:
    live: Live = world.app.extensions["shaman_live"]
    ask = Ask(world.ids[BAKERY], "browser:vera", "page", new_id(), "Hello?", Limits(), conversation_id)
    with world.app.app_context():
        opened = open_turn(ask, live.owner)
        live.start(opened)
    return opened


def seen(events: Iterator[Event | None]) -> list[Event]:
    return [event for event in events if event]


def test_places_are_bounded_and_come_back() -> None:
    viewers = Viewers(connections=10)
    places = [viewers.take_place({}) for _ in range(8)]
    with pytest.raises(Unavailable):
        viewers.take_place({})
    places[0]()
    places[0]()
    viewers.take_place({})
    assert viewers.is_full


def test_one_browser_can_not_take_all_places() -> None:
    viewers = Viewers(connections=100)
    for _ in range(3):
        viewers.take_place({"browser:a": 3})
    with pytest.raises(RateLimited):
        viewers.take_place({"browser:a": 3})
    viewers.take_place({"browser:b": 3})


def test_a_stream_gives_its_place_back_when_its_viewer_leaves(world: World, live: Live) -> None:
    answer = world.vera.post(script=True, message="Hello?")
    next(iter(answer.response))
    answer.close()
    assert live.viewers._count == 0


def test_a_viewer_of_a_waiting_turn_sees_it_begin_and_stream(world: World, live: Live) -> None:
    first = begin(world)
    second = begin(world, first.turn.conversation_id)
    events = seen(live.follow(world.ids[BAKERY], second.turn.id))
    assert [events[0].kind, events[1].kind, events[-1].kind] == ["waiting", "start", "done"]
    assert sum(event.kind == "delta" for event in events) > 2


def test_a_stopped_waiting_turn_leaves_nothing_behind(world: World, live: Live) -> None:
    first = begin(world)
    second = begin(world, first.turn.conversation_id)
    with world.app.app_context():
        live.stop(world.ids[BAKERY], second.turn.id)
    assert seen(live.follow(world.ids[BAKERY], second.turn.id))[-1].data["finish_reason"] == "stopped"
    seen(live.follow(world.ids[BAKERY], first.turn.id))
    gc.collect()
    assert not live._running._broadcasts


def test_a_turn_whose_thread_is_not_to_be_had_is_swept(
    world: World, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoThread(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr("chatbot.chat.opening.LEASE", timedelta(seconds=-1))
    ask = Ask(world.ids[BAKERY], "browser:vera", "page", new_id(), "Hello?", Limits())
    with world.app.app_context():
        opened = open_turn(ask, live.owner)
    with monkeypatch.context() as patched:
        patched.setattr(threading, "Thread", NoThread)
        live._spawn(opened.turn)
    with world.app.app_context():
        live.sweep()
    assert seen(live.follow(world.ids[BAKERY], opened.turn.id))[-1].data["type"].endswith("interrupted")


def test_a_turn_that_breaks_in_its_own_machinery_lets_its_viewers_go(
    world: World, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(live._channel, "publish", broken)
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    monkeypatch.setattr("chatbot.chat.opening.LEASE", timedelta(seconds=1))
    opened = begin(world)
    live.keep()
    ended = seen(live.follow(world.ids[BAKERY], opened.turn.id))
    assert ended[-1].data["type"].endswith("interrupted")
