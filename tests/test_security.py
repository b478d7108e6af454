"""What every answer and every form must hold: headers, cookies, links, tokens; and that no bad input breaks anything."""

import io
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.datastructures import Headers
from werkzeug.test import TestResponse

from bench.model import ModelServer
from chatbot.accounts.people import read_email
from chatbot.chat.models import Conversation, Message, Turn, Visitor
from chatbot.db import as_tenant
from chatbot.security import CSP_LINE, group_address
from chatbot.tenancy import new_id
from tests.world import BAKERY, OTHER, Browser, World, hidden

HOME = f"/chat/{BAKERY}"


@pytest.fixture
def settings(model: ModelServer) -> dict[str, Any]:
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "obey"}


def rows(world: World, *kinds: type[Any]) -> list[Any]:
    with world.app.app_context(), as_tenant(world.ids[BAKERY], writes=False) as session:
        return [tuple(row) for kind in kinds for row in session.execute(select(*kind.__table__.columns[:0], kind.id))]


# --- headers --------------------------------------------------------------------------------------------------------


def answers(vera: Browser) -> Iterator[TestResponse]:
    """Pages and errors of every kind."""
    ids = vera.ask("say hello")
    turn, session, message = ids[0].data["turn_id"], ids[0].data["session_id"], ids[-1].data["message_id"]
    html = {"Accept": "text/html"}
    for path in ("/", HOME, f"{HOME}/new", f"{HOME}?session={session}", f"{HOME}/older?session={session}", "/nowhere", "/chat/none",
                 f"{HOME}/messages/{message}", f"{HOME}/messages/x", f"{HOME}/turns/{turn}/events", f"{HOME}/look.css",
                 "/healthz", "/readyz", "/static/css/base.css", "/static/none", "/api/chat", "/api/client/knowledge"):  # fmt: skip
        yield vera.http.get(path, headers=html, buffered=True)
    yield vera.post(message="say hello")
    yield vera.post(message="")
    yield vera.post(message="say hello", csrf_token="wrong")
    yield vera.http.post("/api/chat", json={"message": "say hello", "client": BAKERY})
    yield vera.http.put(HOME, headers=html)


def test_every_answer_carries_the_headers(world: World) -> None:
    for answer in answers(world.vera):
        headers, path = answer.headers, f"{answer.request.method} {answer.request.path}"
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY", path
        assert headers["Referrer-Policy"] == "same-origin" and headers["Cross-Origin-Opener-Policy"] == "same-origin", (
            path
        )
        assert "Strict-Transport-Security" not in headers and "Server" not in headers, path
        if answer.mimetype == "text/html" and answer.status_code != 303:
            assert headers["Content-Security-Policy"] == CSP_LINE, path
        if not answer.request.path.startswith("/static/") and not answer.request.path.endswith("look.css"):
            assert headers["Cache-Control"] == "no-store", path
        else:
            assert "Set-Cookie" not in headers or "no-store" in headers["Cache-Control"], path


def test_the_policy_allows_nothing_inline_or_foreign(world: World) -> None:
    assert "unsafe" not in CSP_LINE and "http" not in CSP_LINE and "*" not in CSP_LINE
    for directive in (
        "default-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "object-src 'none'",
    ):
        assert directive in CSP_LINE
    for answer in answers(world.vera):
        if answer.mimetype == "text/html":
            page = answer.get_data(as_text=True)
            assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", page)


def test_personal_answers_are_kept_by_nobody(world: World) -> None:
    """A public one never sets a cookie; whatever knows the caller is not stored, and varies by cookie."""
    for answer in answers(world.vera):
        if "no-store" not in answer.headers.get("Cache-Control", ""):
            assert "Set-Cookie" not in answer.headers and "visitor" not in answer.get_data(as_text=True)
        elif answer.mimetype == "text/html" and answer.status_code == 200:
            assert "Cookie" in answer.headers.get("Vary", "")


# --- cookies --------------------------------------------------------------------------------------------------------


def cookies_of(app: Flask) -> dict[str, str]:
    """Every cookie that a visit sets, with its flags."""
    client = app.test_client()
    found: list[str] = []
    for answer in (client.get(HOME), client.get(HOME), client.get(f"{HOME}/new")):
        found += answer.headers.getlist("Set-Cookie")
    return {cookie.split("=")[0]: cookie for cookie in found}


def test_cookies_are_for_this_site_and_no_script(world: World) -> None:
    found = cookies_of(world.app)
    assert set(found) == {"shaman_session", "shaman_visitor"}
    for cookie in found.values():
        assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/" in cookie and "Domain" not in cookie


