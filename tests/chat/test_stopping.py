"""A client that is not served any more has nothing running or waiting after a few seconds, whoever forgot to stop it."""

import threading

import pytest
from sqlalchemy import select, update

from bench.model import ModelServer
from chatbot.chat.models import Turn
from chatbot.chat.stopping import stop_all, stop_unserved
from chatbot.db import across_tenants, as_tenant
from chatbot.tenancy import now
from chatbot.tenants.models import Tenant
from chatbot.usage.models import LedgerEntry
from tests.world import BAKERY, OTHER


@pytest.fixture
def settings(model: ModelServer):
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "slow-20-400"}


@pytest.fixture
def busy(world, wait):
    """A turn of the bakery that runs, and two that wait behind it."""
    vera = world.vera
    vera.page()
    asking = [threading.Thread(target=vera.ask, args=(f"Question {number}",)) for number in range(3)]
    for number, thread in enumerate(asking):
        thread.start()
        wait(lambda number=number: len(statuses(world)) == number + 1)
    world.app.extensions["shaman_live"].keep()
    yield asking
    for thread in asking:
        thread.join(10)


def statuses(world, slug=BAKERY):
    with world.app.app_context(), as_tenant(world.ids[slug], writes=False) as session:
        return sorted(session.scalars(select(Turn.status)))


def test_all_of_a_client_is_stopped_and_nothing_of_another(world, busy, wait):
    assert statuses(world) == ["running", "waiting", "waiting"]
    with world.app.app_context():
        assert stop_all(world.ids[OTHER]) == 0
        assert stop_all(world.ids[BAKERY]) == 3 and stop_all(world.ids[BAKERY]) == 0
    wait(lambda: statuses(world) == ["stopped"] * 3, 3)
    with world.app.app_context(), as_tenant(world.ids[BAKERY], writes=False) as session:
        charged = [entry.output_tokens for entry in session.scalars(select(LedgerEntry))]
    assert len(charged) == 3 and charged.count(0) >= 2, "what waited has cost nothing"


@pytest.mark.parametrize("change", [{"status": "suspended"}, {"deleted_at": now()}], ids=["suspended", "deleted"])
def test_the_sweep_stops_what_nobody_stopped(world, busy, wait, change):
    with world.app.app_context():
        assert stop_unserved() == 0
        with across_tenants() as session:
            session.execute(update(Tenant).where(Tenant.id == world.ids[BAKERY]).values(**change))
    wait(lambda: statuses(world) == ["stopped"] * 3, 8)  # a sweep every five seconds, and a second for the keeper
