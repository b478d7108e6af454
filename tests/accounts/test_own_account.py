"""One's own account: the name, the password, and the browsers one is signed in with."""

import html
import re
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from chatbot.accounts.devices import device_in_words
from chatbot.accounts.links import RESET, make_link
from chatbot.accounts.models import OneTimeLink, SignIn
from chatbot.accounts.sign_ins import begin_sign_in
from chatbot.db import across_tenants
from chatbot.tenancy import new_id, now
from tests.accounts.people import OTHER_PASSWORD, PAGE, PASSWORD, browser, deeds, give_password, is_in, sign_in
from tests.accounts.signing_in import account_of, cookie, post
from tests.world import ALICE, BAKERY, BOB, World

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"


@pytest.fixture
def alice(world: World) -> FlaskClient:
    """Alice's browser; she has a password."""
    give_password(world)
    return world.signed_in(ALICE)


@pytest.fixture
def confined(world: World) -> FlaskClient:
    """Alice's browser, signed in by the bakery's own provider."""
    http = browser(world)
    with world.app.app_context(), across_tenants():
        kept_cookie = begin_sign_in(account_of(ALICE).id, address="", device="", confined_to=world.ids[BAKERY])
    with http.session_transaction() as kept:
        kept["_user_id"] = kept_cookie
    return http


def text(answer: TestResponse) -> str:
    return html.unescape(answer.get_data(as_text=True))


def page(http: FlaskClient) -> str:
    return text(http.get("/account", headers=PAGE))


def change(http: FlaskClient, current: str = PASSWORD, password: str = OTHER_PASSWORD) -> TestResponse:
    return post(http, "/account/password", current=current, password=password)


def name_of(world: World) -> str:
    with world.app.app_context(), across_tenants():
        return account_of(ALICE).name


def test_nobody_has_no_account(world: World) -> None:
    assert browser(world).get("/account", headers=PAGE).location == "/login?next=/account"
    assert browser(world).get("/account", headers={"Accept": "application/json"}).status_code == 401


def test_it_shows_who_one_is(alice: FlaskClient) -> None:
    shown = page(alice)
    assert ALICE in shown and 'value="Alice"' in shown and "Current password" in shown
    assert 'href="/account/second-factor"' in shown and PASSWORD not in shown


def test_a_name_is_changed(world: World, alice: FlaskClient) -> None:
    assert post(alice, "/account/name", name="  Alice   <b>Baker</b> ").location == "/account"
    assert name_of(world) == "Alice <b>Baker</b>" and "&lt;b&gt;" in alice.get("/account").get_data(as_text=True)
    for bad in ("", "   ", "x" * 201):
        assert post(alice, "/account/name", name=bad).status_code == 422
    assert name_of(world) == "Alice <b>Baker</b>" and deeds(world) == ["account.renamed"]


# --- the password ----------------------------------------------------------------------------------------------------


def test_a_changed_password_ends_every_other_sign_in(world: World, alice: FlaskClient) -> None:
    other, bob = world.signed_in(ALICE), world.signed_in(BOB)
    with world.app.app_context(), across_tenants():
        link = "/link/" + make_link(OneTimeLink(kind=RESET, account_id=account_of(ALICE).id, email=ALICE))
    assert change(alice).location == "/account"
    assert (is_in(alice), is_in(other), is_in(bob)) == (True, False, True)
    assert browser(world).get(link).status_code == 404
    assert sign_in(browser(world)).status_code == 422
    assert sign_in(browser(world), password=OTHER_PASSWORD).status_code == 303
    assert "account.password-changed" in deeds(world)


@pytest.mark.parametrize(
    ("current", "password"),
    [
        ("wrong", OTHER_PASSWORD),
        ("", OTHER_PASSWORD),
        (PASSWORD, "short"),
        (PASSWORD, ""),
        (PASSWORD, "alice in a boat"),
    ],
)
def test_a_wrong_or_weak_one_changes_nothing(world: World, alice: FlaskClient, current: str, password: str) -> None:
    other = world.signed_in(ALICE)
    answer = change(alice, current, password)
    assert answer.status_code == 422 and 'aria-labelledby="error-summary"' in text(answer)
    assert is_in(other) and sign_in(browser(world)).status_code == 303


def test_whoever_sits_at_an_open_browser_does_not_guess_for_long(world: World, alice: FlaskClient) -> None:
    codes = [change(alice, "wrong words here").status_code for _ in range(25)]
    assert codes.count(422) <= 20 and codes[-1] == 429 and change(alice).status_code == 429
    assert sign_in(browser(world)).status_code == 303, "the owner's other ways in are not counted on"


