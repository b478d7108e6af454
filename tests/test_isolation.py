"""Nobody reaches what is not theirs, through any door. A foreign id and a made-up one are the same thing to a caller.

Every place of a route that takes an id has a probe: it first succeeds with the owner's id, and only then does the 404 of
strangers count. A new route, field or query value without a probe, or a word on why it needs none, fails this page.
"""

import ast
import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_wtf import FlaskForm
from pydantic import BaseModel
from sqlalchemy import select
from werkzeug.test import TestResponse

import chatbot.api.chat
import chatbot.api.knowledge
import chatbot.chat.forms
from bench.model import ModelServer
from chatbot.api.schema import Body
from chatbot.chat.models import Conversation, Message, Turn, Visitor
from chatbot.db import across_tenants, as_tenant
from chatbot.jobs import run_next
from chatbot.tenancy import Base, new_id, table_of
from chatbot.tenants.clients import find_client, publish_settings
from chatbot.tenants.keys import create_key
from tests.embedders import Hashed, use
from tests.rows import contents, tenant_models
from tests.world import BAKERY, OTHER, Browser, World, hidden, read_events

assert chatbot.api.chat and chatbot.api.knowledge

CANARY = "CNRY-"
STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def settings(model: ModelServer) -> dict[str, Any]:
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "obey", "OPENAI_API_KEY": "CNRY-the-platforms-key"}


# --- who calls ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Caller:
    """Somebody at a door: a browser on a client's page, or a program with a key."""

    name: str
    browser: Browser
    key: dict[str, str]

    def get(self, path: str, **given: Any) -> TestResponse:
        return self.browser.http.get(path, **self._with_key(given))

    def open(self, path: str, **given: Any) -> TestResponse:
        return self.browser.http.open(path, **self._with_key(given))

    def page(self, path: str, **query: str) -> TestResponse:
        return self.get(self.browser.home + path, query_string=query, headers={"Accept": "text/html"})

    def stream(self, path: str, **given: Any) -> TestResponse:
        return self.get(self.browser.home + path, headers=STREAM | given.pop("headers", {}), **given)

    def post(self, path: str = "", **fields: str) -> TestResponse:
        page = self.browser.page()
        values = {"csrf_token": hidden(page, "csrf_token"), "session_id": "", "name": new_id()} | fields
        return self.open(self.browser.home + path, method="POST", data=values, headers=STREAM)

    def ask(self, message: str, session: str = "") -> dict[str, str]:
        """A turn to its end: the ids of its session, turn, question (`message_id`) and answer (`answer_id`)."""
        answer = self.post(message=message, session_id=session)
        events = read_events(answer.get_data())
        return events[0].data | {"answer_id": events[-1].data.get("message_id", "")}

    def begin(self, message: str) -> str:
        """A turn that speaks and doesn't end. Returns its id."""
        answer = self.post(message=message)
        first: Any = next(iter(answer.response))
        answer.close()
        return str(read_events(first)[0].data["turn_id"])

    def call(self, path: str, **given: Any) -> TestResponse:
        return self.open("/api" + path, **given)

    def _with_key(self, given: dict[str, Any]) -> dict[str, Any]:
        return given | {"headers": given.get("headers", {}) | self.key}


@dataclass(frozen=True)
class Cast:
    """Vera and a program of the bakery own what is probed; the others are strangers to it."""

    world: World
    vera: Caller
    program: Caller
    walt: Caller
    olga: Caller
    vera_elsewhere: Caller
    colleague: Caller
    outsider: Caller

    @property
    def strangers(self) -> list[Caller]:
        return [self.walt, self.olga, self.vera_elsewhere, self.colleague, self.outsider]

    @property
    def at_the_other_shop(self) -> list[Caller]:
        return [self.olga, self.vera_elsewhere, self.outsider]


