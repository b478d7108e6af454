"""How often one may ask: per address and client, whoever forges what; and one effect for one Idempotency-Key."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from bench.model import ModelServer
from chatbot.chat.models import Message, Turn
from chatbot.db import across_tenants
from chatbot.security import group_address
from chatbot.tenants.clients import find_client
from chatbot.usage.models import LedgerEntry
from tests.chat.test_faults import rows
from tests.world import BAKERY, OTHER, Browser, World

MOST = 3


@pytest.fixture
def settings(model: ModelServer) -> dict[str, Any]:
    return {
        "OPENAI_BASE_URL": model.base_url,
        "OPENAI_MODEL": "instant-5",
        "CHAT_RATE_LIMIT": f"{MOST} per minute",
    }


def from_address(world: World, address: str, slug: str = BAKERY) -> Browser:
    http = world.app.test_client()
    http.environ_base["REMOTE_ADDR"] = address
    return Browser(http, slug)


def ask_api(http: FlaskClient, **headers: str) -> TestResponse:
    return http.post("/api/chat", json={"message": "Hello?", "client": BAKERY}, headers=headers)


def use_up(world: World, address: str) -> None:
    for _ in range(MOST):
        assert ask_api(from_address(world, address).http).status_code == 200


def test_the_page_keeps_the_text_and_shows_the_wait(world: World) -> None:
    vera = from_address(world, "198.51.100.1")
    answers = [vera.post(message=f"Question {n}?") for n in range(MOST + 1)]
    assert [answer.status_code for answer in answers] == [303] * MOST + [429]
    refused, page = answers[-1], answers[-1].get_data(as_text=True)
    assert f"Question {MOST}?" in page
    assert 1 <= int(refused.headers["Retry-After"]) <= 61
    assert f"wait {refused.headers['Retry-After']} seconds" in page
    assert len(rows(world, Turn)) == MOST


def test_script_and_programs_get_a_problem_that_says_rate(world: World) -> None:
    vera = from_address(world, "198.51.100.1")
    use_up(world, "198.51.100.1")
    for answer in (vera.post(script=True, message="Hello?"), ask_api(vera.http)):
        problem = answer.get_json()
        assert (answer.status_code, answer.mimetype) == (429, "application/problem+json")
        assert (problem["type"], problem["retry_after"]) == (
            "urn:shaman:rate-limit",
            int(answer.headers["Retry-After"]),
        )


def test_another_address_and_another_client_are_not_meant(world: World) -> None:
    use_up(world, "198.51.100.1")
    assert from_address(world, "198.51.100.2").post(message="Hello?").status_code == 303
    assert from_address(world, "198.51.100.1", OTHER).post(message="Hello?").status_code == 303
    assert from_address(world, "198.51.100.1").post(message="Hello?").status_code == 429


def test_a_key_is_not_limited_by_its_address(world: World) -> None:
    use_up(world, "198.51.100.1")
    http = from_address(world, "198.51.100.1").http
    assert [ask_api(http, **world.key()).status_code for _ in range(MOST + 2)] == [200] * (MOST + 2)


def test_a_clients_own_rate_holds(world: World) -> None:
    with world.app.app_context(), across_tenants():
        find_client(BAKERY).limits = {"chat_rate": "1 per minute"}
    statuses = [ask_api(from_address(world, "198.51.100.1").http).status_code for _ in range(2)]
    assert statuses == [200, 429]


def test_retries_count_and_refusals_reach_no_model(world: World, model: ModelServer) -> None:
    vera = from_address(world, "198.51.100.1")
    model.reset()
    use_up(world, "198.51.100.1")
    for _ in range(3):
        assert vera.post(message="Hello?").status_code == 429
        assert vera.post("/turns/nothing/retry", script=True).status_code == 429
    assert model.tally()["calls"] == MOST
    assert len(rows(world, LedgerEntry)) == MOST


def test_a_message_sent_again_is_not_counted(world: World) -> None:
    vera = from_address(world, "198.51.100.1")
    vera.page()
    headers = {"Idempotency-Key": "k"}
    first = ask_api(vera.http, **headers)
    statuses = [ask_api(vera.http, **headers).status_code for _ in range(MOST + 2)]
    assert {first.status_code, *statuses} == {200}
    statuses = [vera.post(script=True, message="Hi?", name="n1").status_code for _ in range(MOST + 2)]
    assert set(statuses) == {200}
    assert len(rows(world, Turn)) == 2


def test_a_retry_sent_again_is_not_counted(world: World) -> None:
    vera = from_address(world, "198.51.100.1")
    turn = vera.ask("Hello?")[0].data["turn_id"]
    with world.app.app_context(), across_tenants() as session:
        session.get(Turn, turn).status = "failed"
    statuses = [vera.post(f"/turns/{turn}/retry", script=True, name="r1").status_code for _ in range(MOST + 2)]
    assert set(statuses) == {200}
    assert len(rows(world, Turn)) == 2


class TestOfKeys:
    @pytest.fixture
    def settings(self, model: ModelServer) -> dict[str, Any]:
        return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "instant-5", "KEY_RATE_LIMIT": "2 per minute"}

    def test_each_key_has_a_limit_of_its_own(self, world: World) -> None:
        http = world.app.test_client()
        calls = [http.get("/api/client/knowledge", headers=world.key()), ask_api(http, **world.key())]
        assert [call.status_code for call in calls] == [200, 200]
        for refused in (ask_api(http, **world.key()), http.get("/api/client/knowledge", headers=world.key())):
            assert (refused.status_code, refused.get_json()["type"]) == (429, "urn:shaman:rate-limit")
            assert 1 <= int(refused.headers["Retry-After"]) <= 61
        assert http.get("/api/client/knowledge", headers=world.key(OTHER)).status_code == 200


# --- whose address -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address, group",
    [("198.51.100.7", "198.51.100.7"), ("2001:db8:1:2::9", "2001:db8:1:2::/64"), ("::ffff:198.51.100.7", "198.51.100.7"),
     ("198.51.100.7:4711", "198.51.100.7"), ("[2001:db8:1:2::9]:4711", "2001:db8:1:2::/64"), ("", "unknown"),
     ("unknown", "unknown"), ("_hidden", "unknown"), ("fe80::1%eth0", "fe80::/64"), ("999.1.1.1", "unknown")],
)  # fmt: skip
def test_addresses_are_grouped(address: str, group: str) -> None:
    assert group_address(address) == group


def test_one_ipv6_subscriber_is_one_caller(world: World) -> None:
    for last in range(MOST):
        assert ask_api(from_address(world, f"2001:db8:7:1::{last + 1:x}").http).status_code == 200
    assert ask_api(from_address(world, "2001:db8:7:1:ffff::1").http).status_code == 429
    assert ask_api(from_address(world, "2001:db8:7:2::1").http).status_code == 200


FORGED = ["X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP", "CF-Connecting-IP", "True-Client-IP"]


@pytest.mark.parametrize("header", FORGED)
def test_without_a_trusted_proxy_nothing_forged_helps(world: World, header: str) -> None:
    http = from_address(world, "198.51.100.1").http
    statuses = [ask_api(http, **{header: f"203.0.113.{n}"}).status_code for n in range(MOST + 2)]
    assert statuses == [200] * MOST + [429] * 2


class TestBehindProxies:
    @pytest.fixture
    def settings(self, model: ModelServer) -> dict[str, Any]:
        return {
            "OPENAI_BASE_URL": model.base_url,
            "OPENAI_MODEL": "instant-5",
            "CHAT_RATE_LIMIT": f"{MOST} per minute",
            "TRUSTED_PROXIES": 2,
        }

    def forwarded(self, world: World, value: str) -> int:
        http = from_address(world, "198.51.100.1").http
        return ask_api(http, **{"X-Forwarded-For": value}).status_code

    def test_the_hop_before_the_trusted_ones_is_meant(self, world: World) -> None:
        statuses = [self.forwarded(world, f"203.0.113.{n}, 192.0.2.5, 192.0.2.99") for n in range(MOST + 1)]
        assert statuses == [200] * MOST + [429], "what the caller wrote in front is not believed"
        assert self.forwarded(world, "192.0.2.6, 192.0.2.99") == 200
        assert self.forwarded(world, "192.0.2.5, 192.0.2.100") == 429

    @pytest.mark.parametrize("value", ["203.0.113.9", "", "nonsense", ",", "203.0.113.9:77, 192.0.2.99"])
    def test_a_short_or_odd_list_is_no_crash(self, world: World, value: str) -> None:
        assert self.forwarded(world, value) == 200


# --- one effect ----------------------------------------------------------------------------------------------------


class TestIdempotency:
    @pytest.fixture
    def settings(self, model: ModelServer) -> dict[str, Any]:
        return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "paced-20-60-12"}

    @pytest.fixture
    def send(self, world: World) -> Callable[..., TestResponse]:
        def send_with(key: str, message: str = "Hello?", slug: str = BAKERY, **more: Any) -> TestResponse:
            headers = world.key(slug) | {"Idempotency-Key": key}
            return world.app.test_client().post("/api/chat", json={"message": message} | more, headers=headers)

        return send_with

    def test_twenty_at_once_and_twenty_after_are_one_turn(
        self, world: World, model: ModelServer, send: Callable[..., TestResponse]
    ) -> None:
        model.reset()
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: send("order-17"), range(20)))
        answers += [send("order-17") for _ in range(20)]
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.get_data() for answer in answers}) == 1
        assert [len(rows(world, kind)) for kind in (Turn, Message, LedgerEntry)] == [1, 2, 1]
        assert model.tally()["calls"] == 1

    def test_other_words_under_the_same_key_are_a_conflict(self, send: Callable[..., TestResponse]) -> None:
        assert send("k").status_code == 200
        assert send("k", "Something else").status_code == 409

    def test_another_user_under_the_same_key_is_a_conflict(
        self, world: World, send: Callable[..., TestResponse]
    ) -> None:
        assert send("k", user_id="ann").status_code == 200
        assert [send("k", user_id="ben").status_code, send("k").status_code] == [409, 409]
        assert send("k", user_id="ann").status_code == 200
        assert len(rows(world, Turn)) == 1

    def test_users_at_once_under_the_same_key_are_one_turn(
        self, world: World, send: Callable[..., TestResponse]
    ) -> None:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: send("k", user_id=f"user{n}").status_code, range(8)))
        assert sorted(answers) == [200] + [409] * 7
        assert len(rows(world, Turn)) == 1

    def test_a_browsers_users_share_their_keys_too(self, world: World) -> None:
        http = world.vera.http
        http.get(f"/chat/{BAKERY}")
        body, headers = {"message": "Hello?", "client": BAKERY}, {"Idempotency-Key": "k"}
        users = ("ann", "ann", "ben")
        answers = [http.post("/api/chat", json=body | {"user_id": user}, headers=headers) for user in users]
        assert [answer.status_code for answer in answers] == [200, 200, 409]

    def test_one_key_is_one_request_at_every_door(self, world: World, send: Callable[..., TestResponse]) -> None:
        assert send("k").status_code == 200
        pair, headers = {"question": "Do you deliver?", "answer": "Yes."}, world.key() | {"Idempotency-Key": "k"}
        assert world.app.test_client().post("/api/client/knowledge", json=pair, headers=headers).status_code == 409

    def test_anothers_key_is_anothers(self, world: World, send: Callable[..., TestResponse]) -> None:
        mine, theirs = send("k"), send("k", slug=OTHER)
        assert (mine.status_code, theirs.status_code) == (200, 200)
        assert mine.get_json()["turn_id"] != theirs.get_json()["turn_id"]

    @pytest.mark.parametrize("key", ['"8e03978e-40d5-43e8-bc93-6e84a54f28f5"', "a b/c=+", "x" * 255, "ключ"])
    def test_any_words_are_a_key(self, world: World, send: Callable[..., TestResponse], key: str) -> None:
        wire = key.encode().decode("latin-1")
        assert [send(wire).status_code for _ in range(2)] == [200, 200]
        assert len(rows(world, Turn)) == 1

    def test_first_messages_at_once_share_one_session(self, world: World, send: Callable[..., TestResponse]) -> None:
        for user in ("ann", "ben", "cas", "dan"):
            with ThreadPoolExecutor(4) as pool:
                answers = list(
                    pool.map(lambda n, user=user: send(f"{user}-{n}", f"Hello {n}?", user_id=user), range(4))
                )
            assert len({answer.get_json()["session_id"] for answer in answers}) == 1
