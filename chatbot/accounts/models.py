"""People who sign in: their accounts, ways in, sessions, and what they may do in a client."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, LargeBinary, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from chatbot.secrets_at_rest import Encrypted
from chatbot.tenancy import PlatformModel, TenantModel, now

ROLES = ("admin", "staff", "user")


class Account(PlatformModel):
    """A person. `email` is in lower case; `password_hash` is argon2, or None (sign-in elsewhere).

    `home_id` names the client whose own provider alone vouches for the person: such an account, whatever its e-mail
    says, is never taken for one of the platform's. `totp_step` is the last time step whose code was used.
    """

    __tablename__ = "account"
    email: Mapped[str] = mapped_column(String(320))
    name: Mapped[str] = mapped_column(String(200), default="")
    home_id: Mapped[str | None] = mapped_column(String(26), ForeignKey("tenant.id", ondelete="CASCADE"), index=True)
    password_hash: Mapped[str | None] = mapped_column(String(255))
    totp_secret: Mapped[str | None] = mapped_column(Encrypted, deferred=True)  # lost keys stop no sign-in without it
    totp_step: Mapped[int | None] = mapped_column(BigInteger)
    is_platform_admin: Mapped[bool] = mapped_column(default=False)
    is_enabled: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(default=now)
    last_sign_in_at: Mapped[datetime | None]

    __table_args__ = (
        Index(
            "uq_account_email",
            "email",
            unique=True,
            sqlite_where=text("home_id IS NULL"),
            postgresql_where=text("home_id IS NULL"),
        ),
    )


class Membership(TenantModel):
    """An account's role within one client; `is_by_claim`: it follows what the client's own provider says at each sign-in."""

    __tablename__ = "membership"
    account_id: Mapped[str] = mapped_column(String(26), ForeignKey("account.id", ondelete="CASCADE"), index=True)
    role: Mapped[str] = mapped_column(String(10))
    is_by_claim: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=now)

    @classmethod
    def _table_args(cls) -> Any:
        return (UniqueConstraint("tenant_id", "account_id"),)


class Identity(PlatformModel):
    """Whom an OpenID Connect provider vouches for: (issuer, subject), never an e-mail.

    `provider_of` names the client whose own provider said it; the same issuer and subject from the platform's provider
    are another identity. `email` is what the provider said last, for people to read.
    """

    __tablename__ = "identity"
    account_id: Mapped[str] = mapped_column(String(26), ForeignKey("account.id", ondelete="CASCADE"), index=True)
    provider_of: Mapped[str | None] = mapped_column(String(26), ForeignKey("tenant.id", ondelete="CASCADE"), index=True)
    issuer: Mapped[str] = mapped_column(String(500))
    subject: Mapped[str] = mapped_column(String(255))
    email: Mapped[str] = mapped_column(String(320), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    last_used_at: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (
        Index(
            "uq_identity_of_platform",
            "issuer",
            "subject",
            unique=True,
            sqlite_where=text("provider_of IS NULL"),
            postgresql_where=text("provider_of IS NULL"),
        ),
        Index("uq_identity_of_client", "provider_of", "issuer", "subject", unique=True),
    )


class SignIn(PlatformModel):
    """One browser in which somebody is signed in. The cookie holds a secret, the row its hash; ending it deletes the row.

    `confined_to` names the one client in which it counts, where that client's own provider vouched for the person.
    `strong_at` is when a second factor was shown. A platform admin who has entered a client stands in `entered_id`.
    """

    __tablename__ = "sign_in"
    account_id: Mapped[str] = mapped_column(String(26), ForeignKey("account.id", ondelete="CASCADE"), index=True)
    secret_hash: Mapped[str] = mapped_column(String(64))
    confined_to: Mapped[str | None] = mapped_column(String(26), ForeignKey("tenant.id", ondelete="CASCADE"), index=True)
    address: Mapped[str] = mapped_column(String(64), default="")
    device: Mapped[str] = mapped_column(String(200), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    last_used_at: Mapped[datetime] = mapped_column(default=now)
    strong_at: Mapped[datetime | None]
    entered_id: Mapped[str | None] = mapped_column(String(26), ForeignKey("tenant.id", ondelete="CASCADE"), index=True)
    entered_until: Mapped[datetime | None]


class OneTimeLink(PlatformModel):
    """A link that does one thing once: makes the first platform admin, sets a password, joins a client.

    The link holds a secret, the row its hash. `kind` is first_admin, reset or invitation. `email` is whom it is for, as
    the address was then. An invitation holds as long as `inviter_id`, if there is one, may invite.
    """

    __tablename__ = "one_time_link"
    kind: Mapped[str] = mapped_column(String(20))
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    account_id: Mapped[str | None] = mapped_column(String(26), ForeignKey("account.id", ondelete="CASCADE"), index=True)
    tenant_id: Mapped[str | None] = mapped_column(String(26), ForeignKey("tenant.id", ondelete="CASCADE"), index=True)
    role: Mapped[str | None] = mapped_column(String(10))
    email: Mapped[str] = mapped_column(String(320), default="")
    made_by: Mapped[str] = mapped_column(String(320), default="")
    inviter_id: Mapped[str | None] = mapped_column(String(26), ForeignKey("account.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class Passkey(PlatformModel):
    """A WebAuthn credential: its id and public key as the browser gave them."""

    __tablename__ = "passkey"
    account_id: Mapped[str] = mapped_column(String(26), ForeignKey("account.id", ondelete="CASCADE"), index=True)
    credential_id: Mapped[bytes] = mapped_column(LargeBinary(1023), unique=True)
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    sign_count: Mapped[int] = mapped_column(BigInteger, default=0)
    transports: Mapped[list[str]] = mapped_column(JSON, default=list)
    name: Mapped[str] = mapped_column(String(100), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    last_used_at: Mapped[datetime | None]


class RecoveryCode(PlatformModel):
    """A code that stands in for a second factor, once."""

    __tablename__ = "recovery_code"
    account_id: Mapped[str] = mapped_column(String(26), ForeignKey("account.id", ondelete="CASCADE"), index=True)
    code_hash: Mapped[str] = mapped_column(String(64))
    used_at: Mapped[datetime | None]


class IdentityProvider(TenantModel):
    """A client's own OpenID Connect provider; it gives rights in that client alone.

    `domains` are those of the e-mails that lead people to it. Where `is_required`, the client's people sign in with
    it and no other way. `roles` maps values of the token's `claim` to roles in the client.
    """

    __tablename__ = "identity_provider"
    issuer: Mapped[str] = mapped_column(String(500))
    client_id: Mapped[str] = mapped_column(String(255))
    client_secret: Mapped[str | None] = mapped_column(Encrypted)
    domains: Mapped[list[str]] = mapped_column(JSON, default=list)
    is_required: Mapped[bool] = mapped_column(default=False)
    claim: Mapped[str] = mapped_column(String(100), default="")
    roles: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)

    @classmethod
    def _table_args(cls) -> Any:
        return (UniqueConstraint("tenant_id"),)