@pytest.fixture
def people(app: Flask, world: World) -> Cast:
    use(app, Hashed())
    with app.app_context(), across_tenants():
        second = create_key(find_client(BAKERY), "another program", ["chat", "read", "manage"])
    vera = world.vera
    return Cast(
        world,
        vera=Caller("Vera", vera, {}),
        program=Caller("a program of the bakery", world.vera, world.key(BAKERY)),
        walt=Caller("Walt", world.walt, {}),
        olga=Caller("Olga, at the other shop", Browser(app.test_client(), OTHER), {}),
        vera_elsewhere=Caller("Vera, at the other shop", Browser(vera.http, OTHER), {}),
        colleague=Caller("another program of the bakery", world.walt, {"Authorization": f"Bearer {second}"}),
        outsider=Caller("a program of the other shop", Browser(app.test_client(), OTHER), world.key(OTHER)),
    )


# --- the probes -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Probe:
    """One place that takes an id. `make` gives its owner a fresh object, `use` asks for it by id."""

    place: str
    owner: Callable[[Cast], Caller]
    make: Callable[[Caller], str]
    use: Callable[[Caller, str], TestResponse]
    shows: str = ""  # what the owner's answer holds, so that a 200 about nothing is no success
    keys_only: bool = False  # callers without a key are refused before anybody looks for the id


def an_answer(caller: Caller) -> dict[str, str]:
    return caller.ask("say CNRY-answer")


def a_failed_turn(caller: Caller) -> str:
    return caller.ask("play status-400")["turn_id"]


def a_running_turn(caller: Caller) -> str:
    return caller.begin("play silent-after-3")


def a_turn_by_key(caller: Caller) -> str:
    body = {"message": "say CNRY-answer", "user_id": "ada"}
    return str(caller.call("/chat", method="POST", json=body).get_json()["turn_id"])


def a_source(caller: Caller) -> str:
    pair = {"question": f"CNRY-question {new_id()}?", "answer": "CNRY-answer"}
    return str(caller.call("/client/knowledge", method="POST", json=pair).get_json()["id"])


def vera(people: Cast) -> Caller:
    return people.vera


def program(people: Cast) -> Caller:
    return people.program


PROBES = [
    Probe(
        "GET /chat/<slug>?session", vera, lambda who: an_answer(who)["session_id"],
        lambda who, id_: who.page("", session=id_), "CNRY-answer",
    ),
    Probe(
        "GET /chat/<slug>/older?session", vera, lambda who: an_answer(who)["session_id"],
        lambda who, id_: who.page("/older", session=id_), "CNRY-answer",
    ),
    Probe(
        "GET /chat/<slug>/messages/<message_id>", vera, lambda who: an_answer(who)["answer_id"],
        lambda who, id_: who.page(f"/messages/{id_}"), "CNRY-answer",
    ),
    Probe(
        "GET /chat/<slug>/turns/<turn_id>/events", vera, lambda who: an_answer(who)["turn_id"],
        lambda who, id_: who.stream(f"/turns/{id_}/events"), "CNRY-answer",
    ),
    Probe(
        "POST /chat/<slug>/turns/<turn_id>/retry", vera, a_failed_turn,
        lambda who, id_: who.post(f"/turns/{id_}/retry"), "event: start",
    ),
    Probe(
        "POST /chat/<slug>/turns/<turn_id>/stop", vera, a_running_turn,
        lambda who, id_: who.post(f"/turns/{id_}/stop"),
    ),
    Probe(
        "POST /chat/<slug> MessageForm.session_id", vera, lambda who: an_answer(who)["session_id"],
        lambda who, id_: who.post(message="say CNRY-again", session_id=id_), "CNRY-again",
    ),
    Probe(
        "POST /chat/<slug>/new ChoiceForm.session_id", vera, lambda who: an_answer(who)["session_id"],
        lambda who, id_: who.post("/new", choice="load", session_id=id_),
    ),
    Probe(
        "GET /api/chat/turns/<turn_id>/events", program, a_turn_by_key,
        lambda who, id_: who.call(f"/chat/turns/{id_}/events", query_string={"client": who.browser.slug}), "CNRY-answer",
    ),
    Probe(
        "GET /api/chat/turns/<turn_id>/events", vera, lambda who: an_answer(who)["turn_id"],
        lambda who, id_: who.call(f"/chat/turns/{id_}/events", query_string={"client": who.browser.slug}), "CNRY-answer",
    ),
    Probe(
        "GET /api/client/knowledge/<source_id>", program, a_source,
        lambda who, id_: who.call(f"/client/knowledge/{id_}"), "waiting", keys_only=True,
    ),
    Probe(
        "DELETE /api/client/knowledge/<source_id>", program, a_source,
        lambda who, id_: who.call(f"/client/knowledge/{id_}", method="DELETE"), keys_only=True,
    ),
    Probe(
        "GET /api/client/knowledge?cursor", program, a_source,
        lambda who, id_: who.call("/client/knowledge", query_string={"cursor": id_}), '"sources"', keys_only=True,
    ),
]  # fmt: skip