class TestHttps:
    @pytest.fixture
    def settings(self, model: ModelServer) -> dict[str, Any]:
        return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "obey", "PUBLIC_URL": "https://chat.example.com"}

    def test_cookies_are_bound_to_the_host(self, world: World) -> None:
        found = cookies_of(world.app)
        assert set(found) == {"__Host-session", "__Host-visitor"}
        assert all("Secure" in cookie and "Path=/" in cookie and "Domain" not in cookie for cookie in found.values())

    def test_browsers_are_told_to_stay_on_https(self, world: World) -> None:
        for answer in (world.vera.http.get(HOME), world.vera.http.get("/healthz"), world.vera.http.get("/none")):
            assert "max-age=" in answer.headers["Strict-Transport-Security"]


# --- links and redirects --------------------------------------------------------------------------------------------

HOSTS = {
    "Host": "evil.example",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "gopher",
    "Forwarded": "host=evil.example",
}


def test_no_answer_is_made_of_the_requests_host(world: World) -> None:
    vera = world.vera
    paths = ["/", HOME, f"{HOME}/new", f"{HOME}/", "/chat//harbour-bakery", "//evil.example", "//evil.example/..", f"//evil.example{HOME}",
             f"/%2f%2fevil.example{HOME}", f"/\\evil.example{HOME}", "/static", "/static/", f"{HOME}//new", f"{HOME}/new/", "/api/chat/"]  # fmt: skip
    for path in paths:
        answer = vera.http.get(path, headers=HOSTS, buffered=True)
        assert b"evil" not in answer.get_data(), path
        assert "evil" not in str(answer.headers), path
        assert answer.headers.get("Location", "/").startswith("/"), path
        assert not answer.headers.get("Location", "/").startswith("//"), path


def test_redirects_stay_here_whatever_is_asked_for(world: World) -> None:
    token = hidden((page := world.vera.http.get(HOME)).get_data(as_text=True), "csrf_token")
    cookies = "; ".join(cookie.split(";")[0] for cookie in page.headers.getlist("Set-Cookie"))
    http = world.app.test_client(use_cookies=False)
    for more in ("", "?next=https://evil.example", "?url=//evil.example", "?session=//evil.example"):
        for fields in ({"choice": "fresh"}, {"message": "say hello", "name": new_id(), "next": "https://evil.example"}):
            path = HOME + ("/new" if "choice" in fields else "") + more
            headers = HOSTS | {"Accept": "text/html", "Cookie": cookies}
            answer = http.post(path, data={"csrf_token": token, **fields}, headers=headers)
            assert answer.status_code == 303 and answer.headers["Location"].startswith(HOME), (more, answer.status_code)


class TestBehindProxies:
    @pytest.fixture
    def settings(self, model: ModelServer) -> dict[str, Any]:
        return {
            "OPENAI_BASE_URL": model.base_url,
            "OPENAI_MODEL": "obey",
            "TRUSTED_PROXIES": 1,
            "CHAT_RATE_LIMIT": "2 per minute",
        }

    def test_the_callers_address_is_the_proxys_word_and_no_more(self, world: World) -> None:
        """The limit counts the address that the trusted proxy added, never one that the caller put before it."""
        body = {"message": "say hello", "client": BAKERY}

        def ask(forwarded: str) -> int:
            return (
                world.app.test_client().post("/api/chat", json=body, headers={"X-Forwarded-For": forwarded}).status_code
            )

        assert [ask("203.0.113.9"), ask("1.1.1.1, 203.0.113.9"), ask("2.2.2.2, 203.0.113.9")] == [200, 200, 429]
        assert ask("203.0.113.9, 203.0.113.10") == 200


def test_an_ipv6_network_is_one_caller() -> None:
    assert group_address("2001:db8:1:2::1") == group_address("2001:db8:1:2:ffff::9") != group_address("2001:db8:1:3::1")
    assert group_address("::ffff:203.0.113.9") == "203.0.113.9" and group_address("nonsense") == "unknown"


# --- forms ----------------------------------------------------------------------------------------------------------


def forms(world: World, vera: Browser) -> dict[str, dict[str, str]]:
    """Every form of the chat's pages that changes something, with fields that would."""
    done, failed = vera.ask("say hello")[0].data, vera.ask("play status-400")[0].data
    return {
        f"/turns/{failed['turn_id']}/retry": {"name": new_id()},
        "": {"message": "say forged", "session_id": done["session_id"], "name": new_id()},
        "/new": {"choice": "fresh"},
        f"/turns/{done['turn_id']}/stop": {},
    }


