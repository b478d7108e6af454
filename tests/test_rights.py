"""Who may do what: every cell of route × method × who, on both databases; and what stands around the table.

The views are put aside: what is asked is whether the door opens.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from chatbot import rights
from chatbot.db import across_tenants
from chatbot.rights import RIGHTS, Right
from chatbot.tenancy import new_id
from chatbot.tenants.clients import find_client
from chatbot.tenants.keys import create_key
from tests.world import ALICE, BAKERY, BOB, CHARLIE, OTHER, ROOT, ULLA, World

PAGE = {"Accept": "text/html"}
MEMBERS = {ULLA: ("user",), BOB: ("user", "staff"), ALICE: ("user", "staff", "admin")}


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


def test_the_table_names_each_route_and_no_other(app: Flask) -> None:
    assert {(endpoint, method) for endpoint, method, _path in routes(app)} == set(RIGHTS)


def test_nobody_is_more_than_the_table_says() -> None:
    known = {"anyone", "signed-in", "user", "staff", "admin", "platform-admin", "key:platform"}
    assert {right.who for right in RIGHTS.values()} <= known | {"key:chat", "key:read", "key:manage"}
    for right in RIGHTS.values():
        if right.endpoint.startswith("admin."):
            assert right.who == "platform-admin", right


def answer_to(http: FlaskClient, method: str, path: str, **headers: str) -> str:
    """What the door says: in, sign in, 401, 403, 404."""
    answer: TestResponse = http.open(path, method=method, headers=PAGE | headers)
    if answer.status_code == 303:
        return "sign in" if answer.location.startswith("/login") else answer.location
    return "in" if answer.get_data() == b"in" else str(answer.status_code)


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


@pytest.mark.parametrize("who", ["nobody", ULLA, BOB, ALICE, CHARLIE, ROOT])
def test_each_cell_for_people(open_house: World, who: str) -> None:
    http = open_house.app.test_client() if who == "nobody" else open_house.signed_in(who)
    said = {}
    for endpoint, method, path in routes(open_house.app):
        right = RIGHTS[endpoint, method]
        found = answer_to(http, method, path)
        if found != expected(right, who):
            said[method, path] = (right.who, found)
    assert said == {}


@pytest.mark.parametrize("scope", ["chat", "read", "manage", "platform", "platform-read"])
def test_each_cell_for_keys(open_house: World, scope: str) -> None:
    with open_house.app.app_context(), across_tenants():
        platform = scope.startswith("platform")
        scopes = ["read"] if scope == "platform-read" else ["manage"] if platform else [scope]
        key = create_key(None if platform else find_client(BAKERY), "a key", scopes)
    said = {}
    for endpoint, method, path in routes(open_house.app):
        right = RIGHTS[endpoint, method]
        should = {None: expected(right, "nobody"), scope: "in"}.get(right.scope, "403")
        found = answer_to(open_house.app.test_client(), method, path, Authorization=f"Bearer {key}")
        if found != should:
            said[method, path] = (right.who, found)
    assert said == {}


def test_a_route_that_nobody_declared_is_closed(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    app.add_url_rule("/new-page", "new_page", lambda: "in")
    http = app.test_client()
    assert http.get("/new-page").status_code == 404
    monkeypatch.setitem(rights.RIGHTS, ("new_page", "GET"), Right("new_page", "GET", "anyone"))
    assert http.get("/new-page").get_data() == b"in"
    assert http.head("/new-page").status_code == 200
    assert http.post("/new-page").status_code == 405


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "POST", "TRACE", "PROPFIND", "get", "X"])
def test_a_method_that_nobody_declared_is_closed(open_house: World, method: str) -> None:
    for endpoint, _method, path in routes(open_house.app):
        if (endpoint, method) not in RIGHTS and not path.startswith("/static"):
            said = answer_to(open_house.signed_in(ROOT), method, path)
            assert said in ("404", "405"), (endpoint, method, said)


def test_headers_do_not_change_the_method(open_house: World) -> None:
    for header in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        path = f"/api/client/knowledge/{new_id()}"
        answer = open_house.app.test_client().get(path, headers={header: "DELETE"} | open_house.key(OTHER))
        assert answer.get_data() == b"in" and answer.request.method == "GET"


def test_a_console_that_is_not_yours_never_was(app: Flask, world: World) -> None:
    """Byte for byte, header for header, but for the id of the request."""
    consoles = [path for endpoint, method, path in routes(app) if path.startswith("/console/") and method == "GET"]
    for path in consoles:
        real, none = (
            parts(world.signed_in(CHARLIE).get(path.replace(BAKERY, slug))) for slug in (BAKERY, "never-was-here")
        )
        assert real == none and real[0] == 404, path
        out, out_none = (world.app.test_client().get(path.replace(BAKERY, slug)) for slug in (BAKERY, "never-was-here"))
        assert (out.status_code, out_none.status_code) == (303, 303)
        assert out.location.replace(BAKERY, "never-was-here") == out_none.location


def parts(answer: TestResponse) -> tuple[Any, ...]:
    headers = {name: value for name, value in answer.headers if name not in ("X-Request-ID", "Date")}
    body = answer.get_data(as_text=True).replace(answer.headers["X-Request-ID"], "")
    return answer.status_code, body, headers


def test_every_form_needs_its_token(app: Flask, world: World) -> None:
    """Without one, with another's, and as another kind of content: nothing happens."""
    world_root = world.signed_in(ROOT)
    for endpoint, method, path in routes(app):
        right = RIGHTS[endpoint, method]
        if method == "GET" or right.scope is not None or endpoint.startswith("api."):
            continue
        http = world_root if right.who == "platform-admin" else world.signed_in(ALICE)
        for sent in ({}, {"csrf_token": "x"}, {"csrf_token": ""}):
            assert http.post(path, data=sent, headers=PAGE).status_code in (400, 404, 422), path
        answer = http.post(path, data='{"csrf_token": "x"}', content_type="text/plain", headers=PAGE)
        assert answer.status_code in (400, 404, 415, 422), path
