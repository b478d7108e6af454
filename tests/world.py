"""The story that tests are told in.

Alice owns the Harbour Bakery, Bob is her staff, Ulla a user. Charlie owns the Other Shop and is a stranger to her. Vera
visits the bakery with her browser, Walt with his. Root runs the platform. Each client has a key with every scope.
"""

import re
from dataclasses import dataclass
from typing import Any

import orjson
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from chatbot.accounts.models import Account
from chatbot.accounts.people import create_account
from chatbot.accounts.sign_ins import begin_sign_in
from chatbot.db import across_tenants
from chatbot.tenancy import new_id
from chatbot.tenants.clients import create_client, find_client
from chatbot.tenants.keys import create_key

BAKERY, OTHER = "harbour-bakery", "other-shop"
ALICE, BOB, ULLA = "alice@bakery.example", "bob@bakery.example", "ulla@bakery.example"
CHARLIE, ROOT = "charlie@other.example", "root@platform.example"


@dataclass(frozen=True)
class World:
    """The people and the two clients: `keys` by slug, `ids` by slug."""

    app: Flask
    ids: dict[str, str]
    keys: dict[str, str]

    @property
    def vera(self) -> "Browser":
        return Browser(self.app.test_client(), BAKERY)

    walt = vera

    def signed_in(self, email: str, *, strong: bool = False, http: FlaskClient | None = None) -> FlaskClient:
        """A browser in which the account has signed in, with a second factor where `strong`."""
        with self.app.app_context(), across_tenants() as session:
            account_id = session.scalars(select(Account.id).where(Account.email == email)).one()
            cookie = begin_sign_in(account_id, address="127.0.0.1", device="a test", is_strong=strong)
        http = http or self.app.test_client()
        with http.session_transaction() as kept:
            kept["_user_id"] = cookie
        return http

    def key(self, slug: str = BAKERY) -> dict[str, str]:
        """The headers of a program with the client's key."""
        return {"Authorization": f"Bearer {self.keys[slug]}"}


def make_world(app: Flask) -> World:
    ids, keys = {}, {}
    with app.app_context():
        create_client(BAKERY, "Harbour Bakery", {"greeting": "Good morning!"}, anonymous_chat=True)
        create_client(OTHER, "Other Shop", {"greeting": "Hello."}, anonymous_chat=True)
        for email, slug, role in (
            (ALICE, BAKERY, "admin"),
            (BOB, BAKERY, "staff"),
            (ULLA, BAKERY, "user"),
            (CHARLIE, OTHER, "admin"),
            (ROOT, None, "user"),
        ):
            name = email.split("@")[0].title()
            create_account(email, name, None, is_platform_admin=slug is None, slug=slug, role=role)
        with across_tenants():
            for slug in (BAKERY, OTHER):
                tenant = find_client(slug)
                ids[slug], keys[slug] = tenant.id, create_key(tenant, "tests", ["chat", "read", "manage"])
    return World(app, ids, keys)


@dataclass(frozen=True)
class Browser:
    """One person's browser on one client's chat page."""

    http: FlaskClient
    slug: str

    @property
    def home(self) -> str:
        return f"/chat/{self.slug}"

    def page(self, **query: str) -> str:
        return self.http.get(self.home, query_string=query).get_data(as_text=True)

    def post(self, path: str = "", script: bool = False, **fields: str) -> TestResponse:
        """Send a form of the page, with its own hidden fields where none are given; `script` asks for the event stream."""
        page = self.page()
        values = {"csrf_token": hidden(page, "csrf_token"), "session_id": hidden(page, "session_id"), "name": new_id()}
        accept = "text/event-stream" if script else "text/html"
        return self.http.post(self.home + path, data=values | fields, headers={"Accept": accept})

    def ask(self, message: str, **fields: str) -> list["Seen"]:
        """Send a message as script does and read the events to the end."""
        answer = self.post(script=True, message=message, **fields)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return read_events(answer.get_data())


@dataclass(frozen=True)
class Seen:
    """One event as it came over the wire."""

    kind: str
    id: str
    data: dict[str, Any]


def read_events(body: bytes) -> list[Seen]:
    events = []
    for block in body.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if fields:
            events.append(Seen(fields["event"], fields["id"], orjson.loads(fields["data"])))
    return events


def text_of(events: list[Seen]) -> str:
    return "".join(event.data["text"] for event in events if event.kind == "delta")


def hidden(page: str, name: str) -> str:
    """The value of a hidden field on a page."""
    for tag in re.findall(r"<input[^>]*>", page):
        if f'name="{name}"' in tag:
            value = re.search(r'value="([^"]*)"', tag)
            return value[1] if value else ""
    return ""
