"""The audit log: who did what, when, to whom, from where. Entries are written and read, never changed.

The database itself refuses a change (triggers of migration 0002), so no right on any page, and no fault of ours, edits it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from chatbot.db import db
from chatbot.tenancy import PlatformModel, now


class AuditEntry(PlatformModel):
    """One thing that was done. It names people and clients by value: it outlives them."""

    __tablename__ = "audit_entry"
    at: Mapped[datetime] = mapped_column(default=now, index=True)
    account_id: Mapped[str | None] = mapped_column(String(26))
    who: Mapped[str] = mapped_column(String(320))
    address: Mapped[str] = mapped_column(String(64), default="")
    action: Mapped[str] = mapped_column(String(60))
    tenant_id: Mapped[str | None] = mapped_column(String(26))
    tenant_slug: Mapped[str] = mapped_column(String(63), default="")
    target: Mapped[str] = mapped_column(String(320), default="")
    detail: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)

    __table_args__ = (Index("ix_audit_of_tenant", "tenant_id", "at"),)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: a person, or the command line. `address` is where the request came from."""

    who: str
    account_id: str | None = None
    address: str = ""


COMMAND_LINE = Actor("command line")


def record(
    action: str,
    by: Actor,
    *,
    target: str = "",
    tenant_id: str | None = None,
    tenant_slug: str = "",
    detail: dict[str, Any] | None = None,
) -> None:
    """Add an entry to the session's transaction: it is there when, and only when, what it tells of is.

    `action` is a noun and a verb, like "client.suspended". `detail` holds plain values, never a secret or message text.
    """
    db.session.add(
        AuditEntry(
            action=action,
            who=by.who[:320],
            account_id=by.account_id,
            address=by.address[:64],
            target=target[:320],
            tenant_id=tenant_id,
            tenant_slug=tenant_slug[:63],
            detail=detail or {},
        )
    )
