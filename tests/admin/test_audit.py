"""The audit log: found, paged and taken along, with formulas made harmless; and changed by nobody, not by the database's user either."""

import csv
import hashlib
import io
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, text, update
from sqlalchemy.exc import DBAPIError
from werkzeug.test import TestResponse

from chatbot import audit_log
from chatbot.audit import Actor, AuditEntry, record
from chatbot.csv_cells import safe_cell
from chatbot.db import across_tenants, db
from tests.admin.operator import HTML, Operator, deeds
from tests.world import ALICE, BAKERY, ROOT, World

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
HOSTILE = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\tx",
    "\rx",
    "＝1",
    "＋1",
    "－1",
    "＠x",
    "'=1",
    "a;=1",
    'say "hi"\r\n=1',
    "مرحبا 👩‍👩‍👧‍👦",
]


def write(world: World, *entries: dict[str, Any]) -> None:
    """Put entries into the log, oldest first, a minute apart."""
    with world.app.app_context(), across_tenants() as session:
        for number, given in enumerate(entries):
            values = {
                "who": "cleo@platform.example",
                "action": "client.changed",
                "at": NOON + timedelta(minutes=number),
            }
            session.add(AuditEntry(**values | given))


def targets(page: str) -> list[str]:
    """Of the entries on a page, the targets that begin with t-."""
    return re.findall(r"<bdi>t-(\w+)</bdi>", page)


def take(operator: Operator, kind: str, **fields: str) -> TestResponse:
    return operator.do("audit/export", "audit", format=kind, **fields)


# --- reading ---------------------------------------------------------------------------------------------------------


def test_newest_come_first_page_by_page(world: World) -> None:
    """Also those of one moment, which their id tells apart."""
    write(world, *({"target": f"t-{n}", "at": NOON + timedelta(seconds=n // 40)} for n in range(120)))
    root, seen, onward = Operator.of(world), [], ""
    while True:
        page = root.see("audit", who="cleo", **({"after": onward} if onward else {}))
        seen += targets(page)
        found = re.search(r'after=([^"&]+)"', page)
        if found is None:
            break
        onward = found[1].replace("%3A", ":").replace("%2B", "+")
    assert [int(n) // 40 for n in seen] == [2] * 40 + [1] * 40 + [0] * 40
    assert len(set(seen)) == 120, "none twice, none left out"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"who": "CLEO"}, "3210"),
        ({"action": "client"}, "310"),
        ({"action": "client.deleted"}, "3"),
        ({"action": "cli"}, ""),
        ({"client": "Harbour-Bakery"}, "1"),
        ({"from": "2026-03-05"}, "32"),
        ({"to": "2026-03-04"}, "10"),
        ({"from": "2026-03-04", "to": "2026-03-04", "action": "client"}, "10"),
    ],
)
def test_it_is_narrowed_down(world: World, query: dict[str, str], found: str) -> None:
    write(
        world,
        {"target": "t-0"},
        {"target": "t-1", "tenant_slug": BAKERY},
        {"target": "t-2", "action": "account.created", "at": NOON + timedelta(days=1)},
        {"target": "t-3", "action": "client.deleted", "at": NOON + timedelta(days=2)},
    )
    assert "".join(targets(Operator.of(world).see("audit", **query))) == found


def test_odd_arguments_are_as_none(world: World) -> None:
    write(world, {"target": "t-0"})
    root = Operator.of(world)
    for odd in (
        {"after": "x"},
        {"after": "2026_" + "x" * 26},
        {"after": "0001-01-01T00:00:00+14:00_" + "x" * 26},
        {"from": "soon"},
        {"to": "9999-12-31"},
        {"who": ""},
    ):
        assert targets(root.see("audit", **odd)) == ["0"]
    assert targets(root.see("audit", who="%")) == []


def test_what_it_says_is_words_and_no_page(world: World) -> None:
    write(world, {"target": "t-0", "who": "<script>alert(1)</script>", "detail": {"<b>": ["</td>", None]}})
    page = Operator.of(world).see("audit")
    assert "<script>alert" not in page and "<b>" not in page and "&lt;script&gt;" in page


# --- taking along ----------------------------------------------------------------------------------------------------


def test_csv_holds_no_formula_and_gives_back_what_was_there(world: World) -> None:
    write(world, *({"target": words, "detail": {"words": words}} for words in HOSTILE))
    answer = take(Operator.of(world), "csv", who="cleo")
    assert answer.mimetype == "text/csv" and re.search(
        rf'attachment; filename="audit-\d+-\d+-{len(HOSTILE)}-entries.csv"', answer.headers["Content-Disposition"]
    )
    head, *rows = csv.reader(io.StringIO(answer.get_data(as_text=True), newline=""))
    assert tuple(head) == audit_log.COLUMNS and len(rows) == len(HOSTILE)
    assert not [cell for row in rows for cell in row if cell.startswith(audit_log_formulas())]
    found = [dict(zip(head, row, strict=True)) for row in reversed(rows)]
    assert [row["target"].removeprefix("'") for row in found] == HOSTILE
    assert [json.loads(row["detail"])["words"] for row in found] == HOSTILE
    assert {datetime.fromisoformat(row["at"]).utcoffset() for row in found} == {timedelta(0)}


def audit_log_formulas() -> tuple[str, ...]:
    return ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def test_a_cell_gains_one_mark_and_no_more() -> None:
    assert [safe_cell(value) for value in ("=1", "'=1", "a=1", None, -1, "")] == ["'=1", "''=1", "a=1", "", "'-1", ""]


def test_json_is_exact(world: World) -> None:
    write(world, *({"target": words} for words in HOSTILE))
    found = json.loads(take(Operator.of(world), "json", who="cleo").get_data())
    assert [entry["target"] for entry in reversed(found)] == HOSTILE
    assert take(Operator.of(world), "json", who="nobody at all").get_json() == []


def test_a_large_log_is_taken_whole_and_read_a_piece_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_log, "AT_ONCE", 7)
    write(world, *({"target": f"t-{n}", "at": NOON} for n in range(50)))
    found = json.loads(take(Operator.of(world), "json", who="cleo").get_data())
    assert len(found) == 50 and {entry["target"] for entry in found} == {f"t-{n}" for n in range(50)}


