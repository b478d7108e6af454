"""Signing in with two factors, in plain verbs."""

from datetime import UTC, datetime

from flask.testing import FlaskClient
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy import select
from werkzeug.test import TestResponse

from chatbot.accounts.models import Account, SignIn
from chatbot.accounts.second_factor.recovery_codes import make_codes
from chatbot.audit import COMMAND_LINE, AuditEntry
from chatbot.db import across_tenants, db
from tests.world import ALICE, World

PAGE = "/account/second-factor"
SECRET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def account_of(email: str) -> Account:
    account = db.session.scalar(select(Account).where(Account.email == email))
    assert isinstance(account, Account)
    return account


def give_app(world: World, email: str = ALICE, secret: str = SECRET) -> None:
    """Set an app up behind the scenes."""
    with world.app.app_context(), across_tenants():
        account_of(email).totp_secret = secret


def give_codes(world: World, email: str = ALICE) -> list[str]:
    with world.app.app_context(), across_tenants():
        return make_codes(account_of(email), COMMAND_LINE)


def pending(world: World, email: str = ALICE, address: str = "127.0.0.1", goal: str = "/goal") -> FlaskClient:
    """A browser in which somebody has shown the first factor."""
    http = world.app.test_client()
    http.environ_base["REMOTE_ADDR"] = address
    with world.app.app_context(), across_tenants():
        account_id = account_of(email).id
    with http.session_transaction() as kept:
        kept["pending"] = {"account": account_id, "goal": goal, "since": datetime.now(UTC).timestamp()}
    return http


def token(http: FlaskClient) -> str:
    """A form's token, as any page with a form would have it."""
    with http.session_transaction() as kept:
        raw = kept.setdefault("csrf_token", "a" * 40)
    return signed_token(http, raw)


def signed_token(http: FlaskClient, raw: str) -> str:
    return str(URLSafeTimedSerializer(str(http.application.secret_key), salt="wtf-csrf-token").dumps(raw))


def post(http: FlaskClient, path: str, **fields: str) -> TestResponse:
    return http.post(path, data={"csrf_token": token(http)} | fields, headers={"Accept": "text/html"})


def show(http: FlaskClient, **fields: str) -> TestResponse:
    return post(http, "/login/second", **fields)


def cookie(http: FlaskClient) -> str:
    with http.session_transaction() as kept:
        return str(kept.get("_user_id", ""))


def sign_in_of(world: World, http: FlaskClient) -> SignIn | None:
    with world.app.app_context(), across_tenants() as session:
        return session.get(SignIn, cookie(http).partition(".")[0])


def actions(world: World) -> list[str]:
    with world.app.app_context(), across_tenants() as session:
        return list(session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))
