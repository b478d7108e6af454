"""The demo client of the first run: a bicycle shop by the sea, with its pages and the answers it wrote."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from flask import Flask
from sqlalchemy.exc import IntegrityError

from chatbot.db import across_tenants, as_tenant
from chatbot.knowledge.reading import read_now
from chatbot.knowledge.sources import add_file, add_pair
from chatbot.tenancy import new_id
from chatbot.tenants.clients import count_clients
from chatbot.tenants.models import SettingsVersion, Tenant
from chatbot.tenants.settings import parse_settings

HERE = Path(__file__).parent
FIELDS = ("slug", "name", "status", "anonymous_chat", "time_zone", "sites", "limits")


def ensure_demo(app: Flask) -> int | None:
    """Make the demo client when there is no client at all. Returns the number of its pages; None when there are clients.

    Client, pages and the jobs that read them are stored in one transaction: broken off before it, nothing is there;
    after it, the server's jobs read what is left.
    """
    with app.app_context():
        with across_tenants(writes=False):
            is_empty = count_clients() == 0
        if not is_empty:
            return None
        tenant_id = new_id()
        try:
            pages, waiting = _make(tenant_id)
        except IntegrityError:  # another process was first
            return None
    _read_all(app, tenant_id, waiting)
    return pages


def _read_all(app: Flask, tenant_id: str, source_ids: list[str]) -> None:
    """Read the sources on all processors, so that a first run waits seconds for its answers."""

    def read_one(source_id: str) -> None:
        with app.app_context(), as_tenant(tenant_id):
            read_now(source_id)

    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        list(threads.map(read_one, source_ids))


def _make(tenant_id: str) -> tuple[int, list[str]]:
    """Store the client and its sources. Returns how many pages there are, and the ids of all sources."""
    document = _document()
    parse_settings(document["settings"])
    pages = sorted((HERE / "pages").glob("*.md"))
    pairs = json.loads((HERE / "pairs.json").read_text("utf-8"))
    with as_tenant(tenant_id) as session:
        session.add(Tenant(id=tenant_id, **{field: document[field] for field in FIELDS}))
        session.flush()
        session.add(SettingsVersion(number=1, state="published", document=document["settings"]))
        sources = [add_file(page.name, page.read_bytes()) for page in pages]
        sources += [add_pair(pair["question"], pair["answer"]) for pair in pairs]
        return len(pages), [source.id for source in sources]


def _document() -> dict[str, Any]:
    """The client document of the demo."""
    return yaml.safe_load((HERE / "client.yaml").read_text("utf-8"))["clients"][0]  # type: ignore[no-any-return]
