"""YAML as a tree with lines: what the core schema of YAML 1.2 knows, and nothing that could make an object.

Read event by event, so that a document of any depth or with any number of aliases is stopped before it is built. Unlike
the library's own loader, `no`, `on` and `9:30` are the words they look like.
"""

import re
from typing import Any

import yaml
from flask_babel import gettext as _
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from chatbot.tenants.transfer.tree import Growing, Mapping, Series, Unreadable

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # as fast as C where libyaml is there
WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})")
BROKEN = re.compile(r"[-+]?[0-9]{1,40}\.[0-9]{0,40}(?:[eE][-+][0-9]{1,3})?")  # no more than the library would quote
CONSTANTS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
PLAIN_TAGS = (None, "!", "tag:yaml.org,2002:str")


def read_yaml(text: str) -> Any:
    """The tree of a YAML text that is one document; None for an empty one. Raises Unreadable with the line."""
    tree = Growing()
    try:
        for event in yaml.parse(text, Loader=Loader):
            _take(tree, event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable(mark.line + 1 if mark else 1, _("This is no YAML: %(why)s.", why=error.problem)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Unreadable(line, _("There is a character in it that is no text.")) from None
    return tree.root


def _take(tree: Growing, event: Any) -> None:
    if isinstance(event, ScalarEvent):
        _take_scalar(tree, event)
    elif isinstance(event, MappingStartEvent | SequenceStartEvent):
        line = _line(event)
        _refuse_tag(event, line)
        tree.begin(Mapping(line) if isinstance(event, MappingStartEvent) else Series(line), event.anchor)
    elif isinstance(event, MappingEndEvent | SequenceEndEvent):
        tree.end()
    elif isinstance(event, AliasEvent):
        tree.again(str(event.anchor), _line(event))
    elif isinstance(event, DocumentStartEvent) and tree.is_done:
        raise Unreadable(_line(event), _("A second document begins here. Put all clients into one."))


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _take_scalar(tree: Growing, event: Any) -> None:
    line = _line(event)
    _refuse_tag(event, line)
    if tree.awaits_key:
        tree.key(event.value, line)
    else:
        is_plain = event.implicit[0] and event.tag is None
        tree.value(_meaning(event.value) if is_plain else event.value, line, event.anchor)


def _refuse_tag(event: Any, line: int) -> None:
    if event.tag not in PLAIN_TAGS:
        raise Unreadable(line, _("Tags like “!!%(name)s” can't be used here.", name=event.tag.rpartition(":")[2][:60]))


def _meaning(word: str) -> Any:
    if word in CONSTANTS:
        return CONSTANTS[word]
    if WHOLE.fullmatch(word):
        return int(word)
    return float(word) if BROKEN.fullmatch(word) else word
