"""From a source's bytes to a document: its title, its address, and the pieces that become passages.

Bytes that came from outside are only ever looked at here, without running anything in them. What can't be read raises
Unreadable, whose reason is a sentence for the person who added the source.
"""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import orjson
from flask_babel import gettext as _

from chatbot.errors import Text
from chatbot.knowledge.bounded import OutOfBounds, run_bounded
from chatbot.knowledge.models import ADDRESS, TITLE
from chatbot.knowledge.passages import STEP, Passage, cut, first_heading

MARKDOWN, PLAIN, HTML, PAIRS, PAIR_LINES = (
    "text/markdown",
    "text/plain",
    "text/html",
    "application/json",
    "application/jsonl",
)
MEDIA_TYPES = {
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".txt": PLAIN,
    ".html": HTML,
    ".htm": HTML,
    ".json": PAIRS,
    ".jsonl": PAIR_LINES,
}
ALIASES = {
    "text/x-markdown": MARKDOWN,
    "application/xhtml+xml": HTML,
    "application/x-ndjson": PAIR_LINES,
    "application/ndjson": PAIR_LINES,
}
HTML_PROGRAM = Path(__file__).with_name("html_text.py")
MAX_PASSAGES = 5000
QUESTION, ANSWER = 480, 20_000  # characters

FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
FIELD = re.compile(r"^(title|url):(.*)$", re.MULTILINE)


class Unreadable(Exception):
    """This source can't be read, however often one tries. `reason` is shown to the person who added it."""

    def __init__(self, reason: Text) -> None:
        super().__init__(str(reason))
        self.reason = str(reason)


@dataclass(frozen=True, slots=True)
class Piece:
    """A passage to be, and the title it stands under: its page's, or its question."""

    title: str
    passage: Passage

    @property
    def heading(self) -> str:
        """The path of headings below the title, as one line."""
        return STEP.join(part for part in self.passage.headings if part != self.title)[:TITLE]


@dataclass(frozen=True, slots=True)
class Document:
    """A source as read."""

    title: str
    url: str | None
    pieces: tuple[Piece, ...]


def media_type_of(name: str, given: str | None = None) -> str | None:
    """The kind of content that `name`'s ending tells, or `given` (a Content-Type) where it tells none; None when unknown."""
    ending = PurePosixPath(name).suffix.lower()
    if ending in MEDIA_TYPES:
        return MEDIA_TYPES[ending]
    plain = (given or "").partition(";")[0].strip().lower()
    known = ALIASES.get(plain, plain)
    return known if not ending and known in MEDIA_TYPES.values() else None


def is_pairs(media_type: str) -> bool:
    """Whether a source of this kind holds questions with their answers."""
    return media_type in (PAIRS, PAIR_LINES)


def decode(content: bytes) -> str:
    """The text in `content`. Raises Unreadable for what is not UTF-8 text."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable(_("This is not text in UTF-8. Save it as UTF-8 and add it again.")) from None
    if "\0" in text:
        raise Unreadable(_("There are zero bytes in it: this is not a text file."))
    return text


def parse(name: str, media_type: str, content: bytes) -> Document:
    """Read a source. Raises Unreadable, also when there is nothing in it or more than MAX_PASSAGES passages."""
    text = decode(content)
    document = _pairs(name, media_type, text) if is_pairs(media_type) else _page(name, media_type, text)
    if not document.pieces:
        raise Unreadable(_("There is no text in it."))
    if len(document.pieces) > MAX_PASSAGES:
        raise Unreadable(_("It is too long: split it into several files, each of at most 2,000 pages."))
    return document


def _page(name: str, media_type: str, text: str) -> Document:
    title, url = "", None
    if media_type == HTML:
        text, title, url = _html(text)
    elif media_type == MARKDOWN:
        text, title, url = _front_matter(text)
    if media_type != PLAIN and not title:
        title = first_heading(text)
    title = shortened(title) or shortened(PurePosixPath(name).stem)
    passages = cut(text, is_markdown=media_type != PLAIN)
    return Document(title, web_address(url), tuple(Piece(title, passage) for passage in passages))


def _html(text: str) -> tuple[str, str, str | None]:
    try:
        markdown, title, url = orjson.loads(run_bounded(HTML_PROGRAM, text.encode()))
    except OutOfBounds:
        raise Unreadable(_("This page is built in a way that can't be read.")) from None
    return markdown.replace("\0", ""), title.replace("\0", ""), url


def _front_matter(text: str) -> tuple[str, str, str | None]:
    """The text after the front matter, and the title and url in it. Nothing else in it is looked at."""
    matter = FRONT_MATTER.match(text)
    if matter is None:
        return text, "", None
    fields = {key: value.strip().strip("\"'") for key, value in FIELD.findall(matter[1])}
    return text[matter.end() :], fields.get("title", ""), fields.get("url")


def _pairs(name: str, media_type: str, text: str) -> Document:
    lines = text.splitlines() if media_type == PAIR_LINES else [text]
    entries: list[Any] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            entries += _entries(line, number)
    pieces = [
        Piece(question, passage)
        for question, answer in (_pair(entry, number) for number, entry in enumerate(entries, start=1))
        for passage in cut(answer)
    ]
    title = pieces[0].title if len(entries) == 1 and pieces else PurePosixPath(name).stem
    return Document(shortened(title), None, tuple(pieces))


def _entries(text: str, line: int) -> list[Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        at = line if line > 1 else error.lineno
        raise Unreadable(_("This is not JSON: look at line %(line)s.", line=at)) from None
    return found if isinstance(found, list) else [found]


def _pair(entry: Any, number: int) -> tuple[str, str]:
    fields = entry if isinstance(entry, dict) else {}
    question, answer = _field(fields, "question"), _field(fields, "answer")
    if not question or not answer:
        raise Unreadable(_("Entry %(number)s has no question with an answer, both as text.", number=number))
    if len(question) > QUESTION or len(answer) > ANSWER:
        raise Unreadable(_("The question or the answer of entry %(number)s is too long.", number=number))
    return question, answer


def _field(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return value.strip() if isinstance(value, str) and "\0" not in value else ""


def shortened(text: str) -> str:
    """`text` on one line, cut to a title's length."""
    return " ".join(text.split())[:TITLE]


def web_address(url: str | None) -> str | None:
    """`url` when it is a plain web address that a person may follow, else None: `javascript:` never gets into a link."""
    if not url or len(url) > ADDRESS or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and parts.hostname else None
