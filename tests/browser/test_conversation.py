"""Asking and being answered, with script."""

import re
from itertools import pairwise

import pytest
from playwright.sync_api import expect

from tests.browser.site import CURIOUS, HASTY

PACED = "play paced-100-20-40"  # 40 words in two seconds


def test_answer_streams_in_and_stays(vera):
    assert vera.ask("say Good **morning**.") == "Good morning."
    vera.reload()
    assert vera.questions == ["say Good **morning**."]
    assert vera.answers.all_inner_texts() == ["Good morning."]


def test_text_grows_while_the_box_keeps_the_focus(vera):
    vera.write(PACED)
    vera.wait_for_text()
    expect(vera.log).to_have_attribute("aria-busy", "true")
    expect(vera.box).to_be_focused()
    expect(vera.ended).to_have_count(1)
    expect(vera.log).to_have_attribute("aria-busy", "false")
    assert vera.messages.count() == 2


def test_page_never_shrinks_or_jumps_back_while_text_comes(vera):
    vera.page.evaluate(
        """() => { window.seen = []; const look = () => { seen.push([scrollY, document.body.scrollHeight]); requestAnimationFrame(look) }; look() }"""
    )
    vera.ask("play paced-50-60-150")
    seen = vera.page.evaluate("seen")
    assert all(after[0] >= before[0] and after[1] >= before[1] for before, after in pairwise(seen))


def test_suggested_question_begins_the_conversation(visit, site):
    page = visit().open(site, f"/chat/{CURIOUS}")
    page.button("say We deliver on Fridays.").click()
    expect(page.ended).to_have_count(1)
    assert page.answers.last.inner_text() == "We deliver on Fridays."


def test_stop_keeps_what_was_said(vera):
    vera.write("play slow-5-60")
    vera.wait_for_text()
    vera.button("Stop").click()
    expect(vera.page.locator("[data-status=stopped]")).to_have_count(1)
    assert vera.answers.last.inner_text().startswith("Good morning")
    expect(vera.button("Send")).to_be_visible()
    expect(vera.box).to_be_focused()


def test_second_message_waits_for_the_answer_before(vera):
    vera.write(PACED)
    vera.write("say Second.")
    expect(vera.messages.last).to_contain_text("Waiting for the answer before")
    expect(vera.ended).to_have_count(2)
    assert vera.questions == [PACED, "say Second."]
    assert vera.answers.last.inner_text() == "Second."


def test_failed_answer_keeps_its_text_and_offers_retry(vera):
    vera.ask("play error-in-stream")
    assert vera.answers.last.inner_text().startswith("Good morning")
    vera.button("Retry").click()
    expect(vera.button("Retry")).to_be_visible()
    vera.reload()
    assert vera.messages.count() == 2
    expect(vera.button("Retry")).to_have_count(1)


def test_next_message_takes_the_retry_away(vera):
    vera.ask("play error-in-stream")
    vera.ask("say Fine.")
    expect(vera.button("Retry")).to_have_count(0)


def test_rate_limit_keeps_the_text_and_tells_the_wait(visit, site):
    page = visit().open(site, f"/chat/{HASTY}")
    page.ask("say One.")
    page.ask("say Two.")
    page.write("say Three.")
    expect(page.problem).to_contain_text("Next try in")
    expect(page.box).to_have_value("say Three.")
    assert page.messages.count() == 4


def test_citation_opens_its_passage_in_place(vera):
    vera.ask("say We are open on Saturdays until 13:00 [1].")
    mark = vera.page.get_by_role("button", name=re.compile("^Source 1: "))
    mark.press("Enter")
    expect(vera.answers.last.locator(".passage")).to_contain_text("13:00")
    mark.press("Escape")
    expect(vera.answers.last.locator(".passage")).to_have_count(0)
    expect(mark).to_be_focused()


def test_copies_messages_and_code(visit, site):
    page = visit(permissions=["clipboard-read", "clipboard-write"]).open(site)
    page.ask("say Two steps:\n\n1. Mix.\n2. Bake.\n\n```\noven 220\n```")
    page.messages.last.hover()
    page.messages.last.get_by_role("button", name="Copy", exact=True).click()
    assert "1. Mix.\n2. Bake." in page.page.evaluate("navigator.clipboard.readText()")
    page.button("Copy code").click()
    assert page.page.evaluate("navigator.clipboard.readText()") == "oven 220\n"


def test_selected_text_stays_selected_when_the_answer_ends(vera):
    vera.write("play paced-50-40-40")
    expect(vera.answers.last.locator("p")).to_contain_text("Our shop")
    vera.answers.last.evaluate(
        "(text) => getSelection().setBaseAndExtent(text, 0, text.querySelector('p').firstChild, 12)"
    )
    expect(vera.ended).to_have_count(1)
    assert vera.page.evaluate("String(getSelection())") == "Good morning"


def test_reader_who_scrolled_up_is_left_alone(vera):
    vera.ask("play instant-400")
    vera.write("play paced-50-60-200")
    vera.wait_for_text()
    vera.page.mouse.wheel(0, -600)
    expect(vera.button("New text below")).to_be_visible()
    place = vera.page.evaluate("scrollY")
    expect(vera.ended).to_have_count(2)
    assert vera.page.evaluate("scrollY") == place
    vera.button("New text below").click()
    expect(vera.button("New text below")).to_be_hidden()


@pytest.mark.parametrize("script", ["html", "no-words", "cut-600"])
def test_every_fault_of_the_model_ends_in_words_and_a_retry(visit, site, script):
    page = visit().open(site)
    page.ask(f"play {script}")
    expect(page.messages.last.locator(".message-problem")).to_be_visible()
    expect(page.button("Retry")).to_be_visible()
