"""Passkeys: made, used and removed over HTTP by a software authenticator, an honest one and others."""

import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import settings as many
from hypothesis import strategies as st
from sqlalchemy import select
from webauthn.helpers import bytes_to_base64url
from werkzeug.test import TestResponse

from chatbot.accounts.models import Passkey
from chatbot.accounts.second_factor import passkey_routes
from chatbot.accounts.second_factor.passkeys import add_passkey, check_passkey
from chatbot.accounts.second_factor.sites import site_of
from chatbot.audit import COMMAND_LINE
from chatbot.db import across_tenants, db
from chatbot.errors import Invalid
from tests.accounts.authenticator import PRESENT, Authenticator
from tests.accounts.signing_in import (
    PAGE,
    account_of,
    actions,
    cookie,
    give_app,
    pending,
    post,
    show,
    sign_in_of,
    signed_token,
    token,
)
from tests.world import ALICE, BOB, World

ORIGIN = "http://localhost:5000"
JSON = {"Accept": "application/json"}


@pytest.fixture
def settings() -> dict[str, Any]:
    return {"PUBLIC_URL": ORIGIN}


def phone(count: int = 0) -> Authenticator:
    return Authenticator(ORIGIN, "localhost", count)


def options(http: FlaskClient, path: str, **headers: str) -> dict[str, Any]:
    answer = http.post(path, headers=JSON | {"X-CSRFToken": token(http)} | headers)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return dict(answer.get_json())


def give_passkey(world: World, email: str = ALICE, count: int = 0, http: FlaskClient | None = None) -> Authenticator:
    """Somebody adds a passkey on their page."""
    device, http = phone(count), http or world.signed_in(email, strong=True)
    made = device.make(options(http, f"{PAGE}/passkeys/options"))
    assert post(http, f"{PAGE}/passkeys", name="my phone", credential=made).status_code == 303
    return device


def alone(http: FlaskClient, device: Authenticator, **how: Any) -> TestResponse:
    """Sign in with a passkey and nothing else."""
    signed = device.sign(options(http, "/login/passkey/options"), **how)
    return post(http, "/login/passkey", credential=signed, next="/goal")


def passkeys(world: World) -> list[Passkey]:
    with world.app.app_context(), across_tenants() as session:
        return list(session.scalars(select(Passkey).order_by(Passkey.id)))


# --- signing in ------------------------------------------------------------------------------------------------------


def test_a_first_passkey_makes_the_sign_in_strong_and_comes_with_recovery_codes(world: World) -> None:
    http, other = world.signed_in(ALICE), world.signed_in(ALICE)
    before, device = cookie(http), phone()
    made = device.make(options(http, f"{PAGE}/passkeys/options"))
    answer = post(http, f"{PAGE}/passkeys", name="my phone", credential=made)
    assert answer.location == f"{PAGE}/recovery-codes"
    assert http.get(answer.location).get_data(as_text=True).count("<code>") == 10
    assert cookie(http) != before
    assert (found := sign_in_of(world, http)) and found.strong_at
    assert sign_in_of(world, other) is None
    assert actions(world)[-2:] == ["account.passkey_added", "account.recovery_codes_made"]


def test_a_passkey_is_the_second_factor(world: World) -> None:
    device = give_passkey(world)
    http = pending(world)
    asked = options(http, "/login/second/options")
    assert [known["id"] for known in asked["allowCredentials"]] == [bytes_to_base64url(device.id)]
    answer = show(http, credential=device.sign(asked))
    assert (answer.status_code, answer.location) == (303, "/goal")
    assert (found := sign_in_of(world, http)) and found.strong_at


def test_a_passkey_alone_signs_in_strongly(world: World) -> None:
    device, http = give_passkey(world), world.app.test_client()
    asked = options(http, "/login/passkey/options")
    assert asked["userVerification"] == "required"
    assert asked["allowCredentials"] == []
    assert alone(http, device).location == "/goal"
    assert (found := sign_in_of(world, http)) and found.strong_at


