"""Doing what a plan says, all of it or nothing: one transaction, which is the caller's, across tenants."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError

from chatbot.accounts.letters import post_invitation
from chatbot.accounts.links import INVITATION, address_of, make_link
from chatbot.accounts.models import IdentityProvider, Membership, OneTimeLink, SignIn
from chatbot.audit import Actor, record
from chatbot.blocking import breathe
from chatbot.db import db
from chatbot.errors import Conflict, Invalid
from chatbot.knowledge.listed import add_listed, change_listed, name_of
from chatbot.mail import can_mail
from chatbot.tenancy import new_id
from chatbot.tenants.models import EndpointGrant, SettingsVersion, Tenant
from chatbot.tenants.transfer.planning import Asked, Plan, make_plan
from chatbot.tenants.transfer.state import OWN_FIELDS, PORTION
from chatbot.tenants.transfer.steps import Change, Step, needs_secret


@dataclass(frozen=True, slots=True)
class Invited:
    """Somebody without an account here who was invited. `address` is the link that wasn't mailed, for whoever imports to pass on."""

    slug: str
    email: str
    address: str | None


@dataclass(frozen=True, slots=True)
class Done:
    """What an import has done. `stopped` are the ids of clients that are suspended by it: their turns are to be stopped."""

    plan: Plan
    invited: list[Invited]
    stopped: list[str]


class Changed(Conflict):
    """The clients are no longer as they were when the plan was made. `plan` is the one that holds now."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(_("Meanwhile these clients were changed. Look at the plan again: nothing was imported."))
        self.plan = plan


def apply(asked: Asked, by: Actor, fingerprint: str | None = None) -> Done:
    """Import a document within the session's transaction; twice is the same as once.

    With the `fingerprint` of a plan that somebody looked at, that is done or nothing. Raises Unusable, Changed, Conflict.
    """
    plan = make_plan(asked, lock=True)
    if fingerprint is not None and fingerprint != plan.fingerprint:
        raise Changed(plan)
    try:
        with db.session.no_autoflush:  # rows are written together, not a few with every question
            invited = _store(plan, by)
        db.session.flush()
    except IntegrityError:
        raise Conflict(_("Meanwhile somebody else changed these clients. Nothing was imported; try again.")) from None
    counts = {action: plan.count(action) for action in ("create", "change", "unchanged")}
    detail = {**counts, "sha256": asked.reading.sha256, "form": asked.reading.form}
    record("clients.imported", by, target=_named(step.slug for step in plan.steps), detail=detail)
    stopped = [step.current.row.id for step in plan.steps if step.current and _is_suspended_by(step)]
    return Done(plan, invited, stopped)


def record_export(by: Actor, slugs: Sequence[str] | None, count: int, sha256: str, form: str) -> None:
    """Say in the audit log that clients were read out: which were asked for (None: all), how many, and what came out."""
    detail: dict[str, Any] = {"clients": "all" if slugs is None else len(slugs), "count": count}
    record("clients.exported", by, target=_named(slugs or ()), detail={**detail, "sha256": sha256, "form": form})


def _named(slugs: Iterable[str]) -> str:
    """As many as there is room for."""
    return ", ".join(slugs)[:320]


def _is_suspended_by(step: Step) -> bool:
    return any(change.field == "status" and change.new == "suspended" for change in step.changes)


def _store(plan: Plan, by: Actor) -> list[Invited]:
    busy = [step for step in plan.steps if step.action != "unchanged"]
    busy.sort(key=lambda step: step.slug)  # two imports at once take the same rows in the same order
    rows = {step.slug: _tenant(step) for step in busy}
    db.session.flush()
    _store_settings([(step, rows[step.slug]) for step in busy], by)
    invited: list[Invited] = []
    for step in busy:
        breathe()
        tenant = rows[step.slug]
        _store_provider(step, tenant, by)
        for change in step.grown("endpoints"):
            db.session.add(EndpointGrant(tenant_id=tenant.id, endpoint_id=plan.around.endpoints[change.new]))
            _record("endpoint.granted", by, change.new, tenant)
        for change in step.grown("knowledge"):
            _store_source(step, change, tenant)
        for change in step.grown("people"):
            invited += _store_person(step, change, tenant, plan, by)
        _record_step(step, tenant, by)
    return invited


def _tenant(step: Step) -> Tenant:
    """The client's row, made or changed, but for its settings."""
    own = {name: step.target[name] for name in OWN_FIELDS}
    if step.current is None:
        tenant = Tenant(id=new_id(), slug=step.slug, limits=step.target["limits"], **own)
        db.session.add(tenant)
        return tenant
    tenant = step.current.row
    for name, value in own.items():
        if getattr(tenant, name) != value:
            setattr(tenant, name, value)
    if step.current.limits != step.target["limits"]:
        tenant.limits = step.target["limits"]
    return tenant


