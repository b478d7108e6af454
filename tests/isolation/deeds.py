"""What people do with forms and bodies that the probes don't: made and used as a probe's id is."""

import re

import pyotp
from sqlalchemy import delete, update
from werkzeug.test import TestResponse

from chatbot.accounts.models import IdentityProvider
from chatbot.accounts.passwords import hash_password
from chatbot.accounts.people import create_account
from chatbot.db import across_tenants
from chatbot.tenancy import new_id
from chatbot.tenants.models import PlatformSetting, Tenant
from tests.accounts.authenticator import Authenticator
from tests.accounts.signing_in import SECRET, account_of, give_codes, pending, token
from tests.isolation.cast import Caller
from tests.isolation.probes import Probe, Use, chatting, sending, values
from tests.isolation.probes_of_operators import NOWHERE
from tests.world import ALICE, BAKERY, Browser, World, hidden

PASSWORD = "seven sleepy seagulls"
ORIGIN = "http://localhost:5000"
HERE = "http://127.0.0.1:9"
DOCUMENT = "clients: [{slug: {}, name: New}]"

# Routes that take a form or a body, and why nothing is tried with more in it.
NOT_TRIED = {
    "oauth.link": "reads nothing, and goes to a provider",
    "factors.passkey_sign_in": "reads a signature: tests/accounts/test_passkeys.py",
}


def nothing(caller: Caller) -> str:
    return ""


def world_of(caller: Caller) -> World:
    return World(caller.http.application, {}, {})


def no_second_factor_asked(caller: Caller) -> str:
    with caller.http.application.app_context(), across_tenants() as session:
        session.execute(update(Tenant).values(requires_second_factor=False))
    return ""


def somebody(caller: Caller) -> str:
    """The e-mail of a new member of the bakery."""
    no_second_factor_asked(caller)
    email = f"{new_id()}@bakery.example"
    with caller.http.application.app_context():
        create_account(email, "Somebody", None, is_platform_admin=False, slug=BAKERY, role="user")
    return email


def somebody_with_password(caller: Caller) -> str:
    email = somebody(caller)
    with caller.http.application.app_context():
        hashed = hash_password(PASSWORD)
        with across_tenants():
            account_of(email).password_hash = hashed
    return email


def somebody_with_app(caller: Caller) -> str:
    email = somebody(caller)
    with caller.http.application.app_context(), across_tenants():
        account_of(email).totp_secret = SECRET
    return email


def an_invitation_link(caller: Caller) -> str:
    email = f"{new_id()}@bakery.example"
    alice = as_(caller, ALICE)
    alice.console("team/invitations", email=email, role="user")
    found = re.search(r"/link/[\w-]+", alice.see(f"/console/{BAKERY}/team").get_data(as_text=True))
    assert found
    return found[0]


def no_provider(caller: Caller) -> str:
    with caller.http.application.app_context(), across_tenants() as session:
        session.execute(delete(IdentityProvider))
    return ""


def a_provider(caller: Caller) -> str:
    no_provider(caller)
    with caller.http.application.app_context(), across_tenants() as session:
        tenant_id = session.query(Tenant.id).where(Tenant.slug == BAKERY).scalar()
        session.add(IdentityProvider(tenant_id=tenant_id, issuer=HERE, client_id="us", client_secret="CNRY-secret"))
    return ""


# --- who does it -----------------------------------------------------------------------------------------------------


def as_(caller: Caller, email: str, *, strong: bool = False) -> Caller:
    """A new sign-in of somebody, with what the caller sends beside."""
    http = world_of(caller).signed_in(email, strong=strong)
    return Caller(email, Browser(http, BAKERY), {}, email, extra=caller.extra)


def anew(caller: Caller) -> Caller:
    """A browser that was never here, with what the caller sends beside."""
    return Caller("anew", Browser(caller.http.application.test_client(), BAKERY), {}, extra=caller.extra)


