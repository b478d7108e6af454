"""Two processes of one installation (two applications on one PostgreSQL and one Redis): a viewer may be at either."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from flask import Flask
from sqlalchemy import text as sql

from bench.model import ModelServer
from chatbot import create_app
from chatbot.chat.events import Event, parse_position
from chatbot.chat.live import Live
from chatbot.chat.opening import Ask, OpenedTurn, open_turn
from chatbot.chat.turn import Interrupted
from chatbot.db import write
from chatbot.tenancy import new_id
from chatbot.usage.quotas import Limits
from tests.conftest import empty, need
from tests.world import BAKERY, make_world

pytestmark = [pytest.mark.redis, pytest.mark.postgres]


@pytest.fixture
def redis_url() -> str:
    url = need("TEST_REDIS_URL", "Redis")
    redis.Redis.from_url(url).flushdb()
    return url


@pytest.fixture
def pair(
    postgres_urls: dict[str, str], redis_url: str, model: ModelServer, tmp_path: Any
) -> Iterator[tuple[Flask, Flask, str]]:
    """Two applications, and the bakery's id."""
    empty(postgres_urls["DATABASE_OWNER_URL"])
    given = {"INSTANCE": str(tmp_path), "REDIS_URL": redis_url, "OPENAI_BASE_URL": model.base_url, **postgres_urls}
    one, two = (create_app(OPENAI_MODEL="paced-20-40-120", **given) for _ in range(2))
    yield one, two, make_world(one).ids[BAKERY]
    for app in (one, two):
        live_of(app).drain(5)
        with app.app_context():
            app.extensions["shaman_database"].engine.dispose()


def live_of(app: Flask) -> Live:
    live: Live = app.extensions["shaman_live"]
    return live


def begin(app: Flask, tenant_id: str, conversation_id: str | None = None) -> OpenedTurn:
    ask = Ask(tenant_id, "browser:vera", "page", new_id(), "Hello?", Limits(), conversation_id)
    with app.app_context():
        opened = open_turn(ask, live_of(app).owner)
        live_of(app).start(opened)
    return opened


def seen(app: Flask, tenant_id: str, opened: OpenedTurn, after: str | None = None) -> list[Event]:
    return [event for event in live_of(app).follow(tenant_id, opened.turn.id, parse_position(after)) if event]


def text(events: list[Event]) -> str:
    return "".join(event.data["text"] for event in events if event.kind == "delta")


def test_a_viewer_elsewhere_sees_the_same(pair: tuple[Flask, Flask, str]) -> None:
    one, two, tenant = pair
    opened = begin(one, tenant)
    there = seen(two, tenant, opened)
    here = seen(one, tenant, opened)
    assert text(there) == text(here) != ""
    assert len([event for event in there if event.kind == "delta"]) > 3, "it was streamed, not read at the end"
    assert [there[0].kind, there[-1].kind] == ["start", "done"]


def test_resuming_elsewhere_misses_and_repeats_nothing(pair: tuple[Flask, Flask, str]) -> None:
    one, two, tenant = pair
    opened = begin(one, tenant)
    head: list[Event] = []
    for event in live_of(one).follow(tenant, opened.turn.id):
        head += [event] if event else []
        if len(head) == 6:
            break
    rest = seen(two, tenant, opened, str(head[-1].position))
    assert text(head) + text(rest) == text(seen(one, tenant, opened))


def test_stop_from_elsewhere(pair: tuple[Flask, Flask, str]) -> None:
    one, two, tenant = pair
    live_of(one).keep()
    opened = begin(one, tenant)
    with two.app_context():
        live_of(two).stop(tenant, opened.turn.id)
    assert seen(two, tenant, opened)[-1].data["finish_reason"] == "stopped"


def test_the_next_turn_waits_though_it_came_in_elsewhere(pair: tuple[Flask, Flask, str]) -> None:
    one, two, tenant = pair
    first = begin(one, tenant)
    second = begin(two, tenant, first.turn.conversation_id)
    assert second.turn.status == "waiting"
    events = seen(two, tenant, second)
    assert events[0].kind == "waiting"
    assert events[-1].kind == "done"


def test_what_the_channel_loses_comes_from_the_database(pair: tuple[Flask, Flask, str], redis_url: str) -> None:
    one, two, tenant = pair
    live_of(one).keep()
    opened, there = begin(one, tenant), list[Event]()
    for event in live_of(two).follow(tenant, opened.turn.id):
        there += [event] if event else []
        if len(there) == 4:  # the channel forgets what was said, in the middle of it
            redis.Redis.from_url(redis_url).flushdb()
    assert text(there) == text(seen(one, tenant, opened)) != ""


def test_a_dead_workers_turn_is_ended_by_the_other(pair: tuple[Flask, Flask, str]) -> None:
    one, two, tenant = pair
    ask = Ask(tenant, "browser:vera", "page", new_id(), "Hello?", Limits())
    with one.app_context():
        opened = open_turn(ask, "a worker that died")
    with two.app_context():
        write(tenant, lambda unit: unit.connection.execute(sql("UPDATE turn SET lease_until = '2020-01-01T00:00:00Z'")))
        assert live_of(two).sweep() == 1
        assert live_of(two).sweep() == 0
    assert seen(two, tenant, opened)[-1].data["type"] == Interrupted().problem()["type"]
