"""The story's people with passwords, and their browsers, in plain verbs."""

import re

from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from chatbot.accounts.passwords import hash_password
from chatbot.audit import COMMAND_LINE, AuditEntry
from chatbot.db import across_tenants
from tests.accounts.signing_in import account_of, post
from tests.world import ALICE, World

PASSWORD = "seven sleepy seagulls"
OTHER_PASSWORD = "nine noisy nightingales"
PAGE = {"Accept": "text/html"}


def give_password(world: World, email: str = ALICE, password: str = PASSWORD) -> None:
    with world.app.app_context():
        hashed = hash_password(password)
        with across_tenants():
            account_of(email).password_hash = hashed


def sign_in(http: FlaskClient, email: str = ALICE, password: str = PASSWORD, **fields: str) -> TestResponse:
    return post(http, "/login", email=email, password=password, **fields)


def browser(world: World, address: str = "127.0.0.1") -> FlaskClient:
    http = world.app.test_client()
    http.environ_base["REMOTE_ADDR"] = address
    return http


def is_in(http: FlaskClient) -> bool:
    return http.get("/account", headers=PAGE).status_code == 200


def link_in(text: str) -> str:
    """The path of the one-time link in a mail, a page or a command's output."""
    found = re.search(r"http://127\.0\.0\.1:5000(/link/[\w-]+)", text)
    assert found, text
    return found[1]


def deeds(world: World) -> list[str]:
    """What people have done, as the audit log has it; not what the command line did to make the story's world."""
    with world.app.app_context(), across_tenants() as session:
        entries = select(AuditEntry.action).where(AuditEntry.who != COMMAND_LINE.who).order_by(AuditEntry.id)
        return list(session.scalars(entries))
