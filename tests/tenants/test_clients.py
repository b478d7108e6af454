"""What is stored of a client is checked first; what was stored wrong stops nobody."""

from typing import Any

import pytest
from flask import Flask

from bench.model import ModelServer
from chatbot.db import across_tenants
from chatbot.errors import Invalid
from chatbot.tenants.clients import create_client, find_client
from tests.world import BAKERY, World


@pytest.fixture
def settings(model: ModelServer) -> dict[str, Any]:
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "instant-5", "CHAT_RATE_LIMIT": "2 per minute"}


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("limits.chat_rate", {"limits": {"chat_rate": "lots"}}),
    ("limits.chat_rate", {"limits": {"chat_rate": "0 per minute"}}),
    ("limits.messages_per_day", {"limits": {"messages_per_day": -1}}),
    ("limits.messages_per_day", {"limits": {"messages_per_day": "many"}}),
    ("limits.money_per_month", {"limits": {"money_per_month": "NaN"}}),
    ("limits.per_year", {"limits": {"per_year": 1}}),
    ("time_zone", {"time_zone": "Nowhere/X"}),
    ("time_zone", {"time_zone": "../../etc/passwd"}),
    ("sites.0", {"sites": ["https://bakery.example; script-src *"]}),
    ("sites.0", {"sites": ["javascript:alert(1)"]}),
    ("status", {"status": "asleep"}),
    ("colour", {"colour": "red"}),
]


@pytest.mark.parametrize("field, given", WRONG)
def test_what_cannot_be_used_is_refused_by_name(app: Flask, field: str, given: dict[str, Any]) -> None:
    with app.app_context(), pytest.raises(Invalid) as refused:
        create_client("bakery", "Bakery", **given)
    assert list(refused.value.errors) == [field]


def test_what_can_be_used_is_stored(app: Flask) -> None:
    limits = {"messages_per_day": 500, "money_per_month": "20.00", "chat_rate": "5 per minute"}
    with app.app_context(), across_tenants():
        create_client("bakery", "Bakery", limits=limits, time_zone="Europe/Berlin", sites=["https://Bakery.example/"])
        made = find_client("bakery")
        assert (made.limits, made.time_zone, made.sites) == (limits, "Europe/Berlin", ["https://bakery.example"])


def ask(world: World) -> int:
    return world.app.test_client().post("/api/chat", json={"message": "Hello?", "client": BAKERY}).status_code


@pytest.mark.parametrize("rate", ["lots", 7, ["x"]])
def test_a_stored_rate_that_says_nothing_is_the_platforms(world: World, rate: Any) -> None:
    with world.app.app_context(), across_tenants():
        find_client(BAKERY).limits = {"chat_rate": rate}
    assert [ask(world) for _ in range(3)] == [200, 200, 429]


def test_a_stored_time_zone_that_is_none_is_utc(world: World) -> None:
    with world.app.app_context(), across_tenants():
        find_client(BAKERY).time_zone, find_client(BAKERY).limits = "Nowhere/X", {"messages_per_day": 1}
    assert [ask(world) for _ in range(2)] == [200, 429]
