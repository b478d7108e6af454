"""Probes of the admin area and of its API: whoever is no admin of the platform reads the same for every id."""

from sqlalchemy import select

from chatbot.accounts.models import IdentityProvider, SignIn
from chatbot.audit import AuditEntry
from chatbot.audit_log import place_of
from chatbot.db import across_tenants
from chatbot.jobs import Job
from chatbot.tenancy import new_id
from chatbot.tenants.clients import create_client
from chatbot.tenants.models import ModelEndpoint, Tenant
from tests.isolation.cast import Caller, account_id_of
from tests.isolation.probes import Probe
from tests.isolation.probes_of_people import an_account
from tests.world import ALICE, BAKERY

NOWHERE = "http://127.0.0.1:9/v1"  # nobody listens: checking it takes no time


def a_client(caller: Caller) -> str:
    slug = new_id()
    with caller.http.application.app_context():
        create_client(slug, "CNRY-client")
    return slug


def a_client_to_enter(caller: Caller) -> str:
    caller.send("/admin/leave")
    return a_client(caller)


def a_suspended_client(caller: Caller) -> str:
    slug = a_client(caller)
    caller.send(f"/admin/clients/{slug}/suspend", reason="bills")
    return slug


def a_closed_client(caller: Caller) -> str:
    """One whose people must come by its own provider."""
    slug = a_client(caller)
    with caller.http.application.app_context(), across_tenants() as session:
        tenant_id = session.scalar(select(Tenant.id).where(Tenant.slug == slug))
        session.add(IdentityProvider(tenant_id=tenant_id, issuer=NOWHERE, client_id="us", is_required=True))
    return slug


def a_deleted_client(caller: Caller) -> str:
    slug = a_client(caller)
    caller.send(f"/admin/clients/{slug}/delete", typed="CNRY-client")
    return slug


def alices_sign_in(caller: Caller) -> str:
    """Root ends one of Alice's: the account stands in the path, the sign-in in a field."""
    app = caller.http.application
    with app.app_context(), across_tenants() as session:
        row = SignIn(account_id=account_id_of(app, ALICE), secret_hash="x", device="CNRY-device")
        session.add(row)
        session.flush()
        return row.id


def an_endpoint(caller: Caller) -> str:
    name = new_id()
    made = caller.send("/admin/new-model", name=name, base_url=NOWHERE, model="CNRY-model", is_for_all="y")
    return str(made.location.rpartition("/")[2])


def a_granted_endpoint(caller: Caller) -> str:
    endpoint = an_endpoint(caller)
    caller.send(f"/admin/models/{endpoint}/clients", clients=BAKERY)
    return endpoint


def a_client_without_grant(caller: Caller) -> str:
    the_endpoint(caller)
    return a_client(caller)


def a_granted_client(caller: Caller) -> str:
    slug = a_client(caller)
    caller.send(f"/admin/models/{the_endpoint(caller)}/clients", clients=slug)
    return slug


def the_endpoint(caller: Caller) -> str:
    """One for all tests of a world, called «the-one»."""
    with caller.http.application.app_context(), across_tenants() as session:
        row = session.scalar(select(ModelEndpoint).where(ModelEndpoint.name == "the-one"))
        if row is None:
            row = ModelEndpoint(name="the-one", base_url=NOWHERE)
            session.add(row)
            session.flush()
        return row.id


def a_dead_job(caller: Caller) -> str:
    with caller.http.application.app_context(), across_tenants() as session:
        row = Job(kind="CNRY-job", status="dead")
        session.add(row)
        session.flush()
        return row.id


def a_place_in_the_log(caller: Caller) -> str:
    """After the newest entry: there is more, by how the world was made."""
    with caller.http.application.app_context(), across_tenants(writes=False) as session:
        return str(place_of(session.scalars(select(AuditEntry).order_by(AuditEntry.at.desc())).first()))


def end_alices(who: Caller, sign_in_id: str) -> object:
    account_id = account_id_of(who.http.application, ALICE)
    return who.send(f"/admin/accounts/{account_id}/sign-ins/end", sign_in=sign_in_id)


def to_account(what: str, **fields: str):
    return lambda who, id_: who.send(f"/admin/accounts/{id_}/{what}", **fields)


def to_client(what: str, **fields: str):
    return lambda who, slug: who.send(f"/admin/clients/{slug}/{what}", **fields)


def to_endpoint(what: str, **fields: str):
    return lambda who, id_: who.send(f"/admin/models/{id_}{what}", **fields)


def by_api(method: str, **given: object):
    return lambda who, slug: who.call(f"/admin/clients/{slug}", method=method, **given)


ACCOUNT, CLIENT, MODEL = "/admin/accounts/<account_id>", "/admin/clients/<slug>", "/admin/models/<endpoint_id>"

