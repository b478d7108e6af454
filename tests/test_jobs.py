"""The background queue: a job is there when its transaction is, is done by one worker, comes back, and ends."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from chatbot import jobs
from chatbot.audit import COMMAND_LINE
from chatbot.db import across_tenants, as_tenant, db
from chatbot.jobs import TRIES, Job, JobThread, enqueue, run_next
from chatbot.tenancy import now
from chatbot.tenants.clients import create_client
from chatbot.tenants.purging import purge_client
from chatbot.tenants.standing import delete_client

ROOT = Path(__file__).parent.parent


@pytest.fixture
def tenant_id(app: Flask) -> Iterator[str]:
    with app.app_context():
        yield create_client("bakery", "Bakery").id


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was done by jobs of the kind `note`."""
    notes: list[Any] = []
    monkeypatch.setitem(jobs.handlers, "note", lambda **payload: notes.append((db.session().tenant_id, payload)))
    return notes


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Jobs of the kind `fail` fail; how often they were tried."""
    tried: list[int] = []

    def fail() -> None:
        tried.append(1)
        raise ValueError("CNRY-words")

    monkeypatch.setitem(jobs.handlers, "fail", fail)
    return tried


def put(tenant_id: str | None, kind: str = "note", **payload: Any) -> str:
    session = as_tenant(tenant_id) if tenant_id else across_tenants()
    with session as open_session:
        job = enqueue(kind, **payload)
        open_session.flush()
        return job.id


def all_jobs() -> list[Job]:
    with across_tenants(writes=False) as session:
        return list(session.scalars(select(Job).order_by(Job.id)))


def make_due() -> None:
    """As if the pause, or the lease, had run out."""
    with across_tenants() as session:
        session.execute(update(Job).values(run_at=now() - timedelta(seconds=1)))


# --- enqueueing -----------------------------------------------------------------------------------------------------


def test_a_job_is_done_once_within_its_tenant(tenant_id: str, done: list[Any]) -> None:
    put(tenant_id, word="hello", number=3)
    assert run_next("one") and not run_next("one")
    assert done == [(tenant_id, {"word": "hello", "number": 3})] and all_jobs() == []


def test_a_job_of_the_platform_is_of_no_tenant(app: Flask, done: list[Any]) -> None:
    with app.app_context():
        put(None, word="hello")
        assert run_next("one") and done == [(None, {"word": "hello"})]


def test_a_job_exists_only_with_its_transaction(app: Flask, tenant_id: str, done: list[Any]) -> None:
    with pytest.raises(ZeroDivisionError), as_tenant(tenant_id) as session:
        enqueue("note")
        session.flush()
        raise ZeroDivisionError
    assert all_jobs() == [] and not run_next("one")
    with as_tenant(tenant_id) as session, ThreadPoolExecutor(1) as elsewhere:
        enqueue("note")
        session.flush()
        assert elsewhere.submit(number_of_jobs, app).result() == 0
    assert number_of_jobs(app) == 1


def number_of_jobs(app: Flask) -> int:
    with app.app_context():
        return len(all_jobs())


def test_a_delayed_job_waits(tenant_id: str, done: list[Any]) -> None:
    put(tenant_id, delay=timedelta(hours=1))
    assert not run_next("one")
    make_due()
    assert run_next("one") and len(done) == 1


def test_the_job_due_longest_goes_first(tenant_id: str, done: list[Any]) -> None:
    for number in (3, 1, 2):
        put(tenant_id, delay=timedelta(seconds=number - 10), number=number)
    while run_next("one"):
        pass
    assert [payload["number"] for _, payload in done] == [1, 2, 3]


def test_clients_take_turns(tenant_id: str, done: list[Any]) -> None:
    others = [create_client(name, name).id for name in ("florist", "grocer")]
    for owner in [tenant_id] * 4 + others:
        put(owner)
    while run_next("one"):
        pass
    assert {owner for owner, _ in done[:3]} == {tenant_id, *others} and len(done) == 6


def test_a_queue_that_never_empties_is_swept(
    app: Flask, monkeypatch: pytest.MonkeyPatch, wait: Callable[..., None]
) -> None:
    swept: list[int] = []

    def note() -> int:
        swept.append(1)
        return 1

    monkeypatch.setattr(jobs, "run_next", lambda owner: True)
    monkeypatch.setattr(jobs, "sweepers", [note])
    thread = JobThread(app)
    thread.start()
    wait(lambda: bool(swept))
    thread.stop()
    wait(lambda: "jobs" not in {running.name for running in threading.enumerate()})


def test_a_job_goes_with_its_client(tenant_id: str, done: list[Any]) -> None:
    put(tenant_id)
    purge_client(delete_client("bakery", COMMAND_LINE, for_good=True), COMMAND_LINE)
    assert all_jobs() == [] and not run_next("one")


# --- failing --------------------------------------------------------------------------------------------------------


def test_a_job_that_fails_comes_back_with_a_growing_pause_and_ends_dead(tenant_id: str, failing: list[int]) -> None:
    put(tenant_id, "fail")
    pauses = []
    for _ in range(TRIES):
        make_due()
        before = now()
        assert run_next("one")
        [job] = all_jobs()
        pauses.append((job.run_at - before).total_seconds())
        assert (job.error, job.lease_owner) == ("ValueError", None)
    assert [round(pause) for pause in pauses] == [2, 4, 8, 16, 32]
    make_due()
    assert not run_next("one") and len(failing) == TRIES
    assert [job.status for job in all_jobs()] == ["dead"]


def test_what_a_failed_job_wrote_is_rolled_back(tenant_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_and_fail() -> None:
        enqueue("note")
        db.session.flush()
        raise ValueError

    monkeypatch.setitem(jobs.handlers, "half", write_and_fail)
    put(tenant_id, "half")
    assert run_next("one") and [job.kind for job in all_jobs()] == ["half"]


def test_a_job_nobody_knows_is_not_lost(tenant_id: str) -> None:
    put(tenant_id, "of another version")
    assert run_next("one")
    assert [(job.status, job.error) for job in all_jobs()] == [("queued", "KeyError")]


def test_a_job_that_takes_its_worker_down_ends_dead(tenant_id: str, done: list[Any]) -> None:
    put(tenant_id)
    for number in range(TRIES):
        make_due()
        assert jobs._lease(f"worker {number}") is not None  # and never heard of again
    make_due()
    put(tenant_id, word="the next")
    while run_next("one"):
        pass
    assert [(job.status, job.error, job.tries) for job in all_jobs()] == [("dead", "WorkerDied", TRIES)]
    assert [payload for _, payload in done] == [{"word": "the next"}]


# --- leases ---------------------------------------------------------------------------------------------------------


def test_two_workers_never_do_one_job_at_once(app: Flask, tenant_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []

    def slowly(number: int) -> None:
        begun.append(number)
        time.sleep(0.01)

    monkeypatch.setitem(jobs.handlers, "slow", slowly)
    for number in range(24):
        put(tenant_id, "slow", number=number)

    def work(name: int) -> None:
        with app.app_context():
            while run_next(f"worker {name}"):
                pass

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert sorted(begun) == list(range(24)) and all_jobs() == []


def test_a_leased_job_is_not_taken_until_its_lease_runs_out(tenant_id: str, done: list[Any]) -> None:
    put(tenant_id)
    assert jobs._lease("a worker that was killed") is not None
    assert not run_next("another") and done == []
    make_due()
    assert run_next("another") and len(done) == 1


def test_a_worker_that_wakes_late_changes_nothing(tenant_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lease was lost while it slept: its failure and its success are both the new worker's to tell."""

    def lose_it() -> None:
        with across_tenants() as session:
            session.execute(update(Job).values(lease_owner="another", tries=3))

    monkeypatch.setitem(jobs.handlers, "sleeps", lose_it)
    put(tenant_id, "sleeps")
    assert run_next("one")
    assert [(job.lease_owner, job.tries, job.status) for job in all_jobs()] == [("another", 3, "queued")]


