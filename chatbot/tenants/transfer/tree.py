"""A document's values as they are read, each with the line it stands on: what an error is told with.

Whatever the text is written in, it is read piece by piece into a `Growing` tree, which holds it to bounds: how deep,
how many values, no key twice, nothing that the database can't store.
"""

import re
from dataclasses import dataclass, field
from typing import Any, cast

from flask_babel import gettext as _

from chatbot.errors import Text

DEEPEST = 20
MOST_VALUES = 1_000_000
LONGEST_KEY = 200
NO_TEXT = re.compile("[\0\ud800-\udfff]")  # PostgreSQL stores no zero byte, and half a character is no text anywhere


class Unreadable(Exception):
    """The text can't be read from this line on."""

    def __init__(self, line: int, text: Text) -> None:
        super().__init__(line)
        self.line, self.text = line, str(text)


class Mapping(dict[str, Any]):
    """A mapping, the line where it begins, and those of its keys."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line, self.size = line, 1
        self.lines: dict[Any, int] = {}


class Series(list[Any]):
    """A list, the line where it begins, and those of its entries."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line, self.size = line, 1
        self.lines: dict[Any, int] = {}


Node = Mapping | Series


def line_at(node: Any, place: tuple[str | int, ...]) -> int:
    """The line of what stands at `place` below `node`, or of the nearest thing around it."""
    line = cast(int, getattr(node, "line", 1))
    for step in place:
        if not isinstance(node, Mapping | Series) or step not in node.lines:
            break
        line = node.lines[step]
        node = cast(Any, node)[step]
    return line


@dataclass(slots=True)
class _Open:
    node: Node
    anchor: str | None
    key: str | None = None


@dataclass(slots=True)
class Growing:
    """A tree that is being read. `root` is the finished thing."""

    root: Any = None
    is_done: bool = False
    _open: list[_Open] = field(default_factory=list)
    _anchors: dict[str, Any] = field(default_factory=dict)

    @property
    def awaits_key(self) -> bool:
        """Whether what comes next is a key."""
        return bool(self._open) and isinstance(self._open[-1].node, Mapping) and self._open[-1].key is None

    def begin(self, node: Node, anchor: str | None = None) -> None:
        """A mapping or a list begins. Raises Unreadable, as all of these do."""
        if self.awaits_key:
            raise Unreadable(node.line, _("A field's name is a word, not a list."))
        if len(self._open) >= DEEPEST:
            raise Unreadable(node.line, _("This is nested too deeply."))
        self._open.append(_Open(node, anchor))

    def end(self) -> None:
        closed = self._open.pop()
        if closed.anchor:
            self._anchors[closed.anchor] = closed.node
        self._put(closed.node, closed.node.line, closed.node.size)

    def key(self, name: str, line: int) -> None:
        top = self._open[-1]
        if len(name) > LONGEST_KEY or NO_TEXT.search(name):
            raise Unreadable(line, _("This is no field's name."))
        if name in top.node:
            raise Unreadable(line, _("“%(name)s” is here twice.", name=name))
        top.key = name
        top.node.lines[name] = line

    def value(self, value: Any, line: int, anchor: str | None = None) -> None:
        if isinstance(value, str) and NO_TEXT.search(value):
            raise Unreadable(line, _("There is a character in it that is no text."))
        if anchor:
            self._anchors[anchor] = value
        self._put(value, line, 1)

    def again(self, anchor: str, line: int) -> None:
        """What was written before under this name."""
        if anchor not in self._anchors:
            raise Unreadable(line, _("There is no “&%(name)s” before this.", name=anchor))
        if self.awaits_key:
            raise Unreadable(line, _("A field's name is a word, not a list."))
        known = self._anchors[anchor]
        self._put(known, line, known.size if isinstance(known, Mapping | Series) else 1)

    def _put(self, value: Any, line: int, size: int) -> None:
        if not self._open:
            self.root, self.is_done = value, True
            return
        top = self._open[-1]
        top.node.size += size
        if top.node.size > MOST_VALUES:
            raise Unreadable(line, _("There are more than %(n)s values in it.", n=MOST_VALUES))
        if isinstance(top.node, Series):
            top.node.lines[len(top.node)] = line
            top.node.append(value)
        else:
            top.node[cast(str, top.key)] = value
            top.key = None
