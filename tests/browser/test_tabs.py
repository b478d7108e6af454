"""Several tabs and visits of one conversation."""

from playwright.sync_api import expect

from tests.browser.site import HASTY
from tests.world import OTHER

LONG = "play paced-100-10-60"


def test_tab_opened_during_an_answer_follows_it(visit, site):
    visitor = visit()
    first = visitor.open(site)
    first.write(LONG)
    first.wait_for_text()
    second = visitor.open(site)
    expect(second.button("Stop")).to_be_visible()
    expect(second.ended).to_have_count(1)
    expect(first.ended).to_have_count(1)
    assert second.answers.last.inner_text() == first.answers.last.inner_text()


def test_reload_during_an_answer_loses_and_doubles_nothing(vera):
    vera.write(LONG)
    vera.wait_for_text()
    vera.reload()
    expect(vera.ended).to_have_count(1)
    followed = vera.answers.last.inner_text()
    vera.reload()
    assert vera.answers.all_inner_texts() == [followed]
    assert vera.messages.count() == 2


def test_both_tabs_show_what_either_sends_in_one_order(visit, site):
    visitor = visit()
    first = visitor.open(site)
    first.ask("say Hello.")
    second = visitor.open(site)
    first.write("play paced-100-20-20")
    second.write("say From the second.")
    for tab in (first, second):
        expect(tab.ended).to_have_count(3)
        tab.reload()
    assert first.questions == second.questions
    assert len(first.questions) == 3


def test_stop_in_one_tab_ends_it_in_the_other(visit, site):
    visitor = visit()
    first = visitor.open(site)
    first.write("play slow-5-60")
    first.wait_for_text()
    visitor.open(site).button("Stop").click()
    expect(first.page.locator("[data-status=stopped]")).to_have_count(1)


def test_reload_back_and_forward_send_nothing_again(vera, site):
    vera.ask("say Once.")
    vera.page.goto(f"{site.url}/chat/{OTHER}")
    vera.page.go_back()
    vera.wait_for_script()
    vera.page.go_forward()
    vera.page.go_back()
    vera.reload()
    assert vera.questions == ["say Once."]


def test_draft_is_kept_until_it_is_sent(vera, site):
    vera.box.fill("say Not yet")
    vera.page.goto(f"{site.url}/chat/{HASTY}")
    expect(vera.box).to_have_value("")
    vera.page.go_back()
    expect(vera.box).to_have_value("say Not yet")
    vera.reload()
    expect(vera.box).to_have_value("say Not yet")
    vera.box.press("Enter")
    expect(vera.ended).to_have_count(1)
    vera.reload()
    expect(vera.box).to_have_value("")


def test_transcript_is_kept_nowhere_in_the_browser(vera):
    vera.ask("say A secret answer.")
    kept = "JSON.stringify([Object.entries(localStorage), Object.entries(sessionStorage)])"
    assert "secret" not in vera.page.evaluate(kept)


def test_new_session_starts_fresh_and_history_comes_back(vera):
    vera.ask("say About cakes.")
    vera.go(vera.page.get_by_role("link", name="New session"))
    vera.go(vera.button("Start fresh"))
    expect(vera.messages).to_have_count(0)
    vera.wait_for_script()
    vera.ask("say About bread.")
    vera.go(vera.page.get_by_role("link", name="New session"))
    vera.page.get_by_role("searchbox").fill("cakes")
    vera.go(vera.button("Search"))
    vera.page.get_by_role("radio").check()
    vera.go(vera.button("Load history"))
    assert vera.questions == ["say About cakes."]


def test_long_history_comes_in_above_without_moving_the_page(visit, site):
    page = visit().open(site)
    page.page.evaluate(FILL)
    page.reload()
    assert page.messages.count() == 40
    first = page.messages.first
    page.page.evaluate("scrollTo(0, 0)")
    name, place = first.get_attribute("id"), first.bounding_box()
    page.page.get_by_role("link", name="Earlier messages").click()
    expect(page.messages).to_have_count(50)
    after = page.page.locator(f"#{name}").bounding_box()
    assert place
    assert after
    assert abs(after["y"] - place["y"]) < 2


FILL = """async () => {
    const form = document.getElementById("composer");
    for (let n = 0; n < 25; n += 1) {
        const fields = new URLSearchParams(new FormData(form));
        fields.set("message", `say ${n}.`);
        fields.set("name", `fill-${n}`);
        const answer = await fetch(form.action, { method: "POST", body: fields, headers: { Accept: "text/html" } });
        form.elements.session_id.value = new URL(answer.url).searchParams.get("session");
    }
}"""
