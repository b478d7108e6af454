"""Enter as client: a platform admin acts as a client's admin for half an hour, with a reason, and every page says so.

It belongs to one sign-in and ends by itself, by leaving, or with the sign-in. The audit log has its begin and its end.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, bindparam, select

from chatbot.accounts.models import Account, SignIn
from chatbot.audit import Actor, AuditEntry, record
from chatbot.db import across_tenants, db, read
from chatbot.errors import Invalid, NotFound
from chatbot.jobs import sweeps
from chatbot.tenancy import EVERY_TENANT, now, table_of
from chatbot.tenants.models import Tenant

ENTERED_FOR = timedelta(minutes=30)
LONGEST_REASON = 300
ENTERED, LEFT = "client.entered", "client.left"
_S, _T = table_of(SignIn), table_of(Tenant)
_ENTRY = (
    select(_T.c.slug, _T.c.name, _S.c.entered_until)
    .join(_T, _T.c.id == _S.c.entered_id)
    .where(_S.c.id == bindparam("sign_in"), _T.c.deleted_at.is_(None))
)


@dataclass(frozen=True, slots=True)
class Entry:
    """The client that a sign-in has entered, since when and until when."""

    slug: str
    name: str
    since: datetime
    until: datetime


def find_entry(sign_in_id: str) -> Entry | None:
    """The client that this sign-in has entered and not left."""
    row = read(EVERY_TENANT, lambda unit: unit.execute(_ENTRY, {"sign_in": sign_in_id}).first())
    if row is None or row.entered_until is None or row.entered_until <= now():
        return None
    return Entry(row.slug, row.name, row.entered_until - ENTERED_FOR, row.entered_until)


def enter(sign_in_id: str, tenant: Tenant, reason: str, by: Actor) -> None:
    """Enter a client from now on, within the session's transaction; one that was entered before is left.

    Raises Invalid without a reason, NotFound for a sign-in that has ended.
    """
    reason = reason.strip()
    if not reason or len(reason) > LONGEST_REASON:
        raise Invalid(_("Say why, in a few words: the client can ask for it."), errors={"reason": _("Say why.")})
    leave("another client was entered", SignIn.id == sign_in_id)
    row = db.session.get(SignIn, sign_in_id)
    if row is None:
        raise NotFound()
    row.entered_id, row.entered_until = tenant.id, now() + ENTERED_FOR
    record(ENTERED, by, target=tenant.name, tenant_id=tenant.id, tenant_slug=tenant.slug, detail={"reason": reason})


def leave(how: str, *which: ColumnElement[bool]) -> int:
    """End what the sign-ins `which` have entered, within the session's transaction; `how` is for the log. Returns how many."""
    entered = (
        select(SignIn, Account.email, Tenant)
        .join(Account, Account.id == SignIn.account_id)
        .join(Tenant, Tenant.id == SignIn.entered_id)
        .where(SignIn.entered_id.is_not(None), *which)
    )
    rows = db.session.execute(entered).all()
    for sign_in, email, tenant in rows:
        sign_in.entered_id = sign_in.entered_until = None
        record(
            LEFT,
            Actor(email, sign_in.account_id, sign_in.address),
            target=tenant.name,
            tenant_id=tenant.id,
            tenant_slug=tenant.slug,
            detail={"how": how, "reason": _reason(sign_in.account_id, tenant.id)},
        )
    db.session.flush()
    return len(rows)


def _reason(account_id: str, tenant_id: str) -> str:
    """Why the account entered the client last, as the log has it."""
    last = (
        select(AuditEntry.detail)
        .where(AuditEntry.tenant_id == tenant_id, AuditEntry.account_id == account_id, AuditEntry.action == ENTERED)
        .order_by(AuditEntry.at.desc())
        .limit(1)
    )
    return str((db.session.scalar(last) or {}).get("reason", ""))


@sweeps
def end_entries() -> int:
    """Write down the end of what has ended by itself."""
    over = SignIn.entered_until <= now()
    with across_tenants(writes=False) as session:  # nothing to do takes no write lock
        if session.scalar(select(SignIn.id).where(over).limit(1)) is None:
            return 0
    with across_tenants():
        return leave("its time was over", over)
