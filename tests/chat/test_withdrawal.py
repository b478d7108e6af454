"""A right that is withdrawn ends what it opened within five seconds, the streams under way too."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete, select, update

from bench.model import ModelServer
from chatbot.accounts.models import Account, Membership, SignIn
from chatbot.chat import readers
from chatbot.db import across_tenants
from chatbot.tenancy import now
from chatbot.tenants.models import ApiKey, Tenant
from tests.world import BAKERY, BOB, Browser, World, read_events

AT_MOST = 5.0


@pytest.fixture
def settings(model: ModelServer) -> dict[str, Any]:
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "silent-after-3"}


@pytest.fixture(autouse=True)
def soon(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Asked six times as often as it really is, so that the tests are quick; and the silent answers end with the test."""
    assert readers.ASK_EVERY + 1 < AT_MOST
    monkeypatch.setattr("chatbot.chat.transports.ASK_EVERY", 0.5)
    yield
    app.extensions["shaman_live"].drain(0)


def sign_out(world: World) -> None:
    across(world, delete(SignIn))


def switch_off(world: World) -> None:
    across(world, update(Account).where(Account.email == BOB).values(is_enabled=False))


def take_the_role(world: World) -> None:
    across(world, delete(Membership).where(Membership.role == "staff"))


def suspend(world: World) -> None:
    across(world, update(Tenant).where(Tenant.slug == BAKERY).values(status="suspended"))


def remove(world: World) -> None:
    across(world, update(Tenant).where(Tenant.slug == BAKERY).values(deleted_at=now()))


def close_to_strangers(world: World) -> None:
    across(world, update(Tenant).where(Tenant.slug == BAKERY).values(anonymous_chat=False))


def revoke(world: World) -> None:
    across(world, update(ApiKey).values(revoked_at=now()))


def across(world: World, statement: Any) -> None:
    with world.app.app_context(), across_tenants() as session:
        session.execute(statement)


def ends_in_time(stream: Any, withdraw: Callable[[], None]) -> None:
    """Read a stream that would go on for long, withdraw the right to it, and see it end with a problem of 403."""
    chunks: list[bytes] = []
    reading = threading.Thread(target=lambda: chunks.extend(stream), daemon=True)
    reading.start()
    time.sleep(0.3)
    withdraw()
    began = time.monotonic()
    reading.join(AT_MOST + 5)
    assert not reading.is_alive() and time.monotonic() - began <= AT_MOST
    last = read_events(b"".join(chunks))[-1]
    assert (last.kind, last.data["status"]) == ("error", 403)


@pytest.mark.parametrize("withdraw", [sign_out, switch_off, take_the_role, suspend, remove])
def test_a_persons_stream_ends(world: World, withdraw: Callable[[World], None]) -> None:
    close_to_strangers(world)
    bob = Browser(world.signed_in(BOB), BAKERY)
    answer = bob.post(script=True, message="Hello?")
    ends_in_time(answer.response, lambda: withdraw(world))
    assert bob.http.get(bob.home).status_code in (303, 401, 403, 404)


@pytest.mark.parametrize("withdraw", [suspend, remove, close_to_strangers])
def test_a_strangers_stream_ends(world: World, withdraw: Callable[[World], None]) -> None:
    answer = world.vera.post(script=True, message="Hello?")
    ends_in_time(answer.response, lambda: withdraw(world))


@pytest.mark.parametrize("withdraw", [suspend, remove, revoke])
def test_a_keys_stream_ends(world: World, withdraw: Callable[[World], None]) -> None:
    body = {"message": "Hello?", "stream": True}
    answer = world.app.test_client().post("/api/chat", json=body, headers=world.key())
    ends_in_time(answer.response, lambda: withdraw(world))
    again = world.app.test_client().post("/api/chat", json=body, headers=world.key())
    assert again.status_code in (401, 403)


def test_a_right_that_holds_is_asked_and_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    may_read = readers.Reader.may_read

    def ask(reader: readers.Reader) -> bool:
        asked.append(may_read(reader))
        return asked[-1]

    monkeypatch.setattr(readers.Reader, "may_read", ask)
    bob = Browser(world.signed_in(BOB), BAKERY)
    stream = iter(bob.post(script=True, message="Hello?").response)
    until = time.monotonic() + 2.5
    while time.monotonic() < until and len(asked) < 1:
        next(stream)
    assert asked and all(asked)
    with world.app.app_context(), across_tenants(writes=False) as session:
        assert session.scalars(select(SignIn)).all()
