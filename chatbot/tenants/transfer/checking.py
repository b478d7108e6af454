"""A client document as plain checked values, or what is wrong with it and where."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from flask_babel import gettext as _
from pydantic import ValidationError

from chatbot.knowledge.listed import name_of
from chatbot.tenants.document import ClientDocument
from chatbot.tenants.settings import Part

SECRETS = ("key", "client_secret")
Fault = tuple[tuple[str | int, ...], str]  # where in the document, and what is wrong there


def check_client(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    """`given` as plain checked values: what was named and nothing else, with null where a field is given back.

    Returns the faults as well, each with its place; the values are good for nothing when there are any.
    """
    nulls, faults = [], []
    for place, is_known in _nulls(ClientDocument, given, ()):
        if is_known:
            nulls.append(place)
        else:
            faults.append((place, _("This field is not known.")))
    try:
        checked = ClientDocument.model_validate(_without_own_nulls(given))
    except ValidationError as error:
        return {}, faults + _faults(error)
    values = without_nulls(checked.model_dump(mode="json", exclude_unset=True))
    for place in nulls:
        if place[0] in ("settings", "limits") and len(place) > 1:
            _give_back(values, place)
    return values, faults + list(_twice(values))


def _faults(error: ValidationError) -> list[Fault]:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [(item["loc"], _words(item["type"], item["loc"][-1:], item["msg"])) for item in found]


def _words(kind: str, last: tuple[str | int, ...], message: str) -> str:
    if last and last[0] in SECRETS:
        return str(_("A secret is in no document: write {secret: missing} and enter it on its page."))
    known = {
        "extra_forbidden": _("This field is not known."),
        "missing": _("This is missing."),
        "model_type": _("Fields are expected here."),
    }
    return str(known.get(kind, message.removeprefix("Value error, ")))


def without_nulls(value: Any) -> Any:
    """`value` without what is null in its mappings, all the way down."""
    if isinstance(value, Mapping):
        return {key: without_nulls(part) for key, part in value.items() if part is not None}
    if isinstance(value, list):
        return [without_nulls(part) for part in value]
    return value


def _without_own_nulls(value: Any) -> Any:
    """The same outside lists: what is in a list has no defaults to be given back to, and is checked as it is."""
    if isinstance(value, Mapping):
        return {key: _without_own_nulls(part) for key, part in value.items() if part is not None}
    return value


def _nulls(model: type[Part], given: Mapping[str, Any], at: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], bool]]:
    """The places of nulls in `given`, outside lists, and whether the model knows a field there."""
    for name, value in given.items():
        field = model.model_fields.get(name)
        if value is None:
            yield (*at, name), field is not None
        elif field is not None and isinstance(value, Mapping):
            part = _part(field.annotation)
            if part is not None:
                yield from _nulls(part, value, (*at, name))


def _part(annotation: Any) -> type[Part] | None:
    """The model of a field that holds one (`Endpoint | None`), else None."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, Part):
            return kind
    return None


def _give_back(values: dict[str, Any], place: tuple[str, ...]) -> None:
    *path, last = place
    for name in path:
        values = values.setdefault(name, {})
    values[last] = None


def _twice(values: dict[str, Any]) -> Iterator[Fault]:
    """What a list names twice: nobody can say which of the two is meant."""
    for field, named in (("people", _person_key), ("knowledge", name_of), ("endpoints", str)):
        seen: set[str] = set()
        for number, entry in enumerate(values.get(field, ())):
            key = named(entry)
            if key in seen:
                yield (field, number), _("This is here twice.")
            seen.add(key)


def _person_key(entry: Mapping[str, str]) -> str:
    return entry["email"]
