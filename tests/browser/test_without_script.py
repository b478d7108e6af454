"""The page by forms and links alone."""

import pytest
from playwright.sync_api import expect

from tests.browser.site import CURIOUS, HASTY


@pytest.fixture
def plain(visit, site):
    """Vera with script switched off."""
    return visit(java_script_enabled=False).open(site)


def send(page, text):
    page.box.fill(text)
    page.go(page.button("Send"))


def test_asks_and_reads_the_answer(plain):
    send(plain, "say Good morning.")
    assert plain.questions == ["say Good morning."]
    assert plain.answers.all_inner_texts() == ["Good morning."]
    assert plain.box.input_value() == ""


def test_reload_after_sending_sends_nothing(plain):
    send(plain, "say Once.")
    plain.page.reload()
    assert plain.messages.count() == 2


def test_suggested_question_is_a_button_of_a_form(visit, site):
    page = visit(java_script_enabled=False).open(site, f"/chat/{CURIOUS}")
    page.go(page.button("say We deliver on Fridays."))
    assert page.answers.all_inner_texts() == ["We deliver on Fridays."]


def test_mark_leads_to_its_passage(plain):
    send(plain, "say We are open on Saturdays until 13:00 [1].")
    plain.answers.last.get_by_role("link", name="1").click()
    expect(plain.page.locator(".sources .passage-words")).to_be_visible()


def test_refused_message_stays_in_the_box(visit, site):
    page = visit(java_script_enabled=False).open(site, f"/chat/{HASTY}")
    for number in range(3):
        send(page, f"say {number}")
    assert page.box.input_value() == "say 2"
    expect(page.problem).to_be_visible()


def test_failed_answer_can_be_asked_for_again(plain):
    send(plain, "play error-in-stream")
    plain.go(plain.button("Retry"))
    expect(plain.button("Retry")).to_be_visible()
    assert plain.messages.count() == 2


def test_choosing_between_fresh_and_history(plain):
    send(plain, "say Kept.")
    plain.go(plain.page.get_by_role("link", name="New session"))
    plain.go(plain.button("Start fresh"))
    assert plain.messages.count() == 0
    plain.go(plain.page.get_by_role("link", name="New session"))
    plain.go(plain.button("Load history"))
    assert plain.questions == ["say Kept."]


def test_nothing_that_needs_script_is_shown(plain):
    send(plain, "say Hello.\n\n```\ncode\n```")
    expect(plain.page.get_by_role("button", name="Copy")).to_have_count(0)
    expect(plain.button("Stop")).to_be_hidden()
