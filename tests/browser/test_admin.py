"""The operator's and a client's pages in a real browser: for everyone, on a phone, in the dark, and without script."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page, expect
from sqlalchemy import select

from bench.many_clients import Size, fill
from chatbot import create_app
from chatbot.accounts.models import Account, Membership
from chatbot.audit import COMMAND_LINE
from chatbot.db import across_tenants
from chatbot.tenants import standing
from chatbot.tenants.clients import create_client
from tests.browser.conftest import serve
from tests.browser.site import Visitor
from tests.browser.test_access import RULES
from tests.world import ALICE, BAKERY, OTHER, ROOT, World, make_world

CLIENT = f"/admin/clients/{BAKERY}"
PAGES = [
    (ROOT, "/admin/clients"),
    (ROOT, "/admin/clients?q=nothing"),
    (ROOT, "/admin/new-client"),
    (ROOT, CLIENT),
    (ROOT, f"{CLIENT}/edit"),
    (ROOT, "/admin/clients/deleted-shop"),
    (ALICE, f"/console/{BAKERY}/overview"),
    (ALICE, f"/console/{OTHER}/overview"),
]


@dataclass(frozen=True)
class Place:
    """A server with the story's clients and sixty more, and the way behind its scenes."""

    url: str
    world: World

    def cookie(self, email: str) -> dict[str, str]:
        """What a browser holds in which `email` has signed in."""
        http = self.world.signed_in(email)
        held = http.get_cookie("shaman_session")
        assert held is not None
        return {"name": held.key, "value": held.value, "url": self.url}


@pytest.fixture(scope="module")
def place(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("admin")
    shutil.copy(sqlite_template, folder / "shaman.db")
    app = create_app(INSTANCE=str(folder))
    world = make_world(app)
    with app.app_context():
        fill(Size(clients=60, messages=6000))
        create_deleted_and_suspended(world)
    with serve(folder) as server:
        yield Place(f"http://127.0.0.1:{server.port}", world)
    with app.app_context():
        app.extensions["shaman_database"].engine.dispose()


def create_deleted_and_suspended(world: World) -> None:
    create_client("deleted-shop", "A shop that was deleted", anonymous_chat=True)
    standing.delete_client("deleted-shop", COMMAND_LINE)
    standing.suspend([OTHER], "has not paid since June", COMMAND_LINE)
    with across_tenants() as session:  # so that Alice has two places to go to
        alice = session.scalar(select(Account.id).where(Account.email == ALICE))
        session.add(Membership(tenant_id=world.ids[OTHER], account_id=alice, role="staff"))
    for _ in range(3):
        world.vera.post(message="Hello?")


@pytest.fixture
def open_as(visit: Callable[..., Visitor], place: Place) -> Callable[..., Page]:
    """Opens a page as somebody who has signed in."""

    def open_page(email: str, path: str, **options: object) -> Page:
        visitor = visit(**options)
        visitor.context.add_cookies([place.cookie(email)])  # type: ignore[list-item]
        page = visitor.context.new_page()
        page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
        page.on("console", visitor._hear)
        page.goto(f"{place.url}{path}")
        return page

    return open_page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("email, path", PAGES)
def test_axe_finds_nothing_and_nothing_is_cut_off(open_as, email, path, width, scheme):
    page = open_as(email, path, viewport={"width": width, "height": 800}, color_scheme=scheme)
    for folded in page.locator("main details").all():
        folded.evaluate("element => element.open = true")
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("place_of_menu", [".places", ".account-menu", ".rail-menu"])
def test_axe_finds_nothing_in_an_open_menu(open_as, width, place_of_menu):
    page = open_as(ALICE, f"/console/{BAKERY}/overview", viewport={"width": width, "height": 800})
    menu = page.locator(f"{place_of_menu} summary")
    if menu.is_visible():
        menu.click()
        assert faults(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def faults(page: Page) -> list[tuple[str, list[str]]]:
    """What axe finds: each rule, and the elements that break it."""
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": RULES}}).response["violations"]
    return [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found]


def test_an_operator_works_on_a_phone_without_script(open_as):
    page = open_as(ROOT, "/admin/clients", viewport={"width": 360, "height": 740}, java_script_enabled=False)
    page.get_by_text("Menu", exact=True).click()
    expect(page.get_by_role("navigation", name="Pages").get_by_role("link", name="Clients")).to_be_visible()
    page.get_by_text("Menu", exact=True).click()
    page.get_by_label("Name or short name").fill("harbour")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("link", name="Harbour Bakery").click()
    page.get_by_text("Enter as client").click()
    page.locator("#enter-reason").fill("to look at its greeting")
    page.get_by_role("button", name="Enter").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    word = page.get_by_role("complementary", name="Acting as a client's admin")
    expect(word).to_contain_text("You are in Harbour Bakery as its admin since")
    word.get_by_role("button", name="Leave").click()
    expect(page.get_by_role("status")).to_have_text("You have left the client.")
    expect(word).to_have_count(0)


def test_a_table_is_sorted_by_its_headings(open_as):
    page = open_as(ROOT, "/admin/clients", viewport={"width": 1200, "height": 800})
    page.get_by_role("link", name="Messages this month").click()
    heading = page.get_by_role("columnheader", name="Messages this month")
    expect(heading).to_have_attribute("aria-sort", "descending")
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_text("Page 2 of 2")).to_be_visible()
    expect(heading).to_have_attribute("aria-sort", "descending")


def test_whoever_has_several_clients_goes_from_one_to_the_other(open_as):
    page = open_as(ALICE, f"/console/{BAKERY}/overview", viewport={"width": 360, "height": 740})
    page.locator(".places summary").click()
    page.get_by_role("link", name="Other Shop").click()
    expect(page.get_by_text("This client is suspended.")).to_be_visible()
