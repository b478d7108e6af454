"""Signing in with a certified provider, in a browser: strangers, the invited, linking, and a client's own provider."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from flask import Flask
from playwright.sync_api import Page, expect

from bench.servers import Server
from chatbot import create_app
from chatbot.accounts.links import INVITATION, make_link
from chatbot.accounts.models import OneTimeLink
from chatbot.db import across_tenants
from tests.browser.certified import CLIENT, provider_for, sign_in_there
from tests.browser.conftest import serve
from tests.browser.site import Visitor
from tests.browser.test_access import RULES
from tests.world import ALICE, BAKERY, OTHER, World, make_world

Visit = Callable[..., Visitor]
BUTTON = "Sign in with Certified"


@dataclass(frozen=True)
class Place:
    """The running site, the provider, and a way behind the scenes."""

    site: Server
    provider: Server
    world: World

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.site.port}"

    def page(self, visitor: Visitor, path: str, email: str | None = None) -> Page:
        """A tab on a page of the site, signed in as `email` where one is named."""
        if email is not None:
            cookie = self.world.signed_in(email).get_cookie("shaman_session")
            assert cookie
            visitor.context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": self.url}])
        page = visitor.context.new_page()
        page.goto(self.url + path)
        return page

    def invite(self, email: str, role: str = "staff") -> str:
        with self.world.app.app_context(), across_tenants():
            row = OneTimeLink(kind=INVITATION, tenant_id=self.world.ids[BAKERY], email=email, role=role, made_by=ALICE)
            return f"/link/{make_link(row)}"


@pytest.fixture(scope="module")
def place(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("signing-in")
    shutil.copy(sqlite_template, folder / "shaman.db")
    app: Flask = create_app(INSTANCE=str(folder))
    world = make_world(app)
    site = serve(folder, OUTBOUND_ALLOW="localhost", OAUTH_SIGN_UP="")
    callbacks = [f"http://127.0.0.1:{site.port}/login/{name}/callback" for name in ("certified", f"client/{BAKERY}")]
    provider = provider_for(callbacks, folder / "provider.log")
    site.env |= {
        "OAUTH_CERTIFIED_CLIENT_ID": CLIENT["client_id"],
        "OAUTH_CERTIFIED_CLIENT_SECRET": CLIENT["client_secret"],
        "OAUTH_CERTIFIED_DISCOVERY_URL": f"http://localhost:{provider.port}/.well-known/openid-configuration",
    }
    with provider, site:
        yield Place(site, provider, world)
    with app.app_context():
        app.extensions["shaman_database"].engine.dispose()


def test_stranger_is_told_plainly(place: Place, visit: Visit) -> None:
    page = place.page(visit(), "/login")
    page.get_by_role("link", name=BUTTON).click()
    sign_in_there(page, "stranger")
    expect(page.get_by_role("heading", level=1)).to_have_text("You are not signed in")
    expect(page.get_by_text("ask for an invitation")).to_be_visible()
    page.get_by_role("link", name="Sign in another way").click()
    expect(page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()


def test_who_stops_there_is_told_plainly_and_can_go_on(place: Place, visit: Visit) -> None:
    page = place.page(visit(), "/login")
    page.get_by_role("link", name=BUTTON).click()
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_text("was stopped before its end")).to_be_visible()
    page.get_by_role("link", name="Try again").click()
    expect(page.get_by_placeholder("Enter any login")).to_be_visible()


def test_invited_person_signs_in_at_once_and_again(place: Place, visit: Visit) -> None:
    invited = visit()
    page = place.page(invited, place.invite("nina@bakery.example"))
    page.get_by_role("link", name=BUTTON).click()
    sign_in_there(page, "un-nina")
    page.goto(f"{place.url}/console/{BAKERY}/overview")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    invited.context.clear_cookies()
    page.goto(f"{place.url}/console/{BAKERY}/overview")
    page.get_by_role("link", name=BUTTON).click()
    sign_in_there(page, "un-nina")
    expect(page).to_have_url(f"{place.url}/console/{BAKERY}/overview")


def test_owner_links_and_signs_in_by_it(place: Place, visit: Visit) -> None:
    alice = visit()
    page = place.page(alice, "/account", ALICE)
    page.get_by_role("button", name="Link Certified").click()
    sign_in_there(page, "alice-there")
    expect(page.get_by_role("status")).to_have_text("From now on you can sign in with Certified too.")
    expect(page.get_by_role("button", name="Remove Certified")).to_be_visible()
    alice.context.clear_cookies()
    page.goto(f"{place.url}/login?next=/account")
    page.get_by_role("link", name=BUTTON).click()
    sign_in_there(page, "alice-there")
    expect(page).to_have_url(f"{place.url}/account")


def test_client_brings_its_own_provider(place: Place, visit: Visit) -> None:
    page = place.page(visit(), f"/console/{BAKERY}/team/provider", ALICE)
    page.get_by_label("Issuer").fill(f"http://localhost:{place.provider.port}")
    page.get_by_label("Client ID").fill(CLIENT["client_id"])
    page.get_by_label("Client secret").fill(CLIENT["client_secret"])
    page.get_by_label("Domains of your people").fill("bakery.example")
    page.get_by_label("Claim that tells the role").fill("groups")
    page.get_by_label("Its values for admins").fill("bosses")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("object to the client ID and the secret")).to_be_visible()
    expect(page.get_by_text("Not right yet")).to_have_count(0)

    page = place.page(visit(), "/login")
    page.get_by_label("Email").fill("ada@bakery.example")
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("link", name="Sign in with Harbour Bakery").click()
    sign_in_there(page, "ada+bosses")
    page.goto(f"{place.url}/console/{BAKERY}/team")
    expect(page.get_by_role("heading", level=1)).to_have_text("Team")
    expect(page.get_by_role("row", name="Ada ada@bakery.example")).to_contain_text("Admin")
    page.goto(f"{place.url}/console/{OTHER}/team")
    expect(page.get_by_role("heading", level=1)).to_have_text("There is nothing here")


def test_provider_that_is_down_leaves_the_rest_standing(place: Place, visit: Visit) -> None:
    """The last of this page: the provider is stopped, and its description is forgotten with a new start of the site."""
    place.provider.stop()
    place.site.stop()
    place.site.start()
    page = place.page(visit(), "/login")
    page.get_by_role("link", name=BUTTON).click()
    expect(page.get_by_text("Certified can't be reached at the moment.")).to_be_visible()
    page.get_by_role("link", name="Sign in another way").click()
    expect(page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
    place.provider.start()
    page.get_by_role("link", name=BUTTON).click()
    expect(page.get_by_placeholder("Enter any login")).to_be_visible()


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1200, "dark")])
@pytest.mark.parametrize("path", ["/login/certified/callback", "/account", f"/console/{BAKERY}/team/provider"])
def test_axe_finds_nothing(place: Place, visit: Visit, path: str, width: int, scheme: str) -> None:
    page = place.page(visit(viewport={"width": width, "height": 740}, color_scheme=scheme), path, ALICE)
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": RULES}}).response["violations"]
    assert [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in found] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
