"""What a client may spend, what is held for turns under way, and what was spent."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Index, Numeric, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from chatbot.tenancy import TenantModel, now


class Quota(TenantModel):
    """What one client has used and holds of one limit in one period, e.g. scope `tokens` in `2026-11`, in the scope's unit.

    The cap stands in `tenant.limits` alone, so that a changed limit holds from the next turn on."""

    __tablename__ = "quota"
    scope: Mapped[str] = mapped_column(String(20))
    period: Mapped[str] = mapped_column(String(10))
    used: Mapped[int] = mapped_column(BigInteger, default=0)
    held: Mapped[int] = mapped_column(BigInteger, default=0)

    @classmethod
    def _table_args(cls) -> Any:
        return (UniqueConstraint("tenant_id", "scope", "period"), CheckConstraint("held >= 0", "held_not_negative"))


class Hold(TenantModel):
    """What an open turn has reserved of one quota. Whoever deletes the row books it: settle or sweep, once."""

    __tablename__ = "hold"
    turn_id: Mapped[str] = mapped_column(String(26))
    scope: Mapped[str] = mapped_column(String(20))
    period: Mapped[str] = mapped_column(String(10))
    amount: Mapped[int] = mapped_column(BigInteger)

    @classmethod
    def _table_args(cls) -> Any:
        return (UniqueConstraint("tenant_id", "turn_id", "scope"),)


class LedgerEntry(TenantModel):
    """What one turn used: one row a turn, never changed. `estimated` when the model did not say."""

    __tablename__ = "ledger_entry"
    turn_id: Mapped[str] = mapped_column(String(26))
    channel: Mapped[str] = mapped_column(String(10))
    model: Mapped[str] = mapped_column(String(200))
    outcome: Mapped[str] = mapped_column(String(12))
    input_tokens: Mapped[int]
    output_tokens: Mapped[int]
    estimated: Mapped[bool]
    cost: Mapped[Decimal] = mapped_column(Numeric(18, 8), default=Decimal(0))
    currency: Mapped[str] = mapped_column(String(3), default="USD")
    created_at: Mapped[datetime] = mapped_column(default=now)

    @classmethod
    def _table_args(cls) -> Any:
        return (UniqueConstraint("tenant_id", "turn_id"), Index("ix_ledger_time", "tenant_id", "created_at"))


class UsageDay(TenantModel):
    """What a client's turns came to on one day of its own time zone (`2026-11-03`): the sum of its ledger, for lists and charts.

    `questions` is all turns, `answered` those with a whole answer, `failed` those that broke off or failed, `messages`
    those that its limit counts, `conversations` those that began with them. `last_at` is when the last one ended.
    """

    __tablename__ = "usage_day"
    day: Mapped[str] = mapped_column(String(10))
    questions: Mapped[int] = mapped_column(default=0)
    answered: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    messages: Mapped[int] = mapped_column(default=0)
    conversations: Mapped[int] = mapped_column(default=0)
    input_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    output_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    last_at: Mapped[datetime] = mapped_column(default=now)

    @classmethod
    def _table_args(cls) -> Any:
        return (UniqueConstraint("tenant_id", "day"),)
