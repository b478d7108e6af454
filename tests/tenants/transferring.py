"""Clients as documents, for tests of transfer: brought in, planned, taken out; and one client with everything."""

from typing import Any

import yaml
from sqlalchemy import delete, func, select

from chatbot.accounts.models import Account, OneTimeLink
from chatbot.audit import COMMAND_LINE
from chatbot.db import across_tenants
from chatbot.jobs import Job
from chatbot.tenants.models import ModelEndpoint, Tenant
from chatbot.tenants.transfer.applying import Done, apply
from chatbot.tenants.transfer.planning import Asked, Plan, make_plan
from chatbot.tenants.transfer.reading import read
from chatbot.tenants.transfer.writing import export, write

ADA, EVE = "ada@bakery.example", "eve@bakery.example"
SECRET = "sk-very-secret-123"


def asked(*clients: dict[str, Any], **given: Any) -> Asked:
    content = yaml.safe_dump({"clients": list(clients)}, allow_unicode=True).encode()
    return Asked(read(content), **given)


def bring(*clients: dict[str, Any], **given: Any) -> Done:
    with across_tenants():
        return apply(asked(*clients, **given), COMMAND_LINE)


def plan(*clients: dict[str, Any], **given: Any) -> Plan:
    with across_tenants(writes=False):
        return make_plan(asked(*clients, **given))


def out(*slugs: str, form: str = "yaml") -> bytes:
    with across_tenants(writes=False):
        return write(export(slugs or None), form)


def document(slug: str) -> dict[str, Any]:
    return yaml.safe_load(out(slug))["clients"][0]  # type: ignore[no-any-return]


def count(kind: Any, *where: Any) -> int:
    with across_tenants(writes=False) as session:
        return int(session.scalar(select(func.count(kind.id)).where(*where)) or 0)


def empty() -> None:
    """As on a new installation: nobody and nothing is there."""
    with across_tenants() as session:
        for kind in (Job, OneTimeLink, Tenant, Account, ModelEndpoint):
            session.execute(delete(kind))


EVERYTHING: dict[str, Any] = {
    "slug": "cafe",
    "name": "Café «Zum Löwen» 🦁",
    "status": "suspended",
    "anonymous_chat": True,
    "requires_second_factor": True,
    "time_zone": "Europe/Berlin",
    "sites": ["https://cafe.example", "http://localhost:8000"],
    "limits": {
        "messages_per_day": 0,
        "tokens_per_month": 10**15,
        "money_per_month": "0.10",
        "chat_rate": "5 per minute",
    },
    "settings": {
        "greeting": "no",
        "suggested_questions": ["9:30", "1e3", "0123", "null", "~", "- a", "#", "yes: no"],
        "language": "no",
        "instructions": "First line\n\n  indented: yes\n\ttab\nlast line with space \n",
        "user_templates": [{"when": "x", "text": "{message} " + "long words " * 60}],
        "vocabulary": [{"term": "cheap", "avoid": True, "say": "good value"}, {"term": "\u2028\u0085\ufeff|>"}],
        "phrases": {"opening": "\n\nHi", "disclaimers": [{"topic": "t", "text": "line one\nline two"}]},
        "prohibited": [{"topic": "medical"}, {"phrase": "'\"\\"}],
        "contact": {"phone": "0123", "hours": "9:30"},
        "look": {"colour": "#8a3b12", "font_size": 18},
        "endpoint": {"base_url": "https://models.example/v1", "key": {"secret": "missing"}},
        "temperature": 0.7,
        "max_tokens": 1,
    },
    "endpoints": ["fast"],
    "identity_provider": {
        "issuer": "https://login.example",
        "client_id": "abc",
        "client_secret": {"secret": "missing"},
        "domains": ["cafe.example"],
        "claim": "groups",
        "roles": {"b": "staff", "a": "admin"},
    },
    "knowledge": [
        {"url": "https://cafe.example/menu", "every": "7d"},
        {"url": "https://cafe.example/" + "x" * 1900},
        {"question": "Do you deliver?", "answer": "On Fridays.\n\n# Not a heading\n"},
        {"file": "prices.md", "missing": True},
    ],
    "people": [{"email": ADA, "role": "admin"}, {"email": EVE, "role": "user"}],
}


def offer_endpoint(name: str = "fast") -> None:
    with across_tenants() as session:
        session.add(ModelEndpoint(name=name, base_url="https://models.example", api_key=SECRET))
