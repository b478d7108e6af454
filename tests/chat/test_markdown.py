"""A model's Markdown becomes safe HTML: nothing runs, nothing is fetched, links say where they go."""

import re

import pytest

from chatbot.chat.markdown import plain_to_html, to_html

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](https://evil.example/x.png)",
    "![x][1]\n\n[1]: https://evil.example/x.png",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:msgbox(1))",
    "[x](blob:https://a/b)",
    "[x](file:///etc/passwd)",
    "[x](//evil.example)",
    "[x]: javascript:alert(1)\n\n[x]",
    "<javascript:alert(1)>",
    "<a href='https://a.example' onclick='alert(1)'>x</a>",
    "<svg onload=alert(1)>",
    "<iframe src=https://evil.example>",
    "<style>*{background:url(https://evil.example)}</style>",
    "<link rel=preload href=https://evil.example>",
    "<video src=https://evil.example>",
    '[x](https://a.example "onmouseover=alert(1)")',
    '[x](https://a.example/"onmouseover="alert(1))',
    "`<img src=x onerror=alert(1)>`",
    "```html\n<script>alert(1)</script>\n```",
    '[1]" onclick="alert(1)',
    "[<img src=x onerror=alert(1)>](https://a.example)",
    "# <b onclick=alert(1)>x</b>",
    "|a|\n|-|\n|<img src=x onerror=alert(1)>|",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_runs_and_nothing_is_fetched(text: str) -> None:
    html = to_html(text, "m1", (1,))
    for tag in re.findall(r"<[^>]*>", html):
        assert not re.search(r"\bon\w+\s*=", re.sub(r'"[^"]*"', '""', tag)), tag
        assert re.match(
            r"</?(a|p|br|strong|em|del|code|pre|blockquote|ul|ol|li|h[3-6]|hr|table|thead|tbody|tr|th|td|span|div)\b",
            tag,
        ), tag
        for address in re.findall(r'(?:href|src)="([^"]*)"', tag):
            assert re.match(r"(https?://|mailto:|tel:|#source-)", address), tag


def test_links_show_their_host_and_open_apart() -> None:
    html = to_html("[the menu](https://bakery.example/menu)")
    assert "(bakery.example)" in html
    assert 'rel="noopener noreferrer nofollow"' in html
    assert 'target="_blank"' in html


def test_a_link_whose_words_name_another_host_says_so() -> None:
    assert "(evil.example)" in to_html("[bakery.example](https://evil.example/)")


def test_tables_lists_and_code() -> None:
    html = to_html("|a|b|\n|-|-|\n|1|2|\n\n- one\n- two\n\n```python\nx = 1\n```")
    assert all(part in html for part in ("<table>", "<li>one</li>", '<code class="language-python">'))


def test_marks_become_links_to_their_passage_but_not_in_code() -> None:
    html = to_html("On Fridays [1][2]. `a[1]`", "m1", (1,))
    assert html.count('class="source-mark"') == 1
    assert 'href="#source-m1-1"' in html
    assert "[2]" in html
    assert "a[1]" in html


def test_headings_stay_below_the_pages_own() -> None:
    assert "<h3>Prices</h3>" in to_html("# Prices")


def test_a_visitors_words_are_shown_as_they_are() -> None:
    assert plain_to_html("<b>a\nb") == "&lt;b&gt;a<br>b"


def test_long_hostile_texts_take_no_time_that_grows_with_their_square() -> None:
    for text in ("[" * 20_000, "[1]" * 20_000, "<a " * 20_000, "*" * 20_000, "`" * 20_001, "|" * 20_000):
        assert isinstance(to_html(text, "m", (1,)), str)


@pytest.mark.parametrize(
    "text",
    [
        "[http://bank.com](http://bank.co)",
        "[bank.co.example](http://bank.co)",
        "[see bank.co](http://bank.co)",
        "[](http://bank.co)",
    ],
)
def test_words_that_are_not_the_address_hide_nothing(text: str) -> None:
    assert "(bank.co)" in to_html(text)


@pytest.mark.parametrize(
    "text",
    [
        "[bank.co](http://bank.co/login)",
        "<https://bank.co/a?b&c>",
        "[bank.co/a](https://bank.co/a)",
        "<mailto:a@bank.co>",
        "[**Bank.co**](https://bank.co)",
    ],
)
def test_a_link_that_says_its_own_address_says_it_once(text: str) -> None:
    html = to_html(text)
    assert "href=" in html
    assert "link-host" not in html


def test_mailboxes_and_numbers_are_shown_too() -> None:
    html = to_html("[write](mailto:a@evil.example?subject=x) [call](tel:+4930123) [port](http://a.example:81/)")
    assert re.findall(r'link-host">\((.*?)\)', html) == ["a@evil.example", "+4930123", "a.example:81"]


@pytest.mark.parametrize(
    "address",
    [
        "https:evil.example",
        "http:/evil.example",
        "https://bank.example@evil.example",
        "http://[",
        "mailto:?to=a@b.example",
    ],
)
def test_addresses_that_mislead_are_no_links(address: str) -> None:
    assert "href" not in to_html(f"[x]({address})")


def test_struck_words_stay_struck() -> None:
    assert to_html("~~99~~ now 79") == "<p><s>99</s> now 79</p>\n"


def test_columns_are_aligned_by_a_class() -> None:
    html = to_html("|a|b|c|\n|:-|:-:|-|\n|1|2|3|")
    assert '<th class="align-left">a</th>' in html
    assert '<td class="align-center">2</td>' in html
    assert "<td>3</td>" in html
    assert "style" not in html


def test_a_table_that_is_mostly_empty_is_cut_short() -> None:
    html = to_html("|" + "a|" * 50 + "\n|" + "-|" * 50 + "\n" + "|\n" * 1300)
    assert "<table>" in html
    assert len(html) < 60_000


def test_many_empty_tables_share_one_allowance() -> None:
    html = to_html(("|" + "a|" * 40 + "\n|" + "-|" * 40 + "\n" + "|\n" * 60 + "\n") * 40)
    assert html.count("<td>") + html.count("<th>") < 20_000


def test_a_written_table_is_whole_however_long() -> None:
    assert to_html("|a|b|\n|-|-|\n" + "|1|2|\n" * 3000).count("<tr>") == 3001


def test_too_wide_a_table_stays_text() -> None:
    text = "|" + "a|" * 51 + "\n|" + "-|" * 51 + "\n|b|"
    assert "<table>" not in to_html(text)
    assert "|a|a|" in to_html(text)