def test_a_long_job_keeps_its_lease(
    app: Flask, tenant_id: str, monkeypatch: pytest.MonkeyPatch, wait: Callable[..., None]
) -> None:
    monkeypatch.setattr(jobs, "LEASE", timedelta(seconds=0.6))
    going_on, stolen = threading.Event(), []

    def long_job() -> None:
        for _ in range(20):
            time.sleep(0.08)
            stolen.append(run_elsewhere())
        going_on.set()

    def run_elsewhere() -> bool:
        with app.app_context():
            return jobs._lease("a thief") is not None

    monkeypatch.setitem(jobs.handlers, "long", long_job)
    put(tenant_id, "long")
    assert run_next("one") and going_on.is_set() and not any(stolen) and all_jobs() == []


def test_the_thread_works_and_stops(app: Flask, tenant_id: str, done: list[Any], wait: Callable[..., None]) -> None:
    thread = JobThread(app, pause=0.05)
    thread.start()
    put(tenant_id)
    wait(lambda: len(done) == 1)
    thread.stop()
    wait(lambda: "jobs" not in {running.name for running in threading.enumerate()})


def test_the_thread_outlives_a_database_that_is_away(
    app: Flask, monkeypatch: pytest.MonkeyPatch, wait: Callable[..., None]
) -> None:
    rounds: list[int] = []

    def away(owner: str) -> bool:
        rounds.append(1)
        raise OSError("away")

    monkeypatch.setattr(jobs, "run_next", away)
    thread = JobThread(app, pause=0.01)
    thread.start()
    wait(lambda: len(rounds) > 3)
    thread.stop()
    wait(lambda: "jobs" not in {running.name for running in threading.enumerate()})


