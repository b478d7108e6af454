"""Clients as one document: out of an installation, into one, and what an import leaves alone."""

import time
from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import select

from chatbot.accounts.models import IdentityProvider, OneTimeLink
from chatbot.audit import COMMAND_LINE
from chatbot.db import across_tenants, as_tenant
from chatbot.jobs import Job, run_next
from chatbot.knowledge.models import Source
from chatbot.knowledge.sources import add_file, add_pair
from chatbot.tenants.clients import publish_settings
from chatbot.tenants.models import EndpointGrant, SettingsVersion, Tenant
from chatbot.tenants.standing import delete_client
from chatbot.tenants.transfer.applying import apply
from chatbot.tenants.transfer.planning import Asked
from chatbot.tenants.transfer.reading import Unusable, read
from chatbot.tenants.transfer.writing import write
from tests.tenants.transferring import (
    ADA,
    EVERYTHING,
    asked,
    bring,
    count,
    document,
    empty,
    offer_endpoint,
    out,
    plan,
)
from tests.world import BAKERY, BOB, OTHER, World


@pytest.fixture(autouse=True)
def _inside(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


# --- out and in ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_out_and_into_an_empty_installation_and_out_again_is_the_same_to_the_byte(world: World, form: str) -> None:
    offer_endpoint()
    bring(EVERYTHING)
    with as_tenant(world.ids[BAKERY]):
        add_pair("When do you open?", "At seven.\n\n## On Sundays\n\nAt eight.")
        add_file("menu.md", b"# Menu")
    before = out(form=form)
    assert count(Tenant) == 3 and len(before) > 2000
    empty()
    offer_endpoint()
    with across_tenants():
        apply(Asked(read(before, form)), COMMAND_LINE)
    assert out(form=form) == before
    for other in {"yaml", "json"} - {form}:
        assert read(out(form=other)).entries[0].values == read(before).entries[0].values


def test_a_document_says_every_field_of_a_client(world: World) -> None:
    offer_endpoint()
    bring(EVERYTHING)
    said = document("cafe")
    said["identity_provider"].pop("required")
    said["identity_provider"]["roles"] = EVERYTHING["identity_provider"]["roles"]
    assert {**said, "knowledge": None} == {**EVERYTHING, "knowledge": None}
    stripped = [
        {name: text.strip() if isinstance(text, str) else text for name, text in entry.items()}
        for entry in EVERYTHING["knowledge"]
    ]
    assert sorted(said["knowledge"], key=str) == sorted(stripped, key=str)


def test_twice_is_the_same_as_once(world: World) -> None:
    offer_endpoint()
    bring(EVERYTHING)
    kinds = (Tenant, SettingsVersion, Source, OneTimeLink, EndpointGrant, Job, IdentityProvider)
    first = [count(kind) for kind in kinds]
    again = bring(EVERYTHING)
    assert [step.action for step in again.plan.steps] == ["unchanged"] and not again.invited
    assert [count(kind) for kind in kinds] == first


def test_one_bad_row_of_a_thousand_imports_nothing(world: World) -> None:
    clients = [{"slug": f"c{n}", "name": f"C {n}"} for n in range(1000)]
    clients[700]["status"] = "asleep"
    with pytest.raises(Unusable) as refused:
        bring(*clients)
    assert refused.value.problems[0].line == 2 + 2 * 700 + 2 and list(refused.value.errors) == ["c700.status"]
    clients[700].pop("status")
    clients[700]["template"] = "nobody"  # this one is found out with the clients at hand
    with pytest.raises(Unusable):
        bring(*clients)
    assert count(Tenant) == 2


def test_five_hundred_clients_take_seconds(world: World) -> None:
    people = [{"email": f"{role}-{{n}}@client.example", "role": role} for role in ("admin", "staff")]
    pairs = [{"question": f"Question {k}?", "answer": "An answer. " * 20} for k in range(5)]
    text = {"instructions": "You are an assistant.\n" * 40, "greeting": "Good morning!"}
    clients = [
        {"slug": f"c{n}", "name": f"C {n}", "settings": text, "knowledge": pairs}
        | {"people": [{**person, "email": person["email"].format(n=n)} for person in people]}
        for n in range(500)
    ]
    content = write({"clients": clients})
    began = time.monotonic()
    with across_tenants():
        done = apply(Asked(read(content)), COMMAND_LINE)
    assert time.monotonic() - began < 10
    assert done.plan.count("create") == 500 and count(Source) == 2500 and len(done.invited) == 1000


def test_old_pairs_are_put_together_from_their_passages(world: World) -> None:
    with as_tenant(world.ids[BAKERY]) as session:
        add_pair("Do you deliver?", "On Fridays.")
        session.commit()
        while run_next("test"):
            pass
    with as_tenant(world.ids[BAKERY]) as session:
        session.scalars(select(Source)).one().listed = None
    assert document(BAKERY)["knowledge"] == [{"question": "Do you deliver?", "answer": "On Fridays."}]


# --- what is set, and what is left alone -----------------------------------------------------------------------------


def test_what_is_not_named_is_not_touched(world: World) -> None:
    before = document(BAKERY)
    bring({"slug": BAKERY, "settings": {"look": {"font_size": 20}}})
    after = document(BAKERY)
    assert after.pop("settings") == {**before.pop("settings"), "look": {"font_size": 20}}
    assert after == before


def test_null_gives_a_setting_back_to_the_platform(world: World) -> None:
    bring(
        {"slug": BAKERY, "settings": {"tone": "formal", "contact": {"email": ADA}}, "limits": {"messages_per_day": 5}}
    )
    made = plan(
        {"slug": BAKERY, "settings": {"tone": None, "contact": {"email": None}}, "limits": {"messages_per_day": None}}
    )
    assert [(c.field, c.old, c.new) for c in made.steps[0].changes] == [
        ("limits.messages_per_day", 5, None),
        ("settings.tone", "formal", None),
        ("settings.contact.email", ADA, None),
    ]
    bring(
        {"slug": BAKERY, "settings": {"tone": None, "contact": {"email": None}}, "limits": {"messages_per_day": None}}
    )
    assert document(BAKERY)["limits"] == {}
    assert document(BAKERY)["settings"] == {"greeting": "Good morning!", "contact": {}}


def test_a_plan_says_old_and_new_and_stores_nothing(world: World) -> None:
    made = plan(
        {"slug": BAKERY, "name": "Bakery", "people": [{"email": BOB, "role": "admin"}, {"email": ADA, "role": "user"}]},
        {"slug": OTHER, "status": "active"},
        {"slug": "new", "name": "New"},
    )
    assert [(step.slug, step.action) for step in made.steps] == [
        (BAKERY, "change"), (OTHER, "unchanged"), ("new", "create")
    ]  # fmt: skip
    assert [(c.field, c.old, c.new) for c in made.steps[0].changes] == [
        ("name", "Harbour Bakery", "Bakery"),
        ("people", {"email": BOB, "role": "staff"}, {"email": BOB, "role": "admin"}),
        ("people", None, {"email": ADA, "role": "user"}),
    ]
    assert count(Tenant) == 2 and document(BAKERY)["name"] == "Harbour Bakery"


def test_settings_get_a_version_when_they_change_and_only_then(world: World) -> None:
    publish_settings(BAKERY, {"greeting": "Hi"})
    bring({"slug": BAKERY, "settings": {"greeting": "Hi"}, "name": "Bakery"})
    versions = select(SettingsVersion.number, SettingsVersion.state).order_by(SettingsVersion.number)
    with as_tenant(world.ids[BAKERY], writes=False) as session:
        assert [tuple(row) for row in session.execute(versions)] == [(1, "old"), (2, "published")]
    bring({"slug": BAKERY, "settings": {"greeting": "Hello"}})
    with as_tenant(world.ids[BAKERY], writes=False) as session:
        assert [tuple(row) for row in session.execute(versions)] == [(1, "old"), (2, "old"), (3, "published")]


def test_a_changed_answer_is_read_again_and_an_equal_one_is_not(world: World) -> None:
    bring({"slug": BAKERY, "knowledge": [{"question": "Open?", "answer": "At seven."}]})
    assert count(Job, Job.kind == "read_source", Job.tenant_id == world.ids[BAKERY]) == 1
    bring({"slug": BAKERY, "knowledge": [{"question": "open?", "answer": "At eight."}]})
    assert document(BAKERY)["knowledge"] == [{"question": "open?", "answer": "At eight."}]
    assert count(Source) == 1


def test_an_imported_answer_is_found(world: World) -> None:
    bring({"slug": BAKERY, "knowledge": [{"question": "Do you deliver?", "answer": "On Fridays."}]})
    while run_next("test"):
        pass
    found = world.app.test_client().get("/api/client/search?q=do+you+deliver", headers=world.key())
    assert [passage["text"] for passage in found.get_json()["passages"]] == ["On Fridays."]


def test_a_client_that_is_deleted_is_not_made_anew(world: World) -> None:
    delete_client(OTHER, COMMAND_LINE)
    with pytest.raises(Unusable, match="invalid") as refused:
        bring({"slug": OTHER, "name": "x"})
    assert list(refused.value.errors) == [f"{OTHER}.slug"]
    assert OTHER.encode() not in out()


def test_a_suspended_client_is_told_to_whoever_stops_its_turns(world: World) -> None:
    assert bring({"slug": BAKERY, "status": "suspended"}).stopped == [world.ids[BAKERY]]
    assert bring({"slug": BAKERY, "status": "suspended"}).stopped == []


# --- templates -------------------------------------------------------------------------------------------------------


def test_a_new_client_begins_from_its_template(world: World) -> None:
    bring({"slug": BAKERY, "limits": {"messages_per_day": 9}, "sites": ["https://b.example"]})
    bring({"slug": BAKERY, "knowledge": [{"question": "Open?", "answer": "Yes."}, {"file": "a.md", "missing": True}]})
    bring({"slug": "new", "name": "New", "template": BAKERY, "settings": {"tone": "formal"}})
    made = document("new")
    assert made["settings"] == {"greeting": "Good morning!", "tone": "formal"} and made["limits"] == {
        "messages_per_day": 9
    }
    assert made["knowledge"] == [{"question": "Open?", "answer": "Yes."}] and made["anonymous_chat"]
    assert (made["people"], made["sites"], made["name"]) == ([], [], "New")


def test_a_template_never_touches_a_client_that_is_there(world: World) -> None:
    assert plan({"slug": OTHER, "template": BAKERY}).steps[0].action == "unchanged"
    assert plan({"slug": OTHER}, template=BAKERY).steps[0].action == "unchanged"


def test_a_template_may_come_beside_the_document(world: World) -> None:
    beside = asked({"slug": "shop", "settings": {"tone": "casual"}}).reading
    bring({"slug": "new", "name": "New"}, beside=beside)
    assert document("new")["settings"] == {"tone": "casual"}