def test_where_there_is_none_a_password_is_set(world: World) -> None:
    bob = world.signed_in(BOB)
    assert "Set a password" in page(bob) and "Current password" not in page(bob)
    assert post(bob, "/account/password", password=PASSWORD).status_code == 303
    assert sign_in(browser(world), BOB).status_code == 303 and "account.password-set" in deeds(world)


def test_setting_one_asks_for_a_fresh_sign_in(world: World) -> None:
    bob = world.signed_in(BOB)
    with world.app.app_context(), across_tenants() as session:
        session.execute(update(SignIn).values(created_at=now() - timedelta(minutes=16)))
    assert "sign out, and sign in again" in page(bob) and 'name="password"' not in page(bob)
    assert post(bob, "/account/password", password=PASSWORD).status_code == 403
    assert sign_in(browser(world), BOB).status_code == 422


# --- where one is signed in ------------------------------------------------------------------------------------------


def listed(http: FlaskClient) -> list[str]:
    return re.findall(r"/account/sign-ins/(\w+)/end\"", page(http))


def test_each_browser_is_named(world: World, alice: FlaskClient) -> None:
    with world.app.app_context(), across_tenants():
        begin_sign_in(account_of(ALICE).id, address="192.0.2.7", device=FIREFOX)
        begin_sign_in(account_of(BOB).id, address="192.0.2.8", device="Bob's")
    shown = page(alice)
    assert "Firefox on Windows" in shown and "192.0.2.7" in shown and "This browser" in shown
    assert "192.0.2.8" not in shown and cookie(alice).split(".")[0] not in listed(alice)


def test_one_is_signed_out_from_afar(world: World, alice: FlaskClient) -> None:
    other = world.signed_in(ALICE)
    [id_] = listed(alice)
    assert post(alice, f"/account/sign-ins/{id_}/end").location == "/account"
    assert not is_in(other) and is_in(alice) and listed(alice) == []


def test_everywhere_else_at_once(world: World, alice: FlaskClient) -> None:
    others, bob = [world.signed_in(ALICE) for _ in range(3)], world.signed_in(BOB)
    assert post(alice, "/account/sign-ins/end-others").location == "/account"
    assert [is_in(one) for one in (*others, alice, bob)] == [False, False, False, True, True]


def test_other_peoples_browsers_are_not_there(world: World, alice: FlaskClient) -> None:
    bob = world.signed_in(BOB)
    for id_ in (cookie(bob).split(".")[0], new_id(), "x"):
        assert post(alice, f"/account/sign-ins/{id_}/end").status_code == 404
    assert is_in(bob)


def test_what_is_over_is_not_listed(world: World, alice: FlaskClient) -> None:
    world.signed_in(ALICE)
    [id_] = listed(alice)
    with world.app.app_context(), across_tenants() as session:
        session.execute(update(SignIn).where(SignIn.id == id_).values(last_used_at=now() - timedelta(days=2)))
    assert listed(alice) == []


# --- whom a client's own provider signed in --------------------------------------------------------------------------


def test_a_provider_changes_no_account(world: World, alice: FlaskClient, confined: FlaskClient) -> None:
    assert 'name="password"' not in page(confined) and 'name="name"' not in page(confined)
    assert post(confined, "/account/name", name="Eve").status_code == 403
    assert change(confined).status_code == 403 and name_of(world) == "Alice"
    assert sign_in(browser(world)).status_code == 303


def test_a_provider_sees_its_own_sign_ins_alone(world: World, alice: FlaskClient, confined: FlaskClient) -> None:
    assert listed(confined) == [] and len(listed(alice)) == 1
    assert post(confined, f"/account/sign-ins/{cookie(alice).split('.')[0]}/end").status_code == 404
    assert post(confined, "/account/sign-ins/end-others").status_code == 303
    assert is_in(alice)


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (FIREFOX, "Firefox on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Version/18.0 Safari/604.1", "Safari on iPhone"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) AppleWebKit/537 Chrome/140.0 Safari/537", "Chrome on Mac"),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537 Chrome/140.0 Mobile Safari/537", "Chrome on Android"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/140.0 Safari/537 Edg/140.0", "Edge on Windows"),
        ("curl/8.5.0", "curl"),
        ("", "Another browser or program"),
        ("<script>", "Another browser or program"),
    ],
)  # fmt: skip
def test_devices_are_named_in_words(world: World, user_agent: str, words: str) -> None:
    with world.app.test_request_context("/"):
        assert device_in_words(user_agent) == words