PROBES_OF_OPERATORS = [
    Probe(f"GET {ACCOUNT}", "root", an_account, lambda who, id_: who.see(f"/admin/accounts/{id_}"), "CNRY-member"),
    Probe(f"POST {ACCOUNT}/link", "root", an_account, to_account("link"), "/link/"),
    Probe(f"POST {ACCOUNT}/enabled", "root", an_account, to_account("enabled", on="1")),
    Probe(f"POST {ACCOUNT}/platform-admin", "root", an_account, to_account("platform-admin")),
    Probe(f"POST {ACCOUNT}/factors/reset", "root", an_account, to_account("factors/reset")),
    Probe(f"POST {ACCOUNT}/sign-ins/end", "root", an_account, to_account("sign-ins/end")),
    Probe(f"POST {ACCOUNT}/sign-ins/end?sign_in", "root", alices_sign_in, end_alices),
    Probe(f"GET {CLIENT}", "root", a_client, lambda who, slug: who.see(f"/admin/clients/{slug}"), "CNRY-client"),
    Probe(f"GET {CLIENT}/edit", "root", a_client, lambda who, slug: who.see(f"/admin/clients/{slug}/edit"), "CNRY-client"),
    Probe(f"POST {CLIENT}/edit", "root", a_client, to_client("edit", name="CNRY-client", time_zone="UTC")),
    Probe(f"POST {CLIENT}/suspend", "root", a_client, to_client("suspend", reason="bills")),
    Probe(f"POST {CLIENT}/resume", "root", a_suspended_client, to_client("resume")),
    Probe(f"POST {CLIENT}/delete", "root", a_client, to_client("delete", typed="CNRY-client")),
    Probe(f"POST {CLIENT}/undelete", "root", a_deleted_client, to_client("undelete")),
    Probe(f"POST {CLIENT}/open", "root", a_closed_client, to_client("open")),
    Probe(f"POST {CLIENT}/enter", "root", a_client_to_enter, to_client("enter", reason="they rang")),
    Probe("POST /admin/clients?slug", "root", a_client, lambda who, slug: who.send("/admin/clients", slug=slug, do="suspend", reason="bills"), made_up=303),
    Probe("POST /admin/transfer/export?slug", "root", a_client, lambda who, slug: who.send("/admin/transfer/export", slug=slug, form="yaml"), "CNRY-client", made_up=422),
    Probe("POST /admin/transfer/export ExportForm.clients", "root", a_client, lambda who, slug: who.send("/admin/transfer/export", clients=slug, form="yaml"), "CNRY-client", made_up=422),
    Probe(f"GET {MODEL}", "root", an_endpoint, lambda who, id_: who.see(f"/admin/models/{id_}"), "CNRY-model"),
    Probe(f"POST {MODEL}", "root", an_endpoint, to_endpoint("", seen="1", base_url=NOWHERE)),
    Probe(f"POST {MODEL}/check", "root", an_endpoint, to_endpoint("/check")),
    Probe(f"POST {MODEL}/delete", "root", an_endpoint, to_endpoint("/delete")),
    Probe(f"POST {MODEL}/clients", "root", an_endpoint, to_endpoint("/clients", clients=BAKERY)),
    Probe(f"POST {MODEL}/clients GrantForm.clients", "root", a_client_without_grant, lambda who, slug: who.send(f"/admin/models/{the_endpoint(who)}/clients", clients=slug), made_up=422),
    Probe(f"POST {MODEL}/clients/<slug>/withdraw", "root", a_granted_endpoint, to_endpoint(f"/clients/{BAKERY}/withdraw")),
    Probe(f"POST {MODEL}/clients/<slug>/withdraw", "root", a_granted_client, lambda who, slug: who.send(f"/admin/models/{the_endpoint(who)}/clients/{slug}/withdraw")),
    Probe("POST /admin/health/jobs/<job_id>/retry", "root", a_dead_job, lambda who, id_: who.send(f"/admin/health/jobs/{id_}/retry")),
    Probe("POST /admin/health/jobs/<job_id>/discard", "root", a_dead_job, lambda who, id_: who.send(f"/admin/health/jobs/{id_}/discard")),
    Probe("GET /admin/audit?after", "root", a_place_in_the_log, lambda who, place: who.see("/admin/audit", after=place), "client.created", made_up=200, twin=lambda place: place[:-26] + new_id()),
    Probe("GET /api/admin/clients/<slug>", "platform", a_client, by_api("GET"), "CNRY-client"),
    Probe("PATCH /api/admin/clients/<slug>", "platform", a_client, by_api("PATCH", json={"time_zone": "Europe/Berlin"}), "Europe/Berlin"),
    Probe("DELETE /api/admin/clients/<slug>", "platform", a_client, by_api("DELETE")),
    Probe("GET /api/admin/clients?cursor", "platform", a_client, lambda who, slug: who.call("/admin/clients", query_string={"cursor": slug}), '"clients"', made_up=200),
]  # fmt: skip
