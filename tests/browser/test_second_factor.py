"""The second factor in a real browser: passkeys of a software authenticator, codes, and pages for everyone."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyotp
import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from flask import Flask
from playwright.sync_api import CDPSession, Page, expect
from sqlalchemy import select

from chatbot import create_app
from chatbot.accounts.models import Account
from chatbot.accounts.people import create_account
from chatbot.accounts.second_factor.recovery_codes import make_codes
from chatbot.audit import COMMAND_LINE
from chatbot.db import across_tenants
from chatbot.tenancy import new_id
from tests.browser.conftest import serve
from tests.browser.site import Visitor
from tests.browser.test_access import RULES
from tests.world import make_world

PAGE = "/account/second-factor"
PASSWORD = "eleven rolls today"
DEVICE = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
}


@dataclass(frozen=True)
class Place:
    """A server that browsers know as localhost, where they have passkeys; and the way behind its scenes."""

    url: str
    app: Flask

    def new_owner(self, *, with_app: bool = False) -> "Owner":
        """Somebody with a password, and with an authenticator app where asked."""
        email, secret = f"{new_id()}@bakery.example", pyotp.random_base32()
        with self.app.app_context():
            create_account(email, "Olive", PASSWORD, is_platform_admin=False, slug=None, role="user")
            with across_tenants() as session:
                account = session.scalar(select(Account).where(Account.email == email))
                assert account
                account.totp_secret = secret if with_app else None
                codes = make_codes(account, COMMAND_LINE)
        return Owner(self.url, email, secret, codes)


@dataclass(frozen=True)
class Owner:
    url: str
    email: str
    secret: str
    codes: list[str]

    @property
    def code(self) -> str:
        return pyotp.TOTP(self.secret).now()

    def sign_in(self, page: Page) -> None:
        """With the password."""
        page.goto(f"{self.url}/login?next={PAGE}")
        page.get_by_label("Email").fill(self.email)
        page.get_by_label("Password").fill(PASSWORD)
        press(page, "Sign in")


@pytest.fixture(scope="module")
def place(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("factors")
    shutil.copy(sqlite_template, folder / "shaman.db")
    app = create_app(INSTANCE=str(folder))
    make_world(app)  # a server without any client would first make the demo
    server = serve(folder)
    url = server.env["PUBLIC_URL"] = f"http://localhost:{server.port}"
    with server:
        yield Place(url, app)
    with app.app_context():
        app.extensions["shaman_database"].engine.dispose()


@pytest.fixture
def browse(visit: Callable[..., Visitor]) -> Callable[..., Page]:
    """A tab of a new browser that complains of nothing."""

    def open_tab(**options: object) -> Page:
        visitor = visit(**options)
        page = visitor.context.new_page()
        page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
        page.on("console", visitor._hear)
        return page

    return open_tab


def press(page: Page, name: str) -> None:
    with page.expect_navigation():
        page.get_by_role("button", name=name, exact=True).click()


def give_device(page: Page, **changes: object) -> tuple[CDPSession, str]:
    """A software authenticator in this tab."""
    cdp = page.context.new_cdp_session(page)
    cdp.send("WebAuthn.enable")
    made = cdp.send("WebAuthn.addVirtualAuthenticator", {"options": DEVICE | changes})
    return cdp, made["authenticatorId"]


def add_passkey(page: Page, name: str = "my phone") -> None:
    page.locator("#name").fill(name)
    press(page, "Add a passkey")


def sign_out(page: Page) -> None:
    page.context.clear_cookies()


def test_a_passkey_from_its_making_to_signing_in_with_nothing_else(browse, place):
    page, owner = browse(), place.new_owner()
    give_device(page)
    owner.sign_in(page)
    add_passkey(page)
    expect(page.get_by_role("heading", name="Your recovery codes")).to_be_visible()
    expect(page.locator(".codes code")).to_have_count(10)
    page.get_by_role("link", name="I have kept them").click()
    expect(page.locator(".passkeys")).to_contain_text("my phone")
    sign_out(page)
    page.goto(f"{place.url}/login?next={PAGE}")
    press(page, "Use a passkey")
    expect(page.locator(".passkeys")).to_contain_text("last used")
    expect(page.get_by_role("button", name="Add a passkey")).to_be_visible()


def test_a_password_and_then_a_passkey(browse, place):
    page, owner = browse(), place.new_owner()
    give_device(page)
    owner.sign_in(page)
    add_passkey(page)
    sign_out(page)
    owner.sign_in(page)
    expect(page.get_by_role("heading", name="One more thing to sign in")).to_be_visible()
    press(page, "Use a passkey")
    expect(page).to_have_url(f"{place.url}{PAGE}")


def test_a_passkey_that_the_person_stops_says_so_and_can_be_tried_again(browse, place):
    page, owner = browse(), place.new_owner()
    cdp, device = give_device(page)
    owner.sign_in(page)
    add_passkey(page)
    sign_out(page)
    page.goto(f"{place.url}/login?next={PAGE}")
    cdp.send("WebAuthn.setUserVerified", {"authenticatorId": device, "isUserVerified": False})
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_text("Nothing was changed")).to_be_visible()
    cdp.send("WebAuthn.setUserVerified", {"authenticatorId": device, "isUserVerified": True})
    press(page, "Use a passkey")
    expect(page).to_have_url(f"{place.url}{PAGE}")


def test_one_device_is_not_added_twice(browse, place):
    page, owner = browse(), place.new_owner()
    give_device(page)
    owner.sign_in(page)
    add_passkey(page)
    page.goto(f"{place.url}{PAGE}")
    page.locator("#name").fill("again")
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.get_by_text("This device has a passkey for your account already.")).to_be_visible()


def test_a_removed_passkey_signs_nobody_in(browse, place):
    page, owner = browse(), place.new_owner()
    give_device(page)
    owner.sign_in(page)
    add_passkey(page)
    page.goto(f"{place.url}{PAGE}")
    page.get_by_text("Change my phone").click()
    press(page, "Remove this passkey")
    expect(page.get_by_role("status")).to_contain_text("removed")
    sign_out(page)
    page.goto(f"{place.url}/login")
    press(page, "Use a passkey")
    expect(page.get_by_role("alert")).to_contain_text("was not accepted")


def test_an_app_is_set_up_and_asked_for_without_script(browse, place):
    page, owner = browse(java_script_enabled=False), place.new_owner()
    owner.sign_in(page)
    page.get_by_role("link", name="Set up an app").click()
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    page.get_by_text("Type the key instead").click()
    key = page.locator(".secret").inner_text().replace(" ", "")
    page.get_by_label("Code from your app").fill("000000")
    press(page, "Set up")
    expect(page.get_by_label("Code from your app")).to_have_attribute("aria-invalid", "true")
    used = pyotp.TOTP(key).now()
    page.get_by_label("Code from your app").fill(used)
    press(page, "Set up")
    code = page.locator(".codes code").first.inner_text()
    sign_out(page)
    owner.sign_in(page)
    page.get_by_label("Code from your app").fill(used)
    press(page, "Sign in")
    expect(page.locator("#code-error")).to_contain_text("was used before")
    page.get_by_text("Use a recovery code", exact=True).click()
    page.get_by_label("Recovery code").fill(code)
    press(page, "Sign in with this code")
    expect(page.get_by_text("9 codes are left")).to_be_visible()


def test_without_script_no_passkey_is_offered(browse, place):
    page = browse(java_script_enabled=False)
    page.goto(f"{place.url}/login")
    expect(page.get_by_role("button", name="Use a passkey")).to_be_hidden()
    owner = place.new_owner()
    owner.sign_in(page)
    expect(page.locator("noscript p")).to_be_visible()  # its words are hidden from Playwright
    expect(page.get_by_role("button", name="Add a passkey")).to_be_hidden()


def challenge(page: Page, owner: Owner) -> None:
    owner.sign_in(page)
    page.get_by_text("Use a recovery code", exact=True).click()


def wrong_code(page: Page, owner: Owner) -> None:
    owner.sign_in(page)
    page.get_by_label("Code from your app").fill("12")
    press(page, "Sign in")


def overview(page: Page, owner: Owner) -> None:
    owner.sign_in(page)
    page.get_by_label("Code from your app").fill(owner.code)
    press(page, "Sign in")
    give_device(page)
    add_passkey(page, "a phone with quite a long name, as people give them")
    page.get_by_text("Remove the app", exact=True).first.click()
    page.locator(".passkeys summary").click()


def new_app(page: Page, owner: Owner) -> None:
    overview(page, owner)
    page.get_by_role("link", name="Use another phone or app").click()
    page.get_by_text("Type the key instead").click()


def new_codes(page: Page, owner: Owner) -> None:
    overview(page, owner)
    press(page, "Make new codes")


def confirm(page: Page, owner: Owner) -> None:
    overview(page, owner)
    page.goto(f"{owner.url}{PAGE}/confirm")


STATES = [challenge, wrong_code, overview, new_app, new_codes, confirm]


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1200, "dark")])
@pytest.mark.parametrize("reach", STATES)
def test_axe_finds_nothing(browse, place, reach, width, scheme):
    page = browse(viewport={"width": width, "height": 740}, color_scheme=scheme)
    reach(page, place.new_owner(with_app=True))
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": RULES}}).response["violations"]
    assert [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in found] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
