"""Signing in with a provider: only its true answer to a sign-in that this browser began counts, and none is needed."""

import base64
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from joserfc import jwk
from structlog.testing import capture_logs

from chatbot.accounts.openid import calls as provider_calls
from tests.accounts import fake_provider as fake
from tests.accounts.fake_provider import FakeProvider
from tests.accounts.providers import PAGE, Traveller, add_identity, sign_ins, words
from tests.hostile import certificate
from tests.world import ALICE, BOB, World

ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


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
def alice(app: Flask, world: World, provider: FakeProvider) -> Traveller:
    """Alice's browser, signed out. She has linked the provider."""
    add_identity(app, ALICE, provider, "alice-there")
    provider.is_person("alice-there", email=ALICE, email_verified=True)
    return Traveller(app.test_client(), provider)


def refused(traveller: Traveller, answer: Any, status: int, text: str = "") -> None:
    """Nobody is signed in by it, and the page says what happened and the ways on."""
    assert answer.status_code == status, words(answer)
    assert sign_ins(traveller.http.application) == []
    assert text in words(answer) and 'href="/login"' in words(answer)
    assert "Set-Cookie" not in answer.headers or "_user_id" not in answer.headers["Set-Cookie"]


# --- the way there and back ------------------------------------------------------------------------------------------


def test_known_person_is_signed_in(app: Flask, alice: Traveller) -> None:
    answer = alice.come_back(alice.provider.answer(alice.set_out(next="/account/second-factor")))
    assert (answer.status_code, answer.location) == (303, "/account/second-factor")
    assert sign_ins(app) == [ALICE] and alice.http.get(answer.location).status_code == 200


@ON_SQLITE
def test_provider_is_asked_as_the_standard_wants(alice: Traveller) -> None:
    asked = {name: values[0] for name, values in parse_qs(urlsplit(alice.set_out()).query).items()}
    assert asked["redirect_uri"] == "http://127.0.0.1:5000/login/fake/callback" and asked["kept"] == "1"
    assert asked["response_type"] == "code" and asked["code_challenge_method"] == "S256"
    again = {name: values[0] for name, values in parse_qs(urlsplit(alice.set_out()).query).items()}
    assert all(asked[name] != again[name] for name in ("state", "nonce", "code_challenge"))


@ON_SQLITE
def test_several_tabs_are_on_their_way_at_once(app: Flask, alice: Traveller) -> None:
    first, second = alice.set_out(next="/account/second-factor"), alice.set_out()
    assert alice.come_back(alice.provider.answer(second)).status_code == 303
    answer = alice.come_back(alice.provider.answer(first))
    assert answer.location == "/account/second-factor" and sign_ins(app) == [ALICE]


@ON_SQLITE
def test_browser_keeps_few_flows(alice: Traveller) -> None:
    started = [alice.set_out() for _ in range(9)]
    kept = [cookie for cookie in alice.http._cookies.values() if cookie.key.startswith("shaman_flow_")]
    assert len(kept) == 6 and all(cookie.http_only and cookie.max_age == 600 for cookie in kept)
    assert alice.come_back(alice.provider.answer(started[0])).status_code == 400
    assert alice.come_back(alice.provider.answer(started[-1])).status_code == 303


