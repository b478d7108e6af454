"""A right that is withdrawn is gone with the next request, in every browser and for every key (streams: tests/chat/test_withdrawal.py).

Each is withdrawn as people do it, on the page that is for it.
"""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import delete, select, update

from chatbot.accounts.models import Account, IdentityProvider, Membership, OneTimeLink, SignIn
from chatbot.accounts.people import create_account
from chatbot.db import across_tenants
from chatbot.tenancy import now
from chatbot.tenants.clients import find_client
from chatbot.tenants.keys import create_key
from chatbot.tenants.models import ApiKey
from tests.accounts.conftest import CHEAP
from tests.accounts.people import PASSWORD, give_password
from tests.accounts.signing_in import account_of, post, token
from tests.world import ALICE, BAKERY, BOB, ROOT, ULLA, World

PAGE = {"Accept": "text/html"}
CONSOLE, TEAM = f"/console/{BAKERY}/overview", f"/console/{BAKERY}/team"
ADMIN = f"/admin/clients/{BAKERY}"
Withdraw = Callable[[World], None]


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatbot.accounts.passwords._hasher", CHEAP)


def membership_of(world: World, email: str) -> str:
    with world.app.app_context(), across_tenants(writes=False) as session:
        own = select(Membership.id).join(Account, Account.id == Membership.account_id).where(Account.email == email)
        return str(session.scalar(own))


def id_of(world: World, email: str) -> str:
    with world.app.app_context(), across_tenants(writes=False):
        return account_of(email).id


def by(who: str, path: str, strong: bool = False, **fields: str) -> Callable[[World], None]:
    """Somebody sends a form; in the path MEMBER and ACCOUNT stand for Bob's ids."""

    def send(world: World) -> None:
        filled = path.replace("MEMBER", membership_of(world, BOB)).replace("ACCOUNT", id_of(world, BOB))
        assert post(world.signed_in(who, strong=strong), filled, **fields).status_code == 303, path

    return send


def require_provider(world: World) -> None:
    """His people must come by the client's own provider from now on."""
    with world.app.app_context(), across_tenants() as session:
        session.add(
            IdentityProvider(tenant_id=world.ids[BAKERY], issuer="https://x.example", client_id="x", is_required=True)
        )


def become_user(world: World) -> None:
    by(ALICE, f"{TEAM}/members/MEMBER/role", role="user")(world)


# What is done, and what Bob reads of the console then: on a page, and when he sends a form.
OF_BOB: dict[str, tuple[Withdraw, int, int]] = {
    "demoted": (become_user, 403, 403),
    "removed": (by(ALICE, f"{TEAM}/members/MEMBER/remove"), 404, 404),
    "switched off": (by(ROOT, "/admin/accounts/ACCOUNT/enabled"), 303, 303),
    "signed out by the operator": (by(ROOT, "/admin/accounts/ACCOUNT/sign-ins/end"), 303, 303),
    "his second factor reset": (by(ROOT, "/admin/accounts/ACCOUNT/factors/reset"), 303, 303),
    "a second factor asked for": (
        by(ALICE, f"{TEAM}/second-factor", strong=True, requires_second_factor="y"),
        303,
        403,
    ),
    "the provider asked for": (require_provider, 404, 404),
    "the client deleted": (by(ROOT, f"{ADMIN}/delete", typed="Harbour Bakery"), 404, 404),
}


@pytest.mark.parametrize("what", OF_BOB)
def test_a_member_is_out_in_every_browser(world: World, what: str) -> None:
    """Bob has been made an admin, and has two browsers open."""
    withdraw, on_page, on_form = OF_BOB[what]
    by(ALICE, f"{TEAM}/members/MEMBER/role", role="admin")(world)
    browsers = [world.signed_in(BOB) for _each in range(2)]
    assert [http.get(path, headers=PAGE).status_code for http in browsers for path in (CONSOLE, TEAM)] == [200] * 4
    withdraw(world)
    for http in browsers:
        assert [http.get(path, headers=PAGE).status_code for path in (CONSOLE, TEAM)] == [on_page] * 2
        invited = post(http, f"{TEAM}/invitations", email="x@bakery.example", role="user")
        assert invited.status_code == on_form and (on_form != 303 or invited.location.startswith("/login"))
    assert invitations(world) == 0


def invitations(world: World) -> int:
    with world.app.app_context(), across_tenants(writes=False) as session:
        return len(session.scalars(select(OneTimeLink.id)).all())


def test_a_changed_password_ends_all_browsers_but_this(world: World) -> None:
    give_password(world, BOB)
    here, there, elsewhere = (world.signed_in(BOB) for _each in range(3))
    assert post(here, "/account/password", current=PASSWORD, password="nine noisy nightingales").status_code == 303
    assert here.get(CONSOLE).status_code == 200
    for http in (there, elsewhere):
        assert http.get(CONSOLE, headers=PAGE).status_code == 303 and http.get("/account").status_code != 200


def test_a_cookie_of_an_ended_sign_in_stays_dead(world: World) -> None:
    """Logged out here; a copy of the cookie that somebody kept is worth nothing, and its use brings nothing back."""
    http, copy = world.signed_in(BOB), world.app.test_client()
    with http.session_transaction() as kept, copy.session_transaction() as stolen:
        stolen.update(kept)
    assert copy.get(CONSOLE).status_code == 200
    assert post(http, "/logout").status_code == 303
    for _again in range(2):
        assert copy.get(CONSOLE, headers=PAGE).status_code == 303
        assert http.get(CONSOLE, headers=PAGE).status_code == 303


