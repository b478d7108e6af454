"""Who calls, in the story of isolation: owners, and the strangers to what they own."""

from dataclasses import dataclass, field
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from chatbot.accounts.models import Account, Membership, SignIn
from chatbot.accounts.people import create_account
from chatbot.db import across_tenants
from chatbot.rights import ANYONE, PLATFORM_ADMIN, SIGNED_IN, Right, suffices
from chatbot.tenancy import new_id, now
from chatbot.tenants.clients import find_client
from chatbot.tenants.keys import create_key
from tests.accounts.signing_in import SECRET, account_of, cookie, token
from tests.world import ALICE, BAKERY, BOB, CHARLIE, OTHER, ROOT, ULLA, Browser, World, hidden, read_events

PAGE = {"Accept": "text/html"}
STREAM = {"Accept": "text/event-stream"}
DORA = "dora@both.example"  # staff in the other shop, and a user in the bakery


@dataclass(frozen=True)
class Caller:
    """Somebody at the doors of the client that `browser` names: a browser, signed in or not, or a program with a key.

    `role` is what they are in that client; `scope` what their key may do, with "platform" for a platform's. `extra` goes
    into each form and JSON body, beside what belongs there.
    """

    name: str
    browser: Browser
    key: dict[str, str]
    email: str = ""
    role: str | None = None
    scope: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def http(self) -> FlaskClient:
        return self.browser.http

    @property
    def slug(self) -> str:
        return self.browser.slug

    def get(self, path: str, **given: Any) -> TestResponse:
        return self.http.get(path, **self._with_key(given))

    def open(self, path: str, **given: Any) -> TestResponse:
        return self.http.open(path, **self._with_key(given))

    # --- at the chat page ---

    def page(self, path: str, **query: str) -> TestResponse:
        return self.get(self.browser.home + path, query_string=query, headers=PAGE)

    def stream(self, path: str, **given: Any) -> TestResponse:
        return self.get(self.browser.home + path, headers=STREAM | given.pop("headers", {}), **given)

    def post(self, path: str = "", **fields: str) -> TestResponse:
        page = self.browser.page()
        values = {"csrf_token": hidden(page, "csrf_token"), "session_id": "", "name": new_id()} | self.extra | fields
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

    # --- at pages with forms, and at the API ---

    def see(self, path: str, **query: str) -> TestResponse:
        return self.get(path, query_string=query, headers=PAGE)

    def send(self, path: str, **fields: Any) -> TestResponse:
        """Send a form, with the token that its page would have."""
        values = {"csrf_token": token(self.http)} | self.extra | fields
        return self.open(path, method="POST", data=values, headers=PAGE)

    def console(self, path: str, **fields: Any) -> TestResponse:
        return self.send(f"/console/{self.slug}/{path}", **fields)

    def call(self, path: str, **given: Any) -> TestResponse:
        if "json" in given:
            given["json"] = self.extra | given["json"]
        return self.open("/api" + path, **given)

    def _with_key(self, given: dict[str, Any]) -> dict[str, Any]:
        return given | {"headers": given.get("headers", {}) | self.key}


def refusal(right: Right, caller: Caller, scope: str = "") -> int:
    """What a caller reads about an id that is not theirs: 404 behind the door, else what the door says.

    `scope` is what a key needs where none is needed without one.
    """
    if right.scope is not None or (scope and caller.key):
        return (404 if (right.scope or scope) in caller.scope.split() else 403) if caller.key else 401
    if right.who == ANYONE:
        return 404
    if not caller.email:
        return 303  # to sign-in
    if right.who == PLATFORM_ADMIN:
        return 404 if caller.email == ROOT else 403
    if right.who == SIGNED_IN or caller.role is None or suffices(caller.role, right.who):
        return 404
    return 403


