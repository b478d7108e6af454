"""Visitors, their conversations, the messages in them and the turns that answer."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKeyConstraint, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from chatbot.tenancy import TenantModel, now

OPEN = ("waiting", "running")


def belongs_to(parent: str, column: str) -> ForeignKeyConstraint:
    """A reference to a parent of the same tenant: a plain key would let an own row point at a foreign parent."""
    return ForeignKeyConstraint(["tenant_id", column], [f"{parent}.tenant_id", f"{parent}.id"], ondelete="CASCADE")


class Visitor(TenantModel):
    """Whoever chats. `subject` says who: `browser:<id>`, `account:<id>`, `key:<id>`, `key:<id>:<user>`."""

    __tablename__ = "visitor"
    has_children = True
    subject: Mapped[str] = mapped_column(String(400))
    conversation_id: Mapped[str | None] = mapped_column(String(26))  # the current one; None after 'start fresh'
    created_at: Mapped[datetime] = mapped_column(default=now)

    @classmethod
    def _table_args(cls) -> Any:
        return (UniqueConstraint("tenant_id", "subject"),)


class Conversation(TenantModel):
    """One visitor's thread. `message_count` and `turn_count` give the next message and turn their place."""

    __tablename__ = "conversation"
    has_children = True
    visitor_id: Mapped[str] = mapped_column(String(26))
    channel: Mapped[str] = mapped_column(String(10))
    title: Mapped[str] = mapped_column(String(200), default="")
    first_line: Mapped[str] = mapped_column(String(400), default="")
    system_prompt: Mapped[str | None] = mapped_column(Text)
    is_active: Mapped[bool] = mapped_column(default=True)
    message_count: Mapped[int] = mapped_column(default=0)
    turn_count: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now)

    @classmethod
    def _table_args(cls) -> Any:
        return (
            belongs_to("visitor", "visitor_id"),
            Index("ix_conversation_of_visitor", "tenant_id", "visitor_id", "updated_at"),
        )


class Message(TenantModel):
    """One message. The answer's `content` grows while its turn runs; `replaced_by` names a later answer to the same question."""

    __tablename__ = "message"
    conversation_id: Mapped[str] = mapped_column(String(26))
    turn_id: Mapped[str] = mapped_column(String(26))
    position: Mapped[int]
    role: Mapped[str] = mapped_column(String(10))
    content: Mapped[str] = mapped_column(Text, default="")
    status: Mapped[str] = mapped_column(String(12))
    citations: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON)
    replaced_by: Mapped[str | None] = mapped_column(String(26))
    created_at: Mapped[datetime] = mapped_column(default=now)

    @classmethod
    def _table_args(cls) -> Any:
        return (
            belongs_to("conversation", "conversation_id"),
            UniqueConstraint("tenant_id", "conversation_id", "position"),
            Index("ix_message_of_turn", "tenant_id", "turn_id"),
        )


class Turn(TenantModel):
    """One visitor message and everything done to answer it. `lease_until` says until when its worker is known alive."""

    __tablename__ = "turn"
    conversation_id: Mapped[str] = mapped_column(String(26))
    visitor_id: Mapped[str] = mapped_column(String(26))
    number: Mapped[int]
    name: Mapped[str] = mapped_column(String(300))  # the caller's own name of the message: the same name is one turn
    fingerprint: Mapped[str] = mapped_column(String(64))  # of what was asked under that name
    channel: Mapped[str] = mapped_column(String(10))
    question_id: Mapped[str] = mapped_column(String(26))
    answer_id: Mapped[str] = mapped_column(String(26))
    status: Mapped[str] = mapped_column(String(12))
    is_stopping: Mapped[bool] = mapped_column(default=False)
    options: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    settings_version: Mapped[int | None]
    finish_reason: Mapped[str | None] = mapped_column(String(12))
    problem: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    usage: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    lease_owner: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]

    @classmethod
    def _table_args(cls) -> Any:
        is_open = text("status IN ('waiting', 'running')")
        return (
            belongs_to("conversation", "conversation_id"),
            UniqueConstraint("tenant_id", "visitor_id", "name"),
            UniqueConstraint("tenant_id", "conversation_id", "number"),
            Index("ix_turn_lease", "lease_until", sqlite_where=is_open, postgresql_where=is_open),
            Index(
                "ix_turn_open",
                "tenant_id",
                "conversation_id",
                "number",
                sqlite_where=is_open,
                postgresql_where=is_open,
            ),
        )
