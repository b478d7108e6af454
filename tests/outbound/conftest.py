"""A friend of Alice's lives at 127.0.0.1, which is allowed here; 127.0.0.2 is inside and never reached."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.hostile import Hostile, page
from tests.outbound.asking import FRIEND, INSIDE, Names


@pytest.fixture
def friend() -> Iterator[Hostile]:
    with Hostile(FRIEND, {"/": page(b"Welcome")}).serving() as server:
        yield server


@pytest.fixture
def inside(friend: Hostile) -> Iterator[Hostile]:
    """The same port on an inside address."""
    with Hostile(INSIDE, {"/": page(b"Secret")}, port=friend.port).serving() as server:
        yield server
        assert server.connections == 0, "somebody came inside"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """What each name means: a list for each time that it is looked up."""
    meanings: Names = {}

    def look_up(host: str, port: int, *_args: Any, **_options: Any) -> list[Any]:
        if host not in meanings:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        addresses = meanings[host].pop(0)
        return [(socket.AF_INET6 if ":" in one else socket.AF_INET, 1, 6, "", (one, port)) for one in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return meanings


@pytest.fixture
def no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_args: Any) -> None:
        pytest.fail("it connected")

    monkeypatch.setattr(socket.socket, "connect", connect)
