"""A platform admin at the admin area's pages, in plain verbs."""

from dataclasses import dataclass

from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from chatbot.accounts.models import Account
from chatbot.audit import AuditEntry
from chatbot.db import across_tenants
from tests.world import ROOT, World, hidden

HTML = {"Accept": "text/html"}


@dataclass(frozen=True)
class Operator:
    """Somebody's browser in the admin area; Root's, unless told otherwise."""

    http: FlaskClient

    @classmethod
    def of(cls, world: World, email: str = ROOT, *, strong: bool = False) -> "Operator":
        return cls(world.signed_in(email, strong=strong))

    def see(self, path: str, **query: str) -> str:
        answer = self.http.get(f"/admin/{path}", query_string=query, headers=HTML)
        assert answer.status_code == 200, answer.status
        return answer.get_data(as_text=True)

    def do(self, path: str, page: str | None = None, **fields: str) -> TestResponse:
        """Send a form that stands on `page` (or at its own address), with the page's hidden token."""
        token = hidden(self.see(page or path), "csrf_token")
        return self.http.post(f"/admin/{path}", data={"csrf_token": token, **fields}, headers=HTML)


def account_id(world: World, email: str) -> str:
    with world.app.app_context(), across_tenants(writes=False) as session:
        return str(session.scalar(select(Account.id).where(Account.email == email)))


def deeds(world: World) -> list[AuditEntry]:
    """What the audit log holds, oldest first, without how the world was made."""
    with world.app.app_context(), across_tenants(writes=False) as session:
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.at, AuditEntry.id))
        return [entry for entry in entries if entry.who != "command line"]
