"""What an import would do, client by client, or every problem that stands in its way. Nothing is stored here."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import orjson
from flask_babel import gettext as _
from sqlalchemy import select

from chatbot.accounts.models import Account
from chatbot.blocking import breathe
from chatbot.db import db
from chatbot.knowledge.listed import name_of
from chatbot.knowledge.sources import MAX_SOURCES
from chatbot.tenants.models import ModelEndpoint
from chatbot.tenants.transfer import state
from chatbot.tenants.transfer.reading import Entry, Problem, Reading, Unusable
from chatbot.tenants.transfer.state import PORTION, Current
from chatbot.tenants.transfer.steps import Gap, Step, Surroundings, step_of


@dataclass(slots=True)
class Plan:
    """All of an import. `fingerprint` tells this plan from that of another day, when the clients are others."""

    steps: list[Step]
    around: Surroundings
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        told = [(step.slug, step.action, [(c.field, c.old, c.new) for c in step.changes]) for step in self.steps]
        self.fingerprint = hashlib.sha256(orjson.dumps(told)).hexdigest()

    @property
    def gaps(self) -> list[Gap]:
        return [gap for step in self.steps for gap in step.gaps]

    def count(self, action: str) -> int:
        return sum(step.action == action for step in self.steps)


@dataclass(frozen=True, slots=True)
class Asked:
    """What to import. `beside` is a document of templates, `template` the one for clients that name none."""

    reading: Reading
    template: str | None = None
    beside: Reading | None = None


def make_plan(asked: Asked, *, lock: bool = False) -> Plan:
    """The plan for a document, within a session across tenants. Raises Unusable with every problem."""
    entries = asked.reading.entries
    templates = {entry.values.get("template") or asked.template for entry in entries} - {None}
    currents = state.load((entry.slug for entry in entries), lock=lock)
    around = _surroundings(asked, entries, [str(slug) for slug in templates])
    steps: list[Step] = []
    problems: list[Problem] = []
    for entry in entries:
        breathe()
        found = list(_problems(entry, currents.get(entry.slug), around))
        problems += found
        if not found:
            steps.append(step_of(entry, currents.get(entry.slug), around))
    if problems:
        raise Unusable(problems)
    return Plan(steps, around)


def _surroundings(asked: Asked, entries: Sequence[Entry], templates: Sequence[str]) -> Surroundings:
    given = {entry.slug: entry.values for entry in asked.beside.entries} if asked.beside else {}
    known = state.load(slug for slug in templates if slug not in given)
    there = {slug: client.document() for slug, client in known.items() if not client.is_deleted}
    default = asked.template or (next(iter(given)) if len(given) == 1 else None)
    emails = {person["email"] for entry in entries for person in entry.values.get("people", ())}
    endpoints = select(ModelEndpoint.name, ModelEndpoint.id).where(ModelEndpoint.retired_at.is_(None))
    return Surroundings(
        accounts=_accounts(sorted(emails)),
        endpoints={name: endpoint_id for name, endpoint_id in db.session.execute(endpoints)},
        templates={**there, **given},
        template=default,
    )


def _accounts(emails: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for at in range(0, len(emails), PORTION):
        there = select(Account.email, Account.id).where(Account.email.in_(emails[at : at + PORTION]))
        there = there.where(Account.home_id.is_(None))
        found |= {email: account_id for email, account_id in db.session.execute(there)}
    return found


# --- what can't be done ----------------------------------------------------------------------------------------------


def _problems(entry: Entry, current: Current | None, around: Surroundings) -> Iterator[Problem]:
    if current is None:
        template = entry.values.get("template") or around.template
        if "name" not in entry.values:
            yield entry.problem(_("There is no such client yet. A new one needs a name."), "name")
        if template and template not in around.templates:
            yield entry.problem(_("There is no client “%(slug)s” to begin from.", slug=template), "template")
        return
    if current.is_deleted:
        words = _("This client was deleted a few days ago, and that can still be undone. Do that first.")
        yield entry.problem(words, "slug")
    new = {name_of(source) for source in entry.values.get("knowledge", ())} - current.sources.keys()
    if len(current.sources) + len(new) > MAX_SOURCES:
        yield entry.problem(_("A client has up to %(number)s sources.", number=MAX_SOURCES), "knowledge")
    yield from _last_admin(entry, current)


def _last_admin(entry: Entry, current: Current) -> Iterator[Problem]:
    """A client that has an admin who can sign in keeps one."""
    roles = {email: member.role for email, member in current.people.items() if member.account_id and member.is_enabled}
    named = {person["email"]: person["role"] for person in entry.values.get("people", ())}
    after = [named.get(email, role) for email, role in roles.items()]
    if "admin" in roles.values() and "admin" not in after:
        place = next(n for n, person in enumerate(entry.values["people"]) if roles.get(person["email"]) == "admin")
        yield entry.problem(_("This would leave the client without an admin."), "people", place)
