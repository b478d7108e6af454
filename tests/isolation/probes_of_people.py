"""Probes of the pages of people: a client's team and provider, and one's own account."""

from sqlalchemy import select

from chatbot.accounts.models import Identity, Membership, OneTimeLink, Passkey
from chatbot.accounts.people import create_account
from chatbot.accounts.sign_ins import begin_sign_in
from chatbot.db import across_tenants
from chatbot.tenancy import new_id
from tests.accounts.signing_in import account_of
from tests.isolation.cast import Caller, account_id_of, secure
from tests.isolation.probes import Probe, seeing, sending


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


SECOND, MEMBER = "/account/second-factor/passkeys", "/console/<slug>/team/members/<member_id>"
INVITATION = "/console/<slug>/team/invitations/<invitation_id>"

PROBES_OF_PEOPLE = [
    Probe(f"GET {MEMBER}", "alice", a_member, seeing("/console/SLUG/team/members/{}"), "CNRY-member"),
    Probe(f"POST {MEMBER}/role", "alice", a_member, sending("/console/SLUG/team/members/{}/role", role="staff")),
    Probe(f"POST {MEMBER}/remove", "alice", a_member, sending("/console/SLUG/team/members/{}/remove")),
    Probe(f"POST {INVITATION}/again", "alice", an_invitation, sending("/console/SLUG/team/invitations/{}/again")),
    Probe(f"POST {INVITATION}/withdraw", "alice", an_invitation, sending("/console/SLUG/team/invitations/{}/withdraw")),
    Probe("POST /account/sign-ins/<sign_in_id>/end", "alice", a_sign_in, sending("/account/sign-ins/{}/end")),
    Probe(f"POST {SECOND}/<passkey_id>", "alice", a_passkey, sending(f"{SECOND}/{{}}", name="my phone")),
    Probe(f"POST {SECOND}/<passkey_id>/remove", "alice", a_passkey, sending(f"{SECOND}/{{}}/remove")),
    Probe(
        "POST /account/identities/<identity_id>/remove", "alice", an_identity,
        sending("/account/identities/{}/remove"),
    ),
]  # fmt: skip
