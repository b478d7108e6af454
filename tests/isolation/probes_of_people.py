"""Probes of the pages of people: a client's team and provider, and one's own account."""

from sqlalchemy import select

from chatbot.accounts.models import Identity, Membership, OneTimeLink, Passkey
from chatbot.accounts.people import create_account
from chatbot.accounts.sign_ins import begin_sign_in
from chatbot.db import across_tenants
from chatbot.tenancy import new_id
from tests.accounts.signing_in import account_of
from tests.isolation.cast import Caller, account_id_of, secure
from tests.isolation.probes import Probe


def a_member(caller: Caller) -> str:
    """The membership of somebody new in the caller's client."""
    app = caller.http.application
    with app.app_context():
        email = f"{new_id()}@bakery.example"
        made = create_account(email, "CNRY-member", None, is_platform_admin=False, slug=caller.slug, role="user")
        with across_tenants(writes=False) as session:
            return str(session.scalar(select(Membership.id).where(Membership.account_id == made.id)))


def an_account(caller: Caller) -> str:
    app, membership = caller.http.application, a_member(caller)
    with app.app_context(), across_tenants(writes=False) as session:
        return str(session.scalar(select(Membership.account_id).where(Membership.id == membership)))


def an_invitation(caller: Caller) -> str:
    email = f"{new_id()}@cnry.example"
    assert caller.console("team/invitations", email=email, role="user").status_code == 303
    with caller.http.application.app_context(), across_tenants(writes=False) as session:
        return str(session.scalar(select(OneTimeLink.id).where(OneTimeLink.email == email)))


def a_sign_in(caller: Caller) -> str:
    with caller.http.application.app_context(), across_tenants():
        return begin_sign_in(account_of(caller.email).id, address="", device="CNRY-device").partition(".")[0]


def a_passkey(caller: Caller) -> str:
    """One of two, so that none is the last."""
    app = caller.http.application
    secure(app, caller.email)
    account_id = account_id_of(app, caller.email)
    with app.app_context(), across_tenants() as session:
        row = Passkey(account_id=account_id, credential_id=new_id().encode(), public_key=b"", name="CNRY-passkey")
        session.add(row)
        session.flush()
        return row.id


def an_identity(caller: Caller) -> str:
    app = caller.http.application
    secure(app, caller.email)
    account_id = account_id_of(app, caller.email)
    with app.app_context(), across_tenants() as session:
        row = Identity(
            account_id=account_id, issuer="https://login.example", subject=new_id(), email="cnry@example.com"
        )
        session.add(row)
        session.flush()
        return row.id


SECOND = "/account/second-factor/passkeys"

PROBES_OF_PEOPLE = [
    Probe(
        "GET /console/<slug>/team/members/<member_id>", "alice", a_member,
        lambda who, id_: who.see(f"/console/{who.slug}/team/members/{id_}"), "CNRY-member",
    ),
    Probe(
        "POST /console/<slug>/team/members/<member_id>/role", "alice", a_member,
        lambda who, id_: who.console(f"team/members/{id_}/role", role="staff"),
    ),
    Probe(
        "POST /console/<slug>/team/members/<member_id>/remove", "alice", a_member,
        lambda who, id_: who.console(f"team/members/{id_}/remove"),
    ),
    Probe(
        "POST /console/<slug>/team/invitations/<invitation_id>/again", "alice", an_invitation,
        lambda who, id_: who.console(f"team/invitations/{id_}/again"),
    ),
    Probe(
        "POST /console/<slug>/team/invitations/<invitation_id>/withdraw", "alice", an_invitation,
        lambda who, id_: who.console(f"team/invitations/{id_}/withdraw"),
    ),
    Probe(
        "POST /account/sign-ins/<sign_in_id>/end", "alice", a_sign_in,
        lambda who, id_: who.send(f"/account/sign-ins/{id_}/end"),
    ),
    Probe("POST /account/second-factor/passkeys/<passkey_id>", "alice", a_passkey, lambda who, id_: who.send(f"{SECOND}/{id_}", name="my phone")),
    Probe("POST /account/second-factor/passkeys/<passkey_id>/remove", "alice", a_passkey, lambda who, id_: who.send(f"{SECOND}/{id_}/remove")),
    Probe("POST /account/identities/<identity_id>/remove", "alice", an_identity, lambda who, id_: who.send(f"/account/identities/{id_}/remove")),
]  # fmt: skip
