"""What a client may spend holds under any number of parallel turns; what it is charged is what the model reported."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update
from werkzeug.test import TestResponse

from bench.model import ModelServer
from chatbot.chat import ending
from chatbot.chat.ending import Ending
from chatbot.chat.models import Message, Turn
from chatbot.chat.opening import LEASE, Ask, open_turn
from chatbot.chat.store import T, turn_by_id
from chatbot.db import across_tenants, write
from chatbot.errors import QuotaReached
from chatbot.tenancy import now
from chatbot.tenants.clients import find_client, publish_settings
from chatbot.usage.ledger import Usage
from chatbot.usage.models import Hold, LedgerEntry, Quota
from chatbot.usage.quotas import Limits
from tests.chat.test_faults import rows
from tests.world import BAKERY, World, read_events

AT_ONCE = 64


@pytest.fixture
def settings(model: ModelServer) -> dict[str, Any]:
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "obey", "DEFAULT_MAX_TOKENS": 1500, "CHAT_TIMEOUT": 1}


def set_limits(world: World, **limits: Any) -> None:
    with world.app.app_context(), across_tenants():
        find_client(BAKERY).limits = limits


def send(world: World, message: str, user: str, **more: Any) -> TestResponse:
    body = {"message": message, "user_id": user} | more
    return world.app.test_client().post("/api/chat", json=body, headers=world.key())


def send_many(world: World, message: str, tag: str) -> Counter[int]:
    """How often each status came of 64 parallel messages, each of a visitor of its own."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda n: send(world, message, f"{tag}-{n}"), range(AT_ONCE)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert all(answer.get_json()["type"] == "urn:shaman:quota" and answer.headers["Retry-After"] for answer in refused)
    return Counter(answer.status_code for answer in answers)


def quota(world: World, scope: str) -> tuple[int, int]:
    """(used, held) of a scope."""
    [row] = [row for row in rows(world, Quota) if row.scope == scope]
    return row.used, row.held


def many_rounds(world: World, model: ModelServer, rounds: int) -> None:
    for number in range(1, rounds + 1):
        model.reset()
        set_limits(world, messages_per_day=5 * number)
        assert send_many(world, "play instant-3", f"round-{number}") == {200: 5, 429: AT_ONCE - 5}
        assert model.tally()["calls"] == 5
        assert quota(world, "messages") == (5 * number, 0)
    assert len(rows(world, LedgerEntry)) == len(rows(world, Turn)) == 5 * rounds
    assert rows(world, Hold) == []


def test_five_messages_left_admit_five(world: World, model: ModelServer) -> None:
    many_rounds(world, model, rounds=3)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_five_messages_left_admit_five_in_fifty_rounds(world: World, model: ModelServer) -> None:
    many_rounds(world, model, rounds=50)


def test_tokens_overshoot_by_no_more_than_a_turn(world: World, model: ModelServer) -> None:
    model.reset()
    set_limits(world, tokens_per_month=2000)
    admitted = send_many(world, "play instant-1400", "long")[200]
    assert model.tally()["calls"] == admitted
    assert admitted in (1, 2)  # the second when the first had ended by then
    used, held = quota(world, "tokens")
    assert (used, held) == (sum(e.input_tokens + e.output_tokens for e in rows(world, LedgerEntry)), 0)
    assert used <= 2000 + 1500


def test_a_clients_own_longest_answer_is_held(world: World, model: ModelServer) -> None:
    with world.app.app_context():
        publish_settings(BAKERY, {"max_tokens": 4000})
    model.reset()
    set_limits(world, tokens_per_month=12_000)
    assert send_many(world, "play paced-700-0-3000", "own") == {200: 2, 429: AT_ONCE - 2}
    assert model.tally()["calls"] == 2


def test_the_first_turns_of_a_period_are_not_refused(world: World) -> None:
    """They begin the period's row all at once: one of them makes it, and none takes that for a limit that is reached."""
    for number in range(6):
        with world.app.app_context(), across_tenants() as session:
            session.query(Quota).delete()
        set_limits(world, messages_per_day=1_000_000, tokens_per_month=1_000_000_000)
        assert send_many(world, "play instant-3", f"round-{number}") == {200: AT_ONCE}


def test_mixed_limits_do_not_deadlock(world: World) -> None:
    set_limits(world, messages_per_day=40, tokens_per_month=10_000_000)
    assert send_many(world, "play instant-3", "mixed") == {200: 40, 429: 24}
    assert quota(world, "messages") == (40, 0)
    assert quota(world, "tokens")[1] == 0