# What a caller may fill in that names no stored row, and why.
NO_IDS = {
    "slug": "the client's public name: it says whose door this is",
    "filename": "a file of the product's own",
    "version": "of the product's own files",
    "MessageForm.message": "words",
    "MessageForm.name": "the browser's own name for its message, within one visitor: test_a_name_is_its_visitors_own",
    "NameForm.name": "likewise",
    "ChoiceForm.choice": "fresh or load",
    "ChatBody.message": "words",
    "ChatBody.user_id": "a name within one key or browser: test_user_ids_stay_under_their_key",
    "ChatBody.client": "a slug",
    "ChatBody.stream": "yes or no",
    "SourceBody.question": "words",
    "SourceBody.answer": "words",
    "SourceBody.url": "an address",
    "?before": "a place in a conversation",
    "?page": "a number",
    "?q": "words",
    "?limit": "a number",
    "?client": "a slug",
    "?file": "bytes to be read",
    "Last-Event-ID": "a place in an answer: test_a_running_answer_is_heard_by_its_owner_alone",
    "Idempotency-Key": "a name within one key or browser: test_a_name_is_its_visitors_own",
    "Authorization": "a key: who calls",
}


def places(app: Flask) -> Iterator[str]:
    """Every value that callers may fill in: in paths, forms, JSON bodies, queries and headers."""
    for rule in app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            names = rule.arguments - set(NO_IDS)
            yield from [f"{method} {rule.rule}"] if names else []
    for kind in (*subclasses(FlaskForm), *subclasses(Body)):
        if kind.__module__.startswith("chatbot."):
            yield from (f"{kind.__name__}.{field}" for field in fields_of(kind))
    for path in Path(chatbot.api.__path__[0]).parent.rglob("*.py"):
        yield from (place for node in ast.walk(ast.parse(path.read_text())) for place in read_by(node))


def subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def fields_of(kind: type[Any]) -> list[str]:
    if issubclass(kind, BaseModel):
        return list(kind.model_fields)
    return [name for name in vars(kind) if hasattr(getattr(kind, name), "field_class")]


