"""Who a provider's person is here: (issuer, subject), whatever their e-mail says; linked by the owner alone."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from chatbot.accounts.links import INVITATION, make_link
from chatbot.accounts.models import Account, Identity, OneTimeLink, SignIn
from chatbot.audit import AuditEntry
from chatbot.db import across_tenants
from chatbot.tenancy import now
from tests.accounts import fake_provider as fake
from tests.accounts.fake_provider import FakeProvider
from tests.accounts.providers import Traveller, add_identity, identities, people, roles, sign_ins, words
from tests.accounts.signing_in import post
from tests.world import ALICE, BAKERY, BOB, OTHER, World

NEW = "new@bakery.example"
ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
UNPROVED: list[Any] = [False, None, "false", "true", 0, 1, "", [], {"x": 1}]


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with FakeProvider().serving() as server:
        yield server


@pytest.fixture
def other() -> Iterator[FakeProvider]:
    with FakeProvider().serving() as server:
        yield server


@pytest.fixture
def settings(provider: FakeProvider, other: FakeProvider) -> dict[str, Any]:
    return provider.settings("FAKE") | other.settings("OTHER")


@pytest.fixture
def nina(app: Flask, world: World, provider: FakeProvider) -> Traveller:
    """Somebody's browser; nobody here knows the person."""
    provider.is_person("nina-there", email=NEW, email_verified=True, name="Nina  New")
    return Traveller(app.test_client(), provider)


def invite(app: Flask, tenant_id: str, email: str = NEW, role: str = "staff") -> str:
    """Returns the link's path."""
    with app.app_context(), across_tenants():
        row = OneTimeLink(kind=INVITATION, tenant_id=tenant_id, email=email, role=role, made_by=ALICE)
        return f"/link/{make_link(row)}"


def used(app: Flask) -> list[bool]:
    with app.app_context(), across_tenants(writes=False) as session:
        return [row.used_at is not None for row in session.scalars(select(OneTimeLink).order_by(OneTimeLink.id))]


# --- the e-mail proves nothing (OID-02, OID-03) ----------------------------------------------------------------------


@pytest.mark.parametrize("is_verified", [*UNPROVED, True])
def test_email_of_an_account_is_no_way_into_it(app: Flask, nina: Traveller, is_verified: Any) -> None:
    nina.provider.is_person("eve", email=ALICE, email_verified=is_verified)
    answer = nina.sign_in()
    assert answer.status_code == 403 and sign_ins(app) == [] and identities(app) == set()
    assert "sign in the way you did before and link Fake" in words(answer)


@ON_SQLITE
def test_page_does_not_tell_who_has_an_account(app: Flask, nina: Traveller) -> None:
    def page(email: str, is_verified: Any) -> bytes:
        nina.provider.is_person("eve", email=email, email_verified=is_verified)
        return bytes(Traveller(app.test_client(), nina.provider).sign_in().data)

    pages = {page(email, is_verified) for email in (ALICE, "nobody@x.example", "", "odd") for is_verified in (True, 0)}
    assert len(pages) == 1


@ON_SQLITE
def test_same_subject_elsewhere_is_somebody_else(app: Flask, nina: Traveller, other: FakeProvider) -> None:
    add_identity(app, ALICE, nina.provider, "alice-there")
    other.is_person("alice-there", email=ALICE, email_verified=True)
    assert Traveller(nina.http, other, "other").sign_in().status_code == 403
    assert sign_ins(app) == []


@ON_SQLITE
def test_email_that_changes_there_changes_nothing_here(app: Flask, nina: Traveller) -> None:
    add_identity(app, ALICE, nina.provider, "nina-there")
    nina.provider.is_person("nina-there", email=BOB, email_verified=True)
    assert nina.sign_in().status_code == 303 and sign_ins(app) == [ALICE]


@ON_SQLITE
def test_switched_off_account_stays_out(app: Flask, nina: Traveller) -> None:
    add_identity(app, ALICE, nina.provider, "nina-there")
    with app.app_context(), across_tenants() as session:
        session.execute(update(Account).where(Account.email == ALICE).values(is_enabled=False))
    assert nina.sign_in().status_code == 403 and sign_ins(app) == []


@ON_SQLITE
def test_second_factor_is_asked_for(app: Flask, nina: Traveller) -> None:
    add_identity(app, ALICE, nina.provider, "nina-there")
    with app.app_context(), across_tenants() as session:
        session.scalar(select(Account).where(Account.email == ALICE)).totp_secret = "ABCDEFGHIJKLMNOP"
    answer = nina.sign_in()
    assert answer.location == "/login/second" and sign_ins(app) == []


# --- how somebody comes to have an account ---------------------------------------------------------------------------