# --- a process of its own -------------------------------------------------------------------------------------------

WORKER = """
    import time
    from datetime import timedelta
    from pathlib import Path
    from chatbot import create_app, jobs

    jobs.LEASE = timedelta(seconds=3)

    @jobs.handles("write_down")
    def write_down(path, seconds):
        with Path(path).open("a") as file:
            file.write("begun\\n")
        time.sleep(seconds)
        with Path(path).open("a") as file:
            file.write("done\\n")
"""


@pytest.fixture
def worker(app: Flask, tmp_path: Path, database: dict[str, str]) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts `flask work` on the test's database; the kind `write_down` notes what it does in a file."""
    (tmp_path / "worker.py").write_text(textwrap.dedent(WORKER))
    started: list[subprocess.Popen[bytes]] = []
    given = {"FLASK_APP": str(tmp_path / "worker.py"), "INSTANCE": str(tmp_path), "PYTHONPATH": str(ROOT)} | database

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "flask", "work"]
        started.append(
            subprocess.Popen(
                command, cwd=ROOT, env=os.environ | given, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait(10)


def noted(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def test_flask_work_does_jobs_and_survives_kill_9(
    tenant_id: str, worker: Callable[[], subprocess.Popen[bytes]], tmp_path: Path, wait: Callable[..., None]
) -> None:
    notes = tmp_path / "notes"
    put(tenant_id, "write_down", path=str(notes), seconds=60)
    first = worker()
    wait(lambda: noted(notes) == ["begun"], 30)
    first.send_signal(signal.SIGKILL)
    first.wait(10)
    with across_tenants() as session:
        session.execute(update(Job).values(payload={"path": str(notes), "seconds": 0}))
    worker()
    wait(lambda: noted(notes) == ["begun", "begun", "done"], 30)
    wait(lambda: all_jobs() == [])


def test_flask_work_ends_its_job_before_it_stops(
    tenant_id: str, worker: Callable[[], subprocess.Popen[bytes]], tmp_path: Path, wait: Callable[..., None]
) -> None:
    notes = tmp_path / "notes"
    put(tenant_id, "write_down", path=str(notes), seconds=1)
    process = worker()
    wait(lambda: noted(notes) == ["begun"], 30)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0 and noted(notes) == ["begun", "done"] and all_jobs() == []
