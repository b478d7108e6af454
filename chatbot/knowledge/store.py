"""The passages' own statements: Core, each bound to its unit's tenant.

Thousands of passages with their vectors are read and written; as ORM rows they would cost ten times as much. They are
written aside in short transactions, as an edition that nobody finds, and shown at one moment: one source's reading does
not keep everybody's messages waiting. Each statement that ends a reading asks for the bytes that were read, so that a
worker which woke late, or one whose source was replaced or deleted meanwhile, changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnClause,
    LargeBinary,
    Row,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    update,
)

from chatbot.db import Unit
from chatbot.knowledge.models import Passage, Source
from chatbot.knowledge.ranking import Key
from chatbot.tenancy import new_id, now, table_of
from chatbot.tenants.models import Tenant

P, S, T = (table_of(model) for model in (Passage, Source, Tenant))
_TENANT: BindParameter[str] = bindparam("of_tenant")
MAX_PASSAGES = 20_000  # of one client: 30 MB of vectors in memory, and a search of 30 ms
PORTION = 200  # passages written or deleted in one transaction


class TooManyPassages(Exception):
    """The client would have more than MAX_PASSAGES."""


class Overtaken(Exception):
    """Another worker has cleared away what this one had written: whoever tries again begins anew."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A source about to be read: its bytes as they came."""

    name: str
    media_type: str
    content: bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class NewPassage:
    """A passage as it will be stored; `vector` is empty where no embedder answered."""

    title: str
    heading: str
    text: str
    embedder: str
    vector: bytes


_VERSION = select(T.c.knowledge_version).where(T.c.id == _TENANT)
_BUMP = update(T).where(T.c.id == _TENANT).values(knowledge_version=T.c.knowledge_version + 1)
_PENDING = select(S.c.name, S.c.media_type, S.c.content, S.c.sha256).where(
    S.c.tenant_id == _TENANT, S.c.id == bindparam("source"), S.c.content.is_not(None), S.c.status != "failed"
)
_AS_READ = update(S).where(S.c.tenant_id == _TENANT, S.c.id == bindparam("source"), S.c.sha256 == bindparam("read_sha"))
_BEGIN = _AS_READ.where(S.c.content.is_not(None)).values(status="reading")
_FAIL = _AS_READ.where(S.c.content.is_not(None)).values(
    status="failed", reason=bindparam("why"), content=None, updated_at=bindparam("at", type_=S.c.updated_at.type)
)
_FINISH = _AS_READ.where(S.c.content.is_not(None)).values(
    status="ready",
    reason=None,
    content=None,
    title=bindparam("its_title"),
    url=bindparam("address"),
    passage_count=bindparam("number"),
    edition=bindparam("new_edition"),
    updated_at=bindparam("at", type_=S.c.updated_at.type),
)
_AWAITED = (
    select(S.c.id)
    .where(S.c.tenant_id == _TENANT, S.c.id == bindparam("source"), S.c.sha256 == bindparam("read_sha"))
    .where(S.c.content.is_not(None))
    .with_for_update(read=True, key_share=True)  # PostgreSQL: it isn't deleted under the passages
)
_SHOWN = select(S.c.edition).where(S.c.tenant_id == _TENANT, S.c.id == bindparam("source")).with_for_update()
_OF_SOURCE = (P.c.tenant_id == _TENANT) & (P.c.source_id == bindparam("source"))
_WRITTEN = select(func.count()).where(_OF_SOURCE, P.c.edition == bindparam("new_edition"))
_PORTION = select(P.c.id).where(_OF_SOURCE).limit(PORTION)
_FORGET_ONE = delete(P).where(
    P.c.tenant_id == _TENANT, P.c.id.in_(_PORTION.where(P.c.edition == bindparam("new_edition")))
)
_FORGET_OTHERS = delete(P).where(
    P.c.tenant_id == _TENANT, P.c.id.in_(_PORTION.where(P.c.edition != bindparam("shown")))
)
_BESIDE = select(func.coalesce(func.sum(S.c.passage_count), 0)).where(
    S.c.tenant_id == _TENANT, S.c.id != bindparam("source")
)
_ADD = insert(P)
_IS_SHOWN = (S.c.tenant_id == P.c.tenant_id) & (S.c.id == P.c.source_id) & (S.c.edition == P.c.edition)
_ALL = (
    select(P.c.id, P.c.source_id, P.c.title, P.c.heading, P.c.text, P.c.embedder, S.c.url, S.c.media_type)
    .join(S, _IS_SHOWN)
    .where(P.c.tenant_id == _TENANT)
    .order_by(P.c.source_id, P.c.position)
)
_ALL_WITH_PARTS = _ALL.add_columns(P.c.vector)
_ALL_WHOLE = _ALL.add_columns(func.substr(P.c.vector, 1, bindparam("most"), type_=LargeBinary).label("vector"))
_SAMPLE = select(P.c.vector).where(P.c.tenant_id == _TENANT, P.c.embedder == bindparam("in_use")).limit(1)
_STALE = (
    select(P.c.id, P.c.title, P.c.heading, P.c.text, S.c.media_type)
    .join(S, _IS_SHOWN)
    .where(P.c.tenant_id == _TENANT, P.c.embedder != bindparam("in_use"))
    .order_by(P.c.id)
    .limit(bindparam("many"))
)
_EMBED = (
    update(P)
    .where(P.c.tenant_id == _TENANT, P.c.id == bindparam("passage"))
    .values(embedder=bindparam("in_use"), vector=bindparam("numbers"))
)
_WORDS: ColumnClause[Any] = literal_column("passage.words")  # PostgreSQL alone: see WORDS_COLUMN
_QUERY = func.to_tsquery(literal_column("'english'::regconfig"), bindparam("query"))
_SCORE = func.ts_rank(_WORDS, _QUERY)
_BY_WORDS = (
    select(P.c.id, _SCORE.label("score"))
    .join(S, _IS_SHOWN)
    .where(P.c.tenant_id == _TENANT, _WORDS.op("@@")(_QUERY))
    .order_by(_SCORE.desc(), P.c.id)
    .limit(bindparam("many"))
)


