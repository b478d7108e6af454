"""Rights are those in the client that the address names, whatever one is elsewhere; a page that was left open gives no others."""

from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from chatbot.accounts.models import Account, Membership
from chatbot.db import across_tenants
from chatbot.secrets_at_rest import Encrypted
from chatbot.tenancy import Base, new_id
from chatbot.tenants.models import Tenant
from tests.accounts.signing_in import account_of, token
from tests.isolation.cast import DORA, PAGE, Caller, Cast, signed_in
from tests.isolation.filling import fill, use_it
from tests.isolation.probes import outcome
from tests.isolation.walking import paths
from tests.world import BAKERY, BOB, CHARLIE, OTHER, World, hidden

NEVER, NEVER_ID = "never-was-here", "0" * 26
PUBLIC = ("chat.", "oauth.", "admin.", "api.")  # where the short name is for everybody, or nothing is foreign


def console_calls(app: Flask, slug: str) -> Iterator[tuple[str, str]]:
    ids = dict.fromkeys((table.name for table in Base.metadata.sorted_tables), NEVER_ID)
    for method, path, endpoint in paths(app, slug, ids, ("GET", "HEAD", "POST")):
        if slug in path and not endpoint.startswith(PUBLIC):
            yield method, path


def test_a_client_that_is_not_yours_never_was(people: Cast) -> None:
    """Byte for byte, header for header: signed in it is not there, signed out one is led to sign-in, real or not."""
    for name in ("charlie_here", "root", "root_elsewhere", "walt", "outsider"):
        caller = people.callers[name]
        for method, path in console_calls(people.world.app, BAKERY):
            form = {"csrf_token": token(caller.http)} if method == "POST" else None
            real, none = (
                caller.open(path.replace(BAKERY, slug), method=method, data=form, headers=PAGE)
                for slug in (BAKERY, NEVER)
            )
            assert outcome(real, BAKERY) == outcome(none, NEVER), (name, method, path)
            assert real.status_code == (404 if caller.email else 303), (name, method, path)


# --- one person, two clients -----------------------------------------------------------------------------------------


@pytest.fixture
def two_roles(people: Cast) -> tuple[Caller, Caller]:
    """Dora in one browser with two tabs: admin of the other shop in one, staff of the bakery in the other."""
    with people.world.app.app_context(), across_tenants() as session:
        for membership in session.scalars(select(Membership).where(Membership.account_id == account_of(DORA).id)):
            membership.role = "admin" if membership.tenant_id == people.world.ids[OTHER] else "staff"
    there = signed_in(people.world, DORA, OTHER, "admin")
    return there, Caller("Dora, staff in the bakery", type(there.browser)(there.http, BAKERY), {}, DORA, "staff")


def members(world: World, slug: str) -> dict[str, tuple[str, str]]:
    """Membership and role of each of a client's people, by e-mail."""
    asked = select(Account.email, Membership.id, Membership.role).join(Account, Account.id == Membership.account_id)
    with world.app.app_context(), across_tenants(writes=False) as session:
        rows = session.execute(asked.where(Membership.tenant_id == world.ids[slug]))
        return {row.email: (row.id, row.role) for row in rows}


def test_two_tabs_do_not_mix(people: Cast, two_roles: tuple[Caller, Caller]) -> None:
    there, here = two_roles
    bob, charlie = members(people.world, BAKERY)[BOB][0], members(people.world, OTHER)[CHARLIE][0]
    for _again in range(2):
        assert there.see(f"/console/{OTHER}/team").status_code == 200
        assert here.see(f"/console/{BAKERY}/team").status_code == 403
        assert here.see(f"/console/{BAKERY}/overview").status_code == 200
        assert there.see(f"/console/{OTHER}/team/members/{charlie}").status_code == 200
        assert there.see(f"/console/{OTHER}/team/members/{bob}").status_code == 404
        assert here.see(f"/console/{BAKERY}/team/members/{bob}").status_code == 403


def test_a_form_of_one_tab_does_nothing_in_the_other(people: Cast, two_roles: tuple[Caller, Caller]) -> None:
    """The admin's form of the one client, sent to the other client's address and with the other client's ids."""
    there, _here = two_roles
    before = members(people.world, BAKERY), members(people.world, OTHER)
    bob, charlie = before[0][BOB][0], before[1][CHARLIE][0]
    form = hidden(there.see(f"/console/{OTHER}/team/members/{charlie}").get_data(as_text=True), "csrf_token")
    for slug, member, status in ((BAKERY, bob, 403), (BAKERY, charlie, 403), (OTHER, bob, 404), (OTHER, new_id(), 404)):
        for path, fields in (("role", {"role": "admin"}), ("remove", {})):
            address = f"/console/{slug}/team/members/{member}/{path}"
            given = {"csrf_token": form, "slug": OTHER, "tenant_id": people.world.ids[OTHER]} | fields
            assert there.http.post(address, data=given, headers=PAGE).status_code == status, address
    assert (members(people.world, BAKERY), members(people.world, OTHER)) == before


