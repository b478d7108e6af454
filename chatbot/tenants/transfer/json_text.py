"""JSON as a tree with lines, which the standard library's reader doesn't tell: read token by token, to RFC 8259."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from flask_babel import gettext as _

from chatbot.tenants.transfer.tree import Growing, Mapping, Series, Unreadable

TOKEN = re.compile(
    r"""[ \t\r\n]*(?:
        (?P<mark>[\[\]{},:])
      | (?P<text>"(?:[^"\\\x00-\x1f]|\\.)*")
      | (?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)
      | (?P<word>true|false|null)
      | (?P<end>\Z))""",
    re.VERBOSE,
)
WORDS = {"true": True, "false": False, "null": None}
LONGEST_NUMBER = 40


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int

    def refuse(self) -> NoReturn:
        if self.kind == "end":
            raise Unreadable(self.line, _("This is no JSON: it ends too early."))
        raise Unreadable(self.line, _("This is no JSON: “%(token)s” can't stand here.", token=self.text[:40]))


def read_json(text: str) -> Any:
    """The tree of a JSON text. Raises Unreadable with the line."""
    reader = _Reader(_tokens(text))
    reader.take_value(next(reader.tokens))
    after = next(reader.tokens)
    if after.kind != "end":
        after.refuse()
    return reader.tree.root


def _tokens(text: str) -> Iterator[_Token]:
    at, line = 0, 1
    while True:
        found = TOKEN.match(text, at)
        if found is None:
            space = len(text[at:]) - len(text[at:].lstrip(" \t\r\n"))
            line += text.count("\n", at, at + space)
            _Token("unknown", text[at + space : at + space + 20], line).refuse()
        kind = str(found.lastgroup)
        line += text.count("\n", at, found.start(kind))
        at = found.end()
        yield _Token(kind, found[kind], line)


@dataclass(slots=True)
class _Reader:
    """The grammar. It calls itself no deeper than the tree lets anything be."""

    tokens: Iterator[_Token]
    tree: Growing = field(default_factory=Growing)

    def take_value(self, token: _Token) -> None:
        if token.text == "{" and token.kind == "mark":
            self.tree.begin(Mapping(token.line))
            self._take_fields()
            self.tree.end()
        elif token.text == "[" and token.kind == "mark":
            self.tree.begin(Series(token.line))
            self._take_entries()
            self.tree.end()
        else:
            self.tree.value(_meaning(token), token.line)

    def _take_fields(self) -> None:
        token = next(self.tokens)
        while token.text != "}" or token.kind != "mark":
            if token.kind != "text":
                token.refuse()
            self.tree.key(_text(token), token.line)
            self._expect(":")
            self.take_value(next(self.tokens))
            token = self._after_comma("}")

    def _take_entries(self) -> None:
        token = next(self.tokens)
        while token.text != "]" or token.kind != "mark":
            self.take_value(token)
            token = self._after_comma("]")

    def _after_comma(self, closing: str) -> _Token:
        """The closing mark, or what begins the next entry."""
        token = next(self.tokens)
        if token.kind != "mark" or token.text not in (",", closing):
            token.refuse()
        if token.text == closing:
            return token
        token = next(self.tokens)
        if token.kind == "mark" and token.text == closing:
            token.refuse()
        return token

    def _expect(self, mark: str) -> None:
        token = next(self.tokens)
        if token.kind != "mark" or token.text != mark:
            token.refuse()


def _meaning(token: _Token) -> Any:
    if token.kind == "text":
        return _text(token)
    if token.kind == "word":
        return WORDS[token.text]
    if token.kind != "number":
        token.refuse()
    if len(token.text) > LONGEST_NUMBER or not math.isfinite(float(token.text)):
        raise Unreadable(token.line, _("This number is too large."))
    return float(token.text) if set(token.text) & set(".eE") else int(token.text)


def _text(token: _Token) -> str:
    try:
        return str(json.loads(token.text))
    except json.JSONDecodeError:  # an escape that is none
        token.refuse()
