"""Stopping a call and its deadlines: in every phase the call ends at once, and the model's line with it."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from bench.model import ModelServer
from tests.providers.asking import Address, At, Heard, a_call, listen, provider_of
from tests.providers.plain_server import STREAM, read_request, refuse, serving

SOON = 2.0  # seconds within which a stopped call has ended


def stop_after(seconds: float, model: Address, name: str | None, reason: str = "stopped") -> tuple[Heard, float]:
    """What was heard of a call that was stopped, and how long after the stop it ended."""
    provider, call = provider_of(model, name), a_call()
    stopped: list[float] = []

    def stop() -> None:
        stopped.append(time.monotonic())
        call.stop(reason)

    timer = threading.Timer(seconds, stop)
    timer.start()
    heard = listen(provider, call)
    timer.join()
    assert call.reason == reason
    return heard, time.monotonic() - stopped[0]


@pytest.mark.parametrize(
    "name", ["silent", "silent-after-5", "long-first-9000", "slow-1-60", "paced-20-20-400", "status-429-retry-7"]
)
def test_stop_ends_the_call_in_every_phase(llm: ModelServer, name: str) -> None:
    heard, taken = stop_after(0.4, llm, name)
    assert heard.ending == "stopped"
    assert taken < SOON
    if not name.startswith("status"):
        assert llm.wait_for(lambda request: request["closed_by_caller_at"])


def test_stop_before_the_beginning(llm: ModelServer) -> None:
    call = a_call()
    call.stop()
    assert listen(provider_of(llm, "instant-5"), call).ending == "stopped"


def test_stop_while_it_asks_which_models_there_are() -> None:
    with serving(lambda line, number: time.sleep(5)) as server:
        heard, taken = stop_after(0.3, server, None)
    assert heard.ending == "stopped"
    assert taken < SOON


def test_stop_during_the_last_try() -> None:
    def script(line: socket.socket, number: int) -> None:
        for tries in range(3):
            read_request(line)
            if tries < 2:
                refuse(line, 503, "Retry-After: 0\r\n")
        time.sleep(5)

    with serving(script) as server:
        heard, taken = stop_after(0.5, server, "any")
    assert heard.ending == "stopped"
    assert taken < SOON


def test_stop_while_it_connects() -> None:
    """A listener whose line of callers is full: the kernel answers no further one."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())
        time.sleep(0.1)
        full = At(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        heard, taken = stop_after(0.3, full, "any")
    assert heard.ending == "stopped"
    assert taken < SOON


@pytest.mark.parametrize("name, said", [("silent", 0), ("silent-after-5", 5), ("long-first-9000", 0)])
def test_silence_ends_at_the_idle_deadline(llm: ModelServer, name: str, said: int) -> None:
    began = time.monotonic()
    heard = listen(provider_of(llm, name), a_call(idle=0.5))
    assert heard.ending == "model-timeout"
    assert len(heard.text.split()) == said
    assert 0.4 < time.monotonic() - began < 3
    assert llm.tally()["calls"] == 1
    assert llm.wait_for(lambda request: request["closed_by_caller_at"])


@pytest.mark.parametrize("name", ["paced-20-20-400", "silent", "slow-1-60"])
def test_a_turn_ends_at_its_deadline(llm: ModelServer, name: str) -> None:
    began = time.monotonic()
    heard = listen(provider_of(llm, name), a_call(seconds=1.0))
    assert heard.ending == "model-timeout"
    assert time.monotonic() - began < 3
    assert llm.wait_for(lambda request: request["closed_by_caller_at"])


def drip(head: bytes, piece: bytes) -> Callable[[socket.socket, int], None]:
    def script(line: socket.socket, number: int) -> None:
        read_request(line)
        line.sendall(head)
        for _ in range(200):
            line.sendall(piece)
            time.sleep(0.05)

    return script


@pytest.mark.parametrize(
    "head, piece",
    [(STREAM, b"3\r\n:.\n\r\n"), (STREAM, b"4\r\ndata\r\n")],
    ids=["comments", "one line"],
)
def test_bytes_that_drip_do_not_put_the_deadline_off(head: bytes, piece: bytes) -> None:
    began = time.monotonic()
    with serving(drip(head, piece)) as server:
        heard = listen(provider_of(server, "any"), a_call(idle=5, seconds=1.0))
    assert heard.ending in ("model-timeout", "model-broken")
    assert time.monotonic() - began < 4
