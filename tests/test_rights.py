"""Who may do what: every cell of route × method × who, on both databases; and what stands around the table.

The views are put aside: what is asked is whether the door opens.
"""

import base64
import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect
from werkzeug.test import TestResponse

from chatbot import rights
from chatbot.db import across_tenants
from chatbot.rights import RIGHTS, Right
from chatbot.tenancy import new_id
from chatbot.tenants.clients import find_client
from chatbot.tenants.keys import create_key
from tests.accounts.signing_in import signed_token, token
from tests.world import ALICE, BAKERY, BOB, CHARLIE, OTHER, ROOT, ULLA, World

PAGE = {"Accept": "text/html"}
MEMBERS = {ULLA: ("user",), BOB: ("user", "staff"), ALICE: ("user", "staff", "admin")}
ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # where no row is asked for
PEOPLE = ["nobody", ULLA, BOB, ALICE, CHARLIE, ROOT]


@pytest.fixture
def open_house(app: Flask, world: World) -> World:
    """The world with every view put aside: whoever is let in reads «in»."""
    app.config["WTF_CSRF_ENABLED"] = False
    for endpoint in app.view_functions:
        app.view_functions[endpoint] = lambda **values: "in"
    return world


def routes(app: Flask) -> Iterator[tuple[str, str, str]]:
    """Each (endpoint, method, path), ids made up, the client the bakery."""
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:[^:>]+:)?([^>]+)>", lambda part: BAKERY if part[1] == "slug" else new_id(), str(rule))
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield rule.endpoint, method, path


def paths(app: Flask) -> list[str]:
    """Each path once, the files' left out: they are read whole."""
    return sorted({path for endpoint, _method, path in routes(app) if endpoint != "static"})


def browser(world: World, who: str) -> FlaskClient:
    return world.app.test_client() if who == "nobody" else world.signed_in(who)


@ON_SQLITE
def test_the_table_names_each_route_and_no_other(app: Flask) -> None:
    assert {(endpoint, method) for endpoint, method, _path in routes(app)} == set(RIGHTS)


def test_nobody_is_more_than_the_table_says() -> None:
    known = {"anyone", "signed-in", "user", "staff", "admin", "platform-admin", "key:platform"}
    assert {right.who for right in RIGHTS.values()} <= known | {"key:chat", "key:read", "key:manage"}
    for right in RIGHTS.values():
        if right.endpoint.startswith("admin."):
            assert right.who == "platform-admin", right


@ON_SQLITE
def test_the_addresses_say_whose_they_are(app: Flask) -> None:
    """What lies under a client's console is for its members, what lies under /admin for the operator, and so on."""
    who = {(endpoint, method): RIGHTS[endpoint, method].who for endpoint, method, _path in routes(app)}
    by_place = {"/console/": {"staff", "admin"}, "/account": {"signed-in"}, "/api/client/": {"key:read", "key:manage"}}
    by_place |= {"/api/admin/": {"key:platform"}, "/admin": {"platform-admin"}}
    for endpoint, method, path in routes(app):
        for place, allowed in by_place.items():
            if path.startswith(place):
                assert who[endpoint, method] in allowed, path


# --- the cells -------------------------------------------------------------------------------------------------------


def answer_to(http: FlaskClient, method: str, path: str, **headers: str) -> str:
    """What the door says: in, sign in, 401, 403, 404."""
    answer: TestResponse = http.open(path, method=method, headers=PAGE | headers, buffered=True)
    if answer.status_code == 303:
        return "sign in" if answer.location.startswith("/login") else answer.location
    return "in" if answer.status_code == 200 and answer.get_data() in (b"in", b"") else str(answer.status_code)


def expected(right: Right, who: str) -> str:
    """What the door should say to a person."""
    if right.who == "anyone":
        return "in"
    if right.scope is not None:
        return "401"
    if who == "nobody":
        return "sign in"
    if right.who == "signed-in":
        return "in"
    if right.who == "platform-admin":
        return "in" if who == ROOT else "403"
    if who in (CHARLIE, ROOT):
        return "404"
    return "in" if right.who in MEMBERS[who] else "403"