def test_forms_cover_every_post_of_the_blueprint(world: World) -> None:
    rules = {
        rule.rule
        for rule in world.app.url_map.iter_rules()
        if "POST" in (rule.methods or ()) and rule.endpoint.startswith("chat.")
    }
    paths = {re.sub(r"/turns/\w+/", "/turns/<turn_id>/", f"/chat/<slug>{path}") for path in forms(world, world.vera)}
    assert paths == rules


def everything_of(world: World) -> list[Any]:
    kinds = (Visitor, Conversation, Message, Turn)
    with world.app.app_context(), as_tenant(world.ids[BAKERY], writes=False) as session:
        columns = [kind.__table__.columns.keys() for kind in kinds]
        return [
            {name: str(getattr(row, name)) for name in names}
            for kind, names in zip(kinds, columns, strict=True)
            for row in session.scalars(select(kind).order_by(kind.id))
        ]


def test_a_form_needs_its_own_sessions_token(world: World) -> None:
    vera, walt = world.vera, world.walt
    ours, others = forms(world, vera), hidden(walt.page(), "csrf_token")
    own = hidden(vera.page(), "csrf_token")
    before = everything_of(world)
    for path, fields in ours.items():
        for token in (
            {},
            {"csrf_token": ""},
            {"csrf_token": "wrong"},
            {"csrf_token": others},
            {"csrf_token": own[:-2]},
            {"csrf_token": own * 50},
        ):
            for accept in ("text/html", "text/event-stream", "application/json"):
                answer = vera.http.post(HOME + path, data=fields | token, headers={"Accept": accept})
                assert answer.status_code == 400, (path, token, accept)
            assert everything_of(world) == before, (path, token)
    for path, fields in ours.items():
        assert vera.http.post(HOME + path, data=fields | {"csrf_token": own}).status_code == 303, path


def test_a_token_in_the_address_or_a_cookie_does_not_count(world: World) -> None:
    vera = world.vera
    token = hidden(vera.page(), "csrf_token")
    vera.http.set_cookie("csrf_token", token)
    answer = vera.http.post(f"{HOME}?csrf_token={token}", data={"message": "say forged", "name": new_id()})
    assert answer.status_code == 400 and everything_of(world) == []


def test_typed_text_outlives_a_refused_token(world: World) -> None:
    typed = "Do you have <b>rye</b> & spelt?"
    answer = world.vera.post(message=typed, csrf_token="stale")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 400 and "Do you have &lt;b&gt;rye&lt;/b&gt; &amp; spelt?</textarea>" in page
    fresh = hidden(page, "csrf_token")
    assert fresh and fresh != "stale"


def test_other_sites_cannot_send_our_forms_by_other_types(world: World) -> None:
    """What a page elsewhere may send without asking first: text/plain, and forms; to the API none of them counts."""
    vera = world.vera
    token = hidden(vera.page(), "csrf_token")
    body = json.dumps({"message": "say forged", "client": BAKERY})
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
        "text/json",
        "application/json-patch",
    ):
        assert vera.http.post("/api/chat", data=body, content_type=kind).status_code == 415, kind
    for kind in ("text/plain", "application/json", "application/xml"):
        data = f"csrf_token={token}&message=say+forged"
        assert vera.http.post(HOME, data=data, content_type=kind).status_code == 415, kind
    assert everything_of(world) == []


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:5000.evil.example", "http://localhost"]
)
def test_no_origin_is_let_in_with_credentials(origin: str, world: World) -> None:
    for path in ("/", HOME, "/api/chat", "/api/client/knowledge", "/healthz"):
        for method in ("GET", "POST", "OPTIONS"):
            headers = {
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "content-type",
            }
            answer = world.vera.http.open(path, method=method, headers=headers)
            assert (
                "Access-Control-Allow-Origin" not in answer.headers
                and "Access-Control-Allow-Credentials" not in answer.headers
            )


# --- bad input ------------------------------------------------------------------------------------------------------


def test_no_path_or_method_breaks_anything(world: World) -> None:
    """Zero bytes, bytes that are no UTF-8, overlong forms, climbing paths, unknown methods: 4xx each."""
    key, slug = world.key(), f"/chat/{BAKERY}"
    bad = [
        "%00",
        "%ff",
        "%c0%af",
        "%ed%a0%80",
        "%f4%90%80%80",
        "..%2f..%2fetc%2fpasswd",
        "%0d%0aX-Injected:1",
        "x" * 5000,
        "%",
        "%zz",
        "' OR 1=1--",
    ]
    places = ["/{}", "/chat/{}", slug + "/{}", slug + "/messages/{}", slug + "/turns/{}/events", slug + "?session={}",
              slug + "/older?session={}", "/api/{}", "/api/chat/turns/{}/events?client=" + BAKERY,
              "/api/chat/turns/x/events?client={}", "/api/client/knowledge/{}", "/static/{}"]  # fmt: skip
    for place in places:
        for value in bad:
            answer = world.vera.http.get(place.format(value), headers=key, buffered=True)
            assert 400 <= answer.status_code < 500, (place, value, answer.status_code)
            assert "X-Injected" not in answer.headers
    for path in ("/", HOME, "/api/chat", "/healthz", "/static/css/base.css", "/api/client/knowledge"):
        for method in ("TRACE", "CONNECT", "PROPFIND", "PUT", "PATCH", "FOO"):
            assert world.vera.http.open(path, method=method, buffered=True).status_code == 405, (method, path)


