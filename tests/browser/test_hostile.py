"""What a model may say and the page must not do."""

import re

import pytest
from playwright.sync_api import expect

from chatbot.chat.markdown import to_html

HOSTILE = """say [go](javascript:alert(1)) ![x](https://evil.example/a.png) <img src=x onerror=alert(1)> <script>alert(1)</script>

[site](https://evil.example/path) <https://evil.example/b> [data](data:text/html,x)

> > > > > > > > > > > > > > > > > > > > > > > > > > > > deep"""


def test_hostile_markdown_loads_and_runs_nothing(vera):
    asked, dialogs = [], []
    vera.page.on("request", lambda request: asked.append(request.url))
    vera.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    vera.page.evaluate(
        """() => { window.bad = []; new MutationObserver(() => { for (const e of document.querySelectorAll('#log img, #log script, #log a[href]:not([href^="http"], [href^="#"], [href^="/"])')) bad.push(e.outerHTML) }).observe(document.body, { childList: true, subtree: true, attributes: true }) }"""
    )
    vera.ask(HOSTILE)
    assert vera.page.evaluate("bad") == []
    assert dialogs == []
    assert not [url for url in asked if "evil.example" in url]
    link = vera.answers.last.get_by_role("link", name="site")
    expect(link).to_have_attribute("rel", re.compile("noopener.*nofollow"))
    expect(vera.answers.last).to_contain_text("(evil.example)")


STREAMED = """async (text) => {
  const { createWriter } = await import("/static/js/markdown.js");
  const place = document.createElement("div"), writer = createWriter(place);
  for (const piece of text.match(/.{1,7}/gs)) writer.write(piece);
  writer.end();
  return place.innerHTML;
}"""
SEEN = """([streamed, stored]) => [streamed, stored].map((html) => {
  const part = new DOMParser().parseFromString(html, "text/html").body;
  const links = [...part.querySelectorAll("a[href]")].map((link) => link.href);
  const cells = [...part.querySelectorAll("th, td")].map((cell) => [cell.tagName, cell.textContent, cell.className]);
  const struck = [...part.querySelectorAll("s")].map((words) => words.textContent);
  return { text: part.textContent.replace(/\\s+/g, ""), links, cells, struck };
})"""


@pytest.mark.parametrize(
    "text",
    [
        "[http://bank.example](http://bank.exam) and [bank.exam](http://bank.exam/login)",
        "[a](https:evil.example) [b](https:/evil.example) [c](http:evil.example)",
        "[bank.example](https://bank.example@evil.example/)",
        "[write](mailto:a@evil.example?subject=x) [a@b.example](mailto:a@b.example) [call](tel:+4930123)",
        "[https://Bank.example/](https://bank.example) [port](https://bank.example:8443/x) [same](https://bank.example:443/)",
        '[shop](https://evil.example/x "bank.example")',
        "~~99~~ now 79",
        "|a|b|c|d|\n|:--|:-:|--:|---|\n|1|2|3|4|\n|5|6|7|8|\n\nafter",
    ],
)
def test_what_streams_in_is_what_stays(vera, text):
    streamed, stored = vera.page.evaluate(SEEN, [vera.page.evaluate(STREAMED, text), str(to_html(text))])
    assert streamed == stored


def test_too_wide_a_table_streams_in_as_text(vera):
    text = "|" + "a|" * 51 + "\n|" + "-|" * 51 + "\n|b|\n"
    for html in (vera.page.evaluate(STREAMED, text), str(to_html(text))):
        assert "<table" not in html
        assert "|a|a|" in html
