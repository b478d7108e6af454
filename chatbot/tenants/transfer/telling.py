"""A plan in words: what people read on a page or in a terminal before they agree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _

from chatbot.tenants.transfer.steps import Change, Gap, Step

LONGEST = 200  # characters of a value


@dataclass(frozen=True, slots=True)
class Told:
    """A change in words; `old` is empty where there was nothing."""

    field: str
    old: str
    new: str


def tell(step: Step) -> list[Told]:
    """A client's changes in words."""
    return [_told(change) for change in step.changes]


def as_values(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """The plan as programs read it."""
    return [
        {
            "slug": step.slug,
            "action": step.action,
            "changes": [{"field": change.field, "old": change.old, "new": change.new} for change in step.changes],
        }
        for step in steps
    ]


def gaps_as_values(gaps: Sequence[Gap]) -> list[dict[str, str]]:
    """What an import asks for, as programs read it."""
    return [{"slug": gap.slug, "field": gap.field, "detail": gap.text} for gap in gaps]


def _told(change: Change) -> Told:
    if change.field == "people":
        return Told(change.new["email"], _role(change.old), _role(change.new))
    if change.field == "knowledge":
        entry = change.new
        name = entry.get("question") or entry.get("url") or entry.get("file")
        return Told(_shortened(str(name), 80), _source(change.old), _source(entry))
    return Told(change.field, _value(change.old, is_old=True), _value(change.new))


def _role(person: Mapping[str, str] | None) -> str:
    return person["role"] if person else ""


def _source(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return ""
    if "file" in entry:
        return str(_("a file, to be added"))
    return _shortened(str(entry.get("answer") or entry.get("every") or _("a page")))


def _value(value: Any, *, is_old: bool = False) -> str:
    if value is None:
        return "" if is_old else str(_("the platform's"))
    if isinstance(value, bool):
        return str(_("yes") if value else _("no"))
    if isinstance(value, Mapping):
        return _shortened(
            ", ".join(f"{name}: {_value(part)}" for name, part in value.items() if part not in (None, ""))
        )
    if isinstance(value, list):
        return _shortened("; ".join(_value(part) for part in value)) or str(_("nothing"))
    return _shortened(str(value)) or str(_("nothing"))


def _shortened(text: str, longest: int = LONGEST) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