def test_no_query_value_breaks_anything(world: World) -> None:
    vera = world.vera
    session = vera.ask("say hello")[0].data["session_id"]
    for value in (
        "%00",
        "%ff",
        "x" * 5000,
        "9" * 400,
        str(2**31),
        str(2**63),
        str(-(2**63) - 1),
        "-1",
        "1e9",
        "%D9%A3",
        "NaN",
        "%25_%5C",
        "'\")(*:",
    ):
        for path in (f"{HOME}?session={session}&before=", f"{HOME}/older?session={session}&before=", f"{HOME}/new?q=", f"{HOME}/new?page=",
                     "/api/client/knowledge?limit=", "/api/client/knowledge?cursor=", "/api/client/search?q=", "/api/client/search?q=x&limit="):  # fmt: skip
            answer = vera.http.get(path + value, headers=world.key())
            assert answer.status_code < 500, (path, value)


BODIES: dict[str, bytes] = {
    "deep": b'{"message":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"a":' * 100_000,
    "surrogate in words": b'{"message":"\\ud800","client":"harbour-bakery"}',
    "surrogate in the user": b'{"message":"x","user_id":"\\udfff","client":"harbour-bakery"}',
    "surrogate in the client": b'{"message":"x","client":"\\ud800"}',
    "surrogate in a name": b'{"\\ud800":"x"}',
    "zero byte in the user": b'{"message":"x","user_id":"\\u0000"}',
    "zero byte in the client": b'{"message":"x","client":"\\u0000"}',
    "zero byte alone": b'{"message":"\\u0000","client":"harbour-bakery"}',
    "1e400": b'{"message":1e400}',
    "NaN": b'{"message":"x","stream":NaN}',
    "Infinity": b'{"message":"x","stream":-Infinity}',
    "a long number": b'{"message":' + b"9" * 5000 + b"}",
    "a longer number": b'{"stream":' + b"9" * 1_000_000 + b"}",
    "not UTF-8": b'{"message":"\xff","client":"harbour-bakery"}',
    "cut": b'{"message":"x',
    "empty": b"",
    "a list": b"[]",
    "null": b"null",
    "a word": b'"x"',
    "an unknown field": b'{"message":"x","client":"harbour-bakery","tenant_id":"x"}',
    "a wrong type": b'{"message":["x"],"client":"harbour-bakery"}',
    "a number for yes": b'{"message":"x","stream":1,"client":"harbour-bakery"}',
    "many fields": json.dumps({f"field{n}": n for n in range(20_000)}).encode(),
    "no words": b'{"message":" \\n ","client":"harbour-bakery"}',
    "too many words": json.dumps({"message": "x" * 8001, "client": BAKERY}).encode(),
    "no client": b'{"message":"x"}',
    "an unknown client": b'{"message":"x","client":"nobody"}',
    "a long user": json.dumps({"message": "x", "user_id": "u" * 201, "client": BAKERY}).encode(),
    "zero bytes": b"\0" * 1000,
    "17 MB": b'{"message":"' + b"x" * (17 << 20) + b'"}',
}


def test_no_body_breaks_the_api(world: World) -> None:
    for name, body in BODIES.items():
        answer = world.vera.http.post("/api/chat", data=body, content_type="application/json")
        assert 400 <= answer.status_code < 500, (name, answer.status_code)
        problem = answer.get_json()
        assert answer.mimetype == "application/problem+json" and problem["status"] == answer.status_code, name
    assert everything_of(world) == []