def by_recovery_code(caller: Caller, email: str) -> TestResponse:
    world = world_of(caller)
    [code, *_rest] = give_codes(world, email)
    http = pending(world, email)
    return Caller("pending", Browser(http, BAKERY), {}, extra=caller.extra).send("/login/second", recovery_code=code)


def sets_up_app(caller: Caller, email: str) -> TestResponse:
    who = as_(caller, email)
    page = who.see("/account/second-factor/app").get_data(as_text=True)
    shown = re.search(r'class="secret">([A-Z2-7 ]+)', page)
    assert shown
    return who.send("/account/second-factor/app", code=pyotp.TOTP(shown[1].replace(" ", "")).now())


def keeps_passkey(caller: Caller, email: str) -> TestResponse:
    who = as_(caller, email)
    asked = who.open(f"{FACTOR}/passkeys/options", method="POST", headers={"X-CSRFToken": token(who.http)}).get_json()
    made = Authenticator(ORIGIN, "localhost").make(asked)
    return who.send(f"{FACTOR}/passkeys", name="my phone", credential=made)


def applies_import(caller: Caller, slug: str) -> TestResponse:
    planned = caller.send("/admin/transfer", document=DOCUMENT.replace("{}", slug)).get_data(as_text=True)
    names = ("packed", "kind", "fingerprint", "template")
    return caller.send("/admin/transfer/apply", **{name: hidden(planned, name) for name in names})


def takes_up_invitation(caller: Caller, path: str) -> TestResponse:
    return anew(caller).send(path, name="New", password=PASSWORD)


def sends_json(path: str, **body: str) -> Use:
    return lambda who, id_: who.call(path, method="POST", json=values(body, id_))


def imports_json(caller: Caller, slug: str) -> TestResponse:
    return caller.call("/admin/transfer", method="POST", json={"clients": [{"slug": slug, "name": "New"}]})


def a_slug(caller: Caller) -> str:
    return new_id()


def an_entered_client(caller: Caller) -> str:
    caller.send(f"/admin/clients/{BAKERY}/enter", reason="they rang")
    return BAKERY


def no_defaults(caller: Caller) -> str:
    with caller.http.application.app_context(), across_tenants() as session:
        session.execute(delete(PlatformSetting))
    return ""


def state_of_limits(caller: Caller) -> str:
    """The `seen` of its form on the page of defaults."""
    return states(caller)[0]


def state_of_settings(caller: Caller) -> str:
    return states(caller)[1]


def states(caller: Caller) -> list[str]:
    no_defaults(caller)
    text = caller.see("/admin/limits").get_data(as_text=True)
    return re.findall(r'<input[^>]*name="seen"[^>]*value="([^"]*)"', text)


def anew_by_password(caller: Caller, email: str) -> TestResponse:
    return anew(caller).send("/login", email=email, password=PASSWORD)


def by(path: str, *, strong: bool = False, **fields: str) -> Use:
    """Somebody sends a form, in a new sign-in of theirs."""
    return lambda who, email: as_(who, email, strong=strong).send(path, **fields)


FACTOR, PROVIDER, EXPORT = "/account/second-factor", "/console/<slug>/team/provider", "/admin/audit/export"
LIMITS = {"messages_per_day": "500", "tokens_per_month": "", "money_per_month": "", "chat_rate": ""}
NEW_CLIENT = {"name": "New", "time_zone": "UTC", "anonymous_chat": "", "email": ""} | LIMITS
SPEECH = dict.fromkeys(("tone", "language", "refusal", "model", "temperature", "max_tokens", "context_messages"), "")
OWN_SIGN_IN = {"issuer": HERE, "client_id": "us", "client_secret": "s", "is_required": ""}
NORA = {"email": "{}@b.example", "role": "user"}
MODEL = {"base_url": NOWHERE, "model": "", "key": "", "is_for_all": ""}

