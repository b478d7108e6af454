"""The health page: what needs a hand now comes first, told from what turns and jobs have seen; and what can be done about it."""

import re
import socket
import time
from collections import namedtuple
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, select

from bench.model import ModelServer
from chatbot.audit import Actor
from chatbot.condition import machine
from chatbot.condition.answers import answers
from chatbot.db import across_tenants, db
from chatbot.jobs import Job, handles
from chatbot.tenancy import now
from chatbot.tenants import defaults
from chatbot.tenants.clients import publish_settings
from chatbot.tenants.endpoint_grants import grant, withdraw
from chatbot.tenants.endpoints import EndpointDraft, add_endpoint
from chatbot.usage.models import LedgerEntry
from tests.admin.operator import HTML, Operator, deeds
from tests.world import ALICE, BAKERY, World

BY = Actor("root@platform.example")
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def settings(model: ModelServer) -> dict[str, Any]:
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "obey"}


@handles("test_errand")
def _errand() -> None: ...


def needs(page: str) -> list[str]:
    """What the page says needs a hand now."""
    part = page.split("</h2>")[1].split("</section>")[0] if "Needs a hand now" in page else ""
    return re.findall(r'<a href="#\w+">([^<]+)</a>', part)


def add_job(world: World, kind: str = "test_errand", **given: Any) -> str:
    with world.app.app_context(), across_tenants() as session:
        session.add(job := Job(kind=kind, **given))
        session.flush()
        return str(job.id)


def dead_job(world: World, kind: str = "test_errand") -> str:
    return add_job(world, kind, status="dead", tries=5, error="ConnectionError", tenant_id=world.ids[BAKERY])


def jobs(world: World) -> list[Job]:
    with world.app.app_context(), across_tenants(writes=False) as session:
        return list(session.scalars(select(Job)))


# --- what it shows ---------------------------------------------------------------------------------------------------


def test_a_sound_installation_needs_nothing(world: World) -> None:
    world.vera.ask("say Hello.")
    page = Operator.of(world).see("health")
    assert "nothing needs a hand now" in page and needs(page) == []
    assert ("SQLite" if world.app.config["SHAMAN"].is_sqlite else "PostgreSQL") in page
    assert all(words in page for words in ("Write-ahead log", "0002", "Python", "flask", "Answers", "not used"))


def test_it_comes_first_in_the_admin_area(world: World) -> None:
    assert Operator.of(world).http.get("/admin", headers=HTML).location == "/admin/health"


def test_it_costs_the_same_however_much_there_is(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaults, "KEPT_FOR", 3600)
    root = Operator.of(world)

    def statements() -> int:
        asked: list[str] = []
        with world.app.app_context():
            engine = db.engine
        event.listen(engine, "before_cursor_execute", hear := lambda *given: asked.append(given[2]))
        root.see("health")
        event.remove(engine, "before_cursor_execute", hear)
        return len(asked)

    root.see("health")
    few = statements()
    for number in range(4):
        dead_job(world)
        world.vera.ask(f"say {number}")
    assert statements() == few


# --- the models ------------------------------------------------------------------------------------------------------


def test_a_model_that_fails_is_told_from_the_turns(world: World, model: ModelServer) -> None:
    world.vera.ask("say Hello.")
    for _ in range(3):
        world.vera.ask("play no-such-script")
    root = Operator.of(world)
    asked = model.tally()["calls"]
    page = root.see("health")
    assert needs(page) == ["The language model does not answer at the moment."]
    assert "Check its key" in page and model.tally()["calls"] == asked, "the page asks nobody"
    world.vera.ask("say Well again.")
    assert needs(root.see("health")) == []


def test_one_failure_between_answers_is_no_alarm(world: World) -> None:
    world.vera.ask("say Hello.")
    world.vera.ask("play no-such-script")
    assert needs(Operator.of(world).see("health")) == []


