"""Whom and what a document only names: people, secrets, files; and what was changed in the meantime."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from chatbot.accounts.models import Account, IdentityProvider, OneTimeLink
from chatbot.audit import COMMAND_LINE, AuditEntry
from chatbot.db import across_tenants, as_tenant
from chatbot.errors import Conflict
from chatbot.jobs import Job
from chatbot.knowledge.models import Source
from chatbot.knowledge.sources import add_file
from chatbot.tenants.clients import find_client, publish_settings
from chatbot.tenants.models import SettingsVersion, Tenant
from chatbot.tenants.transfer.applying import Changed, apply
from chatbot.tenants.transfer.reading import Unusable
from tests.tenants.transferring import (
    ADA,
    EVE,
    EVERYTHING,
    SECRET,
    asked,
    bring,
    count,
    document,
    offer_endpoint,
    out,
    plan,
)
from tests.world import ALICE, BAKERY, BOB, CHARLIE, OTHER, World


@pytest.fixture(autouse=True)
def _inside(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


# --- people ----------------------------------------------------------------------------------------------------------


def test_known_people_join_and_unknown_ones_are_invited_once(world: World) -> None:
    people = [{"email": CHARLIE.upper(), "role": "staff"}, {"email": ADA, "role": "admin"}]
    done = bring({"slug": BAKERY, "people": people})
    assert [(one.slug, one.email) for one in done.invited] == [(BAKERY, ADA)]
    assert "/link/" in (done.invited[0].address or "")
    assert bring({"slug": BAKERY, "people": people}).invited == []
    assert {"email": CHARLIE, "role": "staff"} in document(BAKERY)["people"]
    assert count(Account) == 5 and count(OneTimeLink) == 1


def test_an_invitation_can_be_taken_up(world: World) -> None:
    address = bring({"slug": BAKERY, "people": [{"email": ADA, "role": "staff"}]}).invited[0].address or ""
    page = world.app.test_client().get(address.partition("127.0.0.1:5000")[2])
    assert page.status_code == 200 and "Harbour Bakery" in page.get_data(as_text=True)


@pytest.mark.parametrize("settings", [{"SMTP_URL": "smtp://127.0.0.1:1", "MAIL_FROM": "shaman@platform.example"}])
def test_with_a_mail_server_each_gets_one_mail_when_all_is_done(world: World, settings: dict[str, str]) -> None:
    people = [{"email": ADA, "role": "admin"}, {"email": EVE, "role": "user"}]
    done = bring({"slug": BAKERY, "people": people})
    assert [one.address for one in done.invited] == [None, None]
    bring({"slug": BAKERY, "people": people})
    assert count(Job, Job.kind == "mail") == 2
    with pytest.raises(Unusable):
        bring({"slug": BAKERY, "people": [{"email": "new@bakery.example", "role": "user"}]}, {"slug": "nameless"})
    assert count(Job, Job.kind == "mail") == 2


def test_a_role_changes_and_an_invitation_too(world: World) -> None:
    bring({"slug": BAKERY, "people": [{"email": BOB, "role": "user"}, {"email": ADA, "role": "user"}]})
    done = bring({"slug": BAKERY, "people": [{"email": BOB, "role": "admin"}, {"email": ADA, "role": "staff"}]})
    assert done.invited == []
    roles = {person["email"]: person["role"] for person in document(BAKERY)["people"]}
    assert (roles[BOB], roles[ADA], roles[ALICE]) == ("admin", "staff", "admin")


@pytest.mark.parametrize("others", [[], [{"email": ADA, "role": "admin"}]])
def test_the_last_admin_stays(world: World, others: list[dict[str, str]]) -> None:
    """An invitation is no admin yet."""
    with pytest.raises(Unusable) as refused:
        bring({"slug": BAKERY, "people": [{"email": ALICE, "role": "user"}, *others]})
    assert list(refused.value.errors) == [f"{BAKERY}.people.0"]
    bring({"slug": BAKERY, "people": [{"email": ALICE, "role": "user"}, {"email": BOB, "role": "admin"}]})


def test_nobody_of_another_client_is_touched(world: World) -> None:
    before = document(OTHER)
    bring(
        {
            "slug": BAKERY,
            "people": [{"email": CHARLIE, "role": "user"}],
            "knowledge": [{"question": "a", "answer": "b"}],
        }
    )
    assert document(OTHER) == before
    assert count(Source, Source.tenant_id == world.ids[OTHER]) == 0


# --- secrets and other gaps ------------------------------------------------------------------------------------------


def with_provider(**changes: Any) -> dict[str, Any]:
    return {"slug": BAKERY, "identity_provider": {"issuer": "https://login.example", "client_id": "abc", **changes}}


def keep_secret(world: World, *, required: bool = False) -> None:
    with as_tenant(world.ids[BAKERY]) as session:
        row = session.scalars(select(IdentityProvider)).one()
        row.client_secret, row.is_required = SECRET, required


def stored_provider(world: World) -> tuple[str | None, bool]:
    with as_tenant(world.ids[BAKERY], writes=False) as session:
        row = session.scalars(select(IdentityProvider)).one()
        return row.client_secret, row.is_required


def test_no_secret_is_in_a_document(world: World) -> None:
    offer_endpoint()
    bring(with_provider(), {**EVERYTHING, "endpoints": ["fast"]})
    keep_secret(world)
    for form in ("yaml", "json"):
        whole = out(form=form)
        hidden = [SECRET, *world.keys.values(), "password", "argon2", "api_key", "totp"]
        assert not [secret for secret in hidden if secret.encode() in whole]
    assert document(BAKERY)["identity_provider"]["client_secret"] == {"secret": "missing"}


def test_an_import_says_what_is_still_missing(world: World) -> None:
    gaps = bring({**EVERYTHING, "endpoints": ["unknown"]}).plan.gaps
    fields = ["settings.endpoint.key", "identity_provider.client_secret", "endpoints", "knowledge"]
    assert [gap.field for gap in gaps] == fields
    assert [gap.field for gap in plan({**EVERYTHING, "endpoints": ["unknown"]}).gaps] == fields


def test_a_secret_that_is_there_stays_and_never_goes_to_another_issuer(world: World) -> None:
    bring(with_provider())
    keep_secret(world, required=True)
    bring(with_provider(domains=["bakery.example"], client_secret={"secret": "missing"}, required=True))
    assert stored_provider(world) == (SECRET, True)
    done = bring(with_provider(issuer="https://evil.example", required=True))
    assert stored_provider(world) == (None, False)
    assert [gap.field for gap in done.plan.gaps] == ["identity_provider.client_secret", "identity_provider.required"]


def test_no_file_makes_a_provider_the_only_way_in(world: World) -> None:
    done = bring(with_provider(required=True))
    assert stored_provider(world) == (None, False)
    assert "identity_provider.required" in [gap.field for gap in done.plan.gaps]


def test_an_added_file_is_no_longer_missing(world: World) -> None:
    listed = {"slug": BAKERY, "knowledge": [{"file": "menu.md", "missing": True}]}
    bring(listed)
    with as_tenant(world.ids[BAKERY]):
        add_file("menu.md", b"# Menu\n\nRye bread.")
    assert plan(listed).gaps == [] and plan(listed).steps[0].action == "unchanged"


# --- in the meantime -------------------------------------------------------------------------------------------------


def test_what_changed_since_the_plan_is_refused(world: World) -> None:
    wanted = {"slug": BAKERY, "settings": {"tone": "formal"}}
    seen = plan(wanted).fingerprint
    publish_settings(BAKERY, {"tone": "casual"})
    with pytest.raises(Changed) as refused, across_tenants():
        apply(asked(wanted), COMMAND_LINE, seen)
    assert refused.value.plan.steps[0].changes[0].old == "casual"
    assert document(BAKERY)["settings"] == {"tone": "casual"}
    with across_tenants():
        apply(asked(wanted), COMMAND_LINE, refused.value.plan.fingerprint)
    assert document(BAKERY)["settings"] == {"tone": "formal"}


def test_two_imports_at_once_are_one(world: World) -> None:
    clients = [{"slug": f"c{n}", "name": f"C {n}", "people": [{"email": ADA, "role": "admin"}]} for n in range(40)]
    barrier = Barrier(4)

    def work(number: int) -> str:
        with world.app.app_context():
            barrier.wait()
            try:
                return bring(*(clients if number % 2 else reversed(clients))).plan.steps[0].action
            except Conflict:
                return "conflict"

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(work, range(4)))
    assert outcomes.count("create") == 1 and set(outcomes) <= {"create", "unchanged", "conflict"}
    assert count(Tenant) == 42 and count(OneTimeLink) == 40 and count(SettingsVersion) == 42


def test_every_import_is_written_down(world: World) -> None:
    bring({"slug": BAKERY, "settings": {"instructions": SECRET}, "people": [{"email": BOB, "role": "user"}]})
    with across_tenants(writes=False) as session:
        entries: list[Any] = list(session.scalars(select(AuditEntry).order_by(AuditEntry.id)))[-3:]
        assert {entry.action for entry in entries} == {"member.role-changed", "client.changed", "clients.imported"}
        whole = next(entry for entry in entries if entry.action == "clients.imported")
        assert (whole.target, whole.detail["change"], len(whole.detail["sha256"])) == (BAKERY, 1, 64)
        assert SECRET not in str([entry.detail for entry in entries])


def test_what_is_broken_off_is_not_there(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_given: Any, **_named: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("chatbot.tenants.transfer.applying.record", fail)
    with pytest.raises(RuntimeError):
        bring(
            {"slug": "new", "name": "New", "people": [{"email": ADA, "role": "admin"}]}, {"slug": BAKERY, "name": "x"}
        )
    assert count(Tenant) == 2 and count(OneTimeLink) == 0 and find_name(BAKERY) == "Harbour Bakery"


def find_name(slug: str) -> str:
    with across_tenants(writes=False):
        return find_client(slug).name
