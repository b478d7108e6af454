"""The passages' own statements: Core, each bound to its unit's tenant.

Thousands of passages with their vectors are read and written at once; as ORM rows they would cost ten times as much.
Each statement that ends a reading asks for the bytes that were read, so that a worker which woke late, or one whose
source was replaced or deleted meanwhile, changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnClause,
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
    updated_at=bindparam("at", type_=S.c.updated_at.type),
)
_FORGET = delete(P).where(P.c.tenant_id == _TENANT, P.c.source_id == bindparam("source"))
_ADD = insert(P)
_ALL = (
    select(P.c.id, P.c.source_id, P.c.title, P.c.heading, P.c.text, P.c.embedder, P.c.vector, S.c.url, S.c.media_type)
    .join(S, (S.c.tenant_id == P.c.tenant_id) & (S.c.id == P.c.source_id))
    .where(P.c.tenant_id == _TENANT)
    .order_by(P.c.source_id, P.c.position)
)
_STALE = (
    select(P.c.id, P.c.title, P.c.heading, P.c.text, S.c.media_type)
    .join(S, (S.c.tenant_id == P.c.tenant_id) & (S.c.id == P.c.source_id))
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


def replace_passages(
    unit: Unit, source_id: str, sha256: str, title: str, url: str | None, passages: Sequence[NewPassage]
) -> bool:
    """Put `passages` in the place of the source's old ones. False, and nothing changed, when it is another source by now."""
    values = {"source": source_id, "read_sha": sha256, "its_title": title, "address": url, "number": len(passages)}
    if unit.execute(_FINISH, {**values, "at": now()}).rowcount != 1:
        return False
    unit.execute(_FORGET, {"source": source_id})
    unit.execute_many(_ADD, [_row(source_id, position, passage) for position, passage in enumerate(passages)])
    unit.execute(_BUMP)
    return True


def _row(source_id: str, position: int, passage: NewPassage) -> dict[str, Any]:
    return {
        "id": new_id(),
        "source_id": source_id,
        "position": position,
        "title": passage.title,
        "heading": passage.heading,
        "text": passage.text,
        "embedder": passage.embedder,
        "vector": passage.vector,
    }


def all_passages(unit: Unit) -> Sequence[Row[Any]]:
    """Every passage of the tenant: id, source_id, title, heading, text, embedder, vector, url, media_type."""
    return unit.execute(_ALL).all()


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
