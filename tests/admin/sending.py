"""Sending a page's own form, and reading what was written down of it."""

from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from chatbot.audit import AuditEntry
from chatbot.db import across_tenants
from tests.world import World, hidden


def post(http: FlaskClient, path: str, *, page: str = "/admin/clients", **fields: object) -> TestResponse:
    """Send a form, with the token that `page` has for it."""
    token = hidden(http.get(page).get_data(as_text=True), "csrf_token")
    return http.post(path, data={"csrf_token": token, **fields})


def audited(world: World, action: str) -> list[AuditEntry]:
    """What the audit log has of an action, the oldest first."""
    with world.app.app_context(), across_tenants(writes=False) as session:
        return list(session.scalars(select(AuditEntry).where(AuditEntry.action == action).order_by(AuditEntry.at)))
