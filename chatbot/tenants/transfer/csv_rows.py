"""A spreadsheet saved as CSV, as the tree of a client document: a client a row.

Read kindly: comma, semicolon, tab or bar between cells, quotes or none, a byte-order mark, Excel's `sep=` line, names of
columns in any case and spelling (`Admin e-mail`). An empty cell says nothing.
"""

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

from flask_babel import gettext as _

from chatbot.tenants.transfer.tree import NO_TEXT, Mapping, Series, Unreadable

DELIMITERS = ",;\t|"
LIMITS = ("messages_per_day", "tokens_per_month", "money_per_month", "chat_rate")
COLUMNS = (
    "slug",
    "name",
    "admin_email",
    "template",
    "status",
    "anonymous_chat",
    "requires_second_factor",
    "time_zone",
    "sites",
    *LIMITS,
    "language",
    "greeting",
)
BY_LETTERS = {name.replace("_", ""): name for name in COLUMNS}
DECIMAL_COMMA = re.compile(r"[0-9]+,[0-9]{1,2}")


def read_csv(text: str) -> Mapping:
    """The tree that a table means. Raises Unreadable with the line."""
    first, body = _without_separator(text)
    head, *_rest = body.splitlines() or [""]
    delimiter = first or max(DELIMITERS, key=head.count)
    rows = _rows(body, delimiter, lines_before=text.count("\n", 0, len(text) - len(body)))
    line, names = next(rows, (1, []))
    columns = [_column(name, line) for name in names]
    if "slug" not in columns:
        raise Unreadable(line, _("The first line names the columns, and one of them is “slug”."))
    if len(set(columns)) < len(columns):
        raise Unreadable(line, _("A column is here twice."))
    root, clients = Mapping(line), Series(line)
    root["clients"], root.lines["clients"] = clients, line
    for line, cells in rows:
        if len(cells) > len(columns):
            raise Unreadable(line, _("There are more cells in this row than columns in the first."))
        clients.lines[len(clients)] = line
        clients.append(_client(dict(zip(columns, cells, strict=False)), line))
    return root


def _without_separator(text: str) -> tuple[str, str]:
    """What Excel's first line `sep=;` says, and the text after it."""
    found = re.match(r"sep=([,;|\t])\r?\n", text, re.IGNORECASE)
    return (found[1], text[found.end() :]) if found else ("", text)


def _rows(text: str, delimiter: str, lines_before: int) -> Iterator[tuple[int, list[str]]]:
    """Each row that says something, with the line it begins on."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = lines_before + reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            raise Unreadable(line, _("This row can't be read: %(why)s.", why=error)) from None
        while cells and not cells[-1]:
            cells.pop()
        if any(NO_TEXT.search(cell) for cell in cells):
            raise Unreadable(line, _("There is a character in it that is no text."))
        if cells:
            yield line, cells


def _column(name: str, line: int) -> str:
    known = BY_LETTERS.get("".join(filter(str.isalnum, name.casefold())))
    if known is None:
        words = _("There is no column “%(name)s”. There are: %(all)s.", name=name[:60], all=", ".join(COLUMNS))
        raise Unreadable(line, words)
    return known


def _client(row: dict[str, str], line: int) -> Mapping:
    given: dict[str, Any] = {name: value for name, value in row.items() if value}
    client = _mapping(line, {name: given.pop(name) for name in list(given) if name in _AS_THEY_ARE})
    if "sites" in given:
        _put(client, "sites", _series(line, _words(given["sites"])), line)
    if "admin_email" in given:
        people = [_mapping(line, {"email": email, "role": "admin"}) for email in _words(given["admin_email"])]
        _put(client, "people", _series(line, people), line)
    limits: dict[str, Any] = {name: _number(given[name]) for name in LIMITS if name in given}
    settings: dict[str, Any] = {name: given[name] for name in ("language", "greeting") if name in given}
    for name, part in (("limits", limits), ("settings", settings)):
        if part:
            _put(client, name, _mapping(line, part), line)
    return client


_AS_THEY_ARE = {"slug", "name", "template", "status", "anonymous_chat", "requires_second_factor", "time_zone"}


def _words(cell: str) -> list[str]:
    return [word for word in re.split(r"[\s,;]+", cell) if word]


def _number(cell: str) -> str:
    return cell.replace(",", ".") if DECIMAL_COMMA.fullmatch(cell) else cell


def _mapping(line: int, values: dict[str, Any]) -> Mapping:
    made = Mapping(line)
    for name, value in values.items():
        _put(made, name, value, line)
    return made


def _series(line: int, values: list[Any]) -> Series:
    made = Series(line)
    made.extend(values)
    made.lines = dict.fromkeys(range(len(values)), line)
    return made


def _put(mapping: Mapping, name: str, value: Any, line: int) -> None:
    mapping[name] = value
    mapping.lines[name] = line
