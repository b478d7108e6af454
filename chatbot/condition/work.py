"""The work under way: the queue, jobs that have failed for good, open turns, sign-ins."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, case, func, select

from chatbot.accounts.models import SignIn
from chatbot.audit import Actor, record
from chatbot.chat.models import OPEN, Turn
from chatbot.db import across_tenants, db
from chatbot.errors import NotFound
from chatbot.jobs import Job, handlers
from chatbot.tenancy import now
from chatbot.tenants.models import Tenant

LATELY = timedelta(minutes=15)
FORSAKEN_AFTER = timedelta(minutes=2)  # a dead worker's turn is ended by a sweep within one
SHOWN = 50


@dataclass(frozen=True, slots=True)
class Queue:
    """Jobs by what becomes of them: due, waiting for a later time, being done, and failed for good."""

    due: int
    later: int
    running: int
    dead: int
    oldest_due: datetime | None


@dataclass(frozen=True, slots=True)
class DeadJob:
    """A job that failed for good. `error` is the error's kind, never its words; `can_retry`: something does such jobs."""

    id: str
    kind: str
    client: str | None
    tries: int
    error: str
    created_at: datetime
    can_retry: bool


@dataclass(frozen=True, slots=True)
class UnderWay:
    """Turns that wait or run, those of them whose worker is gone and that nobody has ended; sign-ins, and those in use."""

    turns: int
    oldest_turn: datetime | None
    forsaken: int
    sign_ins: int
    sign_ins_lately: int


def queue() -> Queue:
    """The queue's figures, read across tenants."""
    is_queued = Job.status == "queued"
    is_running = and_(is_queued, Job.run_at > now(), Job.lease_owner.is_not(None))
    is_due = and_(is_queued, Job.run_at <= now())
    is_later = and_(is_queued, Job.run_at > now(), Job.lease_owner.is_(None))
    kinds = (is_due, is_later, is_running, Job.status == "dead")
    figures = (func.coalesce(func.sum(case((kind, 1), else_=0)), 0) for kind in kinds)
    row = db.session.execute(select(*figures, func.min(case((is_due, Job.run_at))))).one()
    return Queue(*row)


def dead_jobs() -> list[DeadJob]:
    """The jobs that failed for good, newest first, fifty at the most; read across tenants."""
    rows = db.session.execute(
        select(Job, Tenant.slug)
        .outerjoin(Tenant, Tenant.id == Job.tenant_id)
        .where(Job.status == "dead")
        .order_by(Job.id.desc())
        .limit(SHOWN)
    )
    return [
        DeadJob(job.id, job.kind, slug, job.tries, job.error or "", job.created_at, job.kind in handlers)
        for job, slug in rows
    ]


def retry_job(job_id: str, by: Actor) -> None:
    """Let a dead job be tried again from the start. Raises NotFound for one that isn't dead."""
    with across_tenants():
        job = _dead_job(job_id, by, "job.retried")
        job.status, job.tries, job.run_at, job.lease_owner, job.error = "queued", 0, now(), None, None


def discard_job(job_id: str, by: Actor) -> None:
    """Delete a dead job: what it was to do is never done. Raises NotFound for one that isn't dead."""
    with across_tenants() as session:
        session.delete(_dead_job(job_id, by, "job.discarded"))


def _dead_job(job_id: str, by: Actor, action: str) -> Job:
    job: Job | None = db.session.scalar(select(Job).where(Job.id == job_id, Job.status == "dead").with_for_update())
    if job is None:
        raise NotFound()
    slug = db.session.scalar(select(Tenant.slug).where(Tenant.id == job.tenant_id)) if job.tenant_id else None
    detail = {"error": job.error, "tries": job.tries}
    record(action, by, target=job.kind, tenant_id=job.tenant_id, tenant_slug=slug or "", detail=detail)
    return job


def under_way() -> UnderWay:
    """Open turns and sign-ins, read across tenants."""
    gone = and_(Turn.status == "running", Turn.lease_until < now() - FORSAKEN_AFTER)
    turns: Sequence[object] = db.session.execute(
        select(
            func.count(Turn.id), func.min(Turn.created_at), func.coalesce(func.sum(case((gone, 1), else_=0)), 0)
        ).where(Turn.status.in_(OPEN))
    ).one()
    lately = case((SignIn.last_used_at > now() - LATELY, 1), else_=0)
    signed_in = db.session.execute(select(func.count(SignIn.id), func.coalesce(func.sum(lately), 0))).one()
    return UnderWay(*turns, *signed_in)  # type: ignore[arg-type]
