"""The story that tests are told in.

Alice owns the Harbour Bakery, Bob is her staff. Charlie owns the Other Shop and is a stranger to her. Vera visits the
bakery with her browser, Walt with his. Each client has a key with every scope.
"""

import re
from dataclasses import dataclass
from typing import Any

import orjson
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from chatbot.accounts.people import create_account
from chatbot.db import across_tenants
from chatbot.tenancy import new_id
from chatbot.tenants.clients import create_client, find_client
from chatbot.tenants.keys import create_key

BAKERY, OTHER = "harbour-bakery", "other-shop"


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

    def key(self, slug: str = BAKERY) -> dict[str, str]:
        """The headers of a program with the client's key."""
        return {"Authorization": f"Bearer {self.keys[slug]}"}


def make_world(app: Flask) -> World:
    ids, keys = {}, {}
    with app.app_context():
        create_client(BAKERY, "Harbour Bakery", {"greeting": "Good morning!"}, anonymous_chat=True)
        create_client(OTHER, "Other Shop", {"greeting": "Hello."}, anonymous_chat=True)
        for email, slug, role in (
            ("alice@bakery.example", BAKERY, "admin"),
            ("bob@bakery.example", BAKERY, "staff"),
            ("charlie@other.example", OTHER, "admin"),
        ):
            create_account(email, email.split("@")[0].title(), None, is_platform_admin=False, slug=slug, role=role)
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