def test_a_request_under_way_brings_nothing_back(app: Flask, world: World) -> None:
    """Bob is signed out while he confirms his password, which writes his cookie anew at its end."""
    ends: list[bool] = []

    @app.before_request
    def sign_out_meanwhile() -> None:
        if ends:
            with across_tenants() as session:
                session.execute(delete(SignIn))

    give_password(world, BOB)
    http = world.signed_in(BOB)
    form = {"csrf_token": token(http), "password": PASSWORD}
    ends.append(True)
    answer = http.post("/account/second-factor/confirm", data=form, headers=PAGE)
    assert answer.status_code == 303 and "Set-Cookie" in answer.headers
    ends.clear()
    assert http.get(CONSOLE, headers=PAGE).status_code == 303
    with app.app_context(), across_tenants(writes=False) as session:
        assert session.scalars(select(SignIn.id)).all() == []


# --- the operator ----------------------------------------------------------------------------------------------------

SECOND = "second@platform.example"


@pytest.fixture
def second(world: World) -> FlaskClient:
    """A second platform admin, who has entered the bakery."""
    with world.app.app_context():
        create_account(SECOND, "Second", None, is_platform_admin=True, slug=None, role="user")
    http = world.signed_in(SECOND)
    assert post(http, f"{ADMIN}/enter", reason="they rang").status_code == 303
    assert [http.get(path).status_code for path in (ADMIN, CONSOLE)] == [200, 200]
    return http


@pytest.mark.parametrize(
    ("what", "fields", "at_admin", "in_client"),
    [
        ("platform-admin", {}, 403, 404),
        ("enabled", {}, 303, 303),
        ("sign-ins/end", {}, 303, 303),
        ("factors/reset", {}, 303, 303),
    ],
)
def test_an_operator_is_out(
    world: World, second: FlaskClient, what: str, fields: dict[str, str], at_admin: int, in_client: int
) -> None:
    done = post(world.signed_in(ROOT), f"/admin/accounts/{id_of(world, SECOND)}/{what}", **fields)
    assert done.status_code == 303
    assert second.get(ADMIN, headers=PAGE).status_code == at_admin
    assert second.get(CONSOLE, headers=PAGE).status_code == in_client
    assert post(second, f"{TEAM}/invitations", email="x@bakery.example", role="user").status_code == in_client


def test_an_operator_who_must_show_a_second_factor(world: World, second: FlaskClient) -> None:
    done = post(world.signed_in(ROOT, strong=True), "/admin/limits/security", requires_second_factor="y")
    assert done.status_code == 303
    assert second.get(ADMIN, headers=PAGE).location.startswith("/account/second-factor")
    assert post(second, f"{ADMIN}/suspend", reason="x").status_code == 403


# --- the client, and its keys ----------------------------------------------------------------------------------------


def suspend(world: World) -> None:
    by(ROOT, f"{ADMIN}/suspend", reason="bills")(world)


def delete_it(world: World) -> None:
    by(ROOT, f"{ADMIN}/delete", typed="Harbour Bakery")(world)


def revoke(world: World) -> None:
    with world.app.app_context(), across_tenants() as session:
        session.execute(update(ApiKey).values(revoked_at=now()))


@pytest.mark.parametrize(("withdraw", "status"), [(suspend, 403), (delete_it, 401), (revoke, 401)])
def test_every_key_is_out(world: World, app: Flask, withdraw: Withdraw, status: int) -> None:
    http, keys = app.test_client(), {}
    with app.app_context(), across_tenants():
        for scope in ("chat", "read", "manage"):
            keys[scope] = {"Authorization": f"Bearer {create_key(find_client(BAKERY), scope, [scope])}"}
    calls = {
        "chat": ("GET", "/api/chat/turns/x/events"),
        "read": ("GET", "/api/client/search?q=x"),
        "manage": ("GET", "/api/client/knowledge"),
    }
    assert [http.open(path, method=m, headers=keys[s]).status_code for s, (m, path) in calls.items()] == [404, 200, 200]
    withdraw(world)
    assert [http.open(path, method=m, headers=keys[s]).status_code for s, (m, path) in calls.items()] == [status] * 3


@pytest.mark.parametrize(("withdraw", "status"), [(suspend, 403), (delete_it, 404)])
def test_every_visitor_is_out(world: World, withdraw: Withdraw, status: int) -> None:
    vera, ulla = world.vera.http, world.signed_in(ULLA)
    pages = [f"/chat/{BAKERY}", f"/chat/{BAKERY}/new"]
    assert [http.get(path).status_code for http in (vera, ulla) for path in pages] == [200] * 4
    withdraw(world)
    assert [http.get(path, headers=PAGE).status_code for http in (vera, ulla) for path in pages] == [status] * 4
    assert world.app.test_client().post("/api/chat", json={"message": "x", "client": BAKERY}).status_code == status


def test_a_suspended_client_is_seen_by_its_own_people(world: World) -> None:
    """Its console stays open, and says so: what they pay for is to be found there."""
    suspend(world)
    assert world.signed_in(BOB).get(CONSOLE).status_code == 200