def knowledge_version(unit: Unit) -> int:
    """The number that grows with every change of the tenant's passages; 0 when it has never had any."""
    return unit.execute(_VERSION).scalar() or 0


def begin_reading(unit: Unit, source_id: str) -> Pending | None:
    """The source to be read, its status now `reading`; None when there is nothing to read."""
    row = unit.execute(_PENDING, {"source": source_id}).first()
    if row is None:
        return None
    unit.execute(_BEGIN, {"source": source_id, "read_sha": row.sha256})
    return Pending(row.name, row.media_type, row.content, row.sha256)


def fail_reading(unit: Unit, source_id: str, sha256: str, reason: str) -> None:
    """End a reading without success: what was found before stays findable."""
    unit.execute(_FAIL, {"source": source_id, "read_sha": sha256, "why": reason, "at": now()})


@dataclass(frozen=True, slots=True)
class Edition:
    """One reading of one source: `id` is the edition's name, `sha256` that of the bytes which were read."""

    id: str
    source_id: str
    sha256: str


def put_aside(unit: Unit, edition: Edition, first: int, passages: Sequence[NewPassage]) -> bool:
    """Write passages (at most PORTION) that nobody finds yet, from position `first` on. False when it is another source by now."""
    if unit.execute(_AWAITED, {"source": edition.source_id, "read_sha": edition.sha256}).first() is None:
        return False
    unit.execute_many(_ADD, [_row(edition, first + number, passage) for number, passage in enumerate(passages)])
    return True


def show_edition(unit: Unit, edition: Edition, title: str, url: str | None, number: int) -> bool:
    """Let the `number` passages put aside be found in the place of the old ones.

    False, and nothing changed, when it is another source by now. Raises TooManyPassages, and Overtaken.
    """
    values = {"source": edition.source_id, "read_sha": edition.sha256, "its_title": title, "address": url}
    if unit.execute(_FINISH, {**values, "number": number, "new_edition": edition.id, "at": now()}).rowcount != 1:
        return False
    unit.execute(_BUMP)  # locks the client's row too: two sources that end at once are counted one after the other
    check_room(unit, edition.source_id, number)
    written = {"source": edition.source_id, "new_edition": edition.id}
    if unit.execute(_WRITTEN, written).scalar() != number:
        raise Overtaken
    return True


