"""Signing in and looking after one's account and team, in a browser: with script and without, small and large, light and dark."""

from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page, expect

from chatbot import create_app
from chatbot.db import across_tenants
from tests.accounts.people import PASSWORD, give_password
from tests.accounts.signing_in import account_of
from tests.browser.site import Site, Visitor
from tests.browser.test_access import RULES
from tests.world import ALICE, BAKERY, World

TEAM = f"/console/{BAKERY}/team"
PAGES = ["/login", "/forgot", "/link/none", "/account", TEAM, "member"]


@pytest.fixture(scope="module")
def alice(furnished: Path, site: Site) -> Site:
    """The site; Alice has a password there."""
    app = create_app(INSTANCE=str(furnished))
    give_password(World(app, {}, {}))
    with app.app_context():
        with across_tenants():
            assert account_of(ALICE).password_hash
        app.extensions["shaman_database"].engine.dispose()
    return site


def sign_in(page: Page, site: Site, goal: str, password: str = PASSWORD) -> None:
    page.goto(f"{site.url}/login?next={goal}")
    page.get_by_label("Email").fill(ALICE)
    page.get_by_label("Password").fill(password)
    with page.expect_navigation():
        page.get_by_role("button", name="Sign in", exact=True).click()


def has_no_fault(page: Page, width: int) -> None:
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": RULES}}).response["violations"]
    assert [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in found] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1200, "dark")])
def test_axe_finds_nothing(visit: Callable[..., Visitor], alice: Site, width: int, scheme: str) -> None:
    page = visit(viewport={"width": width, "height": 740}, color_scheme=scheme).context.new_page()
    for path in PAGES:
        if path == "/account":
            sign_in(page, alice, path)
        elif path == "member":
            page.get_by_role("link", name=f"Change {ALICE}").click()
            page.wait_for_url("**/members/**")
        else:
            page.goto(alice.url + path)
        has_no_fault(page, width)
    page.get_by_role("button", name="Remove from the team").click()
    expect(page.get_by_role("alert")).to_contain_text("needs an admin")
    has_no_fault(page, width)


@pytest.mark.parametrize("has_script", [True, False])
def test_what_is_wrong_is_heard_first(visit: Callable[..., Visitor], alice: Site, has_script: bool) -> None:
    page = visit(java_script_enabled=has_script).context.new_page()
    sign_in(page, alice, TEAM, "not this one")
    expect(page.get_by_role("group", name="Something is not right yet")).to_be_focused()
    expect(page.get_by_label("Email")).to_have_value(ALICE)
    expect(page.get_by_label("Password")).to_have_value("")
    sign_in(page, alice, TEAM)
    page.get_by_label("Email").fill("nora")
    page.get_by_role("button", name="Invite", exact=True).click()
    page.get_by_role("link", name="Write an e-mail like").click()
    expect(page.get_by_label("Email")).to_be_focused()
    expect(page.get_by_label("Email")).to_have_accessible_description(
        "Write an e-mail like name@example.com. This platform can't send mail: you are shown a link to pass on."
    )


def test_an_invitation_is_passed_on_and_taken_up(visit: Callable[..., Visitor], alice: Site) -> None:
    page, other = visit().context.new_page(), visit(java_script_enabled=False).context.new_page()
    sign_in(page, alice, TEAM)
    page.get_by_label("Email").fill("nora@bakery.example")
    page.get_by_role("button", name="Invite", exact=True).click()
    link = page.get_by_label("This platform can't send mail").input_value()
    other.goto(link)
    other.get_by_label("Your name").fill("Nora")
    other.get_by_label("Password").fill(PASSWORD)
    other.get_by_role("button", name="Make my account and join").click()
    expect(other).to_have_url(f"{alice.url}/console/{BAKERY}/overview")
    page.goto(alice.url + TEAM)
    page.get_by_role("link", name="Change nora@bakery.example").click()
    page.get_by_role("button", name="Remove from the team").click()
    other.reload()
    expect(other.get_by_role("heading", level=1)).to_have_text("There is nothing here")