def test_each_endpoint_has_its_own_line(world: World, model: ModelServer) -> None:
    with world.app.app_context():
        endpoint_id = add_endpoint(EndpointDraft("acme", model.base_url, None, model="no-such-script"), BY)
        grant(endpoint_id, [BAKERY], BY)
        publish_settings(BAKERY, {"model": "acme"})
    world.vera.ask("Hello?")
    root = Operator.of(world)
    assert needs(root.see("health")) == ["The model endpoint “acme” does not answer at the moment."]
    with world.app.app_context():
        with across_tenants(writes=False):
            platform, acme = answers().endpoints
        assert (platform.failures, acme.name, acme.failed) == (0, "acme", {"model-refused": 1})
        withdraw(endpoint_id, BAKERY, BY)
    world.vera.ask("Hello?")
    assert needs(root.see("health"))[-1].startswith("1 question was not answered, because its client names a model")


def test_what_was_more_than_an_hour_ago_is_over(world: World) -> None:
    for _ in range(3):
        world.vera.ask("play no-such-script")
    with world.app.app_context(), across_tenants() as session:
        for entry in session.scalars(select(LedgerEntry)):
            entry.created_at = now() - timedelta(hours=2)
    assert needs(Operator.of(world).see("health")) == []


# --- the queue -------------------------------------------------------------------------------------------------------


def test_a_dead_job_is_tried_again(world: World) -> None:
    job_id, root = dead_job(world), Operator.of(world)
    page = root.see("health")
    assert needs(page) == ["1 job has failed for good."]
    assert all(words in page for words in ("test_errand", BAKERY, "ConnectionError"))
    assert root.do(f"health/jobs/{job_id}/retry", "health").status_code == 303
    [job] = jobs(world)
    assert (job.status, job.tries, job.error) == ("queued", 0, None)
    [deed] = deeds(world)
    assert (deed.action, deed.target, deed.tenant_slug) == ("job.retried", "test_errand", BAKERY)


def test_a_dead_job_is_discarded(world: World) -> None:
    job_id, root = dead_job(world), Operator.of(world)
    root.do(f"health/jobs/{job_id}/discard", "health")
    assert jobs(world) == [] and needs(root.see("health")) == []
    assert [deed.action for deed in deeds(world)] == ["job.discarded"]
    assert root.do(f"health/jobs/{job_id}/discard", "health").status_code == 404


def test_what_nobody_does_any_more_is_only_discarded(world: World) -> None:
    dead_job(world, "of_an_older_version")
    page = Operator.of(world).see("health")
    assert "Discard" in page and "Try again" not in page


def test_a_job_that_lives_is_left_alone(world: World) -> None:
    job_id, root = add_job(world, run_at=now() + timedelta(hours=1)), Operator.of(world)
    for doing in ("retry", "discard"):
        assert root.http.get(f"/admin/health/jobs/{job_id}/{doing}", headers=HTML).status_code == 405
        dead = dead_job(world)
        assert root.do(f"health/jobs/{job_id}/{doing}", "health").status_code == 404
        root.do(f"health/jobs/{dead}/discard", "health")
    assert [job.id for job in jobs(world)] == [job_id]


def test_jobs_that_nobody_takes_are_said(world: World) -> None:
    add_job(world, run_at=now() - timedelta(minutes=6))
    assert needs(Operator.of(world).see("health")) == ["Background jobs wait, and nobody takes them."]


# --- the machine -----------------------------------------------------------------------------------------------------


def test_a_disk_that_is_almost_full_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatbot.condition.machine.shutil.disk_usage", lambda path: Usage(100 << 30, 99 << 30, 1 << 29))
    assert needs(Operator.of(world).see("health")) == ["The disk is almost full."]


class TestSilentRedis:
    """A Redis that takes connections and says nothing."""

    @pytest.fixture
    def settings(self) -> Any:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            yield {"REDIS_URL": f"redis://127.0.0.1:{silent.getsockname()[1]}/0"}

    def test_is_said_within_two_seconds(self, world: World) -> None:
        with world.app.app_context():
            began = time.monotonic()
            found = machine.redis(world.app.config["SHAMAN"])
            assert time.monotonic() - began < 2
        assert found.is_used and found.milliseconds is None
        assert needs(Operator.of(world).see("health")) == ["Redis does not answer."]


def test_nobody_else_comes_here(world: World) -> None:
    alice, job_id = world.signed_in(ALICE), dead_job(world)
    assert alice.get("/admin/health", headers=HTML).status_code == 403
    assert alice.post(f"/admin/health/jobs/{job_id}/retry", headers=HTML).status_code in (400, 403)
    assert [job.status for job in jobs(world)] == ["dead"]
