"""A Redis that takes connections and says nothing is a Redis that is away: people are answered, and limits hold."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from tests.providers.plain_server import serving
from tests.world import BAKERY, World

MOST = 2


@pytest.fixture
def settings() -> Iterator[dict[str, Any]]:
    silent = threading.Event()

    def say_nothing(line: socket.socket, number: int) -> None:
        silent.wait()

    with serving(say_nothing) as server:
        address = server.base_url.removeprefix("http://").removesuffix("/v1")
        yield {"REDIS_URL": f"redis://{address}/0", "CHAT_RATE_LIMIT": f"{MOST} per minute"}
        silent.set()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_chat_goes_on_and_is_still_limited(app: Flask, world: World) -> None:
    ask = {"message": "When is rye baked?", "client": BAKERY}
    answers = [world.vera.http.post("/api/chat", json=ask) for _ in range(MOST + 1)]
    assert [answer.status_code for answer in answers] == [200] * MOST + [429]
