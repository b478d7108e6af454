"""Every model, for what must see them all: migrations and the tests that walk them."""

from chatbot.accounts.models import Account, Membership
from chatbot.chat.models import Conversation, Message, Turn, Visitor
from chatbot.jobs import Job
from chatbot.knowledge.models import Passage, Source
from chatbot.tenants.models import ApiKey, IdempotencyRecord, SettingsVersion, Tenant
from chatbot.usage.models import Hold, LedgerEntry, Quota

__all__ = [
    "Account",
    "ApiKey",
    "Conversation",
    "Hold",
    "IdempotencyRecord",
    "Job",
    "LedgerEntry",
    "Membership",
    "Message",
    "Passage",
    "Quota",
    "SettingsVersion",
    "Source",
    "Tenant",
    "Turn",
    "Visitor",
]
