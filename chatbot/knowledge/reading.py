"""Reading a source in the background: parse, cut, embed, and put its passages in the place of the old ones at once.

Nothing is held while it parses and embeds: no transaction, no row. Its passages are written in short transactions, so
that visitors' messages get in between. Run twice, or by two workers, it does one thing.
"""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from flask_babel import gettext as _
from sqlalchemy import ColumnElement, delete, select

from chatbot.db import across_tenants, as_tenant, db, read, write
from chatbot.jobs import Job, enqueue, handles, sweeps
from chatbot.knowledge import store
from chatbot.knowledge.embedding import embedder_in_use, try_embed_passages
from chatbot.knowledge.models import Source
from chatbot.knowledge.parsing import Document, Unreadable, is_pairs, parse
from chatbot.knowledge.store import MAX_PASSAGES, PORTION, Edition, NewPassage, Pending, TooManyPassages
from chatbot.tenancy import new_id
from chatbot.tenants.standing import is_served

log = structlog.get_logger(__name__)

BATCH = 16  # passages embedded at once
OPEN = ("waiting", "reading")
LONGEST_PAUSE = 60  # minutes between two tries of an embedder that fails
UNSERVED_PAUSE = timedelta(minutes=5)  # between two looks whether a suspended or deleted client is back


@handles("read_source")
def read_source(source_id: str) -> None:
    """Read the source unless that has been done. The session's tenant is the source's; one that is not served waits."""
    tenant_id = _tenant_id()
    if not read(tenant_id, is_served):
        enqueue("read_source", delay=UNSERVED_PAUSE, source_id=source_id)
        return
    pending = write(tenant_id, lambda unit: store.begin_reading(unit, source_id))
    if pending is None:
        _forget_others(tenant_id, source_id)  # that a worker left which died at the very end
        return
    try:
        document = parse(pending.name, pending.media_type, pending.content)
        _store(tenant_id, source_id, pending, document)
    except Unreadable as error:
        reason = error.reason
        write(tenant_id, lambda unit: store.fail_reading(unit, source_id, pending.sha256, reason))
    except TooManyPassages:
        reason = _(
            "Together with the other sources this would be more than %(number)s passages. Delete some of them first.",
            number=MAX_PASSAGES,
        )
        write(tenant_id, lambda unit: store.fail_reading(unit, source_id, pending.sha256, reason))


def read_now(source_id: str) -> None:
    """Read the source in this process, and drop the job that would have read it, once it has nothing left to do."""
    read_source(source_id)
    if db.session.scalar(select(Source.status).where(Source.id == source_id)) not in OPEN:
        own = delete(Job).where(*_reads(source_id), Job.lease_owner.is_(None))
        db.session.execute(own.execution_options(synchronize_session=False))
    db.session.commit()


def is_awaited(source_id: str) -> bool:
    """Whether a job is there that will read the source."""
    queued = select(Job.id).where(*_reads(source_id), Job.status == "queued").limit(1)
    return db.session.scalar(queued) is not None


@sweeps
def give_up() -> int:
    """End the readings that failed to the last try or took their worker down each time. Returns how many.

    For whoever sweeps: no source says «reading» for ever.
    """
    with across_tenants(writes=False) as session:
        dead = [
            (job.id, str(job.tenant_id), job.payload["source_id"], job.error)
            for job in session.scalars(select(Job).where(Job.kind == "read_source", Job.status == "dead"))
        ]
    for job_id, tenant_id, source_id, error in dead:
        log.error("source given up", tenant=tenant_id, source=source_id, error=error)
        with as_tenant(tenant_id) as session:
            source = session.scalar(select(Source).where(Source.id == source_id))
            if source is not None and source.status in OPEN and not is_awaited(source_id):
                source.status, source.content = "failed", None
                source.reason = _("It could not be read after several tries. Add it again to try once more.")
            session.execute(delete(Job).where(Job.id == job_id).execution_options(synchronize_session=False))
    return len(dead)


