"""Texts of the world: stored as sent, in their own direction."""

import pytest
from playwright.sync_api import expect

TEXTS = {
    "arabic": "متى تفتحون؟ we open at 7",
    "hebrew": "מתי אתם פותחים?",
    "chinese": "早上几点开门？",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇪🇺",
    "combining": "e\u0301a\u0308o\u0302 n\u0303",
    "spaces": "a  b\n   c",
    "markup": "<b>&amp;</b> 'q' \"q\" {{ 7*7 }}",
    "markdown": "**not bold** [1] `x`",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_question_is_shown_as_it_was_written(vera, text):
    vera.ask(text)
    assert vera.questions == [text]
    vera.reload()
    assert vera.questions == [text]
    vera.go(vera.page.get_by_role("link", name="New session"))
    expect(vera.page.locator(".history-title").first).not_to_be_empty()


def test_each_text_has_its_own_direction(vera):
    vera.ask("say مرحبا بالعالم\n\nHello world")
    paragraphs = vera.answers.last.locator("p")
    left = [paragraphs.nth(n).evaluate(FROM_LEFT) for n in range(2)]
    assert left[0] > 100
    assert left[1] == 0
    expect(vera.box).to_have_attribute("dir", "auto")


FROM_LEFT = """(paragraph) => {
    const range = document.createRange();
    range.selectNodeContents(paragraph);
    return Math.round(range.getBoundingClientRect().left - paragraph.getBoundingClientRect().left);
}"""


def test_page_from_right_to_left_does_not_overflow(visit, site):
    page = visit(viewport={"width": 360, "height": 640}).open(site)
    page.ask("say " + TEXTS["arabic"] + "\n\n| a | b |\n| - | - |\n| 1 | 2 |\n\n```\n" + "x" * 200 + "\n```")
    page.page.evaluate("document.documentElement.dir = 'rtl'")
    assert page.page.evaluate("document.documentElement.scrollWidth") == 360
