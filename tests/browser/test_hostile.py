"""What a model may say and the page must not do."""

import re

from playwright.sync_api import expect

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