def read_by(node: ast.AST) -> Iterator[str]:
    """`request.args.get("x")` is the place `?x`, `request.headers.get("X")` the place `X`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        source, first = ast.unparse(node.func), node.args[0]
        if re.fullmatch(r"request\.(args|form|values|headers|files)\.(get|getlist)", source):
            value = str(first.value) if isinstance(first, ast.Constant) else ast.unparse(first)
            yield f"{'' if 'headers' in source else '?'}{value}"


def test_every_place_that_takes_an_id_has_a_probe(app: Flask) -> None:
    probed = {probe.place for probe in PROBES}
    covered = probed | {place.split()[-1] for place in probed} | {f"?{p.split('?')[1]}" for p in probed if "?" in p}
    missing = sorted({place for place in places(app)} - covered - set(NO_IDS))
    assert not missing, f"declare a probe, or say in NO_IDS why none is needed: {missing}"


def test_the_walk_sees_a_new_route(app: Flask) -> None:
    app.add_url_rule("/new/<thing_id>", "new", lambda thing_id: "")
    assert "GET /new/<thing_id>" in set(places(app)) - {probe.place for probe in PROBES}


def outcome(answer: TestResponse, *ids: str) -> tuple[int, dict[str, str], str]:
    """What a caller can tell of an answer: without its own tokens, times and the ids it asked for."""
    body = answer.get_data(as_text=True)
    for id_ in ids:
        body = body.replace(id_, "ID")
    body = re.sub(r'(name="(?:csrf_token|name|session_id)"\s+value=")[^"]*', r"\1", body)
    body = re.sub(r"\b[0-9a-hjkmnp-tv-z]{26}\b", "ID", body)
    dropped = {"X-Request-ID", "Set-Cookie", "Content-Length"}
    return answer.status_code, {k: v for k, v in answer.headers.items() if k not in dropped}, body


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.place.replace(" ", "_"))
def test_a_foreign_id_is_as_good_as_none(probe: Probe, people: Cast) -> None:
    owner = probe.owner(people)
    assert_success(probe, probe.use(owner, probe.make(owner)))
    target, made_up = probe.make(owner), new_id()
    for stranger in strangers_to(probe, people):
        foreign, unknown = (probe.use(stranger, id_) for id_ in (target, made_up))
        assert outcome(foreign, target) == outcome(unknown, made_up), stranger.name
        assert foreign.status_code == expected_of(probe, stranger), stranger.name
        assert b"CNRY" not in foreign.get_data().replace(b"CNRY-again", b""), stranger.name
    assert_success(probe, probe.use(owner, target))


def strangers_to(probe: Probe, people: Cast) -> list[Caller]:
    """All but the owner; what a client owns, every key of that client may see."""
    everybody = [*people.strangers, people.vera, people.program]
    owners = (
        {"a program of the bakery", "another program of the bakery"} if probe.keys_only else {probe.owner(people).name}
    )
    return [caller for caller in everybody if caller.name not in owners]


def expected_of(probe: Probe, stranger: Caller) -> int:
    if probe.keys_only and not stranger.key:
        return 401
    return 200 if "cursor" in probe.place else 404


def assert_success(probe: Probe, answer: TestResponse) -> None:
    assert answer.status_code < 400, (probe.place, answer.status_code)
    assert probe.shows in answer.get_data(as_text=True), probe.place


# --- probes at random: harvested ids in every place of every route --------------------------------------------------

PROBES_AT_RANDOM = 500


def fill_the_bakery(people: Cast) -> list[str]:
    """Ordinary use by the bakery's people, a canary in every text. Returns every id there is in it."""
    with people.world.app.app_context():
        publish_settings(
            BAKERY, {"greeting": "CNRY-greeting", "instructions": "CNRY-instructions", "unknown": "CNRY-no"}
        )
    first = people.vera.ask("say CNRY-vera-one")
    people.vera.ask("play status-400", session=first["session_id"])
    people.vera.post("/new", choice="fresh")
    people.vera.ask("say CNRY-vera-two")
    people.program.call("/chat", method="POST", json={"message": "say CNRY-program", "user_id": "ada"})
    a_source(people.program)
    work(people)
    return [id_ for rows in bakery_rows(people).values() for row in rows for id_ in ids_in(row)]


def work(people: Cast) -> None:
    with people.world.app.app_context():
        while run_next("test"):
            pass


def ids_in(row: dict[str, Any]) -> list[str]:
    return re.findall(r"\b[0-9a-hjkmnp-tv-z]{26}\b", json.dumps(row))


def bakery_rows(people: Cast) -> dict[str, list[dict[str, Any]]]:
    """Every row of the bakery by table."""
    with people.world.app.app_context(), as_tenant(people.world.ids[BAKERY], writes=False) as session:
        return {model.__tablename__: contents(session.connection(), table_of(model)) for model in tenant_models()}


