"""A file as clients to import: read, checked, and every value with the line it stands on."""

import codecs
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from flask_babel import gettext as _
from flask_babel import ngettext

from chatbot.blocking import off_loop
from chatbot.errors import Invalid, TooLarge
from chatbot.tenants.transfer.checking import check_client
from chatbot.tenants.transfer.csv_rows import read_csv
from chatbot.tenants.transfer.json_text import read_json
from chatbot.tenants.transfer.tree import Mapping, Series, Unreadable, line_at
from chatbot.tenants.transfer.yaml_text import read_yaml

FILE_BYTES = 32 << 20
MOST_CLIENTS = 5_000  # in one file: on SQLite nobody else writes meanwhile, some 2 s a thousand
MOST_PROBLEMS = 100  # told at once
READERS: dict[str, Callable[[str], Any]] = {"yaml": read_yaml, "json": read_json, "csv": read_csv}
ENDINGS = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".csv": "csv", ".tsv": "csv"}
BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that can't be used: its line, the client as the file calls it, the field, and why."""

    line: int
    field: str
    text: str
    client: str = ""

    def __str__(self) -> str:
        where = " ".join(part for part in (self.client, self.field) if part)
        text = f"{where}: {self.text}" if where else self.text
        return str(_("Line %(line)s: %(text)s", line=self.line, text=text))


class Unusable(Invalid):
    """A document of which nothing was imported, and the problems that it has (the first MOST_PROBLEMS of `count`)."""

    def __init__(self, problems: Sequence[Problem], count: int | None = None) -> None:
        self.count = count or len(problems)
        self.problems = sorted(problems, key=lambda problem: problem.line)[:MOST_PROBLEMS]
        words = ngettext(
            "Nothing was imported: %(num)s thing in it can't be used.",
            "Nothing was imported: %(num)s things in it can't be used.",
            self.count,
        )
        super().__init__(words, errors={self._name(problem): str(problem) for problem in self.problems})

    @staticmethod
    def _name(problem: Problem) -> str:
        return ".".join(part for part in (problem.client, problem.field) if part) or "body"


@dataclass(frozen=True, slots=True)
class Entry:
    """A client of the document: what it names, checked. `tree` tells the lines."""

    values: dict[str, Any]
    tree: Mapping

    @property
    def slug(self) -> str:
        return str(self.values["slug"])

    def problem(self, text: str, *place: str | int) -> Problem:
        return Problem(line_at(self.tree, place), _path(place), text, self.slug)


@dataclass(frozen=True, slots=True)
class Reading:
    """A document as read. `sha256` is that of its bytes, `form` what it was written in: yaml, json or csv."""

    entries: tuple[Entry, ...]
    sha256: str
    form: str


def form_of(name: str) -> str | None:
    """What a file is written in by its name's ending; None where that tells nothing."""
    return ENDINGS.get(PurePath(name).suffix.lower())


def read(content: bytes, form: str | None = None) -> Reading:
    """The clients in a document; without a `form` the text itself tells it. Raises TooLarge, and Unusable with every problem."""
    return off_loop(lambda: _read(content, form))  # seconds, for a file of hundreds of clients


def _read(content: bytes, form: str | None) -> Reading:
    text = _decoded(content)
    form = form or _looks_like(text)
    try:
        entries = _entries(_clients(READERS[form](text)))
    except Unreadable as error:
        raise Unusable([Problem(error.line, "", error.text)]) from None
    return Reading(tuple(entries), hashlib.sha256(content).hexdigest(), form)


def read_client(content: bytes, slug: str | None = None) -> Entry:
    """One client in JSON, as the admin API is given it; its short name is `slug` when the address says it.

    Raises TooLarge, Unusable.
    """
    try:
        tree = read_json(_decoded(content))
        if not isinstance(tree, Mapping):
            raise Unreadable(1, _("A client is written as fields: “slug”, “name” and so on."))
    except Unreadable as error:
        raise Unusable([Problem(error.line, "", error.text)]) from None
    if slug is not None:
        if tree.setdefault("slug", slug) != slug:
            raise Unusable([Problem(line_at(tree, ("slug",)), "slug", _("A client keeps its short name."))])
        tree.lines.setdefault("slug", 1)
    values, faults = check_client(tree)
    if faults:
        raise Unusable([Problem(line_at(tree, place), _path(place), text) for place, text in faults], len(faults))
    return Entry(values, tree)


def _decoded(content: bytes) -> str:
    if len(content) > FILE_BYTES:
        raise TooLarge(_("A file may have up to %(size)s MB.", size=FILE_BYTES >> 20))
    encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        words = _("This is not text in UTF-8. In a spreadsheet program, save it as “CSV UTF-8”.")
        raise Unusable([Problem(line, "", words)]) from None


def _looks_like(text: str) -> str:
    start = text.lstrip()
    if start[:1] in ("{", "["):
        return "json"
    head = start.partition("\n")[0].casefold()
    is_table = head.startswith("sep=") or re.match(r'"?[a-z _-]+"?[,;\t|]', head) or head.strip() in ("slug", '"slug"')
    return "csv" if is_table else "yaml"


def _clients(root: Any) -> Series:
    if not isinstance(root, Mapping) or "clients" not in root:
        raise Unreadable(line_at(root, ()), _("A document of clients begins with “clients:”."))
    for name, line in root.lines.items():
        if name != "clients":
            raise Unreadable(line, _("The field “%(name)s” is not known.", name=name))
    clients = Series(1) if root["clients"] is None else root["clients"]
    if not isinstance(clients, Series):
        raise Unreadable(root.lines["clients"], _("Under “clients” stands a list."))
    if len(clients) > MOST_CLIENTS:
        raise Unreadable(clients.lines[MOST_CLIENTS], _("A file has up to %(n)s clients.", n=MOST_CLIENTS))
    return clients


def _entries(clients: Series) -> list[Entry]:
    entries: list[Entry] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    count = 0
    for number, tree in enumerate(clients):
        checked = _check(tree, clients.lines[number], seen)
        for one in checked:
            if isinstance(one, Entry):
                entries.append(one)
            else:
                count += 1
                problems += [one] if len(problems) < MOST_PROBLEMS else []
    if problems:
        raise Unusable(problems, count)
    return entries


def _check(tree: Any, line: int, seen: set[str]) -> Iterator[Entry | Problem]:
    if not isinstance(tree, Mapping):
        yield Problem(line, "", _("A client is written as fields: “slug”, “name” and so on."))
        return
    values, faults = check_client(tree)
    slug = tree.get("slug")
    called = slug[:63] if isinstance(slug, str) else ""
    for place, text in faults:
        yield Problem(line_at(tree, place), _path(place), text, called)
    if called in seen and not faults:
        yield Problem(line_at(tree, ("slug",)), "slug", _("This client is here twice."), called)
    elif not faults:
        seen.add(called)
        yield Entry(values, tree)


def _path(place: Place) -> str:
    return ".".join(str(step)[:60] for step in place)[:200]