@ON_SQLITE
@pytest.mark.parametrize("goal", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_nobody_is_led_elsewhere(alice: Traveller, goal: str) -> None:
    answer = alice.come_back(alice.provider.answer(alice.set_out(next=goal)))
    assert answer.location == "/"


@ON_SQLITE
def test_unknown_provider_is_not_there(alice: Traveller) -> None:
    for path in ("/login/nobody", "/login/nobody/callback?code=x&state=y"):
        assert alice.come_back(path).status_code == 404


# --- state, nonce, PKCE, and whose answer it is (OID-01) -------------------------------------------------------------


@ON_SQLITE
@pytest.mark.parametrize("state", [None, "", "made-up", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")])
def test_answer_to_nothing_is_refused(alice: Traveller, state: str | None) -> None:
    refused(alice, alice.sign_in(state=state), 400, "begun in another browser")
    assert alice.provider.heard[fake.TOKEN] == 0


@ON_SQLITE
def test_answer_counts_once(app: Flask, alice: Traveller) -> None:
    address = alice.set_out()
    cookies = dict(alice.http._cookies or {})
    assert alice.come_back(alice.provider.answer(address)).status_code == 303
    assert alice.come_back(alice.provider.answer(address)).status_code == 400
    copied = Traveller(app.test_client(), alice.provider)
    copied.http._cookies.update(cookies)  # the browser that doesn't forget
    assert copied.come_back(alice.provider.answer(address)).status_code == 400
    assert len(sign_ins(app)) == 1


@ON_SQLITE
def test_answer_in_another_browser_is_refused(app: Flask, alice: Traveller) -> None:
    eve = Traveller(app.test_client(), alice.provider)
    eve.set_out()
    refused(eve, eve.come_back(alice.provider.answer(alice.set_out())), 400)


@ON_SQLITE
def test_answer_after_ten_minutes_is_refused(alice: Traveller, monkeypatch: pytest.MonkeyPatch) -> None:
    address, now = alice.set_out(), time.time()
    monkeypatch.setattr(time, "time", lambda: now + 602)
    refused(alice, alice.come_back(alice.provider.answer(address)), 400, "ten minutes")


@ON_SQLITE
def test_answer_for_another_provider_is_refused(alice: Traveller, other: FakeProvider) -> None:
    """Mix-up: what one provider was asked is answered at the other's address."""
    path = alice.provider.answer(alice.set_out()).replace("/login/fake/", "/login/other/")
    refused(alice, alice.come_back(path), 400)
    assert other.heard[fake.TOKEN] == alice.provider.heard[fake.TOKEN] == 0


@ON_SQLITE
def test_issuer_of_the_answer_is_checked(app: Flask, alice: Traveller, other: FakeProvider) -> None:
    """Mix-up, where providers name themselves in the answer (RFC 9207)."""
    refused(alice, alice.sign_in(iss=other.url), 400, "prove who you are")
    assert alice.provider.heard[fake.TOKEN] == 0
    assert alice.sign_in(iss=alice.provider.url).status_code == 303


@ON_SQLITE
def test_issuer_that_is_promised_may_not_be_missing(alice: Traveller) -> None:
    alice.provider.described = {"authorization_response_iss_parameter_supported": True}
    refused(alice, alice.sign_in(), 400)
    assert alice.sign_in(iss=alice.provider.url).status_code == 303


@ON_SQLITE
def test_code_of_another_sign_in_is_refused(app: Flask, alice: Traveller) -> None:
    """Injected: Eve hands her own code to Alice's flow. The verifier doesn't fit."""
    eve = Traveller(app.test_client(), alice.provider)
    stolen = parse_qs(urlsplit(alice.provider.answer(eve.set_out())).query)["code"][0]
    refused(alice, alice.sign_in(code=stolen), 400, "prove who you are")


@ON_SQLITE
@pytest.mark.parametrize("nonce", [None, "", "another", 5, ["a"]])
def test_nonce_of_another_sign_in_is_refused(alice: Traveller, nonce: Any) -> None:
    alice.provider.claims["nonce"] = nonce
    refused(alice, alice.sign_in(), 400, "prove who you are")


@ON_SQLITE
@pytest.mark.parametrize("changes", [{"code": None, "error": "access_denied"}, {"code": None}, {"code": ""}])
def test_stopping_at_the_provider_is_told_plainly(alice: Traveller, changes: dict[str, str | None]) -> None:
    refused(alice, alice.sign_in(**changes), 400, "was stopped")
    assert alice.sign_in().status_code == 303


@ON_SQLITE
def test_words_of_the_provider_are_not_repeated(alice: Traveller) -> None:
    answer = alice.sign_in(code=None, error="<b>x</b>", error_description="Call 0900-1234")
    assert "0900" not in words(answer) and "<b>x" not in words(answer)


# --- the token (OID-04) ----------------------------------------------------------------------------------------------

FORGED = [fake.unsigned, fake.signed_with_the_public_key, fake.signed_by_another, fake.altered, fake.with_its_own_key]


@ON_SQLITE
@pytest.mark.parametrize("sign", FORGED)
def test_forged_token_is_refused(alice: Traveller, sign: Any) -> None:
    alice.provider.sign = sign
    refused(alice, alice.sign_in(), 400, "prove who you are")


SOMETHING_ELSE: list[dict[str, Any]] = [
    {"aud": "somebody-else"},
    {"aud": ["shaman", "somebody-else"]},
    {"aud": ["shaman", "somebody-else"], "azp": "somebody-else"},
    {"aud": "shaman", "azp": "somebody-else"},
    {"aud": None},
    {"aud": {"shaman": 1}},
    {"iss": "https://evil.example"},
    {"iss": None},
    {"iss": 5},
    {"exp": 1},
    {"exp": None},
    {"exp": "tomorrow"},
    {"exp": True},
    {"iat": None},
    {"iat": float("nan")},
    {"sub": None},
    {"sub": ""},
    {"sub": 5},
    {"sub": "x" * 256},
    {"sub": "x\0"},
    {"at_hash": "another"},
    {"at_hash": 5},
]


@ON_SQLITE
def test_token_that_says_something_else_is_refused(alice: Traveller) -> None:
    true = dict(alice.provider.claims)
    for claims in SOMETHING_ELSE:
        alice.provider.claims = true | claims
        refused(alice, alice.sign_in(), 400)


@ON_SQLITE
def test_several_audiences_with_us_as_the_party_are_fine(alice: Traveller) -> None:
    alice.provider.claims |= {"aud": ["other", "shaman"], "azp": "shaman"}
    assert alice.sign_in().status_code == 303


NESTED = f"{base64.urlsafe_b64encode(b'[' * 3000).decode()}.e30.x"


@ON_SQLITE
def test_what_is_no_token_is_refused(alice: Traveller) -> None:
    for token in ("", "x", "a.b", "a.b.c", "é.b.c", 5, None, ["a.b.c"], "a.b.c.d.e", "eyJhbGciOiJSUzI1NiJ9..x", NESTED):
        alice.provider.sign = lambda *_, token=token: token
        refused(alice, alice.sign_in(), 400)


@ON_SQLITE
@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"crit": ["b64"], "b64": False}, {"kid": "unknown"}], ids=str)
def test_header_that_cannot_be_honoured_is_refused(alice: Traveller, header: dict[str, Any]) -> None:
    alice.provider.header = header
    refused(alice, alice.sign_in(), 400)


