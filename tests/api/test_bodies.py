"""Bodies: a slow one holds up nobody, a large or senseless one costs little."""

import io
import threading
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import TestResponse

from bench.model import ModelServer
from tests.world import BAKERY, World

PAIR = b'{"question": "Do you deliver?", "answer": "On Fridays."}'
JSON = "application/json"


@pytest.fixture
def settings(model: ModelServer) -> dict[str, Any]:
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "instant-5"}


class Slow(io.RawIOBase):
    """A body whose sender stops in the middle until `go` is set."""

    def __init__(self, body: bytes) -> None:
        self.rest, self.go, self.begun = io.BytesIO(body), threading.Event(), threading.Event()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.rest.tell():
            self.begun.set()
            assert self.go.wait(10)
        return io.BytesIO(self.rest.read(min(20, len(buffer)))).readinto(buffer)


def post(world: World, path: str, body: Slow, mimetype: str, key: dict[str, str]) -> TestResponse:
    sent = {"wsgi.input": body, "CONTENT_LENGTH": str(len(body.rest.getbuffer())), "CONTENT_TYPE": mimetype}
    return world.app.test_client().post(path, headers=key, environ_overrides=sent)


def send_slowly(world: World, meanwhile: Callable[[], None], key: dict[str, str]) -> int:
    """The status of an upload during which `meanwhile` was done."""
    body, statuses = Slow(PAIR), []

    def send() -> None:
        answer = post(world, "/api/client/knowledge", body, JSON, key)
        statuses.append(answer.status_code)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        assert body.begun.wait(5) or not sender.is_alive()
        meanwhile()
    finally:
        body.go.set()
        sender.join(10)
    return statuses[0]


def ask(world: World) -> TestResponse:
    return world.app.test_client().post("/api/chat", json={"message": "Hello?", "client": BAKERY})


def test_a_slow_upload_holds_up_nobody(world: World) -> None:
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(ask(world).status_code))

    def meanwhile() -> None:
        asking.start()
        asking.join(5)
        assert answers == [200], "the chat waits for the other's upload"

    assert send_slowly(world, meanwhile, world.key()) == 202


def test_slow_uploads_hold_no_connection(world: World) -> None:
    def meanwhile() -> None:
        assert world.app.extensions["shaman_database"].engine.pool.checkedout() == 0

    assert send_slowly(world, meanwhile, world.key()) == 202


def test_a_slow_form_holds_no_connection(world: World) -> None:
    body, engine = Slow(b"message=Hello&name=abc&csrf_token=x"), world.app.extensions["shaman_database"].engine
    form = "application/x-www-form-urlencoded"
    sender = threading.Thread(target=lambda: post(world, f"/chat/{BAKERY}", body, form, {}))
    sender.start()
    assert body.begun.wait(5)
    held = engine.pool.checkedout()
    body.go.set()
    sender.join(10)
    assert held == 0


def test_a_large_json_body_is_refused_unread(world: World) -> None:
    body = {f"field{n}": n for n in range(20_000)}
    for path, key in (("/api/chat", {}), ("/api/client/knowledge", world.key())):
        answer = world.app.test_client().post(path, json=body, headers=key)
        assert (answer.status_code, answer.mimetype) == (413, "application/problem+json")


def test_unknown_fields_are_named_up_to_twenty(world: World) -> None:
    body = {f"field{n}": n for n in range(2000)} | {"message": "Hello?"}
    errors = world.app.test_client().post("/api/chat", json=body).get_json()["errors"]
    assert len(errors) == 20 and set(errors) <= set(body)


def test_the_longest_message_is_taken_however_it_is_written(world: World) -> None:
    body = {"message": "\U0001f35e" * 8000, "client": BAKERY}
    assert world.app.test_client().post("/api/chat", json=body).status_code == 200