def test_a_limit_set_later_counts_what_was_spent_before(world: World) -> None:
    for number in range(3):
        send(world, "play instant-3", f"u{number}")
    send(world, "play status-400", "failing")  # free, and not counted
    set_limits(world, messages_per_day=4)
    assert [send(world, "Hello?", f"v{number}").status_code for number in range(3)] == [200, 429, 429]


def test_a_day_is_the_clients_own(world: World) -> None:
    """Each zone has its own rows, so a message at noon in Kiritimati counts for its own day."""
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
        with world.app.app_context(), across_tenants():
            tenant = find_client(BAKERY)
            tenant.limits, tenant.time_zone = {"messages_per_day": 5}, zone
        send(world, "Hello?", zone.replace("/", "-"))
    assert len({row.period for row in rows(world, Quota)}) == 2


# --- released once ---------------------------------------------------------------------------------------------------


def an_open_turn(world: World, name: str) -> Any:
    limits = Limits(messages_per_day=1000, tokens_per_month=1_000_000)
    ask = Ask(world.ids[BAKERY], f"key:{name}", "api", name, "Hello?", limits, expected_tokens=100)
    return open_turn(ask, "this-worker").turn


def test_settle_and_sweep_release_once(world: World) -> None:
    """The worker wakes up late while others sweep: sixteen at once, and the turn is booked once."""
    tenant, answer = world.ids[BAKERY], Ending("complete", "Hello.", "stop", usage=Usage(10, 5))
    for number in range(8):
        with world.app.app_context():
            turn = an_open_turn(world, f"turn-{number}")
            late = update(T).where(T.c.tenant_id == tenant, T.c.id == turn.id).values(lease_until=now() - LEASE)
            write(tenant, lambda unit, statement=late: unit.connection.execute(statement))  # type: ignore[misc]

        def end(place: int, turn: Any = turn) -> bool:
            with world.app.app_context():
                if place % 2:
                    return write(tenant, lambda unit: ending.end_ours(unit, turn, "this-worker", answer))
                dead = replace(answer, status="interrupted", text=None)
                return write(tenant, lambda unit: ending.end_dead(unit, turn, dead))

        with ThreadPoolExecutor(16) as pool:
            assert sorted(pool.map(end, range(16))) == [False] * 15 + [True]
    assert quota(world, "messages") == (8, 0)
    assert quota(world, "tokens") == (8 * 15, 0)
    assert len(rows(world, LedgerEntry)) == 8


def test_a_lease_in_force_is_not_swept(world: World) -> None:
    with world.app.app_context():
        turn = an_open_turn(world, "alive")
        assert not write(turn.tenant_id, lambda unit: ending.end_dead(unit, turn, Ending("interrupted", None)))
        assert not write(turn.tenant_id, lambda unit: ending.end_ours(unit, turn, "another", Ending("complete", "")))
        stored = write(turn.tenant_id, lambda unit: turn_by_id(unit, turn.id))
    assert stored is not None
    assert stored.status == "running"


def test_a_refused_turn_holds_nothing(world: World) -> None:
    limits = Limits(messages_per_day=10, tokens_per_month=150)
    first = Ask(world.ids[BAKERY], "key:a", "api", "n", "Hello?", limits, expected_tokens=100)
    with world.app.app_context():
        open_turn(first, "this-worker")
        before = [quota(world, scope) for scope in ("messages", "tokens")]
        with pytest.raises(QuotaReached) as refused:
            open_turn(replace(first, subject="key:b"), "this-worker")
    assert refused.value.retry_after
    assert refused.value.retry_after <= timedelta(days=31).total_seconds()
    assert [quota(world, scope) for scope in ("messages", "tokens")] == before
    assert [len(rows(world, kind)) for kind in (Turn, Hold, LedgerEntry)] == [1, 2, 0]


# --- what costs and what does not -------------------------------------------------------------------------------------


def test_refusals_cost_nothing(world: World, model: ModelServer) -> None:
    set_limits(world, messages_per_day=100, tokens_per_month=100_000)
    http, key = world.app.test_client(), world.key()
    send(
        world,
        "play instant-3",
        "one",
    )
    http.post("/api/chat", json={"message": "play instant-3"}, headers=key | {"Idempotency-Key": "k"})
    before = (quota(world, "messages"), quota(world, "tokens"), len(rows(world, LedgerEntry)))
    model.reset()
    statuses = [
        http.post("/api/chat", json={"message": "Hi"}, headers={"Authorization": "Bearer shm_wrong"}).status_code,
        http.post("/api/chat", json={"message": "Hi", "client": "nobody"}).status_code,
        http.post("/api/chat", json={"message": "Other"}, headers=key | {"Idempotency-Key": "k"}).status_code,
        http.post("/api/chat", data=b"x" * 17_000_000, content_type="application/json", headers=key).status_code,
        http.post("/api/chat", data=b"message=Hi", headers=key).status_code,
        http.post("/api/chat", json={"message": ""}, headers=key).status_code,
        http.post("/api/chat", json={"message": "x" * 9000}, headers=key).status_code,
        http.post("/api/chat", json={"message": 5}, headers=key).status_code,
        http.post("/api/chat", data=b"{", content_type="application/json", headers=key).status_code,
    ]
    assert statuses == [401, 404, 409, 413, 415, 422, 422, 422, 400]
    with world.app.app_context(), across_tenants():
        find_client(BAKERY).status = "suspended"
    assert send(world, "Hi", "two").status_code == 403
    assert model.tally()["calls"] == 0
    assert (quota(world, "messages"), quota(world, "tokens"), len(rows(world, LedgerEntry))) == before


