"""Mails that are posted: sent soon by a job, once, and ciphertext as long as they wait."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from chatbot import mail
from chatbot.db import across_tenants, as_tenant
from chatbot.jobs import TRIES, Job, run_next, sweep
from chatbot.tenancy import now
from tests.smtp_server import MailCatcher, settings_for
from tests.world import BAKERY, World

LINK = "https://chat.example.com/reset/CNRY-s3cr3t"


@pytest.fixture
def server() -> Iterator[MailCatcher]:
    with MailCatcher() as catcher:
        yield catcher


@pytest.fixture
def settings(server: MailCatcher) -> dict[str, Any]:
    return settings_for(server)


@pytest.fixture(params=[BAKERY, None], ids=["a client's", "the platform's"])
def post(request: pytest.FixtureRequest, world: World) -> Callable[[], None]:
    """Posts a mail from a client's session, or from one of the platform."""

    def put() -> None:
        with world.app.app_context(), as_tenant(world.ids[request.param]) if request.param else across_tenants():
            mail.post("bob@bakery.example", "Your new password", LINK)

    return put


def waiting(app: Flask) -> list[Job]:
    with app.app_context(), across_tenants(writes=False) as session:
        return list(session.scalars(select(Job)))


def work(app: Flask) -> bool:
    """Do the next job, whenever it is due."""
    with app.app_context():
        with across_tenants() as session:
            session.execute(update(Job).values(run_at=now() - timedelta(seconds=1)))
        return run_next("worker")


def test_a_posted_mail_is_sent_once_and_forgotten(post: Callable[[], None], app: Flask, server: MailCatcher) -> None:
    post()
    assert server.commands == []
    assert work(app) and not work(app)
    [got] = server.mails
    assert LINK in got.get_content() and waiting(app) == []


def test_a_mail_that_waits_is_ciphertext(post: Callable[[], None], app: Flask, tmp_path: Path) -> None:
    post()
    [job] = waiting(app)
    assert not [word for word in ("CNRY", "bob", "password") if word in json.dumps(job.payload)]
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"CNRY" in path.read_bytes()]


def test_posting_is_part_of_the_transaction(world: World) -> None:
    with world.app.app_context(), pytest.raises(ZeroDivisionError), as_tenant(world.ids[BAKERY]):
        mail.post("bob@bakery.example", "Hello", "x")
        raise ZeroDivisionError
    assert waiting(world.app) == []


def test_posting_never_waits_for_the_server(post: Callable[[], None], app: Flask, server: MailCatcher) -> None:
    server.answers["GREETING"] = None
    begun = time.monotonic()
    post()
    assert time.monotonic() - begun < 1 and len(waiting(app)) == 1


def test_a_server_that_is_away_is_tried_again_with_longer_pauses(
    post: Callable[[], None], app: Flask, server: MailCatcher
) -> None:
    post()
    server.answers["RCPT"] = "450 later"
    pauses = []
    for _round in range(3):
        work(app)
        [job] = waiting(app)
        pauses.append(job.run_at - now())
    assert timedelta(0) < pauses[0] < pauses[1] < pauses[2] and job.payload.keys() == {"sealed", "tries"}
    server.answers.clear()
    work(app)
    assert len(server.mails) == 1 and waiting(app) == []


def test_its_id_stays_the_same(post: Callable[[], None], app: Flask, server: MailCatcher) -> None:
    post()
    server.answers["MAIL DATA"] = "451 perhaps taken"
    work(app)
    work(app)
    first, second = server.mails
    assert first["Message-ID"] == second["Message-ID"]


@pytest.mark.parametrize("answer, tries", [("450 later", len(mail.PAUSES) + 1), ("550 nobody", 1)])
def test_a_mail_that_is_given_up_is_forgotten(
    answer: str, tries: int, post: Callable[[], None], app: Flask, server: MailCatcher
) -> None:
    post()
    server.answers["RCPT"] = answer
    done = 0
    while work(app):
        done += 1
    assert done == tries and waiting(app) == []


def test_a_dead_job_keeps_no_mail(post: Callable[[], None], app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    post()
    monkeypatch.setattr(mail, "hand_over", lambda *given: 1 / 0)
    for _round in range(TRIES):
        work(app)
    assert [job.status for job in waiting(app)] == ["dead"]
    with app.app_context():
        assert sweep() == 1 and sweep() == 0
    assert waiting(app) == []


def test_a_mail_moved_to_another_client_is_not_sent(world: World, server: MailCatcher) -> None:
    with world.app.app_context(), as_tenant(world.ids[BAKERY]):
        mail.post("bob@bakery.example", "Hello", LINK)
    with world.app.app_context(), across_tenants() as session:
        session.execute(update(Job).values(tenant_id=None))
    work(world.app)
    assert server.commands == [] and waiting(world.app)[0].error == "SecretUnreadable"
