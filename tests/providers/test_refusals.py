"""A model that refuses: what is asked again, how often, and what the turn is told."""

import itertools
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from bench.model import ModelServer
from chatbot.errors import ModelBusy
from tests.providers.asking import Heard, a_call, ask, listen, provider_of
from tests.providers.plain_server import answer, read_request, refuse, serving


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_cannot_be_cured_is_asked_once(llm: ModelServer, status: int) -> None:
    assert ask(llm, f"status-{status}").ending == "model-refused"
    assert llm.tally()["calls"] == 1


def test_an_exhausted_account_is_asked_once(llm: ModelServer) -> None:
    assert ask(llm, "status-429-quota").ending == "model-refused"
    assert llm.tally()["calls"] == 1


@pytest.mark.parametrize("status, kind", [(429, "model-busy"), (503, "model-busy"), (500, "model-broken"), (502, "model-broken"), (504, "model-timeout")])  # fmt: skip
def test_what_may_pass_is_asked_thrice_at_most(llm: ModelServer, status: int, kind: str) -> None:
    assert ask(llm, f"status-{status}").ending == kind
    assert llm.tally()["calls"] == 3


@pytest.mark.parametrize("name", ["flaky-1-a", "flaky-2-a", "busy-1-1-a", "busy-2-0-a"])
def test_a_model_that_recovers_answers(llm: ModelServer, name: str) -> None:
    heard = ask(llm, name)
    assert heard.ending == "stop"
    assert heard.text
    assert llm.tally()["calls"] == int(name.split("-")[1]) + 1


@pytest.mark.parametrize("wait", ["1", "date"])
def test_the_servers_own_wait_is_obeyed(llm: ModelServer, wait: str) -> None:
    heard = ask(llm, f"status-429-retry-{wait}")
    times = [request["at"] for request in llm.requests()]
    assert heard.ending == "model-busy"
    assert len(times) == 3
    assert all(later - earlier >= 0.9 for earlier, later in itertools.pairwise(times))


def test_nobody_waits_a_day(llm: ModelServer) -> None:
    heard = ask(llm, "status-429-retry-86400")
    assert isinstance(heard.error, ModelBusy)
    assert heard.error.retry_after == 86400
    assert llm.tally()["calls"] == 1


def test_no_retry_reaches_past_the_deadline(llm: ModelServer) -> None:
    assert ask(llm, "status-429-retry-5", seconds=2).ending == "model-busy"
    assert llm.tally()["calls"] == 1


def test_a_dropped_connection_is_asked_again(llm: ModelServer) -> None:
    assert ask(llm, "drop").ending == "model-broken"
    assert llm.tally()["calls"] == 3


def test_a_crowd_does_not_hammer_a_busy_model(llm: ModelServer) -> None:
    provider = provider_of(llm, "status-429-retry-1")
    with ThreadPoolExecutor(100) as pool:
        heard = list(pool.map(lambda _: listen(provider, a_call()), range(100)))
    assert {each.ending for each in heard} == {"model-busy"}
    assert llm.tally()["calls"] <= 120


def test_a_crowd_is_served_when_the_model_recovers(llm: ModelServer) -> None:
    provider = provider_of(llm, "busy-2-1-crowd")
    with ThreadPoolExecutor(30) as pool:
        heard = list(pool.map(lambda _: listen(provider, a_call()), range(30)))
    assert {each.ending for each in heard} == {"stop"}


@pytest.mark.parametrize(
    "name, lacking",
    [("no-max-tokens", {"max_tokens"}), ("no-stream-options", {"stream_options"}), ("no-temperature", {"temperature"}),
     ("forbids-stream_options", {"stream_options"}), ("picky", {"stream_options", "temperature"})],
)  # fmt: skip
def test_what_a_server_lacks_is_found_out_once(llm: ModelServer, name: str, lacking: set[str]) -> None:
    provider = provider_of(llm, name)
    assert listen(provider, a_call()).ending == "stop"
    assert llm.tally()["calls"] == 1 + len(lacking)
    assert listen(provider, a_call()).ending == "stop"
    assert llm.tally()["calls"] == 2 + len(lacking), "the second call is right at once"
    assert not lacking & set(llm.requests(1)[0]["body"])


def test_a_server_of_the_older_parameters_is_right_at_once(llm: ModelServer) -> None:
    assert ask(llm, "no-max-completion-tokens").ending == "stop"
    assert llm.tally()["calls"] == 1


@pytest.mark.parametrize("name", ["no-max-tokens", "no-stream-options", "no-temperature", "picky"])
def test_many_first_calls_at_once_find_it_out_together(llm: ModelServer, name: str) -> None:
    provider = provider_of(llm, name)
    with ThreadPoolExecutor(16) as pool:
        heard: list[Heard] = list(pool.map(lambda _: listen(provider, a_call()), range(16)))
    assert [each.ending for each in heard] == ["stop"] * 16


def test_a_refusal_of_something_else_changes_nothing() -> None:
    asked: list[bytes] = []

    def script(line: socket.socket, number: int) -> None:
        while request := read_request(line):
            asked.append(request)
            refuse(line, 400) if len(asked) == 1 else answer(line)

    with serving(script) as server:
        provider = provider_of(server, "any")
        assert [listen(provider, a_call()).ending for _ in range(2)] == ["model-refused", "stop"]
        provider.close()
    assert all(word in asked[1] for word in (b"temperature", b"stream_options", b"max_tokens"))
