"""How much a client's assistant knows."""

from dataclasses import dataclass

from sqlalchemy import func, select

from chatbot.db import db
from chatbot.knowledge.models import Source


@dataclass(frozen=True, slots=True)
class KnowledgeSize:
    """Sources in all, those still being read, those that could not be; and the passages cut from them."""

    sources: int
    reading: int
    failed: int
    passages: int


def size_of_knowledge(tenant_id: str) -> KnowledgeSize:
    """The size of a client's knowledge, asked within its session or one across tenants."""
    rows = db.session.execute(
        select(Source.status, func.count(), func.sum(Source.passage_count))
        .where(Source.tenant_id == tenant_id)
        .group_by(Source.status)
    ).all()
    counts = {status: count for status, count, _passages in rows}
    return KnowledgeSize(
        sources=sum(counts.values()),
        reading=counts.get("waiting", 0) + counts.get("reading", 0),
        failed=counts.get("failed", 0),
        passages=sum(int(passages or 0) for _status, _count, passages in rows),
    )