def test_no_body_breaks_a_form(world: World) -> None:
    vera = world.vera
    token = hidden(vera.page(), "csrf_token")
    for name, body in BODIES.items():
        assert 400 <= vera.http.post(HOME, data=body, content_type="application/json").status_code < 500, name
    for field in ("message", "name", "session_id", "csrf_token", "choice"):
        for path in ("", "/new"):
            fields = {"csrf_token": token, "message": "x", "choice": "load", field: (io.BytesIO(b"x"), "x.txt")}
            answer = vera.http.post(HOME + path, data=fields, content_type="multipart/form-data")
            assert 400 <= answer.status_code < 500, (field, path)
    for field, value in (
        ("name", "\0"),
        ("session_id", "\0"),
        ("message", "\0"),
        ("name", "a\n"),
        ("name", "ä"),
        ("name", "x" * 300),
    ):
        data = {"csrf_token": token, "message": "x", "name": new_id()} | {field: value}
        assert 400 <= vera.http.post(HOME, data=data).status_code < 500, (field, value)
    assert (
        400
        <= vera.http.post(f"{HOME}/new", data={"csrf_token": token, "choice": "load", "session_id": "\0"}).status_code
        < 500
    )
    assert (
        400 <= vera.http.post(HOME, data=b"--x\r\n", content_type="multipart/form-data; boundary=x").status_code < 500
    )
    assert not rows(world, Turn)


def test_no_header_breaks_anything(world: World, client: FlaskClient) -> None:
    for name, value in (
        ("Cookie", "shaman_visitor=" + "x" * 16_000), ("Cookie", "shaman_session=\xff; shaman_visitor=\xff"), ("Cookie", "=;=;;"),
        ("X-Long", "x" * 16_000), ("Accept", "*/*;q=x, ;;;,"), ("Accept", "\xff"), ("Accept-Language", "\xff;q=9,xx-" + "y" * 200),
        ("Last-Event-ID", "9" * 5000), ("Last-Event-ID", "\xff"), ("Range", "bytes=9-1"), ("If-None-Match", "\xff"),
        ("Content-Length", "x"), ("Transfer-Encoding", "gzip"), ("Authorization", "Bearer " + "x" * 16_000), ("Authorization", "\xff"),
        ("Idempotency-Key", "\xff" * 200), ("Origin", "\xff"), ("X-Forwarded-For", "\xff"),
    ):  # fmt: skip
        for path in (HOME, f"{HOME}/turns/x/events", "/api/client/knowledge"):
            answer = client.get(path, headers=Headers([(name, value)]))
            assert answer.status_code < 500, (name, path)


def test_no_credential_but_a_key_opens_the_api(world: World, client: FlaskClient) -> None:
    key = world.keys[BAKERY]
    head, id_, secret = key.split("_", 2)
    wrong = ["", "Bearer", "Bearer ", f"Basic {key}", f"Bearer {key}x", f"Bearer {key[:-1]}", f"Bearer {head}_{id_}_", f"Bearer {id_}_{secret}",
             f"Bearer {head}_{world.keys[OTHER].split('_')[1]}_{secret}", f"Bearer {key.upper()}", f"Bearer {head}_{'%' * 26}_{secret}",
             f"Bearer {head}_{'é' * 26}_{secret}", f"Bearer {head}_{id_}_{secret.swapcase()}", "Bearer null", "Bearer undefined"]  # fmt: skip
    for value in wrong:
        answer = client.get("/api/client/knowledge", headers={"Authorization": value.encode().decode("latin1")})
        assert answer.status_code == 401 and "Bearer" in answer.headers["WWW-Authenticate"], value
    for carrier in ({"X-Api-Key": key}, {"Api-Key": key}, {"Cookie": f"key={key}"}):
        assert client.get(f"/api/client/knowledge?key={key}&access_token={key}", headers=carrier).status_code == 401
    assert client.get("/api/client/knowledge", headers={"Authorization": f"bearer {key}"}).status_code == 200


# --- what anybody may send ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"a&" * 1001, b"email=" + b"x" * (2 << 20)], ids=["fields", "bytes"])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_form_as_one_text_is_bounded(client: FlaskClient, body: bytes, is_chunked: bool) -> None:
    sent: dict[str, Any] = {"content_type": "application/x-www-form-urlencoded"}
    if is_chunked:
        sent |= {"input_stream": io.BytesIO(body), "environ_overrides": {"wsgi.input_terminated": True}}
    else:
        sent["data"] = body
    assert client.post("/login", **sent).status_code == 413


def test_an_e_mail_of_any_length_is_refused_at_once() -> None:
    begun = time.monotonic()
    assert read_email("a" + "\u0301\u0323" * 300_000 + "@shop.example") is None
    assert time.monotonic() - begun < 1


def test_a_long_domain_leads_to_no_provider(world: World) -> None:
    http = world.app.test_client()
    token = hidden(http.get("/login").get_data(as_text=True), "csrf_token")
    answer = http.post("/login", data={"csrf_token": token, "email": f"a@{'b' * 60_000}"})
    assert answer.status_code == 422
