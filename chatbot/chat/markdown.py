"""A model's Markdown as safe HTML: no raw HTML, no images, links that show where they go."""

import re
from collections.abc import Collection, Sequence
from html import unescape
from urllib.parse import urlsplit

import nh3
from flask_babel import gettext as _
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape

from chatbot.chat.drawn import Drawn
from chatbot.chat.tables import ALIGNMENTS, align_cells, bound_tables

TEXT_TAGS = ("a", "p", "br", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "hr")
TAGS = {*TEXT_TAGS, "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"}
ATTRIBUTES = {"a": {"href"}, "th": {"class"}, "td": {"class"}, "code": {"class"}, "ol": {"start"}}
SCHEMES = {"http", "https", "mailto", "tel"}
# The same in static/js/markdown.js. A browser also takes `https:host`, and `\\` for `/`; with a name before an `@` the
# host is easily misread. Such an address is no link.
ADDRESS = re.compile(r"(?:https?://[^\s/\\?#@%]+(?:[/?#].*)?|(?:mailto|tel):[^\s?#].*)", re.IGNORECASE | re.DOTALL)
_markdown = bound_tables(
    MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"]).disable("image")
)
_MARK = re.compile(r"\[(\d{1,2})\]")
_drawn = Drawn(room=8 * 1024 * 1024)


def to_html(text: str, message_id: str = "", numbers: Collection[int] = ()) -> Markup:
    """`text` as HTML that may be put into a page. `numbers` are the citation marks that become links to their passage."""
    label = str(_("Table"))  # the one word of ours: with it the language is part of what a text is kept under
    html = _drawn.get(text, (message_id, tuple(numbers), label), lambda: _draw(text, message_id, numbers, label))
    return Markup(html)  # noqa: S704  nh3 cleaned it; what was added after that is ours


def _draw(text: str, message_id: str, numbers: Collection[int], label: str) -> str:
    tokens = _markdown.parse(text)
    _lower_headings(tokens)
    align_cells(tokens)
    html = nh3.clean(
        _markdown.renderer.render(tokens, _markdown.options, {}),
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes=SCHEMES,
        link_rel="noopener noreferrer nofollow",
        attribute_filter=_filter,
    )
    return _link_marks(_reachable(_show_places(html), label), message_id, numbers)


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


def _reachable(html: str, label: str) -> str:
    """What may be wider than the page scrolls by itself, by keyboard too."""
    frame = f'<div class="table-scroll" tabindex="0" role="group" aria-label="{escape(label)}">'
    html = html.replace("<table>", f"{frame}<table>").replace("</table>", "</table></div>")
    return html.replace("<pre>", '<pre tabindex="0">')


def _filter(tag: str, attribute: str, value: str) -> str | None:
    if (tag, attribute) == ("code", "class"):
        return value if re.fullmatch(r"language-[\w+-]{1,20}", value) else None
    if attribute == "class":
        return value if value in ALIGNMENTS else None
    if (tag, attribute) == ("a", "href"):
        return value if _place(value) else None
    return value


def _place(address: str) -> str:
    """Where an address leads, in a word: the host, the mailbox, the number. Empty for one that may be no link."""
    if not ADDRESS.fullmatch(address):
        return ""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme in ("mailto", "tel"):
        return parts.path
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return host if port in (None, {"http": 80, "https": 443}[parts.scheme]) else f"{host}:{port}"


_LINK = re.compile(r'<a href="([^"]*)"([^>]*)>(.*?)</a>', re.DOTALL)
_TAG = re.compile(r"<[^>]*>")


def _show_places(html: str) -> str:
    """Say where a link leads, unless its words are just that."""

    def with_place(match: re.Match[str]) -> str:
        href, more, words = match.groups()
        address = unescape(href)
        place = _place(address)
        said = _bare(unescape(_TAG.sub("", words)))
        shown = "" if said in (_bare(place), _bare(address)) else f' <span class="link-host">({escape(place)})</span>'
        return f'<a href="{href}"{more} target="_blank">{words}</a>{shown}'

    return _LINK.sub(with_place, html)


def _bare(address: str) -> str:
    """An address as people write it: without its scheme, its last slash, and big letters."""
    return re.sub(r"^(https?://|mailto:|tel:)", "", address.strip().lower()).removesuffix("/")


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
