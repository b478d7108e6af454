"""A shelf: the knowledge of one client, told in plain verbs."""

from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from chatbot.db import across_tenants, as_tenant, read
from chatbot.jobs import Job, run_next
from chatbot.knowledge.found import Found
from chatbot.knowledge.models import Passage, Source
from chatbot.knowledge.search import knowledge_version, search
from chatbot.knowledge.sources import add_file, add_pair, delete_source
from tests.embedders import Hashed, use
from tests.world import BAKERY, OTHER, World


@dataclass(frozen=True)
class Shelf:
    """One client's knowledge."""

    app: Flask
    tenant_id: str

    def add(self, name: str, content: str | bytes, media_type: str | None = None) -> str:
        """Add a file without reading it. Returns its id."""
        with self.app.app_context(), as_tenant(self.tenant_id):
            return add_file(name, content.encode() if isinstance(content, str) else content, media_type).id

    def add_pair(self, question: str, answer: str) -> str:
        with self.app.app_context(), as_tenant(self.tenant_id):
            return add_pair(question, answer).id

    def read(self) -> int:
        """Do every job that is due. Returns how many there were."""
        done = 0
        with self.app.app_context():
            while run_next("test"):
                done += 1
        return done

    def put(self, name: str, content: str) -> str:
        """Add a file and read it."""
        source_id = self.add(name, content)
        self.read()
        return source_id

    def delete(self, source_id: str) -> None:
        with self.app.app_context(), as_tenant(self.tenant_id):
            delete_source(source_id)

    def source(self, source_id: str) -> Source:
        with self.app.app_context(), as_tenant(self.tenant_id) as session:
            return session.scalars(select(Source).where(Source.id == source_id)).one()

    def passages(self, source_id: str | None = None) -> list[Passage]:
        query = select(Passage).order_by(Passage.source_id, Passage.position)
        with self.app.app_context(), as_tenant(self.tenant_id) as session:
            return list(session.scalars(query.where(Passage.source_id == source_id) if source_id else query))

    def version(self) -> int:
        with self.app.app_context():
            return read(self.tenant_id, knowledge_version)

    def find(self, question: str, limit: int = 5, before: str = "") -> list[Found]:
        with self.app.app_context():
            return search(self.tenant_id, read(self.tenant_id, knowledge_version), question, limit, before)

    def jobs(self, kind: str) -> int:
        with self.app.app_context(), across_tenants(writes=False) as session:
            number: Any = session.scalar(select(func.count(Job.id)).where(Job.kind == kind))
            return int(number)


@pytest.fixture
def shelf(app: Flask, world: World) -> Shelf:
    """Alice's. Texts that share words are near."""
    use(app, Hashed())
    return Shelf(app, world.ids[BAKERY])


@pytest.fixture
def other_shelf(app: Flask, world: World) -> Shelf:
    """Charlie's."""
    return Shelf(app, world.ids[OTHER])
