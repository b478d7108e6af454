"""Sources as the client document lists them: {url, every}, {question, answer}, {file, missing: true}.

For a session across tenants: many clients at once, and each row is given its owner by name.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from chatbot.db import db
from chatbot.jobs import Job
from chatbot.knowledge.models import TITLE, Passage, Source
from chatbot.knowledge.parsing import HTML, PLAIN, media_type_of
from chatbot.knowledge.sources import NAME, pair_name, pair_source
from chatbot.tenancy import new_id, now

Entry = Mapping[str, Any]
ORDER = {"page": 0, "pair": 1, "file": 2}


@dataclass(frozen=True, slots=True)
class Known:
    """A source that a client has: its name in the client, and how the document lists it.

    `is_missing`: a file that an import named and nobody has added yet.
    """

    id: str
    name: str
    entry: dict[str, Any]
    is_missing: bool = False


def listed_sources(tenant_ids: Sequence[str]) -> Iterator[tuple[str, Known]]:
    """Every source of these clients (some hundreds), each with its client's id: pages, then questions, then files, by name."""
    named = (Source.id, Source.tenant_id, Source.kind, Source.name, Source.sha256)
    said = (Source.title, Source.url, Source.listed)
    rows = db.session.execute(select(*named, *said).where(Source.tenant_id.in_(tenant_ids))).all()
    is_old = any(row.kind == "pair" and row.listed is None for row in rows)
    answers = _answers(tenant_ids) if is_old else {}
    for row in sorted(rows, key=lambda row: (ORDER.get(row.kind, len(ORDER)), row.name)):
        is_missing = row.kind == "file" and not row.sha256
        yield row.tenant_id, Known(row.id, row.name, _entry(row, answers), is_missing)


def _entry(row: Any, answers: Mapping[str, str]) -> dict[str, Any]:
    if row.kind == "pair":
        return dict(row.listed or {"question": row.title, "answer": answers.get(row.id) or row.title})
    if row.kind == "page":
        return dict(row.listed or {"url": row.url or row.name})
    return {"file": row.name, "missing": True}


def _answers(tenant_ids: Sequence[str]) -> dict[str, str]:
    """By source: the answers that were added before they were kept whole, put together from their passages."""
    rows = db.session.execute(
        select(Passage.source_id, Passage.text)
        .join(Source, (Source.id == Passage.source_id) & (Source.edition == Passage.edition))
        .where(Source.tenant_id.in_(tenant_ids), Source.kind == "pair", Source.listed.is_(None))
        .order_by(Passage.source_id, Passage.position)
    )
    answers: dict[str, str] = {}
    for source_id, text in rows:
        answers[source_id] = f"{answers[source_id]}\n\n{text}" if source_id in answers else text
    return answers


def name_of(entry: Entry) -> str:
    """The name, within its client, of the source that an entry means."""
    if "question" in entry:
        return pair_name(entry["question"])
    name = str(entry.get("url") or entry.get("file"))
    return name if len(name) <= NAME else f"{name[: NAME - 65]}#{sha256(name.encode()).hexdigest()}"


def add_listed(tenant_id: str, entry: Entry) -> None:
    """Add the source that an entry lists to the session's transaction, and the job that reads it."""
    source, content = _source(entry)
    source.id, source.tenant_id = new_id(), tenant_id
    db.session.add(source)
    if content is not None:
        _have_read(source, content)


def change_listed(source_id: str, entry: Entry) -> None:
    """Make a source what an entry of its name lists, within the session's transaction. A file stays as it is."""
    new, content = _source(entry)
    if new.kind == "file":
        return
    source: Source = db.session.get_one(Source, source_id)
    source.listed, source.updated_at = new.listed, now()
    if content is not None and source.sha256 != sha256(content).hexdigest():
        _have_read(source, content)


def _source(entry: Entry) -> tuple[Source, bytes | None]:
    """A source of no client yet, and its bytes where the entry has them."""
    if "question" in entry:
        return pair_source(entry["question"], entry["answer"])
    name = name_of(entry)
    if "url" in entry:
        source = Source(kind="page", name=name, title=entry["url"][:TITLE], url=entry["url"], media_type=HTML)
        source.listed = dict(entry)
        source.reason = _("Pages can't be read by their address yet. Save the page and add the file.")
    else:
        source = Source(kind="file", name=name, title=name[:TITLE], media_type=media_type_of(name) or PLAIN)
        source.reason = _("This file was named by an import, which has no files in it. Add it here.")
    source.status, source.sha256 = "failed", ""
    return source, None


def _have_read(source: Source, content: bytes) -> None:
    source.content, source.sha256 = content, sha256(content).hexdigest()
    source.status, source.reason = "waiting", None
    db.session.add(Job(kind="read_source", payload={"source_id": source.id}, tenant_id=source.tenant_id))