@pytest.mark.parametrize("who", PEOPLE)
def test_each_cell_for_people(open_house: World, who: str) -> None:
    http, said = browser(open_house, who), {}
    for endpoint, method, path in routes(open_house.app):
        right = RIGHTS[endpoint, method]
        for tried in (method, "HEAD") if method == "GET" else (method,):
            found = answer_to(http, tried, path)
            if found != expected(right, who):
                said[tried, path] = (right.who, found)
    assert said == {}


@pytest.mark.parametrize("scope", ["chat", "read", "manage", "platform", "platform-read"])
def test_each_cell_for_keys(open_house: World, scope: str) -> None:
    key, said = key_of(open_house, scope), {}
    for endpoint, method, path in routes(open_house.app):
        right = RIGHTS[endpoint, method]
        should = {None: expected(right, "nobody"), scope: "in"}.get(right.scope, "403")
        found = answer_to(open_house.app.test_client(), method, path, Authorization=f"Bearer {key}")
        if found != should:
            said[method, path] = (right.who, found)
    assert said == {}


def key_of(world: World, scope: str) -> str:
    """A new key of the bakery's, or of the platform's; «platform-read» is one that may only read."""
    with world.app.app_context(), across_tenants():
        platform = scope.startswith("platform")
        scopes = ["read"] if scope == "platform-read" else ["manage"] if platform else [scope]
        return create_key(None if platform else find_client(BAKERY), "a key", scopes)


# --- what the table does not name ------------------------------------------------------------------------------------


