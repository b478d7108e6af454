"""Requests at random: ids of another client in every place of every route, each beside its twin with an id that never was."""

import random
from dataclasses import dataclass
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from flask_wtf import FlaskForm
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from chatbot.api.schema import Body
from chatbot.tenancy import new_id
from tests.accounts.signing_in import token
from tests.isolation.cast import DORA, Caller
from tests.isolation.places import NO_IDS, fields_of, places, subclasses
from tests.world import ROOT

COOKIES = ("shaman_session", "shaman_visitor")
ENDS_THE_CALLER = {"accounts.logout", "account.end_other_sign_ins"}  # whoever probes goes on probing
PUBLIC = ("chat.", "oauth.", "pages.", "static")  # where a client's short name is for everybody
ACCEPTED = ("text/html", "text/event-stream", "application/json", "*/*")
KEY_HEADERS = ("Idempotency-Key", "If-Match", "Last-Event-ID", "X-Tenant", "X-Client", "X-HTTP-Method-Override")
# What makes a form good enough to be acted on.
LIKELY = {
    "role": ("user", "staff", "admin"), "on": ("1", ""), "do": ("suspend", "resume"), "choice": ("load", "fresh"),
    "reason": ("they rang",), "name": ("Somebody",), "password": ("seven sleepy seagulls",), "message": ("say hello",),
    "format": ("csv", "json"), "form": ("yaml", "json"), "kind": ("yaml",), "is_required": ("",), "requires_second_factor": ("",),
    "issuer": ("https://10.1.2.3",), "question": ("What?",), "answer": ("That.",), "stream": ("",),
}  # fmt: skip


# The table whose ids a place takes, by the place's name.
TABLES = {
    "session": "conversation", "session_id": "conversation", "turn_id": "turn", "message_id": "message", "source_id": "source",
    "cursor": "source", "member_id": "membership", "invitation_id": "one_time_link", "sign_in_id": "sign_in", "sign_in": "sign_in",
    "passkey_id": "passkey", "identity_id": "identity", "account_id": "account", "endpoint_id": "model_endpoint", "job_id": "job",
    "email": "emails",
}  # fmt: skip


@dataclass(frozen=True)
class Prober:
    """A caller whose cookies never change, so that no answer hangs on the one before."""

    caller: Caller
    http: FlaskClient
    headers: dict[str, str]
    token: str

    @classmethod
    def of(cls, caller: Caller) -> "Prober":
        caller.browser.page()
        form = token(caller.http)
        kept = {name: caller.http.get_cookie(name) for name in COOKIES}
        cookies = "; ".join(f"{name}={cookie.value}" for name, cookie in kept.items() if cookie)
        app = caller.http.application
        return cls(caller, app.test_client(use_cookies=False), caller.key | {"Cookie": cookies}, form)


@dataclass(frozen=True)
class Pair:
    """The answers about a foreign id and about its twin, and the values that were typed for each."""

    endpoint: str
    asked: str
    answers: tuple[TestResponse, TestResponse]
    typed: tuple[list[str], list[str]]