@ON_SQLITE
@pytest.mark.parametrize(
    ("kind", "size", "algorithm"),
    [
        ("RSA", 2048, "PS256"),
        ("RSA", 2048, "RS512"),
        ("EC", "P-256", "ES256"),
        ("EC", "P-521", "ES512"),
        ("OKP", "Ed25519", "EdDSA"),
        ("OKP", "Ed25519", "Ed25519"),
    ],
)
def test_every_kind_of_signature_is_known(alice: Traveller, kind: Any, size: Any, algorithm: str) -> None:
    alice.provider.key = jwk.generate_key(kind, size, {"kid": "k", "use": "sig"}, True)
    alice.provider.header, alice.provider.claims["at_hash"] = {"alg": algorithm}, None
    assert alice.sign_in().status_code == 303


@ON_SQLITE
@pytest.mark.parametrize("changes", [{"use": "enc"}, {"alg": "RS512"}, {"key_ops": ["encrypt"]}], ids=str)
def test_key_for_something_else_signs_nothing(alice: Traveller, changes: dict[str, Any]) -> None:
    alice.provider.published = [alice.provider.key.as_dict(private=False) | changes]
    refused(alice, alice.sign_in(), 400)


@ON_SQLITE
def test_odd_keys_among_the_published_harm_nobody(alice: Traveller) -> None:
    odd = [
        {},
        {"kty": "oct", "k": "AAAA", "kid": "first"},
        {"kty": "RSA", "kid": "first"},
        {"kty": "new", "kid": "first"},
    ]
    own = alice.provider.key.as_dict(private=False)
    alice.provider.published = [*odd, {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "first"}, own, 5]  # type: ignore[list-item]
    assert alice.sign_in().status_code == 303