@ON_SQLITE
def test_a_route_that_nobody_declared_is_closed(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    app.add_url_rule("/new-page", "new_page", lambda: "in")
    http = app.test_client()
    assert http.get("/new-page").status_code == 404
    monkeypatch.setitem(rights.RIGHTS, ("new_page", "GET"), Right("new_page", "GET", "anyone"))
    assert http.get("/new-page").get_data() == b"in"
    assert http.head("/new-page").status_code == 200
    assert http.post("/new-page").status_code == 405


def reached(app: Flask, path: str, method: str) -> str | None:
    """The endpoint that stands at this path for this method, whichever rule it is that fits."""
    try:
        return str(app.url_map.bind("localhost").match(path, method)[0])
    except (HTTPException, RequestRedirect):
        return None


METHODS = ("GET", "PUT", "PATCH", "DELETE", "POST", "TRACE", "PROPFIND", "QUERY", "X", "get")


@ON_SQLITE
def test_a_method_that_nobody_declared_is_closed(open_house: World) -> None:
    """Not even the operator reaches a view by a method that the table does not name for it."""
    root, closed = open_house.signed_in(ROOT), 0
    for method, path in product(METHODS, paths(open_house.app)):
        endpoint = reached(open_house.app, path, method.upper())
        if (endpoint, method.upper()) not in RIGHTS:
            closed += 1
            assert answer_to(root, method, path) in ("404", "405"), (method, path)
    assert closed > 500


@ON_SQLITE
@pytest.mark.parametrize("who", ["nobody", ROOT])
def test_asking_for_the_methods_reaches_no_view(open_house: World, who: str) -> None:
    http = browser(open_house, who)
    for path in paths(open_house.app):
        answer = http.options(path, headers=PAGE | {"Origin": "https://evil.example"})
        assert answer.get_data() == b"" and answer.status_code == 200, path
        assert "Access-Control-Allow-Origin" not in answer.headers and "Set-Cookie" not in answer.headers, path
        named = {method.strip() for method in answer.headers["Allow"].split(",")} - {"HEAD", "OPTIONS"}
        assert named == {right.method for right in RIGHTS.values() if reached(open_house.app, path, right.method)}


OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-Method")


@ON_SQLITE
@pytest.mark.parametrize("method", ["DELETE", "POST"])
def test_nothing_else_changes_the_method(open_house: World, method: str) -> None:
    """No header and no field makes one request another: what could only be read is only read."""
    seen: list[str] = []

    def note(endpoint: str) -> Any:
        return lambda **values: seen.append(endpoint) or "in"  # type: ignore[func-returns-value]

    for endpoint in open_house.app.view_functions:
        open_house.app.view_functions[endpoint] = note(endpoint)
    root, headers = open_house.signed_in(ROOT), dict.fromkeys(OVERRIDES, method)
    for path in paths(open_house.app):
        there = reached(open_house.app, path, "GET")
        if there is not None and RIGHTS[there, "GET"].scope is None:
            query = {"_method": method, "X-HTTP-Method-Override": method}
            root.get(path, headers=PAGE | headers | {"X-Original-URL": "/admin/leave"}, query_string=query)
            assert set(seen) <= {there}, path
            seen.clear()


# --- keys by other carriers ------------------------------------------------------------------------------------------


def carriers(key: str) -> Iterator[dict[str, Any]]:
    """The ways to send a key that are none here."""
    for header in ("x-api-key", "api-key", "X-Auth-Token", "X-Access-Token", "Proxy-Authorization", "X-Authorization"):
        yield {"headers": {header: key}}
    yield {"headers": {"Proxy-Authorization": f"Bearer {key}"}}
    for name in ("api_key", "key", "token", "access_token", "Auth", "Authorization", "bearer"):
        yield {"query_string": {name: key}}
    for name in ("Authorization", "api_key", "access_token", "shaman_session", "__Host-session", "shaman_visitor"):
        yield {"headers": {"Cookie": f"{name}={key}"}}
    id_, secret = key.split("_", 2)[1:]
    for pair in (f"{id_}:{key}", f"{key}:", f":{key}", f"{id_}:{secret}"):
        yield {"headers": {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}}
    for value in (key, f"Token {key}", f"ApiKey {key}", f"Key {key}", f"Bearer{key}", f"Digest {key}"):
        yield {"headers": {"Authorization": value}}


@ON_SQLITE
@pytest.mark.parametrize("scope", ["manage", "platform"])
def test_a_key_by_any_other_carrier_gives_nothing(open_house: World, scope: str) -> None:
    key = key_of(open_house, scope)
    http = open_house.app.test_client(use_cookies=False)
    for endpoint, method, path in routes(open_house.app):
        right = RIGHTS[endpoint, method]
        if right.who == "anyone":
            continue
        should = {expected(right, "nobody")}
        for carrier in carriers(key):
            headers = PAGE | carrier.get("headers", {})
            answer = http.open(path, method=method, **carrier | {"headers": headers})
            said = "sign in" if answer.status_code == 303 else str(answer.status_code)
            assert said in should, (path, carrier)


def test_a_key_by_any_other_carrier_is_not_heard_where_anybody_may_call(app: Flask, world: World) -> None:
    """The chat's own door: the client of the key isn't meant, and its sessions aren't there."""
    http, body = app.test_client(use_cookies=False), {"message": "hello"}
    for carrier in carriers(world.keys[OTHER]):
        answer = http.post("/api/chat", json=body, **carrier)
        assert answer.status_code in (401, 422), (carrier, answer.status_code)


# --- forms -----------------------------------------------------------------------------------------------------------

OTHER_KINDS = ('{"csrf_token": "%s"}', "csrf_token=%s")


@ON_SQLITE
def test_every_form_needs_its_token(app: Flask, world: World) -> None:
    """Without one, with another's, and as another kind of content: nothing happens, whoever has to look for the token."""
    callers = {who: world.signed_in(who) for who in (ROOT, ALICE)}
    theirs = signed_token(app.test_client(), "b" * 40)  # as another browser's page would have it
    for endpoint, method, path in routes(app):
        right = RIGHTS[endpoint, method]
        if method == "GET" or right.scope is not None or endpoint.startswith("api."):
            continue
        http = callers[ROOT if right.who == "platform-admin" else ALICE]
        for sent in ({}, {"csrf_token": "x"}, {"csrf_token": ""}, {"csrf_token": theirs}):
            assert http.post(path, data=sent, headers=PAGE).status_code == 400, path
        assert http.post(path, query_string={"csrf_token": token(http)}, headers=PAGE).status_code == 400, path
        for text in OTHER_KINDS:
            for kind in ("text/plain", "application/json"):
                sent_text = text % token(http)
                answer = http.post(path, data=sent_text, content_type=kind, headers=PAGE)
                assert answer.status_code in (400, 415), (path, kind)
    assert callers[ALICE].get("/account", headers=PAGE).status_code == 200, "nobody was signed out"