class Chance:
    """Pairs of requests, the same ones for the same seed. `ids` (by table) are foreign, `slug` too; each has a twin that never was.

    To the operator nothing in the admin area is foreign, so Root probes elsewhere.
    """

    def __init__(self, app: Flask, ids: dict[str, list[str]], slug: str, seed: int) -> None:
        self.random = random.Random(seed)
        self.slugs, self.ids = (
            (slug, f"never-{slug}"),
            (ids, {table: [*map(twin_of, of_one)] for table, of_one in ids.items()}),
        )
        self.emails = [
            email for of in self.ids for email in of.get("emails", [])
        ]  # typed once, one may be stored and shown
        rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint not in ENDS_THE_CALLER | {"static"}]
        self.rules = rules + [rule for rule in rules if rule.arguments - {"slug"}]
        self.queries = sorted(
            {place[1:] for place in {*places(app), *NO_IDS} if place[0] == "?"} | {"session", "cursor", "after"}
        )
        kinds = (*subclasses(FlaskForm), *subclasses(Body))
        self.fields = sorted(
            {field for kind in kinds for field in fields_of(kind)} | {"sign_in", "slug", "on", "do", "next"}
        )

    def pair(self, prober: Prober, number: int) -> Pair:
        """The next one, from an address of its own, so that no limit that counts addresses comes in between."""
        is_root = prober.caller.email == ROOT
        rule = self.random.choice([rule for rule in self.rules if not (is_root and rule.endpoint.startswith("admin."))])
        seed = self.random.random()
        made = [Request(self, prober, rule, random.Random(seed), twin) for twin in (0, 1)]
        address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        first, second = (
            prober.http.open(one.path, environ_overrides={"REMOTE_ADDR": address}, **one.given) for one in made
        )
        asked = f"{made[0].given['method']} {made[0].path} {made[0].given}"
        return Pair(rule.endpoint, asked, (first, second), (made[0].typed, made[1].typed))


class Request:
    """One of a pair: its `path`, what else it is `given`, and the values `typed` in it, foreign ones or (`twin` 1) those that never were."""

    def __init__(self, of: Chance, prober: Prober, rule: Rule, chance: random.Random, twin: int) -> None:
        self.of, self.chance, self.ids, self.typed = of, chance, of.ids[twin], [*of.emails]
        slug = prober.caller.slug
        if not rule.endpoint.startswith(PUBLIC) and prober.caller.email != DORA and chance.random() < 0.3:
            slug = of.slugs[twin]
            self.typed.append(slug)
        values = {name: slug if name == "slug" else self.value(name) or "x" for name in sorted(rule.arguments)}
        _domain, self.path = rule.build(values) or ("", "/")
        method = chance.choice(sorted(rule.methods or {"GET"}))
        query = {name: self.field(name) for name in of.queries if chance.random() < 0.25}
        headers = {"Accept": chance.choice(ACCEPTED)} | prober.headers
        headers |= {name: self.value(name).replace("\0", "0") for name in KEY_HEADERS if chance.random() < 0.15}
        self.given: dict[str, Any] = {"method": method, "query_string": query, "headers": headers}
        if method in ("POST", "PUT", "PATCH"):
            self.given |= self.json(prober) if rule.endpoint.startswith("api.") else self.form(prober)

    def value(self, name: str) -> str:
        """An id, mostly of the kind that the place takes, mostly as it is."""
        table = TABLES.get(name, "") if self.chance.random() < 0.7 else ""
        id_ = self.chance.choice(self.ids.get(table) or self.ids[""])
        odd = self.chance.choice(["", "%", "\0", "9" * 30])
        self.typed.extend((id_, id_.upper(), id_[:-1]))
        return self.chance.choice([*[id_] * 6, id_.upper(), id_[:-1], f" {id_}", f"{id_}\0", odd])

    def field(self, name: str) -> str:
        likely = LIKELY.get(name)
        return self.chance.choice(likely) if likely and self.chance.random() < 0.8 else self.value(name)

    def form(self, prober: Prober) -> dict[str, Any]:
        fields = {name: self.field(name) for name in self.of.fields if self.chance.random() < 0.6}
        return {"data": fields | {"csrf_token": prober.token}}

    def json(self, prober: Prober) -> dict[str, Any]:
        known = [name for name in ("message", "user_id", "question", "answer") if self.chance.random() < 0.7]
        unknown = [name for name in ("session_id", "source_id", "tenant_id") if self.chance.random() < 0.1]
        fields = {name: self.field(name) for name in known + unknown}
        return {"json": fields if prober.caller.key else fields | {"client": prober.caller.slug}}


def twin_of(id_: str) -> str:
    """One like it that never was."""
    name, at, domain = id_.partition("@")
    return f"{new_id()[-max(8, len(name)) :]}@{domain}" if at else new_id()