@ON_SQLITE
def test_keys_are_fetched_anew_for_an_unknown_one_once_a_minute(
    alice: Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = alice.provider.heard
    assert alice.sign_in().status_code == alice.sign_in().status_code == 303 and asked[fake.KEYS] == 1
    alice.provider.rotate()
    assert alice.sign_in().status_code == 303 and asked[fake.KEYS] == 2
    for number in range(5):  # under attack
        alice.provider.header = {"kid": f"made-up-{number}"}
        assert alice.sign_in().status_code == 400
    assert asked[fake.KEYS] == 2
    alice.provider.header = {}
    alice.provider.rotate("third")
    assert alice.sign_in().status_code == 400
    monkeypatch.setattr(provider_calls, "KEYS_AGAIN_AFTER", 0)
    assert alice.sign_in().status_code == 303 and asked[fake.KEYS] == 3
    assert asked[fake.DISCOVERY] == 1


@ON_SQLITE
def test_keys_without_names_are_tried(alice: Traveller) -> None:
    alice.provider.header = {"kid": None}
    alice.provider.published = [jwk.RSAKey.generate_key(2048).as_dict(private=False), fake.KEY.as_dict(private=False)]
    assert alice.sign_in().status_code == 303


@ON_SQLITE
def test_secret_in_the_body_where_the_provider_asks_for_it(alice: Traveller) -> None:
    alice.provider.described = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    alice.provider.legs[fake.TOKEN] = _by_form
    assert alice.sign_in().status_code == 303


def _by_form(handler: Any) -> None:
    body = parse_qs(handler.rfile.read(int(handler.headers["Content-Length"])).decode())
    assert body.pop("client_id") == [fake.CLIENT_ID] and body.pop("client_secret") == [fake.SECRET]
    assert handler.headers.get("Authorization") is None
    asked = handler.provider.codes.pop(body["code"][0])
    token = fake.signed(handler.provider, handler.provider.id_claims(asked, "access"))
    handler.say_json(200, {"access_token": "access", "token_type": "Bearer", "id_token": token})


# --- clocks (OID-05) -------------------------------------------------------------------------------------------------


@ON_SQLITE
@pytest.mark.parametrize("seconds", [-58, -30, -10, 10, 30, 58])
def test_clock_within_a_minute_is_fine(alice: Traveller, seconds: int) -> None:
    alice.provider.clock = seconds
    assert alice.sign_in().status_code == 303


@ON_SQLITE
@pytest.mark.parametrize("seconds", [-300, -120, -63, 63, 120, 300])
@pytest.mark.parametrize("life", [60, 3600])
def test_clock_beyond_a_minute_is_refused_and_named(alice: Traveller, seconds: int, life: int) -> None:
    alice.provider.clock = seconds
    alice.provider.claims["exp"] = int(time.time()) + seconds + life
    answer = alice.sign_in()
    refused(alice, answer, 400, "clocks of Fake and of this server differ")
    named = re.search(r"by about (\d+) seconds", words(answer))
    assert named is not None and abs(int(named[1]) - abs(seconds)) <= 2


@ON_SQLITE
def test_token_that_is_good_later_is_a_matter_of_clocks(alice: Traveller) -> None:
    alice.provider.claims["nbf"] = time.time() + 100
    refused(alice, alice.sign_in(), 400, "clocks")


# --- trouble at each leg (OID-07) ------------------------------------------------------------------------------------

BROKEN = {
    "500": fake.page(500),
    "500 with JSON": fake.page(500, "application/json", '{"error": "server_error"}'),
    "404": fake.page(404),
    "HTML": fake.page(),
    "a list": fake.page(200, "application/json", "[]"),
    "null": fake.page(200, "application/json", "null"),
    "empty": fake.page(200, "application/json", "{}"),
    "nested": fake.page(200, "application/json", "[" * 100_000),
    "half": fake.page(200, "application/json", '{"issuer": "'),
    "binary": fake.page(200, "application/octet-stream", "\0\0"),
    "elsewhere": lambda handler: (handler.send_response(302), handler.send_header("Location", "/x"), handler.end_headers()),
    "hung up": lambda handler: handler.connection.close(),
    "too much": fake.page(200, "application/json", '{"x": "' + "x" * 2_000_000 + '"}'),
}  # fmt: skip


@ON_SQLITE
@pytest.mark.parametrize("leg", fake.LEGS)
def test_trouble_gives_a_plain_page(app: Flask, alice: Traveller, leg: str) -> None:
    alice.provider.claims.pop("email")  # so that the userinfo endpoint is asked too
    for how, broken in BROKEN.items():
        app.extensions.pop("shaman_sign_in", None)
        alice.provider.legs[leg] = broken
        answer = alice.http.get("/login/fake", headers=PAGE)
        if leg != fake.DISCOVERY:
            answer = alice.come_back(alice.provider.answer(answer.location))
        assert answer.status_code in ((400, 502) if how == "empty" else (502,)), how
        assert "Fake" in words(answer) and "Sign in another way" in words(answer) and "Try again" in words(answer), how
    assert sign_ins(app) == []
    alice.provider.legs.clear()
    assert alice.sign_in().status_code == 303


@ON_SQLITE
@pytest.mark.parametrize("leg", fake.LEGS)
@pytest.mark.parametrize("how", [fake.slow(5), fake.dripping])
def test_slow_provider_is_given_up(alice: Traveller, monkeypatch: pytest.MonkeyPatch, leg: str, how: Any) -> None:
    monkeypatch.setattr(provider_calls, "SECONDS", 0.6)
    alice.provider.claims.pop("email")
    alice.provider.legs[leg] = how
    begun = time.monotonic()
    answer = alice.http.get("/login/fake", headers=PAGE)
    if leg != fake.DISCOVERY:
        answer = alice.come_back(alice.provider.answer(answer.location))
    assert time.monotonic() - begun < 2
    refused(alice, answer, 504, "takes too long")


def test_page_waits_less_than_ten_seconds() -> None:
    assert provider_calls.SECONDS <= 8


@ON_SQLITE
def test_all_legs_together_are_waited_for_once(alice: Traveller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_calls, "SECONDS", 1.0)
    alice.provider.claims.pop("email")
    address = alice.set_out()
    alice.provider.legs = {leg: fake.slow(0.5) for leg in fake.LEGS}
    begun = time.monotonic()
    refused(alice, alice.come_back(alice.provider.answer(address)), 504)
    assert time.monotonic() - begun < 1.6


@ON_SQLITE
def test_slow_provider_holds_few_threads_and_no_other_provider(
    app: Flask, alice: Traveller, other: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_calls, "SECONDS", 1.5)
    alice.provider.legs[fake.DISCOVERY] = fake.slow(5)
    ready = threading.Barrier(12)

    def press(_number: int) -> int:
        http = app.test_client()
        ready.wait()
        return http.get("/login/fake", headers=PAGE).status_code

    with ThreadPoolExecutor(12) as pool:
        waiting = [pool.submit(press, number) for number in range(12)]
        time.sleep(0.5)
        assert sum(one.done() for one in waiting) == 8
        assert app.test_client().get("/login/other").status_code == 303
        assert alice.provider.heard[fake.DISCOVERY] == 4
    assert sorted(one.result() for one in waiting) == [503] * 8 + [504] * 4
    alice.provider.legs.clear()
    assert alice.sign_in().status_code == 303


@ON_SQLITE
def test_certificate_that_nobody_trusts(tmp_path: Any, world: World) -> None:
    _file, context = certificate(tmp_path / "tls", "127.0.0.1")
    with FakeProvider().serving(tls=context) as secret:
        app = _with_provider(world.app, secret)
        answer = app.test_client().get("/login/secret", headers=PAGE)
        assert answer.status_code == 502 and "Secret can" in words(answer)


def _with_provider(app: Flask, provider: FakeProvider) -> Flask:
    from chatbot.oauth_settings import read_providers

    app.config["SHAMAN"]._sign_in_providers = read_providers(provider.settings("SECRET"))
    return app


@ON_SQLITE
def test_wrong_secret_is_told_and_logged(alice: Traveller) -> None:
    address = alice.set_out()
    alice.provider.legs[fake.TOKEN] = fake.page(401, "application/json", '{"error": "invalid_client"}')
    with capture_logs() as logged:
        refused(alice, alice.come_back(alice.provider.answer(address)), 502)
    assert any("client id or the secret" in entry.get("why", "") for entry in logged)


@ON_SQLITE
@pytest.mark.parametrize("issuer", ["https://evil.example", "http://127.0.0.1:1", ""])
def test_description_of_another_issuer_is_refused(alice: Traveller, issuer: str) -> None:
    alice.provider.described = {"issuer": issuer}
    answer = alice.http.get("/login/fake", headers=PAGE)
    assert answer.status_code == 502


@ON_SQLITE
@pytest.mark.parametrize("name", ["token_endpoint", "jwks_uri", "userinfo_endpoint"])
def test_description_leads_nobody_inside(app: Flask, alice: Traveller, name: str) -> None:
    alice.provider.claims.pop("email")
    for address in ("http://127.0.0.2:1/x", "http://10.1.2.3/", "file:///etc/passwd", "x", "http://"):
        app.extensions.pop("shaman_sign_in", None)
        alice.provider.described = {name: address}
        refused(alice, alice.sign_in(), 502)


@ON_SQLITE
def test_browsers_are_sent_to_web_addresses_alone(alice: Traveller) -> None:
    for address in ("javascript:alert(1)", "ftp://x.example/", "/x", "http://a@b.example/", "\n"):
        alice.provider.described = {"authorization_endpoint": address}
        assert alice.http.get("/login/fake", headers=PAGE).status_code == 502


@ON_SQLITE
def test_userinfo_of_somebody_else_is_refused(alice: Traveller) -> None:
    alice.provider.claims.pop("email")
    alice.provider.userinfo = {"sub": "somebody-else", "email": BOB}
    refused(alice, alice.sign_in(), 400)


def test_odd_letters_are_left_out(app: Flask, alice: Traveller) -> None:
    alice.provider.claims.pop("email")
    alice.provider.userinfo = {"email": "a\0\ud800\u202e@x", "email_verified": True, "name": "\ud800"}
    assert alice.sign_in().status_code == 303 and sign_ins(app) == [ALICE]


@ON_SQLITE
def test_secrets_are_in_no_log(alice: Traveller, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    path = alice.provider.answer(alice.set_out())
    secrets = [fake.SECRET, *(values[0] for values in parse_qs(urlsplit(path).query).values())]
    with capture_logs() as logged:
        assert alice.come_back(path).status_code == 303
        alice.provider.legs[fake.KEYS] = alice.provider.legs[fake.TOKEN] = fake.page(400, "text/html", fake.SECRET)
        assert alice.sign_in().status_code == 502
    assert len(logged) >= 3 and not [one for one in secrets if one in f"{logged}{caplog.text}"]
