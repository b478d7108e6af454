"""Who may chat: anybody, or, where the client asks for it, its members alone."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from bench.model import ModelServer
from chatbot.accounts.models import Account
from chatbot.accounts.people import create_account
from chatbot.chat.models import Visitor
from chatbot.db import across_tenants
from chatbot.tenants.clients import find_client
from tests.chat.test_faults import rows
from tests.world import BAKERY, Browser, World


@pytest.fixture
def settings(model: ModelServer) -> dict[str, Any]:
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "instant-5"}


@pytest.fixture
def members_only(world: World) -> World:
    with world.app.app_context():
        create_account("root@platform.example", "Root", None, is_platform_admin=True, slug=None, role="user")
        with across_tenants():
            find_client(BAKERY).anonymous_chat = False
    return world


def signed_in(world: World, email: str) -> FlaskClient:
    with world.app.app_context(), across_tenants(writes=False) as session:
        account_id = session.scalar(select(Account.id).where(Account.email == email))
    http = world.app.test_client()
    with http.session_transaction() as cookie:
        cookie["_user_id"] = account_id
    return http


@pytest.mark.parametrize("email", ["alice@bakery.example", "bob@bakery.example", "root@platform.example"])
def test_members_and_the_platforms_admins_chat(members_only: World, email: str) -> None:
    bob = Browser(signed_in(members_only, email), BAKERY)
    assert bob.http.get(bob.home).status_code == 200
    assert bob.ask("Hello?")[-1].kind == "done"


def test_another_clients_account_does_not(members_only: World) -> None:
    charlie = signed_in(members_only, "charlie@other.example")
    for path in (f"/chat/{BAKERY}", f"/chat/{BAKERY}/new"):
        assert charlie.get(path, headers={"Accept": "text/html"}).status_code == 403


def test_nobody_signed_in_is_asked_to(members_only: World) -> None:
    assert members_only.app.test_client().get(f"/chat/{BAKERY}").status_code == 401


def test_where_anybody_may_chat_a_stranger_may(world: World) -> None:
    charlie = Browser(signed_in(world, "charlie@other.example"), BAKERY)
    assert charlie.ask("Hello?")[-1].kind == "done"


@pytest.mark.parametrize("choice", ["fresh", "load"])
def test_choosing_a_session_makes_no_visitor(world: World, choice: str) -> None:
    world.vera.post("/new", choice=choice, session_id="nothing")
    assert rows(world, Visitor) == []