def fingerprint(people: Cast) -> str:
    with people.world.app.app_context(), across_tenants(writes=False) as session:
        own = people.world.ids[BAKERY]
        tables = [table for table in Base.metadata.sorted_tables if "tenant_id" in table.columns]
        rows = {t.name: [r for r in contents(session.connection(), t) if r["tenant_id"] == own] for t in tables}
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


class Chance:
    """Requests made of harvested ids, the same ones for the same seed."""

    def __init__(self, app: Flask, ids: list[str], seed: int) -> None:
        self.random = random.Random(seed)
        self.ids = ids
        skipped = {"static"}
        self.rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint not in skipped]

    def value(self) -> str:
        id_ = self.random.choice(self.ids)
        return self.random.choice(
            [id_, id_, id_, id_.upper(), id_[:-1], f" {id_}", f"{id_}\0", new_id(), "", "%", "\0", "9" * 30]
        )

    def request(self, caller: Caller, token: str) -> TestResponse:
        rule = self.random.choice(self.rules)
        values = {name: self.value() or "x" for name in rule.arguments} | {"slug": caller.browser.slug}
        _domain, path = rule.build({k: v for k, v in values.items() if k in rule.arguments}) or ("", "/")
        method = self.random.choice(sorted(rule.methods or {"GET"}))
        query = {
            name: self.value()
            for name in ("session", "before", "q", "page", "cursor", "limit")
            if self.random.random() < 0.4
        }
        headers = {"Accept": self.random.choice(["text/html", "text/event-stream", "application/json", "*/*"])}
        if self.random.random() < 0.3:
            headers["Last-Event-ID"] = self.random.choice(["0", "5", "5.end", self.value()])
        given = {"query_string": query, "headers": headers, "method": method}
        return caller.open(path, **given, **self.body(method, path, token))

    def body(self, method: str, path: str, token: str) -> dict[str, Any]:
        if method not in ("POST", "PUT", "PATCH"):
            return {}
        if path.startswith("/api"):
            fields = {
                "message": self.value(),
                "user_id": self.value(),
                "client": OTHER,
                "question": self.value(),
                "answer": "x",
            }
            return {"json": {name: value for name, value in fields.items() if self.random.random() < 0.7}}
        fields = {"message": self.value(), "session_id": self.value(), "choice": self.random.choice(["load", "fresh"])}
        return {"data": fields | {"name": new_id(), "csrf_token": token}}


def test_random_probes_from_another_client_find_nothing(people: Cast) -> None:
    ids = fill_the_bakery(people)
    before, chance = fingerprint(people), Chance(people.world.app, ids, 20)
    stranger = Caller("a browser at the other shop", Browser(people.world.app.test_client(), OTHER), {})
    callers = [
        (caller, hidden(caller.browser.page(), "csrf_token")) for caller in [*people.at_the_other_shop, stranger]
    ]
    seen: dict[int, int] = {}
    for number in range(PROBES_AT_RANDOM):
        caller, token = callers[number % len(callers)]
        answer = chance.request(caller, token)
        body = answer.get_data() + str(answer.headers).encode()
        assert CANARY.encode() not in body, (number, caller.name, answer.request.path)
        assert answer.status_code < 500, (number, caller.name, answer.request.path, body)
        seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
    assert fingerprint(people) == before
    assert {200, 404} <= set(seen)