@dataclass(frozen=True)
class Cast:
    """Who is there, by name. `vera`, `ulla`, `alice`, `root` and the programs own what is probed; all others are strangers to it."""

    world: World
    callers: dict[str, Caller]

    def __getattr__(self, name: str) -> Caller:
        try:
            return self.callers[name]
        except KeyError:
            raise AttributeError(name) from None

    def strangers_to(self, owners: set[str]) -> list[Caller]:
        return [caller for name, caller in self.callers.items() if name not in owners]

    @property
    def at_the_other_shop(self) -> list[Caller]:
        """Whoever comes by the other shop's doors with a right in it."""
        names = ("olga", "vera_elsewhere", "charlie", "root_elsewhere", "outsider")
        return [self.callers[name] for name in names]


def make_cast(world: World) -> Cast:
    app = world.app
    add_dora(world)
    vera = world.vera
    made = [
        ("vera", Caller("Vera", vera, {})),
        ("walt", Caller("Walt", world.walt, {})),
        ("vera_elsewhere", Caller("Vera, at the other shop", Browser(vera.http, OTHER), {})),
        ("olga", Caller("Olga, at the other shop", Browser(app.test_client(), OTHER), {})),
        ("alice", signed_in(world, ALICE, BAKERY, "admin", strong=True)),
        ("bob", signed_in(world, BOB, BAKERY, "staff")),
        ("ulla", signed_in(world, ULLA, BAKERY, "user")),
        ("charlie", signed_in(world, CHARLIE, OTHER, "admin")),
        ("charlie_here", signed_in(world, CHARLIE, BAKERY, None)),
        ("dora", signed_in(world, DORA, OTHER, "staff")),
        ("dora_here", signed_in(world, DORA, BAKERY, "user")),
        ("root", signed_in(world, ROOT, BAKERY, None)),
        ("root_elsewhere", entered(world, OTHER)),
        ("program", with_key(world, BAKERY, "chat read manage")),
        ("colleague", with_key(world, BAKERY, "chat read manage", "another")),
        ("outsider", with_key(world, OTHER, "chat read manage")),
        ("chatter", with_key(world, OTHER, "chat")),
        ("reader", with_key(world, OTHER, "read")),
        ("platform", with_key(world, None, "manage")),
        ("looker", with_key(world, None, "read")),
    ]
    return Cast(world, dict(made))


def add_dora(world: World) -> None:
    with world.app.app_context():
        create_account(DORA, "Dora", None, is_platform_admin=False, slug=OTHER, role="staff")
        with across_tenants() as session:
            session.add(Membership(tenant_id=world.ids[BAKERY], account_id=account_of(DORA).id, role="user"))


def signed_in(world: World, email: str, slug: str, role: str | None, *, strong: bool = False) -> Caller:
    http = world.signed_in(email, strong=strong)
    name = f"{email.split('@')[0].title()}, {role or 'nobody'} in {slug}"
    return Caller(name, Browser(http, slug), {}, email, role)


def entered(world: World, slug: str) -> Caller:
    """Root in a browser of its own, in which a client was entered."""
    root = signed_in(world, ROOT, slug, "admin")
    with world.app.app_context(), across_tenants() as session:
        own = update(SignIn).where(SignIn.id == cookie(root.http).partition(".")[0])
        session.execute(own.values(entered_id=world.ids[slug], entered_until=now().replace(year=now().year + 1)))
    return root


def with_key(world: World, slug: str | None, scopes: str, word: str = "a") -> Caller:
    """A program with a new key of a client, or of the platform; `manage` of the platform's is what the table calls platform."""
    with world.app.app_context(), across_tenants():
        key = create_key(find_client(slug) if slug else None, "a key", scopes.split())
    name = f"{word} program of {slug or 'the platform'} that may {scopes}"
    scope = scopes if slug else scopes.replace("manage", "platform").replace("read", "")
    browser = Browser(world.app.test_client(), slug or BAKERY)
    return Caller(name, browser, {"Authorization": f"Bearer {key}"}, scope=scope)


def secure(app: Flask, email: str) -> None:
    """Give somebody a password and an app, so that they may take away what they add."""
    with app.app_context(), across_tenants() as session:
        session.execute(update(Account).where(Account.email == email).values(password_hash="none that fits"))
        account_of(email).totp_secret = SECRET


def account_id_of(app: Flask, email: str) -> str:
    with app.app_context(), across_tenants(writes=False) as session:
        return str(session.scalar(select(Account.id).where(Account.email == email)))
