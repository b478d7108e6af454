"""Who may chat: anybody, or, where the client asks for it, its members alone."""

from typing import Any

import pytest

from bench.model import ModelServer
from chatbot.chat.models import Visitor
from chatbot.db import across_tenants
from chatbot.tenants.clients import find_client
from tests.chat.test_faults import rows
from tests.world import ALICE, BAKERY, BOB, CHARLIE, ROOT, ULLA, Browser, World


@pytest.fixture
def settings(model: ModelServer) -> dict[str, Any]:
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "instant-5"}


@pytest.fixture
def members_only(world: World) -> World:
    with world.app.app_context(), across_tenants():
        find_client(BAKERY).anonymous_chat = False
    return world


@pytest.mark.parametrize("email", [ALICE, BOB, ULLA])
def test_members_chat(members_only: World, email: str) -> None:
    member = Browser(members_only.signed_in(email), BAKERY)
    assert member.http.get(member.home).status_code == 200
    assert member.ask("Hello?")[-1].kind == "done"


@pytest.mark.parametrize("email", [CHARLIE, ROOT])
def test_another_clients_account_does_not(members_only: World, email: str) -> None:
    stranger = members_only.signed_in(email)
    for path in (f"/chat/{BAKERY}", f"/chat/{BAKERY}/new"):
        assert stranger.get(path, headers={"Accept": "text/html"}).status_code == 403


def test_nobody_signed_in_is_asked_to(members_only: World) -> None:
    assert members_only.app.test_client().get(f"/chat/{BAKERY}").status_code == 401


def test_where_anybody_may_chat_a_stranger_may(world: World) -> None:
    charlie = Browser(world.signed_in(CHARLIE), BAKERY)
    assert charlie.ask("Hello?")[-1].kind == "done"


@pytest.mark.parametrize("choice", ["fresh", "load"])
def test_choosing_a_session_makes_no_visitor(world: World, choice: str) -> None:
    world.vera.post("/new", choice=choice, session_id="nothing")
    assert rows(world, Visitor) == []