DEEDS = [
    Probe("POST /login", "walt", somebody_with_password, anew_by_password),
    Probe("POST /logout", "walt", somebody, by("/logout")),
    Probe("POST /forgot", "walt", somebody, sending("/forgot", email="{}")),
    Probe("POST /link/<secret>", "walt", an_invitation_link, takes_up_invitation),
    Probe("POST /account/name", "ulla", a_slug, sending("/account/name", name="{}")),
    Probe("POST /account/password", "walt", somebody, by("/account/password", password=PASSWORD)),
    Probe("POST /account/sign-ins/end-others", "walt", somebody, by("/account/sign-ins/end-others")),
    Probe("POST /console/<slug>/team/invitations", "alice", a_slug, sending("/console/SLUG/team/invitations", **NORA)),
    Probe(
        "POST /console/<slug>/team/second-factor", "alice", no_second_factor_asked,
        sending("/console/SLUG/team/second-factor", requires_second_factor="y"),
    ),
    Probe(f"POST {PROVIDER}", "alice", no_provider, sending("/console/SLUG/team/provider", **OWN_SIGN_IN)),
    Probe(f"POST {PROVIDER}/check", "alice", a_provider, sending("/console/SLUG/team/provider/check")),
    Probe(f"POST {PROVIDER}/remove", "alice", a_provider, sending("/console/SLUG/team/provider/remove")),
    Probe("POST /login/second", "walt", somebody_with_app, by_recovery_code),
    Probe("POST /login/second/options", "walt", somebody_with_app, by("/login/second/options")),
    Probe("POST /login/passkey/options", "walt", nothing, sending("/login/passkey/options")),
    Probe(f"POST {FACTOR}/confirm", "walt", somebody_with_password, by(f"{FACTOR}/confirm", password=PASSWORD)),
    Probe(f"POST {FACTOR}/app", "walt", somebody, sets_up_app),
    Probe(f"POST {FACTOR}/app/remove", "walt", somebody_with_app, by(f"{FACTOR}/app/remove", strong=True)),
    Probe(f"POST {FACTOR}/passkeys/options", "walt", somebody, by(f"{FACTOR}/passkeys/options")),
    Probe(f"POST {FACTOR}/passkeys", "walt", somebody, keeps_passkey),
    Probe(f"POST {FACTOR}/recovery-codes", "walt", somebody_with_app, by(f"{FACTOR}/recovery-codes", strong=True)),
    Probe("POST /chat/<slug>", "vera", nothing, chatting("", message="say hello")),
    Probe("POST /chat/<slug>/new", "vera", nothing, chatting("/new", choice="fresh")),
    Probe("POST /admin/new-client", "root", a_slug, sending("/admin/new-client", slug="{}", **NEW_CLIENT)),
    Probe(
        "POST /admin/new-account", "root", a_slug,
        sending("/admin/new-account", email="{}@b.example", name="New", is_platform_admin=""),
    ),
    Probe("POST /admin/leave", "root", an_entered_client, sending("/admin/leave")),
    Probe("POST /admin/limits", "root", state_of_limits, sending("/admin/limits", seen="{}", **LIMITS)),
    Probe(
        "POST /admin/limits/settings", "root", state_of_settings,
        sending("/admin/limits/settings", seen="{}", unknown="{}", length="", **SPEECH),
    ),
    Probe(
        "POST /admin/limits/security", "root", no_defaults,
        sending("/admin/limits/security", requires_second_factor=""),
    ),
    Probe("POST /admin/new-model", "root", a_slug, sending("/admin/new-model", name="{}", **MODEL)),
    Probe(f"POST {EXPORT}", "root", nothing, sending(EXPORT, format="csv", client="", who="", action="")),
    Probe("POST /admin/transfer", "root", a_slug, sending("/admin/transfer", document=DOCUMENT)),
    Probe("POST /admin/transfer/apply", "root", a_slug, applies_import),
    Probe("POST /api/chat", "program", nothing, sends_json("/chat", message="say hello")),
    Probe("POST /api/client/knowledge", "program", nothing, sends_json("/client/knowledge", question="?", answer=".")),
    Probe("POST /api/admin/clients", "platform", a_slug, sends_json("/admin/clients", slug="{}", name="New")),
    Probe("POST /api/admin/transfer", "platform", a_slug, imports_json),
]  # fmt: skip
