"""The client (in code: tenant), its assistant's settings and their versions, its keys, and what the platform gives it."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from chatbot.secrets_at_rest import Encrypted
from chatbot.tenancy import NamesTenant, PlatformModel, TenantModel, now


class Tenant(PlatformModel):
    """One business. `knowledge_version` grows with every change of its passages: caches are keyed on it.

    `deleted_at` is when an admin deleted it: from then on it is not there, and after a week it is gone.
    """

    __tablename__ = "tenant"
    slug: Mapped[str] = mapped_column(String(63), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    status: Mapped[str] = mapped_column(String(10), default="active")
    anonymous_chat: Mapped[bool] = mapped_column(default=False)
    time_zone: Mapped[str] = mapped_column(String(64), default="UTC")
    sites: Mapped[list[str]] = mapped_column(JSON, default=list)
    limits: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    knowledge_version: Mapped[int] = mapped_column(default=0)
    requires_second_factor: Mapped[bool] = mapped_column(default=False)
    deleted_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)

    @property
    def is_active(self) -> bool:
        return self.status == "active"


class SettingsVersion(TenantModel):
    """One version of an assistant's settings: a draft, the published one, or an older one. `document` is what was set."""

    __tablename__ = "settings_version"
    number: Mapped[int]
    state: Mapped[str] = mapped_column(String(10))
    document: Mapped[dict[str, Any]] = mapped_column(JSON)
    author: Mapped[str] = mapped_column(String(320), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)

    @classmethod
    def _table_args(cls) -> Any:
        published, draft = text("state = 'published'"), text("state = 'draft'")
        return (
            UniqueConstraint("tenant_id", "number"),
            Index("uq_one_published", "tenant_id", unique=True, sqlite_where=published, postgresql_where=published),
            Index("uq_one_draft", "tenant_id", unique=True, sqlite_where=draft, postgresql_where=draft),
        )


class ApiKey(NamesTenant):
    """A program's key. It names its tenant (none: a platform key) and is looked up before the tenant is known."""

    __tablename__ = "api_key"
    name: Mapped[str] = mapped_column(String(200))
    secret_hash: Mapped[str] = mapped_column(String(64))
    last_four: Mapped[str] = mapped_column(String(4))
    scopes: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(default=now)
    revoked_at: Mapped[datetime | None]


class IdempotencyRecord(TenantModel):
    """The answer once given to a caller's Idempotency-Key, kept for a day."""

    __tablename__ = "idempotency_record"
    caller: Mapped[str] = mapped_column(String(120))
    key: Mapped[str] = mapped_column(String(255))
    fingerprint: Mapped[str] = mapped_column(String(64))
    status: Mapped[int | None]
    answer: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)

    @classmethod
    def _table_args(cls) -> Any:
        return (UniqueConstraint("tenant_id", "caller", "key"),)


class PlatformAnswer(PlatformModel):
    """The same for a platform key's calls, which are in no client: the answer once given, kept for a day."""

    __tablename__ = "platform_answer"
    caller: Mapped[str] = mapped_column(String(120))
    key: Mapped[str] = mapped_column(String(255))
    fingerprint: Mapped[str] = mapped_column(String(64))
    status: Mapped[int | None]
    answer: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)

    __table_args__ = (UniqueConstraint("caller", "key"),)


class ModelEndpoint(PlatformModel):
    """An OpenAI-compatible server that the operator offers beside the platform's own; `is_for_all` or by grants.

    `version` grows with every change. One that was given up keeps its row and its name (`retired_at`), without its key:
    what names it gets no answer, instead of another model's.
    """

    __tablename__ = "model_endpoint"
    name: Mapped[str] = mapped_column(String(40), unique=True)
    base_url: Mapped[str] = mapped_column(String(500))
    api_key: Mapped[str | None] = mapped_column(Encrypted, deferred=True)  # opened only where it is used
    model: Mapped[str] = mapped_column(String(200), default="")
    is_for_all: Mapped[bool] = mapped_column(default=False)
    version: Mapped[int] = mapped_column(default=1)
    retired_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)


class EndpointGrant(TenantModel):
    """That a client may use a model endpoint which is not for all."""

    __tablename__ = "endpoint_grant"
    endpoint_id: Mapped[str] = mapped_column(
        String(26), ForeignKey("model_endpoint.id", ondelete="CASCADE"), index=True
    )

    @classmethod
    def _table_args(cls) -> Any:
        return (UniqueConstraint("tenant_id", "endpoint_id"),)


class PlatformSetting(PlatformModel):
    """One of the platform's own settings by its name: what clients inherit, what platform admins are asked for."""

    __tablename__ = "platform_setting"
    name: Mapped[str] = mapped_column(String(60), unique=True)
    value: Mapped[Any] = mapped_column(JSON)