def test_invitation_that_was_opened_makes_an_account(app: Flask, world: World, nina: Traveller) -> None:
    """Its link proves the e-mail, so the provider needn't."""
    nina.provider.is_person("nina-there", email="nina@private.example", email_verified=False, name="Nina  New")
    nina.http.get(invite(app, world.ids[BAKERY]))
    assert nina.sign_in().status_code == 303
    assert sign_ins(app) == [NEW] and identities(app) == {("nina-there", NEW)}
    assert roles(app, NEW) == {world.ids[BAKERY]: "staff"} and used(app) == [True]
    with app.app_context(), across_tenants(writes=False) as session:
        entries = session.scalars(select(AuditEntry.action).where(AuditEntry.target == NEW))
        assert set(entries) == {"account.created", "identity.linked", "member.joined"}


def test_proved_email_that_was_invited_makes_an_account(app: Flask, world: World, nina: Traveller) -> None:
    invite(app, world.ids[BAKERY]), invite(app, world.ids[OTHER], role="user")
    assert nina.sign_in().status_code == 303
    assert roles(app, NEW) == {world.ids[BAKERY]: "staff", world.ids[OTHER]: "user"} and used(app) == [True, True]
    nina.http.delete_cookie("shaman_session")
    assert nina.sign_in().status_code == 303 and sign_ins(app) == [NEW, NEW]


@ON_SQLITE
@pytest.mark.parametrize("is_verified", UNPROVED)
def test_unproved_email_takes_no_invitation(app: Flask, world: World, nina: Traveller, is_verified: Any) -> None:
    invite(app, world.ids[BAKERY])
    nina.provider.claims["email_verified"] = is_verified
    assert nina.sign_in().status_code == 403 and used(app) == [False]


@ON_SQLITE
def test_invitation_of_a_known_email_is_for_its_owner(app: Flask, world: World, nina: Traveller) -> None:
    path = invite(app, world.ids[OTHER], email=BOB)
    nina.provider.is_person("eve", email=BOB, email_verified=True)
    nina.http.get(path)
    assert nina.sign_in().status_code == 403 and used(app) == [False]
    add_identity(app, BOB, nina.provider, "eve")
    assert nina.sign_in().status_code == 303
    assert roles(app, BOB) == {world.ids[BAKERY]: "staff", world.ids[OTHER]: "staff"} and used(app) == [True]


@ON_SQLITE
def test_invitation_is_for_nobody_else_who_is_known(app: Flask, world: World, nina: Traveller) -> None:
    add_identity(app, ALICE, nina.provider, "nina-there")
    nina.http.get(invite(app, world.ids[OTHER]))
    assert nina.sign_in().status_code == 303 and sign_ins(app) == [ALICE]
    assert roles(app, ALICE) == {world.ids[BAKERY]: "admin"} and used(app) == [False]


@ON_SQLITE
@pytest.mark.parametrize("end", ["used_at", "expires_at"])
def test_invitation_that_is_over_lets_nobody_in(app: Flask, world: World, nina: Traveller, end: str) -> None:
    nina.http.get(invite(app, world.ids[BAKERY]))
    with app.app_context(), across_tenants() as session:
        session.execute(update(OneTimeLink).values({end: now() - timedelta(seconds=1)}))
    assert nina.sign_in().status_code == 403 and (NEW, False) not in people(app)


def test_stranger_needs_an_invitation(app: Flask, nina: Traveller) -> None:
    answer = nina.sign_in()
    assert answer.status_code == 403 and "ask for an invitation" in words(answer) and (NEW, False) not in people(app)


@ON_SQLITE
@pytest.mark.parametrize(("is_verified", "status"), [(True, 303), *((value, 403) for value in UNPROVED)])
def test_strangers_where_the_operator_takes_them(app: Flask, nina: Traveller, is_verified: Any, status: int) -> None:
    app.config["SHAMAN"].OAUTH_SIGN_UP = True
    nina.provider.claims["email_verified"] = is_verified
    assert nina.sign_in().status_code == status
    assert ((NEW, False) in people(app)) == (status == 303) and roles(app, NEW) == {}


@pytest.mark.parametrize("is_invited", [True, False])
def test_who_comes_twice_at_once_has_one_account(app: Flask, world: World, nina: Traveller, is_invited: bool) -> None:
    app.config["SHAMAN"].OAUTH_SIGN_UP = not is_invited
    if is_invited:
        invite(app, world.ids[BAKERY])
    travellers = [Traveller(app.test_client(), nina.provider) for _ in range(4)]
    paths = [one.provider.answer(one.set_out()) for one in travellers]
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda pair: pair[0].come_back(pair[1]).status_code, zip(travellers, paths, strict=True))
        )
    assert answers == [303] * 4 and identities(app) == {("nina-there", NEW)}


# --- linking, by the owner alone -------------------------------------------------------------------------------------


def link(http: FlaskClient, provider: FakeProvider, name: str = "fake") -> str:
    """Begin to link. Returns the path that the provider sends back to."""
    answer = post(http, f"/account/identities/{name}")
    assert answer.status_code == 200, words(answer)
    address = answer.get_data(as_text=True).split('content="0; url=')[1].split('"')[0]
    return provider.answer(address.replace("&amp;", "&"))


