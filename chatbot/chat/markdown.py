"""A model's Markdown as safe HTML: no raw HTML, no images, links that show where they go."""

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from urllib.parse import urlsplit

import nh3
from flask_babel import gettext as _
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape

TEXT_TAGS = ("a", "p", "br", "strong", "em", "del", "code", "pre", "blockquote", "ul", "ol", "li", "hr")
TAGS = {*TEXT_TAGS, "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"}
SCHEMES = {"http", "https", "mailto", "tel"}
_markdown = (
    MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"]).disable("image")
)
_MARK = re.compile(r"\[(\d{1,2})\]")


@lru_cache(maxsize=2000)
def to_html(text: str, message_id: str = "", numbers: Collection[int] = ()) -> Markup:
    """`text` as HTML that may be put into a page. `numbers` are the citation marks that become links to their passage."""
    tokens = _markdown.parse(text)
    _lower_headings(tokens)
    html = nh3.clean(
        _markdown.renderer.render(tokens, _markdown.options, {}),
        tags=TAGS,
        attributes={"a": {"href", "title"}, "th": {"align"}, "td": {"align"}, "code": {"class"}, "ol": {"start"}},
        url_schemes=SCHEMES,
        link_rel="noopener noreferrer nofollow",
        attribute_filter=_filter,
    )
    html = _reachable(_show_hosts(html))
    return Markup(_link_marks(html, message_id, numbers))  # noqa: S704  nh3 cleaned it; what is added below is ours


def plain_to_html(text: str) -> Markup:
    """A visitor's own words: escaped, line breaks kept."""
    return Markup("<br>").join(escape(line) for line in text.split("\n"))


def _lower_headings(tokens: Sequence[Token]) -> None:
    """The page has h1 and h2 of its own: an answer's begin at h3 and go down one step at a time."""
    levels = [int(token.tag[1]) for token in tokens if token.type == "heading_open"]
    shown = 2
    for token in tokens:
        if token.type == "heading_open":
            shown = min(3 + max(0, int(token.tag[1]) - levels[0]), shown + 1, 6)
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{shown}"


def _reachable(html: str) -> str:
    """What may be wider than the page scrolls by itself, by keyboard too."""
    frame = f'<div class="table-scroll" tabindex="0" role="group" aria-label="{escape(_("Table"))}">'
    html = html.replace("<table>", f"{frame}<table>").replace("</table>", "</table></div>")
    return html.replace("<pre>", '<pre tabindex="0">')


def _filter(tag: str, attribute: str, value: str) -> str | None:
    if (tag, attribute) == ("code", "class"):
        return value if re.fullmatch(r"language-[\w+-]{1,20}", value) else None
    if (tag, attribute) == ("a", "href") and urlsplit(value.strip()).scheme.lower() not in SCHEMES:
        return None
    return value


_LINK = re.compile(r'<a href="([^"]*)"([^>]*)>(.*?)</a>', re.DOTALL)


def _show_hosts(html: str) -> str:
    """Say where a link goes, unless its own words say so."""

    def with_host(match: re.Match[str]) -> str:
        address, more, words = match.groups()
        host = urlsplit(address.replace("&amp;", "&")).hostname or ""
        shown = "" if not host or host in words else f' <span class="link-host">({escape(host)})</span>'
        return f'<a href="{address}"{more} target="_blank">{words}</a>{shown}'

    return _LINK.sub(with_host, html)


_OUTSIDE_CODE = re.compile(r"(<pre[^>]*>.*?</pre>|<code[^>]*>.*?</code>|<a [^>]*>.*?</a>|<[^>]+>)", re.DOTALL)


def _link_marks(html: str, message_id: str, numbers: Collection[int]) -> str:
    if not numbers:
        return html

    def link(match: re.Match[str]) -> str:
        number = int(match[1])
        if number not in numbers:
            return match[0]
        return f'<a class="source-mark" href="#source-{escape(message_id)}-{number}">{number}</a>'

    parts = _OUTSIDE_CODE.split(html)
    return "".join(part if at % 2 else _MARK.sub(link, part) for at, part in enumerate(parts))
