"""What is sent twice is one turn."""

from playwright.sync_api import expect


def test_double_click_sends_once_and_stops_nothing(vera):
    vera.box.fill("play paced-100-40-20")
    vera.button("Send").dblclick()
    expect(vera.ended).to_have_count(1)
    expect(vera.messages.last).not_to_contain_text("Stopped")
    vera.reload()
    assert vera.messages.count() == 2


def test_enter_twice_sends_once(vera):
    vera.box.fill("say Once.")
    vera.box.press("Enter")
    vera.box.press("Enter")
    expect(vera.ended).to_have_count(1)
    expect(vera.problem).to_be_hidden()
    vera.reload()
    assert vera.messages.count() == 2


def test_held_enter_sends_once(vera):
    vera.box.fill("say Once.")
    vera.box.focus()
    for _ in range(20):
        vera.page.keyboard.down("Enter")
    vera.page.keyboard.up("Enter")
    expect(vera.ended).to_have_count(1)
    expect(vera.box).to_have_value("")
    vera.reload()
    assert vera.messages.count() == 2


def test_shift_enter_breaks_the_line(vera):
    vera.box.press_sequentially("one")
    vera.box.press("Shift+Enter")
    vera.box.press_sequentially("two")
    expect(vera.box).to_have_value("one\ntwo")
    assert vera.messages.count() == 0


TWENTY = """async () => {
    const form = document.getElementById("composer");
    const body = () => { const fields = new URLSearchParams(new FormData(form)); fields.set("message", "say Once."); return fields };
    const posts = Array.from({ length: 20 }, () => fetch(form.action, { method: "POST", body: body(), headers: { Accept: "text/html" } }));
    return (await Promise.all(posts)).map((answer) => answer.status);
}"""


def test_one_form_posted_twenty_times_at_once_is_one_turn(vera):
    assert set(vera.page.evaluate(TWENTY)) == {200}
    vera.reload()
    assert vera.messages.count() == 2


def test_double_click_without_script_is_one_turn(visit, site):
    page = visit(java_script_enabled=False).open(site)
    page.box.fill("play paced-300-20-10")
    page.button("Send").dblclick()
    expect(page.ended).to_have_count(1)
    page.page.reload()
    assert page.messages.count() == 2


def test_retry_pressed_twice_is_one_turn(vera):
    vera.ask("play error-in-stream")
    vera.button("Retry").dblclick()
    expect(vera.button("Retry")).to_be_visible()
    vera.reload()
    assert vera.messages.count() == 2
