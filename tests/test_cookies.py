"""Cookies, caching and origins, over every route there is and every way of signing in, on http and on https."""

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from bench.model import ModelServer
from chatbot.accounts.links import make_reset_link
from chatbot.audit import COMMAND_LINE
from chatbot.db import across_tenants
from chatbot.tenancy import new_id
from tests.accounts.conftest import CHEAP
from tests.accounts.fake_provider import FakeProvider
from tests.accounts.people import PASSWORD, give_password
from tests.accounts.signing_in import account_of, give_codes, pending, show
from tests.test_rights import routes
from tests.world import ALICE, BAKERY, ROOT, ULLA, World, hidden

PAGE = {"Accept": "text/html"}
ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
OURS = {"session", "visitor", "known", "flow_"}  # all the cookies that there are
HTTPS = {"PUBLIC_URL": "https://chat.example"}
PUBLIC = {"static", "pages.styles", "chat.look"}  # the same for everybody: these alone may be kept by others


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider().serving() as server:
        yield server


@pytest.fixture(params=[{}, HTTPS], ids=["http", "https"])
def settings(request: pytest.FixtureRequest, model: ModelServer, provider: FakeProvider) -> dict[str, Any]:
    given = {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "obey", "OAUTH_SIGN_UP": "true"}
    https: dict[str, str] = request.param
    return given | provider.settings("FAKE") | https


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatbot.accounts.passwords._hasher", CHEAP)


@pytest.fixture
def answers(app: Flask) -> list[TestResponse]:
    """Every answer that the application has given."""
    given: list[TestResponse] = []
    opened = FlaskClient.open

    class Listening(FlaskClient):
        def open(self, *args: Any, **kwargs: Any) -> TestResponse:
            answer = opened(self, *args, **kwargs)
            given.append(answer)
            return answer

    app.test_client_class = Listening
    return given


def browser(app: Flask, https: bool) -> FlaskClient:
    http = app.test_client()
    http.environ_base["wsgi.url_scheme"] = "https" if https else "http"
    return http


# --- the ways that set cookies ---------------------------------------------------------------------------------------


def go_every_way(world: World, provider: FakeProvider, https: bool) -> None:
    """Chat, sign in by each way, be refused, set things up, sign out."""
    app = world.app
    give_password(world, ALICE)
    visitor = browser(app, https)
    page = visitor.get(f"/chat/{BAKERY}").get_data(as_text=True)
    form = {"csrf_token": hidden(page, "csrf_token"), "message": "say hello", "name": new_id(), "session_id": ""}
    visitor.post(f"/chat/{BAKERY}", data=form, headers=PAGE)
    visitor.post("/api/chat", json={"message": "say hello", "client": BAKERY})
    by_password = browser(app, https)
    send(by_password, "/login", email=ALICE, password="wrong")
    send(by_password, "/login", email=ALICE, password=PASSWORD)
    by_password.get("/account/second-factor/app")
    send(by_password, "/logout")
    by_factor = pending(world, ALICE)
    show(by_factor, recovery_code="wrong")
    show(by_factor, recovery_code=give_codes(world, ALICE)[0])
    by_link = browser(app, https)
    with app.app_context(), across_tenants():
        link = make_reset_link(account_of(ULLA).id, COMMAND_LINE)
    send(by_link, re.sub("^.*/link/", "/link/", link), password=PASSWORD)
    by_provider = browser(app, https)
    provider.is_person("nina", email="nina@new.example", email_verified=True)
    away = by_provider.get("/login/fake").location
    by_provider.get(provider.answer(away))
    by_provider.get("/login/fake/callback?state=x&code=y")


def send(http: FlaskClient, path: str, **fields: str) -> TestResponse:
    """A form from its own page, with its own token; browsers on https name where they come from."""
    page = http.get("/login").get_data(as_text=True)
    form = hidden(page, "csrf_token") or hidden(http.get("/account").get_data(as_text=True), "csrf_token")
    return http.post(path, data={"csrf_token": form} | fields, headers=PAGE)


