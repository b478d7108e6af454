"""The chat page as a visitor meets it, in plain verbs."""

from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.wire import Wire
from tests.world import BAKERY

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
HASTY, CURIOUS = "hasty-shop", "curious-shop"  # answers twice a minute; suggests questions
ENDED = "[data-status]:not([data-status=pending])"
REFUSED = "Failed to load resource"  # the browser's own word for a 4xx, a 5xx or a broken connection

expect.set_options(timeout=15_000)


@dataclass(frozen=True)
class Site:
    """A running server: `url` straight to it, and the wire that can be cut."""

    url: str
    wire: Wire

    @property
    def wired_url(self) -> str:
        return f"http://127.0.0.1:{self.wire.port}"


@dataclass
class Visitor:
    """One person's browser, and what its pages complained of (console, script errors, blocked by CSP)."""

    context: BrowserContext
    complaints: list[str] = field(default_factory=list)

    def open(self, site: Site, path: str = f"/chat/{BAKERY}", is_wired: bool = False) -> "ChatPage":
        """A tab on a page of the site."""
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._hear)
        page.goto((site.wired_url if is_wired else site.url) + path)
        chat = ChatPage(page)
        chat.wait_for_script()
        return chat

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(REFUSED):
            self.complaints.append(message.text)


@dataclass(frozen=True)
class ChatPage:
    """One tab on a chat page."""

    page: Page

    @property
    def box(self) -> Locator:
        return self.page.get_by_role("textbox", name="Message")

    @property
    def log(self) -> Locator:
        return self.page.get_by_role("log", name="Conversation")

    @property
    def messages(self) -> Locator:
        return self.log.get_by_role("article")

    @property
    def questions(self) -> list[str]:
        return self.page.locator(".message-user .message-text").all_text_contents()

    @property
    def answers(self) -> Locator:
        return self.page.locator(".message-assistant .message-text")

    @property
    def problem(self) -> Locator:
        return self.page.locator("#problem")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def go(self, place: Locator) -> None:
        """Press a button or a link that leads to another page."""
        with self.page.expect_navigation():
            place.click()

    def wait_for_script(self) -> None:
        """Until the box and the log listen; at once where there is no script, or no log."""
        if self.page.evaluate("document.documentElement.classList.contains('has-script')"):
            expect(self.page.locator("#composer:not([novalidate]), #log:not([aria-busy])")).to_have_count(0)

    def write(self, text: str) -> None:
        """Send a message with Enter, and go on at once."""
        self.box.fill(text)
        self.box.press("Enter")

    def ask(self, text: str) -> str:
        """Send a message and wait for the end of its answer. Returns the answer's text."""
        before = self.ended.count()
        self.write(text)
        expect(self.ended).to_have_count(before + 1)
        return self.answers.last.inner_text()

    @property
    def ended(self) -> Locator:
        """The answers that have ended, well or badly."""
        return self.page.locator(f".message-assistant{ENDED}")

    def wait_for_text(self) -> None:
        """Until the newest answer has words."""
        expect(self.answers.last).not_to_be_empty()

    def reload(self) -> None:
        self.page.reload()
        self.wait_for_script()