def test_random_probes_from_the_same_page_find_nothing_of_veras(people: Cast) -> None:
    ids = fill_the_bakery(people)
    mine = veras(people)
    chance = Chance(people.world.app, ids, 30)
    token = hidden(people.walt.browser.page(), "csrf_token")
    for number in range(PROBES_AT_RANDOM // 2):
        answer = chance.request(people.walt, token)
        body = answer.get_data() + str(answer.headers).encode()
        assert b"CNRY-vera" not in body and b"CNRY-program" not in body, (number, answer.request.path)
        assert answer.status_code < 500, (number, answer.request.path, body)
    assert veras(people) == mine


def veras(people: Cast) -> list[Any]:
    """What Vera has at the bakery, row by row."""
    with people.world.app.app_context(), as_tenant(people.world.ids[BAKERY], writes=False) as session:
        told = select(Message.conversation_id).where(Message.content.contains("CNRY-vera"))
        rows = [
            *session.scalars(select(Conversation).where(Conversation.id.in_(told)).order_by(Conversation.id)),
            *session.scalars(select(Message).where(Message.conversation_id.in_(told)).order_by(Message.id)),
            *session.scalars(select(Turn).where(Turn.conversation_id.in_(told)).order_by(Turn.id)),
        ]
        return [{column.name: getattr(row, column.name) for column in table_of(type(row)).columns} for row in rows]


# --- what running answers, names, user ids and knowledge could give away --------------------------------------------


def test_a_running_answer_is_heard_by_its_owner_alone(people: Cast) -> None:
    turn = a_running_turn(people.vera)
    for stranger in people.strangers:
        for position in ("", "0", "1", "5.end", "999999"):
            headers = {"Last-Event-ID": position}
            for answer in (
                stranger.stream(f"/turns/{turn}/events", headers=headers),
                stranger.call(
                    f"/chat/turns/{turn}/events", query_string={"client": stranger.browser.slug}, headers=headers
                ),
            ):
                assert answer.status_code == 404 and b"event:" not in answer.get_data(), stranger.name
        assert stranger.post(f"/turns/{turn}/stop").status_code == 404
        assert stranger.post(f"/turns/{turn}/retry").status_code == 404
    assert status_of(people, turn) == ("running", False)
    assert people.vera.post(f"/turns/{turn}/stop").status_code == 204


def status_of(people: Cast, turn_id: str) -> tuple[str, bool]:
    with people.world.app.app_context(), as_tenant(people.world.ids[BAKERY], writes=False) as session:
        turn = session.get(Turn, turn_id)
        return turn.status, turn.is_stopping


def test_a_forged_or_foreign_cookie_is_another_browser(people: Cast) -> None:
    session = people.vera.ask("say CNRY-answer")["session_id"]
    cookie = people.vera.browser.http.get_cookie("shaman_visitor")
    assert cookie
    plain, _, signature = cookie.value.rpartition(".")
    for forged in (plain, f"{plain}.{signature[:-1]}", f"{plain}.{signature[::-1]}", f".{signature}", "", '"x"', "%00"):
        browser = people.world.app.test_client()
        browser.set_cookie("shaman_visitor", forged)
        assert browser.get(f"/chat/{BAKERY}?session={session}").status_code == 404, forged


def test_a_name_is_its_visitors_own(people: Cast) -> None:
    """The same name from another visitor, or Idempotency-Key from another caller, is another turn."""
    names = {"name": "the-same-name", "message": "say CNRY-answer"}
    by_form = {
        who.name: read_events(who.post(**names).get_data())[0].data["turn_id"]
        for who in (people.vera, people.walt, people.olga)
    }
    assert len(set(by_form.values())) == 3
    headers, body = {"Idempotency-Key": "the-same-key"}, {"message": "say CNRY-answer"}
    callers = (people.program, people.colleague, people.outsider)
    turns = [who.call("/chat", method="POST", json=body, headers=headers).get_json()["turn_id"] for who in callers]
    assert len(set(turns)) == 3
    other_user = people.program.call("/chat", method="POST", json=body | {"user_id": "ada"}, headers=headers)
    assert other_user.status_code == 409 and turns[0] not in other_user.get_data(as_text=True)
    again = people.program.call("/chat", method="POST", json=body, headers=headers).get_json()
    assert again["turn_id"] == turns[0]


def test_user_ids_stay_under_their_key(people: Cast) -> None:
    """A user_id is a name under one key, whatever it is made of: no two reach one visitor, nor another key's."""
    app = people.world.app
    keys = {
        who.name: who.key["Authorization"].split("_")[1] for who in (people.program, people.colleague, people.outsider)
    }
    theirs, browser = keys[people.colleague.name], people.vera.ask("say hello")
    with app.app_context(), as_tenant(people.world.ids[BAKERY], writes=False) as session:
        vera_subject = session.scalar(
            select(Visitor.subject).join(Conversation).where(Conversation.id == browser["session_id"])
        )
    names = [
        "anonymous",
        "a",
        "A",
        "a:b",
        "a:",
        ":a",
        ":",
        "a%",
        "a_",
        "*",
        "anonymous:",
        f"key:{theirs}",
        theirs,
        vera_subject,
    ]
    names += [f"../key:{theirs}", f":key:{theirs}", "ä", "a\u0308", "\u202ea", "a b", " a", "a" * 200]
    seen: dict[str, str] = {}
    for caller in (people.program, people.colleague, people.outsider):
        for name in names:
            answer = caller.call("/chat", method="POST", json={"message": "say x", "user_id": name})
            session_id = answer.get_json()["session_id"]
            assert session_id not in seen, (name, seen.get(session_id))
            seen[session_id] = f"{caller.name}: {name!r}"
    assert browser["session_id"] not in seen


def test_a_browsers_user_ids_stay_under_its_cookie(people: Cast) -> None:
    ids = {}
    for caller in (people.vera, people.walt):
        for name in ("anonymous", "a", "a:b", "browser:a"):
            body = {"message": "say CNRY-answer", "user_id": name, "client": BAKERY}
            ids[caller.name, name] = caller.call("/chat", method="POST", json=body).get_json()
    assert len({answer["session_id"] for answer in ids.values()}) == 8
    for (owner, _name), answer in ids.items():
        for caller in (people.vera, people.walt):
            events = caller.call(f"/chat/turns/{answer['turn_id']}/events?client={BAKERY}")
            assert events.status_code == (200 if caller.name == owner else 404)


def test_a_key_reaches_its_own_client_alone(people: Cast) -> None:
    """A key with another client's short name finds what it would find with one that never was."""
    other, none = (
        people.outsider.call("/chat", method="POST", json={"message": "say x", "client": slug})
        for slug in (BAKERY, "never-was")
    )
    assert other.status_code == 404 and outcome(other) == outcome(none)
    own = people.outsider.call("/chat", method="POST", json={"message": "say x", "client": OTHER})
    with people.world.app.app_context(), across_tenants(writes=False) as session:
        assert session.scalars(select(Turn.tenant_id)).all() == [people.world.ids[OTHER]] and own.status_code == 200


def test_lists_show_ones_own(people: Cast) -> None:
    fill_the_bakery(people)
    own = people.olga.ask("say mine")
    page = people.olga.page("/new").get_data(as_text=True)
    assert own["session_id"] in page and CANARY not in page
    for caller in (people.walt, people.olga, people.vera_elsewhere):
        assert CANARY not in caller.page("/new", q="CNRY").get_data(as_text=True).replace("CNRY-greeting", "").replace(
            'value="CNRY"', ""
        )
    sources = people.outsider.call("/client/knowledge").get_json()
    found = people.outsider.call("/client/search", query_string={"q": "CNRY-question CNRY-answer"}).get_json()
    assert sources == {"sources": [], "next_cursor": None} and found == {"passages": []}


def test_knowledge_reaches_its_own_clients_model_alone(people: Cast, model: ModelServer) -> None:
    """Near-identical knowledge in two clients, told apart by one word: the model is shown the asker's own, each time."""
    for who, word in ((people.program, "CNRY-bakery"), (people.outsider, "CNRY-other")):
        for number in range(10):
            pair = {"question": f"What does loaf number {number} cost?", "answer": f"{word}: {number} euros a loaf."}
            who.call("/client/knowledge", method="POST", json=pair)
    work(people)
    for number in range(10):
        for who, own, other in ((people.vera, "CNRY-bakery", "CNRY-other"), (people.olga, "CNRY-other", "CNRY-bakery")):
            asked = f"say: what does loaf number {number} of {other} cost?"
            who.ask(asked)
            context = json.dumps(model.requests(last=1)[0]["body"]["messages"][:1])
            assert own in context and other not in context
            assert "CNRY-the-platforms-key" not in context
