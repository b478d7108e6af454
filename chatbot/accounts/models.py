"""People who sign in, and what they may do in a client."""

from datetime import datetime
from typing import Any

from flask_login import UserMixin
from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from chatbot.tenancy import PlatformModel, TenantModel, now

ROLES = ("admin", "staff", "user")


class Account(UserMixin, PlatformModel):
    """A person. `email` is in lower case; `password_hash` is argon2 or None (sign-in elsewhere)."""

    __tablename__ = "account"
    email: Mapped[str] = mapped_column(String(320), unique=True)
    name: Mapped[str] = mapped_column(String(200), default="")
    password_hash: Mapped[str | None] = mapped_column(String(255))
    is_platform_admin: Mapped[bool] = mapped_column(default=False)
    is_enabled: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(default=now)

    @property
    def is_active(self) -> bool:
        return self.is_enabled


class Membership(TenantModel):
    """An account's role within one client."""

    __tablename__ = "membership"
    account_id: Mapped[str] = mapped_column(String(26), ForeignKey("account.id", ondelete="CASCADE"), index=True)
    role: Mapped[str] = mapped_column(String(10))
    created_at: Mapped[datetime] = mapped_column(default=now)

    @classmethod
    def _table_args(cls) -> Any:
        return (UniqueConstraint("tenant_id", "account_id"),)
