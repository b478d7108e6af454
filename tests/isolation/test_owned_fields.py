"""What the server owns is never taken from a request: ids, owners, roles, times, rights and counters, in every form and body."""

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import JSON, Boolean, Column, DateTime, Integer

from bench.model import ModelServer
from chatbot.db import across_tenants
from chatbot.rights import RIGHTS
from chatbot.tenancy import Base
from tests.isolation.cast import Cast, account_id_of, secure
from tests.isolation.chance import Chance
from tests.isolation.deeds import DEEDS, NOT_TRIED, ORIGIN
from tests.isolation.probes import PROBES, Probe
from tests.isolation.probes_of_operators import PROBES_OF_OPERATORS
from tests.isolation.probes_of_people import PROBES_OF_PEOPLE
from tests.rows import contents
from tests.world import ALICE, CHARLIE, OTHER, World

STOLEN, NEVER_ID, LONG_AGO, NUMBER = "STOLEN", "0" * 26, "2001-02-03T04:05:06+00:00", 987654
ALL = [
    probe for probe in (*PROBES, *PROBES_OF_PEOPLE, *PROBES_OF_OPERATORS, *DEEDS) if not probe.place.startswith("GET ")
]
ALSO = {
    "is_admin": "1",
    "is_superuser": "1",
    "owner": CHARLIE,
    "owner_id": NEVER_ID,
    "user": CHARLIE,
    "plan": STOLEN,
    "quota": NUMBER,
}
ALSO |= {
    "tenant": OTHER,
    "permissions": STOLEN,
    "is_public": "1",
    "_method": "DELETE",
    "__class__": STOLEN,
    "tenant.id": NEVER_ID,
}
MISSING = object()
Rows = dict[str, dict[str, dict[str, Any]]]


@pytest.fixture
def settings(model: ModelServer) -> dict[str, Any]:
    reach = {"PUBLIC_URL": ORIGIN, "OUTBOUND_ALLOW": "127.0.0.1"}
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "obey"} | reach


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_every_form_and_body_is_tried(app: Flask) -> None:
    tried = {(probe.right(app).endpoint, probe.right(app).method) for probe in ALL}
    takes = {(right.endpoint, right.method) for right in RIGHTS.values() if right.method != "GET"}
    assert {endpoint for endpoint, _method in takes - tried} == set(NOT_TRIED)


@pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.nightly])], indirect=True
)
def test_what_the_server_owns_is_never_taken(people: Cast) -> None:
    secure(people.world.app, ALICE)
    owned = server_owned(people.world)
    for probe in ALL:
        plain, stuffed = (done(people, probe, extra) for extra in ({}, owned))
        assert plain[0] < 400, probe.place
        if stuffed[0] < 400:
            assert "/chat" in probe.place or shape(stuffed[1]) == shape(plain[1]), probe.place
        else:
            assert stuffed[0] in (400, 422) and changes(stuffed[1]) == [], probe.place
        taken = [
            value
            for value in (STOLEN, NEVER_ID, LONG_AGO[:10], str(NUMBER), *foreign(people.world))
            if value in str(changes(stuffed[1]))
        ]
        assert taken == [], probe.place


def foreign(world: World) -> list[str]:
    return [world.ids[OTHER], account_id_of(world.app, CHARLIE)]


def server_owned(world: World) -> dict[str, Any]:
    """Every column that there is and that no form asks for anywhere, with a value that nothing of ours would have."""
    asked = {
        *Chance(world.app, {"": [NEVER_ID]}, OTHER, 1).fields,
        "message",
        "client",
        "session_id",
        "user_id",
        "stream",
    }
    columns = {
        column.name: value_for(column, world) for table in Base.metadata.sorted_tables for column in table.columns
    }
    return {
        name: value for name, value in (columns | ALSO).items() if name not in asked - {"role", "is_platform_admin"}
    }


def value_for(column: Column[Any], world: World) -> Any:
    if column.name in ("tenant_id", "home_id", "confined_to", "entered_id", "provider_of"):
        return world.ids[OTHER]
    if column.name in ("account_id", "inviter_id"):
        return account_id_of(world.app, CHARLIE)
    if column.name == "id" or column.name.endswith("_id"):
        return NEVER_ID
    if column.name == "role":
        return "admin"
    for kind, value in ((Boolean, "1"), (Integer, NUMBER), (JSON, STOLEN)):
        if isinstance(column.type, kind):
            return value
    return LONG_AGO if isinstance(getattr(column.type, "impl", column.type), DateTime) else STOLEN


def done(people: Cast, probe: Probe, extra: dict[str, Any]) -> tuple[int, tuple[Rows, Rows]]:
    """Do it, with more in the form than belongs there. Returns the status, and the rows before and after.

    (What a turn changes meanwhile, by itself, is not compared.)
    """
    owner = people.callers[probe.owner]
    made = probe.make(owner)
    before = rows(people.world)
    answer = probe.use(replace(owner, extra=extra), made)
    answer.get_data()  # to its end, where it streams
    return answer.status_code, (before, rows(people.world))


def rows(world: World) -> Rows:
    """Every row there is, by table and id."""
    with world.app.app_context(), across_tenants(writes=False) as session:
        connection = session.connection()
        return {
            table.name: {row["id"]: row for row in contents(connection, table)} for table in Base.metadata.sorted_tables
        }


def changes(seen: tuple[Rows, Rows]) -> list[tuple[str, str, Any]]:
    """(table, column, new value) of all that changed; of a row that is gone its table and "gone"."""
    before, after = seen
    found: list[tuple[str, str, Any]] = []
    for table, new in after.items():
        old = before[table]
        found += [(table, "gone", None) for id_ in old if id_ not in new]
        for id_, row in new.items():
            found += [
                (table, name, value) for name, value in row.items() if old.get(id_, {}).get(name, MISSING) != value
            ]
    return found


def shape(seen: tuple[Rows, Rows]) -> list[tuple[str, str, str]]:
    """What changed, without what is new each time: which columns of which tables, truths and roles, what is empty."""
    return sorted(
        {(table, name, str(value) if tells(name, value) else "something") for table, name, value in changes(seen)}
    )


def tells(name: str, value: Any) -> bool:
    return isinstance(value, bool) or value is None or name in ("role", "status", "state", "kind", "scopes", "action")
