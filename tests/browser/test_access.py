"""For everyone: axe in each state, the keyboard alone, small and zoomed windows, and the page's weight."""

import gzip

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import expect

from tests.browser.site import CURIOUS, ChatPage

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RICH = """say # Prices

| Loaf | Weight | Price | Keeps | Good with |
| --- | --- | --- | --- | --- |
| Rye sourdough | 1 kg | 5.80 | 5 days | butter, fish and strong cheese |

1. Take *50 g*.
2. Wait [1].

> Patience.

```
a line of code that is longer than a narrow phone is wide, so that it has to be moved sideways to be read
```

We are open on Saturdays until 13:00 [1]. More at [our page](https://bakery.example/a)."""


def empty(page: ChatPage) -> None:
    pass


def rich_answer(page: ChatPage) -> None:
    page.ask(RICH)
    page.answers.last.locator("a.source-mark").last.click()
    page.page.locator(".sources summary").first.click()


def streaming(page: ChatPage) -> None:
    page.write("play slow-5-60")
    page.wait_for_text()


def waiting(page: ChatPage) -> None:
    streaming(page)
    page.write("say Next.")
    expect(page.messages.last).to_contain_text("Waiting")


def failed(page: ChatPage) -> None:
    page.ask("play error-in-stream")


def too_long(page: ChatPage) -> None:
    page.write("x" * 8001)
    expect(page.problem).to_be_visible()


def new_session(page: ChatPage) -> None:
    page.ask("say Hello.")
    page.page.goto(page.page.url + "/new")


def nothing_here(page: ChatPage) -> None:
    page.page.goto(page.page.url + "-nobody")


STATES = [empty, rich_answer, streaming, waiting, failed, too_long, new_session, nothing_here]


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
@pytest.mark.parametrize("reach", STATES)
def test_axe_finds_nothing(visit, site, reach, width, scheme):
    page = visit(viewport={"width": width, "height": 740}, color_scheme=scheme).open(site)
    reach(page)
    found = Axe().run(page.page, options={"runOnly": {"type": "tag", "values": RULES}}).response["violations"]
    assert [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in found] == []
    assert page.page.evaluate("document.documentElement.scrollWidth") <= width


def test_conversation_by_keyboard_alone(vera):
    vera.page.keyboard.press("Tab")
    expect(vera.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    vera.page.keyboard.press("Enter")
    vera.page.keyboard.press("Tab")
    expect(vera.box).to_be_focused()
    vera.page.keyboard.type("play slow-5-60")
    vera.page.keyboard.press("Enter")
    expect(vera.button("Stop")).to_be_visible()
    vera.page.keyboard.press("Tab")
    expect(vera.button("Stop")).to_be_focused()
    vera.page.keyboard.press("Enter")
    expect(vera.page.locator("[data-status=stopped]")).to_have_count(1)


@pytest.mark.parametrize("size", [(640, 360), (320, 640)], ids=["200 % zoom", "400 % zoom"])
def test_zoomed_page_can_be_used(visit, site, size):
    page = visit(viewport={"width": size[0], "height": size[1]}).open(site, f"/chat/{CURIOUS}")
    page.ask("say Yes.")
    assert page.page.evaluate("document.documentElement.scrollWidth") == size[0]
    page.box.scroll_into_view_if_needed()
    expect(page.button("Send")).to_be_in_viewport()


def test_reduced_motion_stills_everything(visit, site):
    page = visit(reduced_motion="reduce").open(site)
    page.write("play slow-5-60")
    expect(page.messages.last).to_contain_text("Answering")
    assert page.page.evaluate("document.getAnimations().length") == 0


def test_live_region_is_polite_and_the_answer_is_read_whole(vera):
    expect(vera.log).to_have_attribute("aria-live", "polite")
    vera.write("play paced-100-20-20")
    expect(vera.messages.last).to_have_attribute("aria-busy", "true")
    expect(vera.ended).to_have_count(1)
    expect(vera.messages.last).not_to_have_attribute("aria-busy", "true")


def test_quoting_assistant_says_that_it_is_none(visit, quoting_site):
    page = visit().open(quoting_site)
    expect(page.page.get_by_text("No language model is connected")).to_be_visible()
    page.ask("When do you open on Saturdays?")
    expect(page.answers.last).to_contain_text("13:00")


def test_weighs_little_and_loads_from_nowhere_else(visit, site):
    visitor, loaded = visit(), {}
    visitor.context.on("response", lambda response: loaded.setdefault(response.url, response))
    visitor.open(site).ask("say Hello.")
    files = {url: answer for url, answer in loaded.items() if url.split("?")[0].endswith((".css", ".js"))}
    assert sum(len(gzip.compress(answer.body())) for answer in files.values()) <= 45 * 1024
    assert len([url for url in files if url.endswith(".js")]) <= 10
    assert {url for url in loaded if not url.startswith(site.url)} == set()
