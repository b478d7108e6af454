"""What an import does with one client: made or changed, field by field, with old and new values.

It sets what the document names and takes nothing away: `settings` and `limits` are set field by field (null gives a field
back to the platform), lists of people, sources and model endpoints grow, any other list is replaced.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from flask_babel import gettext as _

from chatbot.knowledge.listed import name_of
from chatbot.tenants.document import ClientDocument
from chatbot.tenants.fields import ClientLimits
from chatbot.tenants.settings import AssistantSettings
from chatbot.tenants.transfer import state
from chatbot.tenants.transfer.reading import Entry
from chatbot.tenants.transfer.state import GAP, OWN_FIELDS, Current

FROM_TEMPLATE = (
    "anonymous_chat",
    "requires_second_factor",
    "time_zone",
    "limits",
    "settings",
    "endpoints",
    "knowledge",
)
EMPTY_PROVIDER = {"client_secret": GAP, "domains": [], "required": False, "claim": "", "roles": {}}
Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """A field of the client that is set: a path like `settings.tone`, or one entry of a list that grows."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Gap:
    """What an import asks for and a document doesn't hold: a secret, a file, an endpoint that is not here."""

    slug: str
    field: str
    text: str


@dataclass(slots=True)
class Step:
    """What becomes of one client. `current` is None for one that is made, `target` what will be stored of it."""

    slug: str
    name: str
    action: Literal["create", "change", "unchanged"]
    changes: list[Change]
    gaps: list[Gap]
    current: Current | None
    target: Values

    def grown(self, name: str) -> Iterator[Change]:
        """The changes of a list."""
        return (change for change in self.changes if change.field == name)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What there is beside the clients: accounts and endpoints by name (their ids), templates, and the one for all."""

    accounts: Mapping[str, str]
    endpoints: Mapping[str, str]
    templates: Mapping[str, Values]
    template: str | None = None


def step_of(entry: Entry, current: Current | None, around: Surroundings) -> Step:
    """What becomes of a client that has no problems."""
    given = entry.values if current else _with_template(entry.values, around)
    target = _target(given, current)
    changes = [*_own_changes(given, target, current), *_source_changes(target, current)]
    changes += _endpoint_changes(target, current, around) + _people_changes(target, current)
    action: Literal["create", "change", "unchanged"] = "change" if changes else "unchanged"
    return Step(
        slug=entry.slug,
        name=target.get("name") or (current.row.name if current else entry.slug),
        action=action if current else "create",
        changes=changes,
        gaps=list(_gaps(given | {"slug": entry.slug}, target, current, around)),
        current=current,
        target=target,
    )


def _with_template(values: Values, around: Surroundings) -> Values:
    """The values of a client to be made, over those of its template."""
    template = around.templates.get(values.get("template") or around.template or "")
    if template is None:
        return values
    taken = {name: template[name] for name in FROM_TEMPLATE if name in template}
    whole = {**taken, **values}
    for name in ("limits", "settings"):
        whole[name] = patched(taken.get(name, {}), values.get(name, {}))
    own = {name_of(source) for source in values.get("knowledge", ())}
    common = [source for source in taken.get("knowledge", ()) if "file" not in source and name_of(source) not in own]
    whole["knowledge"] = [*values.get("knowledge", ()), *common]
    whole["endpoints"] = sorted({*taken.get("endpoints", ()), *values.get("endpoints", ())})
    return whole


def patched(old: Mapping[str, Any], given: Mapping[str, Any]) -> Values:
    """`given` over `old`, mappings field by field; null takes a field away."""
    new = dict(old)
    for name, value in given.items():
        if value is None:
            new.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(old.get(name), Mapping):
            new[name] = patched(old[name], value)
        elif isinstance(value, Mapping):
            new[name] = patched({}, value)
        else:
            new[name] = value
    return new


def _target(given: Values, current: Current | None) -> Values:
    """What the client will be: whole values of what is stored whole, and the entries that lists are given."""
    defaults = {name: ClientDocument.model_fields[name].default for name in OWN_FIELDS}
    fields = {**(current.fields if current else defaults), **{n: given[n] for n in OWN_FIELDS if n in given}}
    provider = current.provider if current else None
    if "identity_provider" in given:
        provider = _provider(given["identity_provider"], current)
    return {
        **fields,
        "limits": state.readable(ClientLimits, patched(current.limits if current else {}, given.get("limits", {}))),
        "settings": state.readable(
            AssistantSettings, patched(current.settings if current else {}, given.get("settings", {}))
        ),
        "identity_provider": provider,
        "endpoints": given.get("endpoints", []),
        "knowledge": given.get("knowledge", []),
        "people": given.get("people", []),
    }


def _provider(given: Values, current: Current | None) -> Values:
    """The identity provider that is meant. No file makes it the only way in: first an admin has to have come in by it."""
    old = current.provider if current and current.provider else EMPTY_PROVIDER
    new = {**old, **given, "client_secret": GAP}
    new["roles"] = dict(sorted(new["roles"].items()))
    new["required"] = bool(new["required"] and old["required"] and not needs_secret(new, current))
    return new


def _own_changes(given: Values, target: Values, current: Current | None) -> Iterator[Change]:
    if current is None:
        yield from (Change(name, None, target[name]) for name in OWN_FIELDS if name in given)
    else:
        old = current.fields
        yield from (Change(name, old[name], target[name]) for name in OWN_FIELDS if old[name] != target[name])
    yield from _differences("limits", current.limits if current else {}, target["limits"])
    yield from _differences("settings", current.settings if current else {}, target["settings"])
    if target["identity_provider"] is not None:
        provider = current.provider if current and current.provider else EMPTY_PROVIDER
        yield from _differences("identity_provider", provider, target["identity_provider"])


def _differences(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """What differs, leaf by leaf; a list is one leaf."""
    for name in [*old, *(name for name in new if name not in old)]:
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _differences(f"{path}.{name}", before, after)
        elif before != after:
            yield Change(f"{path}.{name}", before, after)


def _source_changes(target: Values, current: Current | None) -> Iterator[Change]:
    for entry in target["knowledge"]:
        known = current.sources.get(name_of(entry)) if current else None
        if known is None:
            yield Change("knowledge", None, entry)
        elif (whole := {**known.entry, **entry}) != known.entry:
            yield Change("knowledge", known.entry, whole)


def _endpoint_changes(target: Values, current: Current | None, around: Surroundings) -> list[Change]:
    has = current.endpoints if current else ()
    return [Change("endpoints", None, n) for n in target["endpoints"] if n not in has and n in around.endpoints]


def _people_changes(target: Values, current: Current | None) -> list[Change]:
    changes = []
    for person in target["people"]:
        member = current.people.get(person["email"]) if current else None
        if member is None:
            changes.append(Change("people", None, person))
        elif member.role != person["role"]:
            changes.append(Change("people", {**person, "role": member.role}, person))
    return changes


def _gaps(given: Values, target: Values, current: Current | None, around: Surroundings) -> Iterator[Gap]:
    slug = given["slug"]
    if "key" in (target["settings"].get("endpoint") or {}):
        yield Gap(slug, "settings.endpoint.key", _("The key of the client's own model endpoint"))
    provider = target["identity_provider"]
    if provider and needs_secret(provider, current):
        words = _("The secret of the client's identity provider; until it is entered, nobody comes in by it")
        yield Gap(slug, "identity_provider.client_secret", words)
    if provider and given.get("identity_provider", {}).get("required") and not provider["required"]:
        words = _("That people must come by the identity provider; first one of the admins comes in by it")
        yield Gap(slug, "identity_provider.required", words)
    for name in target["endpoints"]:
        if name not in around.endpoints:
            yield Gap(slug, "endpoints", _("A model endpoint “%(name)s”; make it and import this again", name=name))
    for entry in target["knowledge"]:
        known = current.sources.get(name_of(entry)) if current else None
        if "file" in entry and (known is None or known.is_missing):
            yield Gap(slug, "knowledge", _("The file “%(name)s”; add it to the client's knowledge", name=entry["file"]))


def needs_secret(provider: Mapping[str, Any], current: Current | None) -> bool:
    """Whether a provider's secret must be entered: there is none, or the one there is belongs to another provider."""
    if current is None or current.provider is None or not current.provider_has_secret:
        return True
    return any(provider[name] != current.provider[name] for name in ("issuer", "client_id"))
