"""Reading the audit log: what of it is wanted, page by page, and whole as a file."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select

from chatbot.audit import Actor, AuditEntry, record
from chatbot.csv_cells import csv_line
from chatbot.db import across_tenants, db
from chatbot.errors import Invalid

COLUMNS = ("at", "who", "account_id", "address", "action", "client", "target", "detail")
FORMATS = {"csv": "text/csv; charset=utf-8", "json": "application/json"}
AT_ONCE = 500  # entries read at a time, so that an export of any size takes little memory and holds no lock


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the log: after the entry of this time and id."""

    at: datetime
    id: str

    def __str__(self) -> str:
        return f"{self.at.isoformat()}_{self.id}"

    @classmethod
    def parse(cls, text: str | None) -> "Cursor | None":
        """The place that `text` names; None for none, or for what was never one."""
        at, _, id_ = (text or "").rpartition("_")
        try:
            moment = datetime.fromisoformat(at).astimezone(UTC)
        except (ValueError, OverflowError):
            return None
        return cls(moment, id_) if id_.isascii() and len(id_) == 26 else None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries: who holds these words, an action or how it begins ("client", "client.deleted"), a client's short
    name, from a time on, before a time. None and empty: any."""

    who: str = ""
    action: str = ""
    client: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def as_json(self) -> dict[str, str]:
        """What is asked for, without what isn't: for the log, which says who took what out of it."""
        asked = {"who": self.who, "action": self.action, "client": self.client, "from": self.since, "to": self.until}
        return {name: value if isinstance(value, str) else value.isoformat() for name, value in asked.items() if value}


def entries(wanted: Wanted, after: Cursor | None = None, limit: int = 50) -> list[AuditEntry]:
    """At most `limit` entries, newest first, from the one after the cursor; read within the session."""
    if after is not None and (wanted.until is None or after.at < wanted.until):
        # Of two upper bounds SQLite takes the first for its index, and would read all entries before the cursor again.
        found = select(AuditEntry).where(_is_after(after), *_conditions(replace(wanted, until=None)))
    else:
        found = select(AuditEntry).where(*_conditions(wanted))
    return list(db.session.scalars(found.order_by(AuditEntry.at.desc(), AuditEntry.id.desc()).limit(limit)))


def place_of(entry: AuditEntry) -> Cursor:
    return Cursor(entry.at, entry.id)


def _is_after(cursor: Cursor) -> ColumnElement[bool]:
    same = and_(AuditEntry.at == cursor.at, AuditEntry.id < cursor.id)
    return and_(AuditEntry.at <= cursor.at, or_(AuditEntry.at < cursor.at, same))


def _conditions(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    if wanted.who:
        yield AuditEntry.who.icontains(wanted.who.lower(), autoescape=True)  # e-mails are kept in small letters
    if wanted.action:
        yield or_(
            AuditEntry.action == wanted.action,
            AuditEntry.action.startswith(f"{wanted.action.rstrip('.')}.", autoescape=True),
        )
    if wanted.client:
        yield AuditEntry.tenant_slug == wanted.client
    if wanted.since:
        yield AuditEntry.at >= wanted.since
    if wanted.until:
        yield AuditEntry.at < wanted.until


# --- as a file -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Export:
    """An export that was begun: how many entries it will have, up to which time, and its pieces as they are read."""

    count: int
    until: datetime
    pieces: Iterator[str]


def export(wanted: Wanted, kind: str, by: Actor, moment: datetime) -> Export:
    """What is wanted of the log up to `moment` (now) as a file of `kind`, csv or json.

    Taking it out is written into the log itself: at once, and with count and hash when the last piece was taken, so
    that a file can be told from one that broke off. Raises Invalid for another kind.
    """
    if kind not in FORMATS:
        raise Invalid()
    bounded = replace(wanted, until=min(filter(None, (wanted.until, moment))))
    asked: dict[str, Any] = {"format": kind, "filter": wanted.as_json()}
    with across_tenants() as session:
        count = session.scalar(select(func.count(AuditEntry.id)).where(*_conditions(bounded))) or 0
        record("audit.export_begun", by, target="audit log", detail={**asked, "count": count})
    pieces = (_as_csv if kind == "csv" else _as_json)(_pages(bounded))
    return Export(count, bounded.until or moment, _recorded(pieces, by, asked, count))


def _pages(wanted: Wanted) -> Iterator[Sequence[AuditEntry]]:
    """All that is wanted, a page at a time, each read for itself."""
    cursor: Cursor | None = None
    while True:
        with across_tenants(writes=False):
            page = entries(wanted, cursor, AT_ONCE)
        if not page:
            return
        yield page
        cursor = place_of(page[-1])


def _recorded(pieces: Iterator[str], by: Actor, asked: dict[str, Any], count: int) -> Iterator[str]:
    """The pieces, and when they are all taken the entry that says so."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece.encode())
        yield piece
    with across_tenants():
        record("audit.exported", by, target="audit log", detail={**asked, "count": count, "sha256": digest.hexdigest()})


def _as_csv(pages: Iterator[Sequence[AuditEntry]]) -> Iterator[str]:
    yield csv_line(COLUMNS)
    for page in pages:
        yield "".join(
            csv_line([*_values(entry, lambda detail: json.dumps(detail, ensure_ascii=False))]) for entry in page
        )


def _as_json(pages: Iterator[Sequence[AuditEntry]]) -> Iterator[str]:
    before = "["
    for page in pages:
        for entry in page:
            named = dict(zip(COLUMNS, _values(entry, lambda detail: detail), strict=True))
            yield f"{before}\n{json.dumps(named, ensure_ascii=False)}"
            before = ","
    yield "[]\n" if before == "[" else "\n]\n"


def _values(entry: AuditEntry, written: Callable[[dict[str, Any]], Any]) -> Sequence[Any]:
    return (
        entry.at.isoformat(),
        entry.who,
        entry.account_id,
        entry.address,
        entry.action,
        entry.tenant_slug,
        entry.target,
        written(entry.detail),
    )