def _store_settings(steps: Sequence[tuple[Step, Tenant]], by: Actor) -> None:
    """A new published version for each client whose settings are others; the version before is kept, a draft stays."""
    new = [(tenant, step.target["settings"]) for step, tenant in steps if _has_new_settings(step)]
    for portion in _portions(new):
        breathe()
        ids = [tenant.id for tenant, _settings in portion]
        numbers = select(SettingsVersion.tenant_id, func.max(SettingsVersion.number)).group_by(
            SettingsVersion.tenant_id
        )
        numbers = numbers.where(SettingsVersion.tenant_id.in_(ids))
        last = {tenant_id: number for tenant_id, number in db.session.execute(numbers)}
        published = SettingsVersion.tenant_id.in_(ids), SettingsVersion.state == "published"
        db.session.execute(_quietly(update(SettingsVersion).where(*published).values(state="old")))
        for tenant, document in portion:
            version = SettingsVersion(tenant_id=tenant.id, number=last.get(tenant.id, 0) + 1, state="published")
            version.document, version.author = document, by.who[:320]
            db.session.add(version)


def _has_new_settings(step: Step) -> bool:
    return step.current is None or step.current.settings != step.target["settings"]


def _quietly(statement: Any) -> Any:
    """Without looking for rows in the session that the statement means: none of them is there."""
    return statement.execution_options(synchronize_session=False)


def _portions(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (rows[at : at + PORTION] for at in range(0, len(rows), PORTION))


def _store_provider(step: Step, tenant: Tenant, by: Actor) -> None:
    """The identity provider. A secret that is kept never goes to another issuer, nor holds what the old one vouched for."""
    target = step.target["identity_provider"]
    if target is None or (step.current and step.current.provider == target):
        return
    own = select(IdentityProvider).where(IdentityProvider.tenant_id == tenant.id)
    row = db.session.scalar(own) if step.current and step.current.provider else None
    if row is None:
        row = IdentityProvider(tenant_id=tenant.id)
        db.session.add(row)
    elif row.issuer != target["issuer"]:
        db.session.execute(_quietly(delete(SignIn).where(SignIn.confined_to == tenant.id)))
    if needs_secret(target, step.current):
        row.client_secret = None
    row.issuer, row.client_id = target["issuer"], target["client_id"]
    row.domains, row.is_required = target["domains"], target["required"]
    row.claim, row.roles = target["claim"], target["roles"]
    _record("provider.saved", by, row.issuer, tenant, domains=row.domains, required=row.is_required, roles=row.roles)


def _store_source(step: Step, change: Change, tenant: Tenant) -> None:
    known = step.current.sources.get(name_of(change.new)) if step.current else None
    if known is None:
        add_listed(tenant.id, change.new)
    else:
        change_listed(known.id, change.new)


def _store_person(step: Step, change: Change, tenant: Tenant, plan: Plan, by: Actor) -> Iterator[Invited]:
    """Whoever has an account here is let in, whoever hasn't is invited, and each has the role that the document says."""
    email, role = change.new["email"], change.new["role"]
    member = step.current.people.get(email) if step.current else None
    account_id = plan.around.accounts.get(email)
    if member is not None:
        kind: Any = Membership if member.account_id else OneTimeLink
        db.session.execute(_quietly(update(kind).where(kind.id == member.row_id).values(role=role)))
        _record("member.role-changed", by, email, tenant, **{"from": member.role, "to": role})
    elif account_id is not None:
        db.session.add(Membership(tenant_id=tenant.id, account_id=account_id, role=role))
        _record("member.joined", by, email, tenant, role=role)
    else:
        if step.current is not None:  # an earlier invitation, which is over, makes room for this one
            earlier = OneTimeLink.kind == INVITATION, OneTimeLink.tenant_id == tenant.id, OneTimeLink.email == email
            db.session.execute(_quietly(delete(OneTimeLink).where(*earlier, OneTimeLink.used_at.is_(None))))
        yield _invite(email, role, tenant, by)


def _invite(email: str, role: str, tenant: Tenant, by: Actor) -> Invited:
    """An invitation, mailed when this transaction is done."""
    row = OneTimeLink(kind=INVITATION, tenant_id=tenant.id, email=email, role=role)
    row.made_by, row.inviter_id = by.who[:320], by.account_id
    address = address_of(make_link(row))
    _record("member.invited", by, email, tenant, role=role)
    if can_mail():
        try:
            post_invitation(email, tenant.name, by.who, address)
        except Invalid:  # an address that is one, but that no mail server takes
            return Invited(tenant.slug, email, address)
        return Invited(tenant.slug, email, None)
    return Invited(tenant.slug, email, address)


def _record_step(step: Step, tenant: Tenant, by: Actor) -> None:
    lists = ("people", "endpoints", "knowledge")
    fields = sorted({change.field for change in step.changes if change.field not in lists})
    sources = sum(1 for _change in step.grown("knowledge"))
    action = "client.created" if step.current is None else "client.changed"
    _record(action, by, tenant.name, tenant, by_import=True, fields=fields, sources=sources)


def _record(action: str, by: Actor, target: str, tenant: Tenant, **detail: Any) -> None:
    record(action, by, target=target, tenant_id=tenant.id, tenant_slug=tenant.slug, detail=detail)
