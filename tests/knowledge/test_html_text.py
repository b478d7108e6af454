"""What is left of a page: its words, as Markdown."""

import pytest

from chatbot.knowledge.html_text import markdown_of

PAGE = """<!doctype html><title> Our
 prices </title><link rel=canonical href="https://bakery.example/prices"><style>p{}</style>
<nav><a href=/>Home</a></nav><h1>Prices &amp; times</h1><p>Fresh   <b>every</b> day.<br>Even Sunday.
<h2>Bread</h2><ul><li>Rye<li>Spelt <i>(Fridays)</i></ul>
<table><tr><th>Loaf<th>Price<tr><td><p>Rye</p><td>3 € | 4 €</table><pre>a
  b</pre><div hidden>secret</div>"""


def test_a_page_becomes_markdown():
    text, title, url = markdown_of(PAGE)
    assert (title, url) == ("Our prices", "https://bakery.example/prices")
    assert text.split("\n\n") == [
        "# Prices & times",
        "Fresh every day.\nEven Sunday.",
        "## Bread",
        "- Rye",
        "- Spelt (Fridays)",
        "| Loaf | Price |\n| --- | --- |\n| Rye | 3 € / 4 € |",
        "```\na\n  b\n```",
    ]


def test_a_table_that_is_the_page_s_layout_is_no_table():
    assert markdown_of("<table><tr><td>menu<td><h1>Bread</h1><p>Rye</table>")[0] == "menu\n\n# Bread\n\nRye"


@pytest.mark.parametrize("page", ["", "<", "<html>", "\0", "<b>" * 20_000, "<table><tr><td>" * 3_000, "</p>" * 1000])
def test_any_page_is_taken(page):
    assert markdown_of(page)[1:] == ("", None)
