"""Bad lines: slow, cut, offline. The state is told, and each message is one turn."""

from playwright.sync_api import expect

LONG = "play paced-100-10-50"


def open_wired(visit, site):
    visitor = visit()
    return visitor, visitor.open(site, is_wired=True)


def test_answer_cut_in_the_middle_is_taken_up_again(visit, site):
    _, page = open_wired(visit, site)
    page.write(LONG)
    page.wait_for_text()
    site.wire.cut()
    expect(page.messages.last).to_contain_text("Connection lost")
    site.wire.mend()
    expect(page.ended).to_have_count(1)
    followed = page.answers.last.inner_text()
    page.reload()
    assert page.answers.all_inner_texts() == [followed]
    assert page.messages.count() == 2


def test_message_sent_into_a_cut_line_arrives_once(visit, site):
    _, page = open_wired(visit, site)
    site.wire.cut()
    page.write("say Arrived.")
    expect(page.messages.last).to_contain_text("Not sent yet")
    site.wire.mend()
    expect(page.ended).to_have_count(1)
    page.reload()
    assert page.questions == ["say Arrived."]


def test_offline_says_so_and_goes_on_when_back(visit, site):
    visitor, page = open_wired(visit, site)
    visitor.context.set_offline(True)
    expect(page.page.locator("#connection")).to_contain_text("You are offline")
    page.write("say Back again.")
    expect(page.messages.last).to_contain_text("Not sent yet")
    visitor.context.set_offline(False)
    expect(page.page.locator("#connection")).to_be_hidden()
    expect(page.ended).to_have_count(1)
    page.reload()
    assert page.questions == ["say Back again."]


def test_unsent_message_can_be_taken_back(visit, site):
    visitor, page = open_wired(visit, site)
    visitor.context.set_offline(True)
    page.write("say Never mind.")
    page.button("Stop").click()
    expect(page.box).to_have_value("say Never mind.")
    expect(page.problem).to_contain_text("Not sent")
    assert page.messages.count() == 0


def test_slow_line_ends_in_one_turn(visit, site):
    visitor, page = open_wired(visit, site)
    slow = {"offline": False, "latency": 2000, "downloadThroughput": 6250, "uploadThroughput": 6250}
    visitor.context.new_cdp_session(page.page).send("Network.emulateNetworkConditions", slow)
    page.write("say Slowly.")
    expect(page.messages.last).to_contain_text("Sending")
    expect(page.ended).to_have_count(1)
    assert page.questions == ["say Slowly."]


def test_text_survives_a_server_that_fails(vera):
    vera.page.route("**/chat/*", lambda route: route.fulfill(status=500, body="<h1>oops</h1>"))
    vera.write("say Kept.")
    expect(vera.problem).to_be_visible()
    expect(vera.box).to_have_value("say Kept.")
    vera.page.unroute("**/chat/*")
    vera.box.press("Enter")
    expect(vera.ended).to_have_count(1)


def test_stale_page_sends_at_the_second_try(vera):
    vera.page.evaluate("document.querySelectorAll('[name=csrf_token]').forEach((field) => { field.value = 'stale' })")
    vera.write("say Kept.")
    expect(vera.problem).to_be_visible()
    expect(vera.page.locator("#composer [name=csrf_token]")).not_to_have_value("stale")
    vera.box.press("Enter")
    expect(vera.ended).to_have_count(1)
