"""Length limits: counted as the server counts, refused in words, the text kept."""

import pytest
from playwright.sync_api import expect

LIMIT = 8000


def test_longest_message_goes_through_and_one_more_does_not(vera):
    vera.box.fill("é" * (LIMIT + 1))
    expect(vera.page.locator("#count")).to_have_text("1 characters over")
    vera.box.press("Enter")
    expect(vera.problem).to_contain_text("too long")
    expect(vera.box).to_have_value("é" * (LIMIT + 1))
    vera.box.press("Backspace")
    vera.box.press("Enter")
    expect(vera.ended).to_have_count(1)
    assert vera.questions == ["é" * LIMIT]


def test_counts_characters_not_units(vera):
    vera.box.fill("say " + "👍" * (LIMIT - 4))
    expect(vera.page.locator("#count")).to_have_text("0 characters left")
    vera.box.press("Enter")
    expect(vera.ended).to_have_count(1)


@pytest.mark.parametrize("text", ["line\n" * 10_000, "x" * 5_000_000], ids=["10,000 lines", "5 MB"])
def test_huge_paste_is_refused_and_kept(vera, text):
    vera.box.focus()
    vera.page.keyboard.insert_text(text)
    vera.box.press("Enter")
    expect(vera.problem).to_contain_text("too long")
    assert vera.page.evaluate("document.getElementById('message').value.length") == len(text)
    assert vera.messages.count() == 0


def test_server_refuses_what_a_page_without_script_sends(visit, site):
    page = visit(java_script_enabled=False).open(site)
    page.box.fill("x" * (LIMIT + 1))
    page.go(page.button("Send"))
    expect(page.problem).to_contain_text("8001")
    expect(page.box).to_have_value("x" * (LIMIT + 1))


@pytest.mark.parametrize("blank", ["", "   ", "\n\n"])
def test_nothing_to_send_says_so(vera, blank):
    vera.write(blank)
    expect(vera.problem).to_contain_text("Write a message first")
    vera.box.press_sequentially("a")
    expect(vera.problem).to_be_hidden()