def _reads(source_id: str) -> tuple[ColumnElement[bool], ...]:
    return Job.kind == "read_source", Job.payload["source_id"].as_string() == source_id


def _tenant_id() -> str:
    tenant_id = db.session().tenant_id
    assert tenant_id, "a source is read within its tenant"
    return str(tenant_id)


def _store(tenant_id: str, source_id: str, pending: Pending, document: Document) -> None:
    """Embed, write aside, show. Raises TooManyPassages."""
    read(tenant_id, lambda unit: store.check_room(unit, source_id, len(document.pieces)))
    passages = _embedded(document, is_pairs(pending.media_type))
    edition, is_shown = Edition(new_id(), source_id, pending.sha256), False
    try:
        is_shown = _put_aside(tenant_id, edition, passages) and write(
            tenant_id, lambda unit: store.show_edition(unit, edition, document.title, document.url, len(passages))
        )
    finally:
        if not is_shown:
            while write(tenant_id, lambda unit: store.forget_edition(unit, edition)):
                pass
    if is_shown:
        _forget_others(tenant_id, source_id)
        if any(not passage.vector for passage in passages):
            ask_to_embed_again(tenant_id)
    log.debug("source read", tenant=tenant_id, source=source_id, passages=len(passages), shown=is_shown)


def _put_aside(tenant_id: str, edition: Edition, passages: Sequence[NewPassage]) -> bool:
    """Write the passages, a portion in each transaction. False when the source is another by now."""
    for first in range(0, len(passages), PORTION):
        portion = passages[first : first + PORTION]
        if not write(tenant_id, partial(store.put_aside, edition=edition, first=first, passages=portion)):
            return False
    return True


def _forget_others(tenant_id: str, source_id: str) -> None:
    while write(tenant_id, lambda unit: store.forget_others(unit, source_id)):
        pass


def _embedded(document: Document, has_pairs: bool) -> list[NewPassage]:
    """The document's passages with their vectors; without, where the embedder fails."""
    name = embedder_in_use().name
    plain = [(piece.title, piece.heading, piece.passage.text) for piece in document.pieces]
    packed: list[bytes] = []
    for start in range(0, len(plain), BATCH):
        made = try_embed_passages(plain[start : start + BATCH], is_pairs=has_pairs)
        if made is None:
            return [NewPassage(*parts, embedder="", vector=b"") for parts in plain]
        packed += made
    return [NewPassage(*parts, embedder=name, vector=vector) for parts, vector in zip(plain, packed, strict=True)]


@handles("embed_again")
def embed_again(pause: int = 1) -> None:
    """Give the vectors of the embedder in use to passages that have another's, or none. Comes back while it fails."""
    tenant_id, name = _tenant_id(), embedder_in_use().name
    if not read(tenant_id, is_served):
        enqueue("embed_again", delay=UNSERVED_PAUSE, pause=pause)
        return
    while rows := read(tenant_id, lambda unit: store.stale_passages(unit, name, BATCH)):
        made = _vectors_of(rows)
        if made is None:
            enqueue("embed_again", delay=timedelta(minutes=pause), pause=min(2 * pause, LONGEST_PAUSE))
            return
        write(tenant_id, partial(store.store_vectors, embedder=name, vectors=made))
    write(tenant_id, store.mark_changed)


def _vectors_of(rows: Sequence[Any]) -> dict[str, bytes] | None:
    """The packed vectors of passages of one kind, by id; None when the embedder fails."""
    plain = [(row.title, row.heading, row.text) for row in rows]
    packed = try_embed_passages(plain, is_pairs=is_pairs(rows[0].media_type))
    return None if packed is None else {row.id: vector for row, vector in zip(rows, packed, strict=True)}


def ask_to_embed_again(tenant_id: str) -> None:
    """Enqueue `embed_again` for the tenant, unless it is under way."""
    with as_tenant(tenant_id) as session:
        known = select(Job.id).where(Job.tenant_id == tenant_id, Job.kind == "embed_again", Job.status == "queued")
        if session.scalar(known.limit(1)) is None:
            enqueue("embed_again")