def test_alone_it_must_have_asked_for_finger_face_or_pin(world: World) -> None:
    device, http = give_passkey(world), world.app.test_client()
    assert "/login" in alone(http, device, flags=PRESENT).location
    assert cookie(http) == ""
    second = pending(world)
    assert (
        show(second, credential=device.sign(options(second, "/login/second/options"), flags=PRESENT)).status_code == 303
    )


def test_only_the_passkeys_of_whoever_showed_the_first_factor_count(world: World) -> None:
    give_passkey(world, ALICE)
    device = give_passkey(world, BOB)
    http = pending(world, ALICE)
    assert show(http, credential=device.sign(options(http, "/login/second/options"))).status_code == 422
    assert cookie(http) == ""


def test_passkeys_stay_open_when_codes_were_tried_too_often(world: World) -> None:
    give_app(world)
    device = give_passkey(world)
    for n in range(11):
        answer = show(pending(world, address=f"198.51.100.{n}"), code="000000")
    assert answer.status_code == 429
    http = pending(world)
    assert show(http, credential=device.sign(options(http, "/login/second/options"))).status_code == 303


# --- what is not believed --------------------------------------------------------------------------------------------

LIES = [
    {"origin": "https://evil.example"},
    {"origin": "http://localhost:5001"},
    {"type": "webauthn.create"},
    {"challenge": "AAAA"},
    {"challenge": None},
    {"origin": None},
]


@pytest.mark.parametrize("lie", LIES)
def test_what_was_signed_elsewhere_or_for_something_else_is_refused(world: World, lie: dict[str, Any]) -> None:
    device, http = give_passkey(world), world.app.test_client()
    assert "/login" in alone(http, device, **lie).location
    assert cookie(http) == ""


def test_another_key_or_another_host_is_refused(world: World) -> None:
    device, http = give_passkey(world), world.app.test_client()
    forger = phone()
    forger.id, forger.user = device.id, device.user
    assert "/login" in alone(http, forger).location
    device.host = "evil.example"
    assert "/login" in alone(http, device).location
    assert cookie(http) == ""


def test_an_answer_is_good_once_even_with_its_old_cookie(world: World) -> None:
    device, http, thief = give_passkey(world), world.app.test_client(), world.app.test_client()
    signed = device.sign(options(http, "/login/passkey/options"))
    fields = {"credential": signed, "csrf_token": token(http)}
    with http.session_transaction() as kept, thief.session_transaction() as stolen:
        stolen.update(kept)
    assert http.post("/login/passkey", data=fields).location == "/"
    assert "/login" in thief.post("/login/passkey", data=fields).location
    assert cookie(thief) == ""


