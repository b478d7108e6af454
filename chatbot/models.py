"""Every model, for what must see them all: migrations and the tests that walk them."""

from chatbot.accounts.models import (
    Account,
    Identity,
    IdentityProvider,
    Membership,
    OneTimeLink,
    Passkey,
    RecoveryCode,
    SignIn,
)
from chatbot.audit import AuditEntry
from chatbot.chat.models import Conversation, Message, Turn, Visitor
from chatbot.jobs import Job
from chatbot.knowledge.models import Passage, Source
from chatbot.tenants.models import (
    ApiKey,
    EndpointGrant,
    IdempotencyRecord,
    ModelEndpoint,
    PlatformAnswer,
    PlatformSetting,
    SettingsVersion,
    Tenant,
)
from chatbot.usage.models import Hold, LedgerEntry, Quota, UsageDay

__all__ = [
    "Account",
    "ApiKey",
    "AuditEntry",
    "Conversation",
    "EndpointGrant",
    "Hold",
    "IdempotencyRecord",
    "Identity",
    "IdentityProvider",
    "Job",
    "LedgerEntry",
    "Membership",
    "Message",
    "ModelEndpoint",
    "OneTimeLink",
    "Passage",
    "Passkey",
    "PlatformAnswer",
    "PlatformSetting",
    "Quota",
    "RecoveryCode",
    "SettingsVersion",
    "SignIn",
    "Source",
    "Tenant",
    "Turn",
    "UsageDay",
    "Visitor",
]