@ON_SQLITE
def test_all_cookies_are_ours_and_guarded(world: World, answers: list[TestResponse], provider: FakeProvider) -> None:
    https = world.app.config["SHAMAN"].is_https
    go_every_way(world, provider, https)
    for http in (browser(world.app, https), world.signed_in(ALICE), world.signed_in(ROOT)):
        for _endpoint, method, path in routes(world.app):
            http.open(path, method=method, headers=PAGE, data={} if method == "POST" else None, buffered=True)
    cookies = [cookie for answer in answers for cookie in answer.headers.getlist("Set-Cookie")]
    prefix = "__Host-" if https else "shaman_"
    names = {re.sub("flow_.*", "flow_", cookie.partition("=")[0]) for cookie in cookies}
    assert names == {f"{prefix}{name}" for name in OURS}
    for cookie in cookies:
        said = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert {"httponly", "samesite=lax", "path=/"} <= said and ("secure" in said) == https, cookie
        assert not any(part.startswith("domain") for part in said), cookie


@ON_SQLITE
def test_what_is_personal_is_kept_by_nobody(world: World, answers: list[TestResponse]) -> None:
    """Only what is the same for everybody may be kept, and that sets no cookie and names nobody; all else says so."""
    for http in (world.app.test_client(), world.signed_in(ALICE), world.signed_in(ROOT)):
        http.get(f"/chat/{BAKERY}")
        for endpoint, method, path in routes(world.app):
            answer = http.open(path, method=method, headers=PAGE, buffered=True)
            is_kept = "no-store" not in answer.headers.get("Cache-Control", "")
            if is_kept:
                assert endpoint in PUBLIC and answer.status_code < 400, path
                assert "Set-Cookie" not in answer.headers, path
            else:
                assert "Cookie" in answer.headers.get("Vary", ""), path
    for path in ("/static/css/base.css", str(world.app.jinja_env.globals["joined_styles"])):
        answer = world.signed_in(ALICE).get(path, buffered=True)
        assert answer.status_code == 200 and "Set-Cookie" not in answer.headers, path


ORIGINS = (
    "https://evil.example",
    "null",
    "http://",
    "file://",
    "https://localhost.evil.example",
    "https://evillocalhost",
    "http://localhost:1",
)


@ON_SQLITE
@pytest.mark.parametrize("settings", [{}])
def test_no_origin_is_let_in(world: World) -> None:
    """Neither reflected nor a star, with credentials or without, on any route, by any method."""
    http, key = world.signed_in(ALICE), world.key()
    for (endpoint, method, path), origin in product(routes(world.app), ORIGINS):
        asked = {"Origin": origin, "Access-Control-Request-Method": method}
        for tried in (method, "OPTIONS"):
            headers = asked | (key if endpoint.startswith("api.") else {})
            answer = http.open(path, method=tried, headers=headers, buffered=True)
            assert not [name for name, _value in answer.headers if name.startswith("Access-Control-")], (tried, path)


@ON_SQLITE
class TestAllowedOrigin:
    """One site is let in at the API: that very origin, and never with credentials."""

    NEAR = (
        "https://shopxtest",
        "https://shop.test.evil.example",
        "http://shop.test",
        "https://evilshop.test",
        "https://shop.test:8443",
    )

    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"CORS_ORIGINS": "https://shop.test"}

    def test_it_alone_is_let_in(self, world: World) -> None:
        http = world.signed_in(ALICE)
        for endpoint, method, path in routes(world.app):
            answer = http.open(path, method=method, headers={"Origin": "https://shop.test"}, buffered=True)
            said = answer.headers.get("Access-Control-Allow-Origin")
            assert said == ("https://shop.test" if path.startswith("/api/") else None), (endpoint, path)
            assert "Access-Control-Allow-Credentials" not in answer.headers, path
            for origin in self.NEAR:
                near = http.open(path, method=method, headers={"Origin": origin}, buffered=True)
                assert "Access-Control-Allow-Origin" not in near.headers, (origin, path)