def test_a_challenge_is_good_for_five_minutes_and_its_purpose(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    device, http = give_passkey(world), world.app.test_client()
    signed = device.sign(options(http, "/login/passkey/options"))
    later = datetime.now(UTC) + timedelta(minutes=5, seconds=1)
    monkeypatch.setattr(passkey_routes, "now", lambda: later)
    assert "/login" in post(http, "/login/passkey", credential=signed).location
    monkeypatch.undo()
    second = pending(world)
    signed = device.sign(options(second, "/login/passkey/options"))
    assert show(second, credential=signed).status_code == 422
    assert cookie(http) == cookie(second) == ""


@pytest.mark.parametrize("count", [0, 4, 5])
def test_a_counter_that_does_not_grow_is_refused(world: World, count: int) -> None:
    device, http = give_passkey(world, count=5), world.app.test_client()
    device.count = count
    signed = device.sign(options(http, "/login/passkey/options"))
    if count == 5:  # an honest one: it counts by itself
        assert post(http, "/login/passkey", credential=signed).location == "/"
        device.count -= 1
        signed = device.sign(options(http, "/login/passkey/options"))
    assert "/login" in post(http, "/login/passkey", credential=signed).location


def test_whose_account_was_switched_off_does_not_come_in(world: World) -> None:
    device, http = give_passkey(world), world.app.test_client()
    with world.app.app_context(), across_tenants():
        account_of(ALICE).is_enabled = False
    assert alone(http, device).status_code == 403
    assert cookie(http) == ""


def test_an_address_has_ten_wrong_ones(world: World) -> None:
    device, http = give_passkey(world), world.app.test_client()
    for _ in range(10):
        assert alone(http, phone()).status_code == 303
    assert alone(http, device).status_code == 429


def test_hosts_that_a_request_names_mean_nothing(world: World) -> None:
    evil = "http://evil.example"
    http = world.app.test_client()
    with http.session_transaction(base_url=evil) as kept:
        kept["csrf_token"] = "a" * 40
    answer = http.post(
        "/login/passkey/options", base_url=evil, headers=JSON | {"X-CSRFToken": signed_token(http, "a" * 40)}
    )
    assert answer.get_json()["rpId"] == "localhost"


# --- any answer at all -----------------------------------------------------------------------------------------------

WRONG = [
    "",
    "null",
    "[]",
    "{}",
    "0",
    '"x"',
    "{" * 5000,
    '{"rawId": 1}',
    '{"id": "a", "rawId": "a"}',
    "\x00",
    "[" * 9000,
]


@pytest.mark.parametrize("answer", WRONG)
def test_what_is_no_answer_is_refused_in_words(world: World, answer: str) -> None:
    http, owner = world.app.test_client(), world.signed_in(ALICE, strong=True)
    options(http, "/login/passkey/options")
    assert post(http, "/login/passkey", credential=answer).status_code == 303
    options(owner, f"{PAGE}/passkeys/options")
    assert post(owner, f"{PAGE}/passkeys", name="x", credential=answer).status_code == 422


@pytest.mark.parametrize("key", [{1: 2}, {1: 2, 3: -7}, {1: 2, 3: -7, -1: 1}, 5, {1: 2, 3: -7, -1: 1, -2: 1, -3: 1}])
def test_what_is_no_key_signs_nobody_in(world: World, key: Any) -> None:
    device, http = phone(), world.signed_in(ALICE, strong=True)
    made = device.make(options(http, f"{PAGE}/passkeys/options"), key=key)
    assert post(http, f"{PAGE}/passkeys", name="x", credential=made).status_code in (303, 422)
    assert "/login" in alone(world.app.test_client(), device).location


def bent(draw: st.DataObject, made: str) -> str:
    """`made` with one part of it replaced, cut, or a letter changed."""
    answer: dict[str, Any] = json.loads(made)
    place = draw.draw(st.sampled_from([answer, answer["response"]]))
    name = draw.draw(st.sampled_from(sorted(place)))
    text = str(place[name])
    at = draw.draw(st.integers(0, len(text)))
    junk = st.one_of(st.none(), st.integers(), st.lists(st.text()), st.text(), st.dictionaries(st.text(), st.text()))
    place[name] = draw.draw(st.one_of(junk, st.just(text[:at]), st.just(text[:at] + "A" + text[at + 1 :])))
    return json.dumps(answer)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_bent_answers_are_taken_or_refused(world: World) -> None:
    site, device, blank = site_of(ORIGIN), phone(), {"challenge": "AAAA"}
    assert site
    made, signed = device.make(blank | {"user": {"id": "eA"}}), device.sign(blank)

    @many(max_examples=200, deadline=None)
    @given(draw=st.data())
    def answer(draw: st.DataObject) -> None:
        with contextlib.suppress(Invalid), db.session.begin_nested() as undone:
            add_passkey(site, account_of(ALICE), bent(draw, made), bytes(3), "x", COMMAND_LINE)
            undone.rollback()
        with contextlib.suppress(Invalid):
            check_passkey(site, bent(draw, signed), bytes(3))

    with world.app.test_request_context(), across_tenants():
        add_passkey(site, account_of(BOB), made, bytes(3), "x", COMMAND_LINE)
        device.id += b"2"
        made = device.make(blank | {"user": {"id": "eA"}})
        answer()


# --- looking after them ----------------------------------------------------------------------------------------------


def test_a_passkey_is_named_and_removed(world: World) -> None:
    give_app(world)
    http, other = world.signed_in(ALICE, strong=True), world.signed_in(ALICE, strong=True)
    give_passkey(world, http=http)
    [passkey] = passkeys(world)
    assert sign_in_of(world, other), "adding one more ends nothing"
    assert post(http, f"{PAGE}/passkeys/{passkey.id}", name="the blue stick").status_code == 303
    assert "the blue stick" in http.get(PAGE).get_data(as_text=True)
    assert post(http, f"{PAGE}/passkeys/{passkey.id}/remove").status_code == 303
    assert passkeys(world) == []
    assert sign_in_of(world, other) is None
    assert actions(world)[-2:] == ["account.passkey_renamed", "account.passkey_removed"]


def test_others_passkeys_are_not_there(world: World) -> None:
    give_passkey(world, BOB)
    [passkey] = passkeys(world)
    http = world.signed_in(ALICE, strong=True)
    for path in (f"{PAGE}/passkeys/{passkey.id}", f"{PAGE}/passkeys/{passkey.id}/remove"):
        assert post(http, path, name="mine").status_code == 404
    assert passkeys(world)[0].name == "my phone"


def test_one_device_is_kept_once(world: World) -> None:
    device = give_passkey(world, BOB)
    http = world.signed_in(ALICE, strong=True)
    made = device.make(options(http, f"{PAGE}/passkeys/options"))
    assert post(http, f"{PAGE}/passkeys", name="x", credential=made).status_code == 422
    assert len(passkeys(world)) == 1


def test_a_passkey_needs_a_name_and_what_was_typed_stays(world: World) -> None:
    http = world.signed_in(ALICE, strong=True)
    made = phone().make(options(http, f"{PAGE}/passkeys/options"))
    answer = post(http, f"{PAGE}/passkeys", name="n" * 101, credential=made)
    assert answer.status_code == 422
    assert "n" * 101 in answer.get_data(as_text=True)


# --- where there are any ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "host", "origin"),
    [
        ("https://chat.example.com", "chat.example.com", "https://chat.example.com"),
        ("https://Chat.Example.com:443/x", "chat.example.com", "https://chat.example.com"),
        ("https://chat.example.com:8443", "chat.example.com", "https://chat.example.com:8443"),
        ("http://localhost:5000", "localhost", "http://localhost:5000"),
        ("https://bäckerei.example", "xn--bckerei-5wa.example", "https://xn--bckerei-5wa.example"),
    ],
)
def test_a_site_is_known_by_its_public_address(address: str, host: str, origin: str) -> None:
    site = site_of(address)
    assert site
    assert (site.host, site.origin) == (host, origin)


@pytest.mark.parametrize(
    "address", ["http://chat.example.com", "http://127.0.0.1:5000", "https://10.0.0.1", "https://[::1]"]
)
def test_plain_http_and_bare_addresses_have_no_passkeys(address: str) -> None:
    assert site_of(address) is None


class TestWithoutPasskeys:
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"PUBLIC_URL": "http://127.0.0.1:5000"}

    def test_the_page_says_why_and_nothing_is_offered(self, world: World) -> None:
        http = world.signed_in(ALICE, strong=True)
        page = http.get(PAGE).get_data(as_text=True)
        assert "Passkeys need an address that begins with https" in page
        assert "Add a passkey" not in page
        for path in (f"{PAGE}/passkeys/options", "/login/passkey/options"):
            assert http.post(path, headers=JSON | {"X-CSRFToken": token(http)}).status_code == 403


def test_where_somebody_is_signed_in_already_they_sign_in_anew(world: World) -> None:
    device, http = give_passkey(world), world.signed_in(BOB)
    assert alone(http, device).location == "/goal"
    assert (found := sign_in_of(world, http)) and found.strong_at