def test_a_tab_of_whoever_was_signed_in_before_does_nothing(people: Cast) -> None:
    """Alice's form is open when Charlie signs in in the same browser; then it is sent."""
    world = people.world
    http, bob = people.alice.http, members(world, BAKERY)[BOB][0]
    old = hidden(people.alice.see(f"/console/{BAKERY}/team/members/{bob}").get_data(as_text=True), "csrf_token")
    people.alice.send("/logout")
    world.signed_in(CHARLIE, http=http)
    before = members(world, BAKERY), members(world, OTHER)
    address = f"/console/{BAKERY}/team/members/{bob}/remove"
    assert http.post(address, data={"csrf_token": old}, headers=PAGE).status_code in (400, 404)
    assert http.post(address, data={"csrf_token": token(http)}, headers=PAGE).status_code == 404
    assert (members(world, BAKERY), members(world, OTHER)) == before


def test_a_tab_of_a_client_that_was_entered_before_does_nothing(people: Cast) -> None:
    """Root enters another client in another tab, and leaves: the old tab's form is refused, and applied to neither."""
    world, root = people.world, people.root_elsewhere
    charlie = members(world, OTHER)[CHARLIE][0]
    before = members(world, BAKERY), members(world, OTHER)
    assert root.send(f"/admin/clients/{BAKERY}/enter", reason="they rang").status_code == 303
    assert root.send(f"/console/{OTHER}/team/members/{charlie}/remove").status_code == 404
    assert root.see(f"/console/{BAKERY}/team").status_code == 200
    root.send("/admin/leave")
    assert root.send(f"/console/{BAKERY}/team/second-factor", requires_second_factor="y").status_code == 404
    assert (members(world, BAKERY), members(world, OTHER)) == before
    with world.app.app_context(), across_tenants(writes=False) as session:
        assert not any(session.scalars(select(Tenant.requires_second_factor)))


# --- what nobody reads -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_no_page_shows_a_stored_secret(people: Cast) -> None:
    """Neither to a client's own admin, nor to the operator, nor to one who has entered: every page that there is."""
    world = people.world
    ids = fill(world, OTHER, "other")
    secrets = [f"CNRY-other-{column}" for column in encrypted()] + [
        "other-secret_hash",
        "other-password_hash",
        "CNRY-the-platforms-key",
    ]
    for caller in (people.charlie, people.dora, people.root, people.root_elsewhere, people.outsider, people.platform):
        shown = 0
        for _method, path, _endpoint in paths(world.app, OTHER, ids):
            answer = caller.see(path)
            shown += answer.status_code == 200
            said = answer.get_data(as_text=True)
            assert [secret for secret in secrets if secret in said] == [], (caller.name, path)
        assert shown > 5


def encrypted() -> list[str]:
    tables = Base.metadata.sorted_tables
    return [
        f"{table.name}-{column.name}"
        for table in tables
        for column in table.columns
        if isinstance(column.type, Encrypted)
    ]


def test_what_another_client_does_changes_nothing_here(people: Cast) -> None:
    """Pages, lists, counters and searches of the other shop, before and after the bakery is used and full."""
    use_it(people, people.olga, people.outsider, "other")
    callers = [people.charlie, people.olga, people.outsider]
    before = [seen(caller, people.world) for caller in callers]
    use_it(people, people.vera, people.program, "bakery")
    fill(people.world, BAKERY, "bakery")
    for caller, earlier in zip(callers, before, strict=True):
        later = seen(caller, people.world)
        assert [path for path in earlier if outcome(earlier[path]) != outcome(later[path])] == [], caller.name


def seen(caller: Caller, world: World) -> dict[str, TestResponse]:
    """All that a caller sees, without the operator's own pages; lists with and without what narrows them."""
    ids = dict.fromkeys((table.name for table in Base.metadata.sorted_tables), NEVER_ID)
    found = [path for _method, path, endpoint in paths(world.app, OTHER, ids) if not endpoint.startswith("admin.")]
    pages = {path: caller.get(path, headers=PAGE) for path in found}
    lists = [path for path in found if path.endswith(("/team", "/new", "/knowledge", "/search"))]
    narrowed = [
        f"{path}?{query}" for path in lists for query in ("q=CNRY", "limit=100&cursor=", "page=2&session=&before=")
    ]
    return pages | {path: caller.get(path, headers=PAGE) for path in narrowed}