def test_taking_it_along_is_an_entry_with_filter_count_and_hash(world: World) -> None:
    write(world, {"target": "t-0"}, {"target": "t-1"})
    body = take(Operator.of(world), "csv", who="cleo", **{"from": "2026-03-04"}).get_data()
    begun, done = [entry for entry in deeds(world) if entry.who == ROOT]
    assert (begun.action, done.action) == ("audit.export_begun", "audit.exported")
    assert begun.detail["count"] == done.detail["count"] == 2
    assert done.detail["filter"] == {"who": "cleo", "from": "2026-03-04T00:00:00+00:00"}
    assert done.detail["sha256"] == hashlib.sha256(body).hexdigest()


def test_one_that_broke_off_was_begun_and_never_done(world: World) -> None:
    write(world, {"target": "t-0"})
    answer = take(Operator.of(world), "json", who="cleo")
    next(iter(answer.response))
    answer.close()
    assert [entry.action for entry in deeds(world) if entry.who == ROOT] == ["audit.export_begun"]


def test_another_kind_of_file_is_refused(world: World) -> None:
    assert take(Operator.of(world), "xlsx").status_code == 422
    assert [entry.action for entry in deeds(world)] == []


def test_nobody_else_reads_it(world: World) -> None:
    alice = world.signed_in(ALICE)
    assert alice.get("/admin/audit", headers=HTML).status_code == 403
    assert alice.get("/admin/audit/export", headers=HTML).status_code == 405


# --- nobody edits it -------------------------------------------------------------------------------------------------

CHANGES = [
    update(AuditEntry).values(who="somebody else"),
    delete(AuditEntry),
    text("UPDATE audit_entry SET who = 'somebody else'"),
    text("DELETE FROM audit_entry"),
]


@pytest.mark.parametrize("change", CHANGES, ids=["update", "delete", "plain update", "plain delete"])
def test_the_database_refuses_a_change(world: World, change: Any) -> None:
    with world.app.app_context():
        with across_tenants():
            record("client.created", Actor("cleo@platform.example"), target="t-0")
        with pytest.raises(DBAPIError, match="never changed"), db.engine.begin() as connection:
            connection.execute(change)
    assert [(entry.who, entry.target) for entry in deeds(world)] == [("cleo@platform.example", "t-0")]


def test_putting_another_in_an_entrys_place_is_refused_too(world: World) -> None:
    """SQLite's REPLACE deletes without asking the triggers of a delete."""
    write(world, {"target": "t-0"})
    [entry] = [entry for entry in deeds(world) if entry.target == "t-0"]
    replace = "INSERT OR REPLACE" if world.app.config["SHAMAN"].is_sqlite else "INSERT"
    again = text(
        f"{replace} INTO audit_entry (id, at, who, address, action, tenant_slug, target, detail)"
        f" SELECT id, at, 'somebody else', '', action, '', 't-0', detail FROM audit_entry WHERE id = '{entry.id}'"
    )
    with world.app.app_context(), pytest.raises(DBAPIError), db.engine.begin() as connection:
        connection.execute(again)
    assert [entry.who for entry in deeds(world) if entry.target == "t-0"] == ["cleo@platform.example"]
