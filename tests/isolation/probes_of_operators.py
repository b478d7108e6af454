"""Probes of the admin area and of its API: whoever is no admin of the platform reads the same for every id."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import select
from werkzeug.test import TestResponse

from chatbot.accounts.models import IdentityProvider, SignIn
from chatbot.audit import AuditEntry
from chatbot.audit_log import place_of
from chatbot.db import across_tenants
from chatbot.jobs import Job
from chatbot.tenancy import new_id
from chatbot.tenants.clients import create_client
from chatbot.tenants.models import ModelEndpoint, Tenant
from tests.isolation.cast import Caller, account_id_of
from tests.isolation.probes import Probe, Use, calling, seeing, sending
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
        newest = select(AuditEntry).order_by(AuditEntry.at.desc()).limit(1)
        return str(place_of(session.scalars(newest).one()))


def end_alices(who: Caller, sign_in_id: str) -> TestResponse:
    account_id = account_id_of(who.http.application, ALICE)
    return who.send(f"/admin/accounts/{account_id}/sign-ins/end", sign_in=sign_in_id)


def to_the_endpoint(path: str, **fields: str) -> Use:
    """A form about the one endpoint and the client that is asked for."""
    return lambda who, slug: sending(f"/admin/models/{the_endpoint(who)}/{path}", **fields)(who, slug)


def roots(place: str, make: Callable[[Caller], str], use: Use, shows: str = "", **more: Any) -> Probe:
    return Probe(place, "root", make, use, shows, **more)


def programs(place: str, use: Use, shows: str = "", **more: Any) -> Probe:
    return Probe(place, "platform", a_client, use, shows, **more)


ACCOUNT, CLIENT, MODEL = "/admin/accounts/<account_id>", "/admin/clients/<slug>", "/admin/models/<endpoint_id>"
ITS_ACCOUNT, ITS_CLIENT, ITS_MODEL = "/admin/accounts/{}", "/admin/clients/{}", "/admin/models/{}"
JOB, ITS_JOB = "/admin/health/jobs/<job_id>", "/admin/health/jobs/{}"
EXPORT, DOCUMENT = "/admin/transfer/export", "/api/admin/clients/<slug>"

PROBES_OF_OPERATORS = [
    roots(f"GET {ACCOUNT}", an_account, seeing(ITS_ACCOUNT), "CNRY-member"),
    roots(f"POST {ACCOUNT}/link", an_account, sending(f"{ITS_ACCOUNT}/link"), "/link/"),
    roots(f"POST {ACCOUNT}/enabled", an_account, sending(f"{ITS_ACCOUNT}/enabled", on="1")),
    roots(f"POST {ACCOUNT}/platform-admin", an_account, sending(f"{ITS_ACCOUNT}/platform-admin")),
    roots(f"POST {ACCOUNT}/factors/reset", an_account, sending(f"{ITS_ACCOUNT}/factors/reset")),
    roots(f"POST {ACCOUNT}/sign-ins/end", an_account, sending(f"{ITS_ACCOUNT}/sign-ins/end")),
    roots(f"POST {ACCOUNT}/sign-ins/end?sign_in", alices_sign_in, end_alices),
    roots(f"GET {CLIENT}", a_client, seeing(ITS_CLIENT), "CNRY-client"),
    roots(f"GET {CLIENT}/edit", a_client, seeing(f"{ITS_CLIENT}/edit"), "CNRY-client"),
    roots(f"POST {CLIENT}/edit", a_client, sending(f"{ITS_CLIENT}/edit", name="CNRY-client", time_zone="UTC")),
    roots(f"POST {CLIENT}/suspend", a_client, sending(f"{ITS_CLIENT}/suspend", reason="bills")),
    roots(f"POST {CLIENT}/resume", a_suspended_client, sending(f"{ITS_CLIENT}/resume")),
    roots(f"POST {CLIENT}/delete", a_client, sending(f"{ITS_CLIENT}/delete", typed="CNRY-client")),
    roots(f"POST {CLIENT}/undelete", a_deleted_client, sending(f"{ITS_CLIENT}/undelete")),
    roots(f"POST {CLIENT}/open", a_closed_client, sending(f"{ITS_CLIENT}/open")),
    roots(f"POST {CLIENT}/enter", a_client_to_enter, sending(f"{ITS_CLIENT}/enter", reason="they rang")),
    roots(
        "POST /admin/clients?slug", a_client,
        sending("/admin/clients", slug="{}", do="suspend", reason="bills"), made_up=303,
    ),
    roots(f"POST {EXPORT}?slug", a_client, sending(EXPORT, slug="{}", form="yaml"), "CNRY-client", made_up=422),
    roots(
        f"POST {EXPORT} ExportForm.clients", a_client,
        sending(EXPORT, clients="{}", form="yaml"), "CNRY-client", made_up=422,
    ),
    roots(f"GET {MODEL}", an_endpoint, seeing(ITS_MODEL), "CNRY-model"),
    roots(f"POST {MODEL}", an_endpoint, sending(ITS_MODEL, seen="1", base_url=NOWHERE)),
    roots(f"POST {MODEL}/check", an_endpoint, sending(f"{ITS_MODEL}/check")),
    roots(f"POST {MODEL}/delete", an_endpoint, sending(f"{ITS_MODEL}/delete")),
    roots(f"POST {MODEL}/clients", an_endpoint, sending(f"{ITS_MODEL}/clients", clients=BAKERY)),
    roots(
        f"POST {MODEL}/clients GrantForm.clients", a_client_without_grant,
        to_the_endpoint("clients", clients="{}"), made_up=422,
    ),
    roots(
        f"POST {MODEL}/clients/<slug>/withdraw", a_granted_endpoint,
        sending(f"{ITS_MODEL}/clients/{BAKERY}/withdraw"),
    ),
    roots(f"POST {MODEL}/clients/<slug>/withdraw", a_granted_client, to_the_endpoint("clients/{}/withdraw")),
    roots(f"POST {JOB}/retry", a_dead_job, sending(f"{ITS_JOB}/retry")),
    roots(f"POST {JOB}/discard", a_dead_job, sending(f"{ITS_JOB}/discard")),
    roots(
        "GET /admin/audit?after", a_place_in_the_log, seeing("/admin/audit", after="{}"), "client.created",
        made_up=200, twin=lambda place: place[:-26] + new_id(),
    ),
    programs(f"GET {DOCUMENT}", calling("GET", ITS_CLIENT), "CNRY-client"),
    programs(f"PATCH {DOCUMENT}", calling("PATCH", ITS_CLIENT, json={"time_zone": "Europe/Berlin"}), "Europe/Berlin"),
    programs(f"DELETE {DOCUMENT}", calling("DELETE", ITS_CLIENT)),
    programs(
        "GET /api/admin/clients?cursor", calling("GET", "/admin/clients", query_string={"cursor": "{}"}), '"clients"',
        made_up=200,
    ),
]  # fmt: skip
