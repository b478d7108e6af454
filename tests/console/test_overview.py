"""A client's overview: what the ledger knows, for its admins and staff, and for nobody else."""

import re

import pytest

from bench.model import ModelServer
from chatbot.chat.activity import count_open
from chatbot.db import across_tenants
from chatbot.tenants.clients import find_client
from tests.world import ALICE, BAKERY, BOB, CHARLIE, OTHER, ULLA

HOME = f"/console/{BAKERY}/overview"


@pytest.fixture
def settings(model: ModelServer):
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "obey"}


def text(http, path=HOME):
    answer = http.get(path)
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", answer.get_data(as_text=True))


def test_the_console_begins_with_it(world):
    assert world.signed_in(ALICE).get(f"/console/{BAKERY}").location == HOME


def test_it_says_how_many_questions_were_answered(world):
    bob = world.signed_in(BOB)
    assert "Nobody has asked anything in the last seven days." in text(bob)
    world.vera.post(message="say Good morning.")
    page = text(bob)
    assert "Answered the one question of the last seven days." in page
    assert "1 <dd" not in page and "0 in the seven days before" in page
    world.walt.post(message="say Yes.")
    assert "Answered all 2 questions of the last seven days." in text(bob)
    assert "Nobody has asked" in text(world.signed_in(CHARLIE), f"/console/{OTHER}/overview"), (
        "a client's own figures alone"
    )


def test_an_answer_that_did_not_come_is_said(world, model):
    world.vera.post(message="say Good morning.")
    with world.app.app_context(), across_tenants():
        find_client(BAKERY).limits = {"messages_per_day": 10}
    from chatbot.tenants.clients import publish_settings

    with world.app.app_context():
        publish_settings(BAKERY, {"model": "status-500"})
    world.vera.post(message="Hello?")
    page = text(world.signed_in(ALICE))
    assert "Answered 1 of 2 questions in the last seven days." in page
    assert "of today's messages" in page and "(1 of 10)" in page


def test_who_may_see_it(world):
    assert world.signed_in(ULLA).get(HOME).status_code == 403
    assert world.signed_in(CHARLIE).get(HOME).status_code == 404
    assert (
        world.app.test_client().get("/console/nobody/overview").status_code
        == world.app.test_client().get(HOME).status_code
    )


def test_nothing_is_under_way(world):
    world.vera.post(message="say Yes.")
    with world.app.app_context():
        assert count_open(world.ids[BAKERY]) == 0
