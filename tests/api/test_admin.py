"""Clients for programs with a platform key: one by one, and as one document."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest
import yaml
from sqlalchemy import func, select

from chatbot.api.once import KEPT
from chatbot.api.platform_once import forget_platform_answers
from chatbot.audit import AuditEntry
from chatbot.db import across_tenants
from chatbot.tenants.clients import create_client
from chatbot.tenants.keys import create_key
from chatbot.tenants.models import PlatformAnswer, Tenant
from tests.world import ALICE, BAKERY, BOB, CHARLIE, OTHER

CLIENTS, TRANSFER = "/api/admin/clients", "/api/admin/transfer"
ADA = "ada@new.example"


@pytest.fixture
def api(app, world):
    """`api(method, path, …)`: one call with a platform key."""
    with app.app_context(), across_tenants():
        key = create_key(None, "tests", ["manage"])

    def call(method, path, headers=None, **given):
        return app.test_client().open(
            path, method=method, headers={"Authorization": f"Bearer {key}"} | (headers or {}), **given
        )

    return call


def bring(api, document: Any, query: str = "", kind: str = "yaml", **headers: str):
    content = yaml.safe_dump(document).encode() if kind == "yaml" else orjson.dumps(document)
    return api("POST", TRANSFER + query, data=content, content_type=f"application/{kind}", headers=headers)


def count(app, kind) -> int:
    with app.app_context(), across_tenants(writes=False) as session:
        return int(session.scalar(select(func.count(kind.id))) or 0)


# --- one client ------------------------------------------------------------------------------------------------------


def test_a_client_is_its_document(api):
    answer = api("GET", f"{CLIENTS}/{BAKERY}")
    assert answer.status_code == 200 and answer.headers["ETag"]
    assert answer.json == {
        "slug": BAKERY, "name": "Harbour Bakery", "status": "active", "anonymous_chat": True,
        "requires_second_factor": False, "time_zone": "UTC", "sites": [], "limits": {},
        "settings": {"greeting": "Good morning!"}, "knowledge": [],
        "people": [{"email": ALICE, "role": "admin"}, {"email": BOB, "role": "staff"},
                   {"email": "ulla@bakery.example", "role": "user"}],
    }  # fmt: skip


def test_a_client_is_made_from_a_document(api):
    document = {"slug": "new", "name": "New", "settings": {"tone": "formal"}, "limits": {"money_per_month": "20.00"}}
    made = api("POST", CLIENTS, json=document)
    assert (made.status_code, made.headers["Location"]) == (201, f"{CLIENTS}/new")
    assert made.json == api("GET", f"{CLIENTS}/new").json
    assert made.json["settings"] == {"tone": "formal"} and made.json["limits"] == {"money_per_month": "20.00"}
    assert api("POST", CLIENTS, json=document).status_code == 409


@pytest.mark.parametrize(
    "given, status, field",
    [
        ({"json": {"slug": "new"}}, 422, "new.name"),
        ({"json": {"name": "New"}}, 422, "slug"),
        ({"json": {"slug": "new", "name": "New", "colour": "red"}}, 422, "colour"),
        (
            {"json": {"slug": "new", "name": "New", "settings": {"endpoint": {"key": "sk"}}}},
            422,
            "settings.endpoint.key",
        ),
        ({"json": [1]}, 422, "body"),
        ({"data": "{", "content_type": "application/json"}, 422, "body"),
        ({"data": "slug: new", "content_type": "application/yaml"}, 415, None),
    ],
)
def test_what_is_no_client_is_refused(api, app, given, status, field):
    answer = api("POST", CLIENTS, **given)
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    assert field is None or list(answer.json["errors"]) == [field]
    assert count(app, Tenant) == 2


def test_a_patch_merges_what_is_given(api):
    before = api("GET", f"{CLIENTS}/{BAKERY}")
    patch = {"settings": {"tone": "formal", "greeting": None}, "people": [{"email": BOB, "role": "admin"}]}
    changed = api("PATCH", f"{CLIENTS}/{BAKERY}", json=patch)
    assert changed.json["settings"] == {"tone": "formal"} and changed.json["name"] == "Harbour Bakery"
    assert {"email": BOB, "role": "admin"} in changed.json["people"] and len(changed.json["people"]) == 3
    assert changed.headers["ETag"] == api("GET", f"{CLIENTS}/{BAKERY}").headers["ETag"] != before.headers["ETag"]


def test_a_stale_patch_is_a_conflict(api):
    seen = {"If-Match": api("GET", f"{CLIENTS}/{BAKERY}").headers["ETag"]}
    assert api("PATCH", f"{CLIENTS}/{BAKERY}", json={"name": "A"}, headers=seen).status_code == 200
    assert api("PATCH", f"{CLIENTS}/{BAKERY}", json={"name": "B"}, headers=seen).status_code == 409
    assert api("DELETE", f"{CLIENTS}/{BAKERY}", headers=seen).status_code == 409
    assert api("GET", f"{CLIENTS}/{BAKERY}").json["name"] == "A"


def test_a_client_keeps_its_short_name(api):
    assert list(api("PATCH", f"{CLIENTS}/{BAKERY}", json={"slug": "x"}).json["errors"]) == ["slug"]
    assert api("PATCH", f"{CLIENTS}/{BAKERY}", json={"slug": BAKERY}).status_code == 200


def test_the_last_admin_stays(api):
    patch = {"people": [{"email": CHARLIE, "role": "user"}]}
    assert api("PATCH", f"{CLIENTS}/{OTHER}", json=patch).status_code == 422


def test_a_deleted_client_is_gone_and_kept_for_a_week(api, app):
    assert api("DELETE", f"{CLIENTS}/{OTHER}").status_code == 204
    for method in ("GET", "PATCH", "DELETE"):
        given = {"json": {"name": "x"}} if method == "PATCH" else {}
        assert api(method, f"{CLIENTS}/{OTHER}", **given).status_code == 404
    assert [client["slug"] for client in api("GET", CLIENTS).json["clients"]] == [BAKERY]
    assert count(app, Tenant) == 2


@pytest.mark.parametrize("slug", ["nobody", "A", "%00", "..", "x" * 300])
def test_what_is_not_there_is_not_found(api, slug):
    assert api("GET", f"{CLIENTS}/{slug}").status_code == 404
    assert api("PATCH", f"{CLIENTS}/{slug}", json={"name": "x"}).status_code in (404, 422)


def test_clients_are_listed_by_page(api, app, world):
    with app.app_context():
        for number in range(3):
            create_client(f"shop-{number}", f"Ödipus {number}")
    first = api("GET", f"{CLIENTS}?limit=2").json
    second = api("GET", f"{CLIENTS}?limit=3&cursor={first['next_cursor']}").json
    slugs = [client["slug"] for client in first["clients"] + second["clients"]]
    assert (slugs, second["next_cursor"]) == ([BAKERY, OTHER, "shop-0", "shop-1", "shop-2"], None)
    assert len(api("GET", f"{CLIENTS}?q=ödipus").json["clients"]) == 3
    assert api("GET", f"{CLIENTS}?q=%25").json["clients"] == []
    assert api("GET", f"{CLIENTS}?cursor=%27").status_code == 422


# --- transfer --------------------------------------------------------------------------------------------------------

DOCUMENT = {
    "clients": [
        {"slug": BAKERY, "settings": {"greeting": "Hello"}},
        {"slug": OTHER, "name": "Other Shop"},
        {"slug": "new", "name": "New", "people": [{"email": ADA, "role": "admin"}],
         "identity_provider": {"issuer": "https://login.example", "client_id": "x"}},
    ]
}  # fmt: skip


@pytest.mark.parametrize("kind", ["yaml", "json"])
def test_a_dry_run_is_the_plan_and_stores_nothing(api, app, kind):
    answer = bring(api, DOCUMENT, "?dry_run=true", kind)
    plan = answer.json
    assert (answer.status_code, plan["applied"]) == (200, False)
    assert [(client["slug"], client["action"]) for client in plan["clients"]] == [
        (BAKERY, "change"), (OTHER, "unchanged"), ("new", "create")
    ]  # fmt: skip
    assert plan["clients"][0]["changes"] == [{"field": "settings.greeting", "old": "Good morning!", "new": "Hello"}]
    assert [(gap["slug"], gap["field"]) for gap in plan["missing"]] == [("new", "identity_provider.client_secret")]
    assert count(app, Tenant) == 2


def test_an_import_does_what_the_plan_said(api, app):
    plan = bring(api, DOCUMENT, "?dry_run=true").json
    done = bring(api, DOCUMENT).json
    assert done["applied"] and done["clients"] == plan["clients"] and done["missing"] == plan["missing"]
    assert "/link/" in done["invitations"][0]["link"] and count(app, Tenant) == 3
    again = bring(api, DOCUMENT).json
    assert {client["action"] for client in again["clients"]} == {"unchanged"} and again["invitations"] == []


def test_a_plan_that_no_longer_holds_is_not_done(api):
    seen = bring(api, DOCUMENT, "?dry_run=true").headers["ETag"]
    api("PATCH", f"{CLIENTS}/{BAKERY}", json={"settings": {"greeting": "Hi"}})
    stale = bring(api, DOCUMENT, **{"If-Match": seen})
    assert stale.status_code == 409 and api("GET", f"{CLIENTS}/new").status_code == 404
    seen = bring(api, DOCUMENT, "?dry_run=true").headers["ETag"]
    assert bring(api, DOCUMENT, **{"If-Match": seen}).status_code == 200


def test_errors_name_the_line(api, app):
    answer = api(
        "POST", TRANSFER, data="clients:\n- slug: a\n  name: A\n- slug: b\n  colour: red\n", content_type="text/yaml"
    )
    assert answer.status_code == 422
    assert answer.json["errors"] == {"b.colour": "Line 5: b colour: This field is not known."}
    assert count(app, Tenant) == 2


def test_a_table_makes_clients_from_a_template(api):
    table = "slug;name;admin e-mail\nshop-1;Shop 1;a@x.example\nshop-2;Shop 2;b@x.example\n"
    done = api("POST", f"{TRANSFER}?template={BAKERY}", data=table.encode(), content_type="text/csv").json
    assert [client["action"] for client in done["clients"]] == ["create", "create"]
    assert api("GET", f"{CLIENTS}/shop-2").json["settings"] == {"greeting": "Good morning!"}


@pytest.mark.parametrize(
    "path, given, status",
    [
        (TRANSFER, {"data": "x", "content_type": "text/plain"}, 415),
        (TRANSFER, {"data": "x" * (33 << 20), "content_type": "application/yaml"}, 413),
        (TRANSFER + "?dry_run=maybe", {"data": "clients: []", "content_type": "application/yaml"}, 422),
        (TRANSFER + "?template=nobody", {"data": "slug,name\na,A", "content_type": "text/csv"}, 422),
    ],
)
def test_what_is_no_import_is_refused(api, path, given, status):
    assert api("POST", path, **given).status_code == status


def test_who_took_what_is_written_down(api, app):
    api("GET", f"{CLIENTS}?limit=1")
    bring(api, DOCUMENT)
    with app.app_context(), across_tenants(writes=False) as session:
        entries = {entry.action: entry for entry in session.scalars(select(AuditEntry))}
    taken, brought = entries["clients.exported"], entries["clients.imported"]
    assert taken.who.startswith("key:") and (taken.target, taken.detail["count"]) == (BAKERY, 1)
    assert (brought.detail["create"], brought.detail["change"], brought.detail["unchanged"]) == (1, 1, 1)


# --- once ------------------------------------------------------------------------------------------------------------


def test_the_same_key_and_body_is_one_effect_and_one_answer(api, app):
    once = {"Idempotency-Key": "k1"}
    first = bring(api, DOCUMENT, **once)
    again = bring(api, DOCUMENT, **once)
    assert again.json["clients"] == first.json["clients"] and again.json["clients"][2]["action"] == "create"
    assert again.json["invitations"] == [{"slug": "new", "email": ADA, "link": None}]  # a link is shown once
    assert bring(api, {"clients": []}, **once).status_code == 409
    assert bring(api, DOCUMENT, "?template=other-shop", **once).status_code == 409
    with app.app_context(), across_tenants(writes=False) as session:
        assert first.json["invitations"][0]["link"].rpartition("/")[2] not in str(
            session.scalars(select(PlatformAnswer.answer)).all()
        )


def test_in_parallel_too(api, app):
    document = {"slug": "new", "name": "New"}

    def send(_number):
        return api("POST", CLIENTS, json=document, headers={"Idempotency-Key": "k"})

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(send, range(6)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert [answer for answer in answers if answer.status_code == 201]
    assert api("POST", CLIENTS, json=document, headers={"Idempotency-Key": "k"}).status_code == 201
    assert count(app, Tenant) == 3


def test_what_was_refused_is_not_kept(api, app):
    once = {"Idempotency-Key": "k"}
    assert api("POST", CLIENTS, json={"slug": BAKERY, "name": "x"}, headers=once).status_code == 409
    assert count(app, PlatformAnswer) == 0


def test_old_answers_are_swept(api, app):
    bring(api, DOCUMENT, **{"Idempotency-Key": "k"})
    with app.app_context():
        with across_tenants() as session:
            session.scalars(select(PlatformAnswer)).one().created_at -= 2 * KEPT
        assert (forget_platform_answers(), forget_platform_answers()) == (1, 0)


# --- who may ---------------------------------------------------------------------------------------------------------

CALLS = [
    ("GET", CLIENTS), ("POST", CLIENTS), ("GET", f"{CLIENTS}/{BAKERY}"), ("PATCH", f"{CLIENTS}/{BAKERY}"),
    ("DELETE", f"{CLIENTS}/{BAKERY}"), ("POST", TRANSFER),
]  # fmt: skip


@pytest.mark.parametrize("method, path", CALLS)
def test_a_clients_own_key_may_not(app, world, method, path):
    http = app.test_client()
    assert http.open(path, method=method).status_code == 401
    assert http.open(path, method=method, headers=world.key()).status_code == 403
    with app.app_context(), across_tenants():
        reads = create_key(None, "reads", ["read"])
    assert http.open(path, method=method, headers={"Authorization": f"Bearer {reads}"}).status_code == 403
