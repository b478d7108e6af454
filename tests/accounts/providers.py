"""A browser on its way to a provider and back, in plain verbs."""

from dataclasses import dataclass
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from chatbot.accounts.models import Account, Identity, Membership, SignIn
from chatbot.db import across_tenants
from tests.accounts.fake_provider import FakeProvider

PAGE = {"Accept": "text/html"}


@dataclass(frozen=True)
class Traveller:
    """One browser, and the provider whose button it presses. `name` is google, or client/<slug>."""

    http: FlaskClient
    provider: FakeProvider
    name: str = "fake"

    def set_out(self, **query: str) -> str:
        """The address at the provider that the browser is sent to."""
        answer = self.http.get(f"/login/{self.name}", query_string=query, headers=PAGE)
        assert answer.status_code == 303, answer.get_data(as_text=True)
        return str(answer.location)

    def come_back(self, path: str) -> TestResponse:
        return self.http.get(path, headers=PAGE)

    def sign_in(self, **changes: str | None) -> TestResponse:
        return self.come_back(self.provider.answer(self.set_out(), **changes))


def words(answer: TestResponse) -> str:
    return " ".join(answer.get_data(as_text=True).split())


def sign_ins(app: Flask) -> list[str]:
    """The e-mails of whoever is signed in."""
    asked = select(Account.email).join(SignIn, SignIn.account_id == Account.id).order_by(Account.email)
    with app.app_context(), across_tenants(writes=False) as session:
        return list(session.scalars(asked))


def people(app: Flask) -> set[tuple[str, bool]]:
    """Every account: its e-mail, and whether it belongs to one client alone."""
    with app.app_context(), across_tenants(writes=False) as session:
        return {(one.email, one.home_id is not None) for one in session.scalars(select(Account))}


def identities(app: Flask) -> set[tuple[str, str]]:
    """Every identity: its subject, and its account's e-mail."""
    asked = select(Identity.subject, Account.email).join(Account, Account.id == Identity.account_id)
    with app.app_context(), across_tenants(writes=False) as session:
        return {(row.subject, row.email) for row in session.execute(asked)}


def roles(app: Flask, email: str) -> dict[str, str]:
    """The roles of all the accounts with an e-mail, by the client's id."""
    asked = select(Membership.tenant_id, Membership.role).join(Account, Account.id == Membership.account_id)
    with app.app_context(), across_tenants(writes=False) as session:
        return {row.tenant_id: row.role for row in session.execute(asked.where(Account.email == email))}


def add_identity(app: Flask, email: str, provider: FakeProvider, subject: str, **fields: Any) -> None:
    """The account has linked the provider's person."""
    with app.app_context(), across_tenants() as session:
        account_id = session.scalar(select(Account.id).where(Account.email == email))
        session.add(Identity(account_id=account_id, issuer=provider.url, subject=subject, **fields))