def test_a_failure_that_used_nothing_is_free(world: World) -> None:
    set_limits(world, messages_per_day=1, tokens_per_month=100_000)
    for number, script in enumerate(("status-400", "silent", "html")):
        send(world, f"play {script}", f"u{number}")
    assert (quota(world, "messages"), quota(world, "tokens")) == ((0, 0), (0, 0))
    assert send(world, "play instant-3", "last").status_code == 200


def test_a_retry_counts_like_the_turn_it_repeats(world: World) -> None:
    set_limits(world, messages_per_day=10, tokens_per_month=100_000)
    vera = world.vera
    turn = vera.ask("play garbage")[0].data["turn_id"]
    vera.post(f"/turns/{turn}/retry", script=True, name="again").get_data()
    entries = rows(world, LedgerEntry)
    assert len(entries) == 2
    assert quota(world, "messages") == (2, 0)
    assert quota(world, "tokens") == (sum(e.input_tokens + e.output_tokens for e in entries), 0)


def test_the_ledger_is_what_the_model_tallied(world: World, model: ModelServer, wait: Callable[..., None]) -> None:
    """Full, capped by the caller, without words, failed before a word: to the token. Where a turn was cut: marked."""
    set_limits(world, tokens_per_month=10_000_000)
    model.reset()
    exact = [
        "steady",
        "instant-40",
        "crlf",
        "gzip",
        "early-usage",
        "length",
        "reasoning",
        "tool-calls",
        "no-done",
        "multiline",
    ]
    estimated = ["garbage", "cut-2000", "fin-1500", "no-usage", "zero-usage", "silent-after-5"]
    free = ["status-400", "status-429-quota", "html", "silent"]
    names = exact + estimated + free
    with ThreadPoolExecutor(8) as pool:
        refused = [
            a.get_json()
            for a in pool.map(lambda name: send(world, f"play {name}", name), names)
            if a.status_code == 429
        ]
    assert refused == []
    turns = {turn.id: turn for turn in rows(world, Turn)}
    entries = {entry.turn_id: entry for entry in rows(world, LedgerEntry)}
    assert len(entries) == len(turns) == len(names)
    said = {request["body"]["messages"][-1]["content"].removeprefix("play "): request for request in model.requests()}
    for turn_id, entry in entries.items():
        name = question_of(world, turns[turn_id]).removeprefix("play ")
        if name in exact:
            assert entry.output_tokens == said[name]["tokens"], name
        assert entry.estimated is (name in estimated), name
        if name in free:
            assert entry.input_tokens + entry.output_tokens == 0, name
    total = sum(entry.input_tokens + entry.output_tokens for entry in entries.values())
    assert quota(world, "tokens") == (total, 0)


def question_of(world: World, turn: Turn) -> str:
    return next(str(m.content) for m in rows(world, Message) if m.id == turn.question_id)


def test_a_stopped_turn_is_charged_for_what_was_said(world: World) -> None:
    set_limits(world, messages_per_day=10, tokens_per_month=100_000)
    vera = world.vera
    answer = vera.post(script=True, message="play silent-after-5")
    stream: Any = iter(answer.response)
    received = b"".join(next(stream) for _ in range(3))
    turn = read_events(received)[0].data["turn_id"]
    threading.Timer(0.1, lambda: vera.post(f"/turns/{turn}/stop")).start()
    list(stream)
    [entry] = rows(world, LedgerEntry)
    assert (entry.outcome, entry.estimated) == ("stopped", True)
    assert entry.output_tokens > 0
    assert quota(world, "tokens") == (entry.input_tokens + entry.output_tokens, 0)
    assert quota(world, "messages") == (1, 0)


class TestWithoutAModel:
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {}

    def test_a_quoted_answer_is_a_message_too(self, world: World) -> None:
        set_limits(world, messages_per_day=2)
        assert [send(world, "Hello?", f"u{number}").status_code for number in range(3)] == [200, 200, 429]
