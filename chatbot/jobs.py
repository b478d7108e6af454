"""The background queue: one table in the same database, so that a job is enqueued in the caller's own transaction.

A job is leased, run, and deleted; one that fails comes back with a growing pause and ends as `dead` after its last
try. `kill -9` loses nothing: the lease runs out and another worker takes the job. A thread of the one web process runs
them by default; with Redis and several processes `flask work` does.
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, cast

import structlog
from flask import Flask, current_app
from sqlalchemy import JSON, ColumnElement, Index, Select, String, Text, func, select, text, update
from sqlalchemy.orm import Mapped, mapped_column

from chatbot.db import across_tenants, as_tenant, db
from chatbot.tenancy import EVERY_TENANT, NamesTenant, new_id, now

log = structlog.get_logger(__name__)

LEASE = timedelta(seconds=60)
TRIES = 5
SWEEP_EVERY = 30.0  # seconds
OVERDUE = timedelta(minutes=5)
Handler = Callable[..., None]
handlers: dict[str, Handler] = {}
sweepers: list[Callable[[], int]] = []
_served: dict[str, str] = {}  # a worker's last tenant: the next in the circle comes first


class Job(NamesTenant):
    """A piece of work to be done once, later. `payload` holds plain values, never message text."""

    __tablename__ = "job"
    kind: Mapped[str] = mapped_column(String(50))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    status: Mapped[str] = mapped_column(String(10), default="queued")  # queued, dead
    tries: Mapped[int] = mapped_column(default=0)
    run_at: Mapped[datetime] = mapped_column(default=now)
    lease_owner: Mapped[str | None] = mapped_column(String(64))
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (
        Index(
            "ix_job_queued",
            "run_at",
            sqlite_where=text("status = 'queued'"),
            postgresql_where=text("status = 'queued'"),
        ),
    )


def handles(kind: str) -> Callable[[Handler], Handler]:
    """Declare the function that does jobs of `kind`; it is called within its tenant with the payload's values."""

    def declare(function: Handler) -> Handler:
        handlers[kind] = function
        return function

    return declare


def sweeps(function: Callable[[], int]) -> Callable[[], int]:
    """Declare a function that tidies up after dead jobs, wherever jobs run, about twice a minute. It says how many it ended."""
    sweepers.append(function)
    return function


def sweep() -> int:
    """Tidy up now. Returns how many things were ended."""
    return sum(sweeper() for sweeper in sweepers)


def enqueue(kind: str, *, delay: timedelta = timedelta(0), **payload: Any) -> Job:
    """Add a job for the session's tenant to the session's transaction: it exists when, and only when, that commits.

    From a session across tenants, or of none, it is a job of the platform's own.
    """
    tenant_id = db.session().tenant_id
    of_tenant = None if tenant_id == EVERY_TENANT else tenant_id
    job = Job(kind=kind, payload=payload, tenant_id=of_tenant, run_at=now() + delay)
    db.session.add(job)
    return job


def run_next(owner: str) -> bool:
    """Lease a due job and do it: clients take turns, and of one client the job due longest goes first. False when none is due.

    One client's import of hundreds of files thus holds up another's single page for one job, and not for all.
    """
    leased = _lease(owner)
    if leased is None:
        return False
    job_id, kind, tenant_id, payload, tries = leased
    _served[owner] = tenant_id or ""
    keeper = _LeaseKeeper(job_id, owner)
    try:
        with keeper:
            _do(kind, tenant_id, payload)
    except Exception as error:
        log.warning("job failed", kind=kind, job=job_id, tenant=tenant_id, tries=tries, error=type(error).__name__)
        _put_back(job_id, owner, tries, type(error).__name__)
    else:
        _forget(job_id, owner)
    return True


def _do(kind: str, tenant_id: str | None, payload: dict[str, Any]) -> None:
    if tenant_id is None:
        handlers[kind](**payload)
        return
    with as_tenant(tenant_id):
        handlers[kind](**payload)