def linked(app: Flask) -> list[str]:
    with app.app_context(), across_tenants(writes=False) as session:
        return list(session.scalars(select(Identity.id).order_by(Identity.id)))


def test_owner_links_and_signs_in_by_it(app: Flask, world: World, nina: Traveller) -> None:
    alice = world.signed_in(ALICE)
    answer = alice.get(link(alice, nina.provider))
    assert (answer.status_code, answer.location) == (303, "/account")
    page = alice.get("/account", headers={"Accept": "text/html"})
    assert "sign in with Fake too" in words(page) and "Remove Fake" in words(page)
    assert nina.sign_in().status_code == 303 and sign_ins(app) == [ALICE, ALICE]


@ON_SQLITE
def test_linking_begins_by_a_form_alone(app: Flask, world: World, nina: Traveller) -> None:
    alice = world.signed_in(ALICE)
    assert alice.get("/account/identities/fake").status_code in (404, 405)
    assert alice.post("/account/identities/fake").status_code == 400
    traveller = Traveller(alice, nina.provider)
    assert traveller.sign_in().status_code == 403 and identities(app) == set()


@ON_SQLITE
def test_linking_ends_in_the_sign_in_that_began_it(app: Flask, world: World, nina: Traveller) -> None:
    alice = world.signed_in(ALICE)
    path = link(alice, nina.provider)
    world.signed_in(BOB, http=alice)
    assert alice.get(path, headers={"Accept": "text/html"}).status_code == 400
    path = link(alice, nina.provider)
    alice.delete_cookie("shaman_session")
    assert alice.get(path, headers={"Accept": "text/html"}).status_code == 400 and identities(app) == set()


@ON_SQLITE
def test_linking_asks_for_a_fresh_sign_in(app: Flask, world: World, nina: Traveller) -> None:
    alice = world.signed_in(ALICE)
    with app.app_context(), across_tenants() as session:
        session.execute(update(SignIn).values(created_at=now() - timedelta(minutes=16)))
    answer = post(alice, "/account/identities/fake")
    assert answer.status_code == 303 and answer.location.startswith("/account/second-factor/confirm")
    assert nina.provider.heard[fake.DISCOVERY] == 0


@ON_SQLITE
def test_one_person_there_is_one_account_here(app: Flask, world: World, nina: Traveller) -> None:
    add_identity(app, BOB, nina.provider, "nina-there")
    alice = world.signed_in(ALICE)
    assert alice.get(link(alice, nina.provider)).status_code == 303
    assert "linked to another account" in words(alice.get("/account", headers={"Accept": "text/html"}))
    assert identities(app) == {("nina-there", BOB)}


@ON_SQLITE
def test_whom_a_clients_provider_signed_in_links_nothing(app: Flask, world: World, nina: Traveller) -> None:
    alice = world.signed_in(ALICE)
    with app.app_context(), across_tenants() as session:
        session.execute(update(SignIn).values(confined_to=world.ids[BAKERY]))
    assert post(alice, "/account/identities/fake").status_code == 403


def test_owner_removes_what_is_not_the_last_way_in(app: Flask, world: World, nina: Traveller) -> None:
    add_identity(app, ALICE, nina.provider, "alice-there")
    [first] = linked(app)
    alice, elsewhere = world.signed_in(ALICE), world.signed_in(ALICE)
    assert post(alice, f"/account/identities/{first}/remove").status_code == 303
    assert "only way in" in words(alice.get("/account", headers={"Accept": "text/html"})) and linked(app) == [first]
    with app.app_context(), across_tenants() as session:
        session.execute(update(Account).where(Account.email == ALICE).values(password_hash="x"))
    assert post(alice, f"/account/identities/{first}/remove").status_code == 303 and linked(app) == []
    assert alice.get("/account").status_code == 200 and elsewhere.get("/account").status_code in (303, 401)


def test_two_removals_at_once_leave_a_way_in(app: Flask, world: World, nina: Traveller, other: FakeProvider) -> None:
    add_identity(app, ALICE, nina.provider, "alice-there")
    add_identity(app, ALICE, other, "alice-there")
    browsers = [world.signed_in(ALICE), world.signed_in(ALICE)]
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(post, browser, f"/account/identities/{identity}/remove")
            for browser, identity in zip(browsers, linked(app), strict=True)
        ]
        assert [job.result().status_code for job in jobs]
    assert len(linked(app)) == 1


def test_nobody_removes_anothers(app: Flask, world: World, nina: Traveller) -> None:
    add_identity(app, ALICE, nina.provider, "alice-there")
    [theirs] = linked(app)
    bob = world.signed_in(BOB)
    foreign = post(bob, f"/account/identities/{theirs}/remove")
    unknown = post(bob, f"/account/identities/{'0' * 26}/remove")
    assert foreign.status_code == unknown.status_code == 404 and linked(app) == [theirs]
