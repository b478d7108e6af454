"""Clients full of canaries: what their people do in ordinary use, and a row of each in every table there is."""

import json
import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Table, select, update

from chatbot.accounts.models import Account, Membership
from chatbot.db import across_tenants
from chatbot.jobs import run_next
from chatbot.tenancy import Base, new_id
from chatbot.tenants.clients import publish_settings
from tests.isolation.cast import DORA, Caller, Cast
from tests.isolation.probes import ID, a_source
from tests.rows import contents, row_of
from tests.world import World

# Where a row of chance would be more than a row, or less: a role over all, a way in that shuts the others, a dead link.
HARMLESS: dict[tuple[str, str], Any] = {
    ("account", "is_platform_admin"): False,
    ("identity_provider", "is_required"): False,
    ("identity_provider", "issuer"): "https://10.1.2.3/CNRY",  # which nothing may reach
    ("settings_version", "state"): "old",
    ("turn", "status"): "complete",
    ("model_endpoint", "retired_at"): None,
    ("job", "status"): "dead",
    ("one_time_link", "kind"): "invitation",
    ("one_time_link", "used_at"): None,
}


def use_it(people: Cast, page: Caller, program: Caller, mark: str) -> None:
    """Ordinary use of a client by a visitor and by a program, a canary in every text."""
    words = {"greeting": "Hello", "instructions": f"CNRY-{mark}-instructions", "unknown": f"CNRY-{mark}-no"}
    with people.world.app.app_context():
        publish_settings(page.slug, words)
    first = page.ask(f"say CNRY-{mark}-said-one")
    page.ask("play status-400", session=first["session_id"])
    page.post("/new", choice="fresh")
    page.ask(f"say CNRY-{mark}-said-two")
    program.call("/chat", method="POST", json={"message": f"say CNRY-{mark}-said-by-program", "user_id": "ada"})
    a_source(program)
    with people.world.app.app_context():
        while run_next("test"):
            pass


def fill(world: World, slug: str, mark: str) -> dict[str, str]:
    """Add a row to every table for a client, `mark` in every text of it and in its people's names. Returns the ids by table."""
    ids = {"tenant": world.ids[slug]}
    with world.app.app_context(), across_tenants() as session:
        members = select(Membership.account_id).where(Membership.tenant_id == ids["tenant"])
        session.execute(
            update(Account).where(Account.id.in_(members), Account.email != DORA).values(name=f"CNRY-{mark}-name")
        )
        connection = session.connection()
        for table in Base.metadata.sorted_tables:
            if "id" in table.columns and table.name != "tenant":
                ids[table.name] = new_id()
                harmless = {name: value for (of, name), value in HARMLESS.items() if of == table.name}
                connection.execute(table.insert().values(row_of(table, mark, ids) | harmless))
    return ids


def rows_of(world: World, slug: str) -> dict[str, list[dict[str, Any]]]:
    """Every row of a client by table; its people's too, who belong to no other."""
    with world.app.app_context(), across_tenants(writes=False) as session:
        connection = session.connection()
        owner = world.ids[slug]
        people = set(session.scalars(select(Membership.account_id).where(Membership.tenant_id == owner)))
        people -= set(session.scalars(select(Membership.account_id).where(Membership.tenant_id != owner)))
        owners = {owner, *people}
        return {table.name: list(_owned(connection, table, owners)) for table in Base.metadata.sorted_tables}


def _owned(connection: Connection, table: Table, owners: set[str]) -> Iterator[dict[str, Any]]:
    named = [name for name in ("tenant_id", "account_id") if name in table.columns]
    for row in contents(connection, table):
        if (row[named[0]] if named else row["id"]) in owners:
            yield row


def ids_in(rows: dict[str, list[dict[str, Any]]]) -> dict[str, list[str]]:
    """The rows' own ids by table, and under "" all that they name."""
    own = {table: sorted(row["id"] for row in found if "id" in row) for table, found in rows.items()}
    return {table: ids for table, ids in own.items() if ids} | {"": sorted(set(re.findall(ID, json.dumps(rows))))}


def emails_of(world: World, slug: str) -> list[str]:
    """The e-mails of a client's people that may be typed: a canary would come back by itself."""
    asked = select(Account.email).join(Membership, Membership.account_id == Account.id)
    with world.app.app_context(), across_tenants(writes=False) as session:
        found = session.scalars(asked.where(Membership.tenant_id == world.ids[slug]))
        return sorted(email for email in found if "CNRY" not in email)