def _lease(owner: str) -> tuple[str, str, str | None, dict[str, Any], int] | None:
    due = _due().order_by(*_in_turn(_served.get(owner, "")), Job.run_at).limit(1)
    with across_tenants(writes=False) as session:  # an idle queue takes no write lock
        if session.scalar(due) is None:
            return None
    with across_tenants() as session:
        job = session.scalar(due.with_for_update(skip_locked=True))
        if job is None:
            return None
        if job.tries < TRIES:
            job.tries += 1
            job.lease_owner, job.run_at = owner, now() + LEASE
            return job.id, job.kind, job.tenant_id, job.payload, job.tries
        job.status, job.error = "dead", job.error or "WorkerDied"  # it took its worker down with it, each time
    return _lease(owner)


def _due() -> Select[Job]:
    return select(Job).where(Job.status == "queued", Job.run_at <= now())


def _in_turn(last: str) -> tuple[ColumnElement[Any], ...]:
    """The order in which clients are served: by id, in a circle that goes on after the `last` one."""
    tenant = func.coalesce(Job.tenant_id, "")
    return tenant <= last, tenant


def _renew(job_id: str, owner: str) -> None:
    with across_tenants() as session:
        session.execute(update(Job).where(Job.id == job_id, Job.lease_owner == owner).values(run_at=now() + LEASE))


def _put_back(job_id: str, owner: str, tries: int, error: str) -> None:
    values: dict[str, Any] = {"lease_owner": None, "error": error, "run_at": now() + timedelta(seconds=2**tries)}
    if tries >= TRIES:
        values["status"] = "dead"
    with across_tenants() as session:
        session.execute(update(Job).where(Job.id == job_id, Job.lease_owner == owner).values(**values))


def _forget(job_id: str, owner: str) -> None:
    with across_tenants() as session:
        job = session.scalar(select(Job).where(Job.id == job_id, Job.lease_owner == owner))
        if job is not None:
            session.delete(job)


class _LeaseKeeper:
    """Renews a job's lease from a thread of its own for as long as the job takes."""

    def __init__(self, job_id: str, owner: str) -> None:
        self._app: Flask = cast(Any, current_app)._get_current_object()
        self._job_id, self._owner = job_id, owner
        self._done = threading.Event()

    def __enter__(self) -> None:
        threading.Thread(target=self._keep, name="job-lease", daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self._done.set()

    def _keep(self) -> None:
        while not self._done.wait(LEASE.total_seconds() / 3):
            try:
                with self._app.app_context():
                    _renew(self._job_id, self._owner)
            except Exception as error:  # the database is away: there are two more tries before the lease runs out
                log.warning("lease not renewed", job=self._job_id, error=type(error).__name__)


class JobThread:
    """Runs due jobs in a thread of this process until `stop()`."""

    def __init__(self, app: Flask, pause: float = 1.0) -> None:
        self._app, self._pause = app, pause
        self._stopping = threading.Event()
        self._owner = f"thread:{new_id()}"

    def start(self) -> None:
        threading.Thread(target=self.loop, name="jobs", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def loop(self) -> None:
        swept = 0.0
        while not self._stopping.is_set():
            try:
                with self._app.app_context():
                    busy = run_next(self._owner)
                    if time.monotonic() - swept > SWEEP_EVERY:  # a queue that never empties is swept as well
                        swept = time.monotonic()
                        sweep()
            except Exception as error:  # the database is away: try again later
                log.warning("jobs pause", error=type(error).__name__)
                busy = False
            if not busy:
                self._stopping.wait(self._pause)


def are_waiting() -> bool:
    """Whether jobs are not being taken: one has been due for OVERDUE, and nobody is at work on any."""
    for pause in (0.0, 0.3):  # a worker with a long queue is between two jobs now and then, but not twice
        time.sleep(pause)
        queued = select(Job.id).where(Job.status == "queued").limit(1)
        with across_tenants(writes=False) as session:
            if session.scalar(queued.where(Job.run_at < now() - OVERDUE)) is None:
                return False
            if session.scalar(queued.where(Job.run_at > now(), Job.lease_owner.is_not(None))) is not None:
                return False
    return True
