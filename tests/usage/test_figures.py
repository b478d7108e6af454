"""The sums by day are those of the ledger, in the client's own days, whoever adds to them at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, select

from bench.model import ModelServer
from chatbot.db import across_tenants, as_tenant, write
from chatbot.tenancy import new_id
from chatbot.tenants.clients import find_client
from chatbot.usage import figures, ledger
from chatbot.usage.figures import Sums, Use, sums_by_day, sums_under_way, total
from chatbot.usage.ledger import Usage, day_of
from chatbot.usage.models import LedgerEntry, UsageDay
from chatbot.usage.quotas import Limits
from tests.world import BAKERY, OTHER


@pytest.fixture
def settings(model: ModelServer) -> dict[str, Any]:
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "obey"}


def enter(world, outcome="complete", begins=False, tokens=(3, 4)):
    with world.app.app_context():
        write(
            world.ids[BAKERY],
            lambda unit: ledger.enter(unit, new_id(), "page", "m", outcome, Usage(*tokens), begins=begins),
        )


def days(world):
    with world.app.app_context(), as_tenant(world.ids[BAKERY], writes=False) as session:
        return list(session.scalars(select(UsageDay).order_by(UsageDay.day)))


def test_a_turn_adds_to_its_day(world):
    vera = world.vera
    for message in ("say Good morning.", "say Yes."):
        vera.post(message=message)
    world.walt.post(message="say No.")
    [day] = days(world)
    assert (day.questions, day.answered, day.conversations) == (3, 3, 2)
    with world.app.app_context(), as_tenant(world.ids[BAKERY], writes=False) as session:
        tokens = session.scalar(select(func.sum(LedgerEntry.input_tokens + LedgerEntry.output_tokens)))
    assert day.input_tokens + day.output_tokens == tokens > 0


def test_what_counts_as_what(world):
    enter(world, "complete", begins=True)
    enter(world, "stopped")
    enter(world, "refused", tokens=(0, 0))
    enter(world, "failed", tokens=(0, 0))
    enter(world, "interrupted")
    with world.app.app_context(), as_tenant(world.ids[BAKERY], writes=False):
        week = sums_by_day(7, "UTC")
    assert len(week) == 7 and week[-1][1] == total(week)
    assert total(week) == Sums(questions=5, answered=1, failed=2, messages=3, conversations=1, tokens=21)


def test_many_at_once_lose_nothing(world):
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: enter(world), range(64)))
    [day] = days(world)
    assert (day.questions, day.input_tokens, day.output_tokens) == (64, 192, 256)


def test_a_day_is_the_clients_own(world, monkeypatch):
    with world.app.app_context(), across_tenants():
        find_client(BAKERY).time_zone = "Pacific/Auckland"
    monkeypatch.setattr(ledger, "now", lambda: datetime(2026, 11, 3, 23, 30, tzinfo=UTC))
    enter(world)
    with world.app.app_context(), across_tenants():
        find_client(BAKERY).time_zone = "Nowhere/X"
    enter(world)
    assert [day.day for day in days(world)] == ["2026-11-03", "2026-11-04"]


def test_what_is_under_way_is_each_clients_own(world, monkeypatch):
    """In Auckland it is December already: its month has just begun, the other's goes on."""
    with world.app.app_context(), across_tenants():
        find_client(BAKERY).time_zone = "Pacific/Auckland"
    for hour in (1, 9, 23):
        monkeypatch.setattr(ledger, "now", lambda hour=hour: datetime(2026, 11, 30, hour, tzinfo=UTC))
        enter(world)
    monkeypatch.setattr(figures, "now", ledger.now)
    ids, zones = [world.ids[BAKERY], world.ids[OTHER]], ["Pacific/Auckland", "UTC"]
    with world.app.app_context(), across_tenants(writes=False):
        mine, others = sums_under_way(dict(zip(ids, zones, strict=True))).values()
        assert (mine.month.messages, mine.today.messages, others.month) == (1, 1, Sums())
        as_if_in_utc = sums_under_way({ids[0]: "UTC"})[ids[0]]
        assert (as_if_in_utc.month.messages, as_if_in_utc.today.messages) == (2, 2)


def test_what_is_used_of_limits(world):
    enter(world)
    with world.app.app_context(), as_tenant(world.ids[BAKERY], writes=False):
        under_way = sums_under_way({world.ids[BAKERY]: "UTC"})[world.ids[BAKERY]]
    assert under_way.uses(Limits()) == []
    assert under_way.uses(Limits(4, 14)) == [Use("messages", 1, 4), Use("tokens", 7, 14)]
    assert [use.share for use in under_way.uses(Limits(0, 14))] == [1.0, 0.5]


def test_days_are_named_so_that_they_sort():
    assert day_of(datetime(2026, 1, 9, tzinfo=UTC), "UTC") == "2026-01-09"
