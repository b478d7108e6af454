"""Idempotency-Key on what is not a turn."""

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

from sqlalchemy import select
from werkzeug.test import TestResponse

from chatbot.api.once import KEPT, forget_answers
from chatbot.db import across_tenants
from chatbot.tenants.models import IdempotencyRecord
from tests.world import OTHER, World

PAIR = {"question": "Do you deliver?", "answer": "On Fridays."}


def add(world: World, key: str, body: dict[str, str], slug: str = "harbour-bakery") -> TestResponse:
    headers = {**world.key(slug), "Idempotency-Key": key}
    return world.app.test_client().post("/api/client/knowledge", json=body, headers=headers)


def sources(world: World, slug: str = "harbour-bakery") -> int:
    listed = world.app.test_client().get("/api/client/knowledge", headers=world.key(slug)).get_json()
    return len(listed["sources"])


def test_the_same_key_and_body_is_one_effect_and_one_answer(world: World) -> None:
    first, again = add(world, "k1", PAIR), add(world, "k1", PAIR)
    assert first.status_code == again.status_code == 202
    assert first.get_json() == again.get_json()
    assert sources(world) == 1


def test_in_parallel_too(world: World) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: add(world, "k1", PAIR), range(8)))
    assert {answer.get_json()["id"] for answer in answers if answer.status_code == 202} == {answers[0].get_json()["id"]}
    assert sources(world) == 1


def test_another_body_is_a_conflict(world: World) -> None:
    add(world, "k1", PAIR)
    assert add(world, "k1", {**PAIR, "answer": "Never."}).status_code == 409
    assert sources(world) == 1


def test_another_callers_key_is_its_own(world: World) -> None:
    add(world, "k1", PAIR)
    assert add(world, "k1", {**PAIR, "answer": "Never."}, OTHER).status_code == 202
    assert sources(world) == sources(world, OTHER) == 1


def test_a_file_sent_again_is_the_same_file(world: World) -> None:
    def send() -> TestResponse:
        upload = {"file": (BytesIO(b"# Prices\n\nA loaf is 4 euros."), "prices.md")}
        headers = {**world.key(), "Idempotency-Key": "f"}
        return world.app.test_client().post("/api/client/knowledge", data=upload, headers=headers)

    assert send().get_json() == send().get_json()


def test_a_refused_request_is_not_kept(world: World) -> None:
    assert add(world, "k1", {"question": "", "answer": ""}).status_code == 422
    assert add(world, "k1", PAIR).status_code == 202


def test_old_answers_of_a_client_that_calls_no_more_are_swept(world: World) -> None:
    add(world, "old", PAIR)
    add(world, "new", PAIR, OTHER)
    with world.app.app_context():
        with across_tenants() as session:
            session.scalars(select(IdempotencyRecord).order_by(IdempotencyRecord.id)).first().created_at -= 2 * KEPT
        assert (forget_answers(), forget_answers()) == (1, 0)