def check_room(unit: Unit, source_id: str, number: int) -> None:
    """Raise TooManyPassages when the tenant can't have `number` of this source beside those of its others."""
    beside: int = unit.execute(_BESIDE, {"source": source_id}).scalar() or 0
    if beside + number > MAX_PASSAGES:
        raise TooManyPassages


def forget_edition(unit: Unit, edition: Edition) -> bool:
    """Delete a portion of an edition that isn't shown. False when nothing is left of it."""
    shown = unit.execute(_SHOWN, {"source": edition.source_id}).scalar()
    if shown is None or shown == edition.id:
        return False
    values = {"source": edition.source_id, "new_edition": edition.id}
    return unit.execute(_FORGET_ONE, values).rowcount > 0


def forget_others(unit: Unit, source_id: str) -> bool:
    """Delete a portion of the passages that the source doesn't show: old ones, and those of readings that died.

    False when none is left. What a worker is still writing goes with them, and it finds out (Overtaken).
    """
    shown = unit.execute(_SHOWN, {"source": source_id}).scalar()
    return shown is not None and unit.execute(_FORGET_OTHERS, {"source": source_id, "shown": shown}).rowcount > 0


def _row(edition: Edition, position: int, passage: NewPassage) -> dict[str, Any]:
    return {
        "id": new_id(),
        "source_id": edition.source_id,
        "edition": edition.id,
        "position": position,
        "title": passage.title,
        "heading": passage.heading,
        "text": passage.text,
        "embedder": passage.embedder,
        "vector": passage.vector,
    }


def all_passages(unit: Unit, most: int | None = None) -> Sequence[Row[Any]]:
    """Every passage of the tenant: id, source_id, title, heading, text, embedder, url, media_type, vector.

    `most`: the bytes of each vector that are read; None means all.
    """
    if most is None:
        return unit.execute(_ALL_WITH_PARTS).all()
    return unit.execute(_ALL_WHOLE, {"most": most}).all()


def count_passages(unit: Unit) -> int:
    """How many passages of the tenant are shown."""
    return unit.execute(_BESIDE, {"source": ""}).scalar() or 0


def sample_vector(unit: Unit, embedder: str) -> bytes:
    """The packed vectors of some passage of the tenant that `embedder` made; empty when there is none."""
    return unit.execute(_SAMPLE, {"in_use": embedder}).scalar() or b""


def stale_passages(unit: Unit, embedder: str, limit: int) -> Sequence[Row[Any]]:
    """At most `limit` passages whose vectors another embedder made: id, title, heading, text, media_type.

    All of one kind of source, so that they are embedded alike.
    """
    rows = unit.execute(_STALE, {"in_use": embedder, "many": limit}).all()
    return [row for row in rows if row.media_type == rows[0].media_type]


def store_vectors(unit: Unit, embedder: str, vectors: dict[str, bytes]) -> None:
    """Give passages (by id) their vectors. A passage that has gone meanwhile is passed over."""
    unit.execute_many(
        _EMBED, [{"passage": key, "in_use": embedder, "numbers": value} for key, value in vectors.items()]
    )


def mark_changed(unit: Unit) -> None:
    """Let everybody who keeps the tenant's passages in memory load them anew."""
    unit.execute(_BUMP)


def passages_by_words(unit: Unit, words: Sequence[str], limit: int) -> list[tuple[Key, float]]:
    """PostgreSQL: the passages that share one of `words` (letters and digits alone), best first, with their rank (> 0)."""
    query = " | ".join(f"'{word}'" for word in words)
    return [(row.id, row.score) for row in unit.execute(_BY_WORDS, {"query": query, "many": limit})]
