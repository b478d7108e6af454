"""The frame around console and admin pages: its rail, the way to other places, who is signed in, what must be said.

The entries are declared below by their path, as the contract names it. One is shown when a page answers there and the
table of rights lets the person in: nobody reads of a page that would refuse them.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from flask import Flask, current_app, g, request, url_for
from flask_babel import lazy_gettext as _l

from chatbot.accounts.entering import Entry, find_entry
from chatbot.accounts.places import Place, places_of
from chatbot.accounts.sign_ins import Person
from chatbot.db import db, read
from chatbot.rights import ANYONE, PLATFORM_ADMIN, SIGNED_IN, right_of, suffices
from chatbot.tenants.doors import Entered
from chatbot.tenants.published import published

CONSOLE = (
    ("overview", _l("Overview")),
    ("assistant", _l("Assistant")),
    ("knowledge", _l("Knowledge")),
    ("conversations", _l("Conversations")),
    ("usage", _l("Usage")),
    ("embed", _l("Embed")),
    ("team", _l("Team")),
    ("keys", _l("Keys")),
    ("webhooks", _l("Webhooks")),
    ("training", _l("Training")),
)
ADMIN = (
    ("health", _l("Health")),
    ("clients", _l("Clients")),
    ("accounts", _l("Accounts")),
    ("limits", _l("Limits")),
    ("models", _l("Models")),
    ("transfer", _l("Transfer")),
    ("audit", _l("Audit")),
)
BELONGS = {"/admin/new-client": "/admin/clients"}  # pages that stand elsewhere than under their entry


@dataclass(frozen=True, slots=True)
class Link:
    """One entry of the rail."""

    label: str
    href: str
    is_current: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around a page. `title` is the client's name, or the admin area's; `places` where else one may go."""

    title: str
    person: Person | None = None
    rail: list[Link] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    is_suspended: bool = False
    look: str | None = None
    account: str | None = None  # paths of pages that may not be there
    sign_out: str | None = None


def init_rails(app: Flask) -> None:
    app.jinja_env.globals.update(frame=frame, entered_client=entered_client, here=here)


def frame() -> Frame:
    """The frame of the page that is being drawn."""
    if "frame" not in g:
        g.frame = _frame()
    return g.frame  # type: ignore[no-any-return]


def _frame() -> Frame:
    _let_go()
    who, tenant = _person(), _console()
    shared: dict[str, Any] = {
        "person": who,
        "account": _path_if_open("/account", who, None),
        "sign_out": _path_if_open("/logout", who, None, method="POST"),
    }
    if who is None:
        return Frame(str(_l("Shaman")))
    shared["places"] = places_of(who)
    if tenant is not None:
        rail = _rail(f"/console/{tenant.slug}", "/console/<slug>", CONSOLE, who, tenant)
        look = _look(tenant) if tenant.is_active else None
        return Frame(tenant.name, rail=rail, is_suspended=not tenant.is_active, look=look, **shared)
    if request.path.startswith("/admin/") and who.is_platform_admin:
        return Frame(str(_l("Admin area")), rail=_rail("/admin", "/admin", ADMIN, who, None), **shared)
    return Frame(str(_l("Your account")), **shared)


def entered_client() -> Entry | None:
    """The client that whoever is signed in has entered as its admin: every page says so.

    Asks nothing of a page that never asked who is signed in: being in a client changes nothing there.
    """
    who = _person()
    if who is None or who.entered_id is None:
        return None
    _let_go()
    return find_entry(who.sign_in_id)


def here(**changes: Any) -> str:
    """This page's address with other arguments; None takes one away."""
    asked = {name: values for name, values in request.args.lists() if name != "endpoint" and not name.startswith("_")}
    given = {**asked, **(request.view_args or {}), **changes}  # the router's own words come from nobody's address
    return url_for(request.endpoint or "", **{name: value for name, value in given.items() if value is not None})


def _let_go() -> None:
    """End a transaction that a form's page is drawn in: what it holds was refused, and the frame reads across clients."""
    session = db.session()
    if session.info.get("writes", True) and session.in_transaction():
        session.rollback()
        session.info["writes"] = False


def _rail(
    home: str, pattern: str, entries: tuple[tuple[str, Any], ...], who: Person, tenant: Entered | None
) -> list[Link]:
    links = []
    for name, label in entries:
        if _path_if_open(f"{pattern}/{name}", who, tenant):
            href, here_ = f"{home}/{name}", BELONGS.get(request.path, request.path)
            links.append(Link(str(label), href, here_ == href or here_.startswith(f"{href}/")))
    return links


def _path_if_open(pattern: str, who: Person | None, tenant: Entered | None, method: str = "GET") -> str | None:
    endpoint = _endpoints(current_app.url_map).get((pattern, method))
    right = right_of(endpoint, method) if endpoint else None
    if right is None or who is None:
        return None
    if right.role is not None:
        return pattern if tenant is not None and suffices(tenant.role, right.role) else None
    is_open = right.who in (ANYONE, SIGNED_IN) or (right.who == PLATFORM_ADMIN and who.is_platform_admin)
    return pattern if is_open else None


@lru_cache(maxsize=8)
def _endpoints(url_map: Any) -> dict[tuple[str, str], str]:
    return {(str(rule), method): rule.endpoint for rule in url_map.iter_rules() for method in rule.methods or ()}


def _person() -> Person | None:
    who = g.get("_login_user")  # as Flask-Login keeps it: loaded by whoever asked first
    return who if isinstance(who, Person) else None


def _console() -> Entered | None:
    tenant: Entered | None = g.get("tenant")
    return tenant if tenant is not None and tenant.role is not None else None


def _look(tenant: Entered) -> str:
    return url_for("chat.look", slug=tenant.slug, v=read(tenant.id, published).number)
