"""Model endpoints: a client that names one is answered by it, or by nobody; no key goes to another host than its own."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from bench.model import ModelServer
from chatbot.audit import Actor, AuditEntry
from chatbot.chat.models import Turn
from chatbot.config import load_settings
from chatbot.db import across_tenants, db
from chatbot.errors import Conflict, Invalid, NotFound
from chatbot.providers import MOST_KEPT, Providers
from chatbot.providers.checking import check
from chatbot.providers.openai import Endpoint
from chatbot.tenants.clients import publish_settings
from chatbot.tenants.defaults import set_default
from chatbot.tenants.endpoint_grants import count_grants, count_users, grant, grantees, withdraw
from chatbot.tenants.endpoints import (
    EndpointDraft,
    add_endpoint,
    all_endpoints,
    change_endpoint,
    find_endpoint,
    retire_endpoint,
)
from chatbot.tenants.models import ModelEndpoint
from chatbot.tenants.named_endpoint import NamedEndpoint
from chatbot.usage.models import LedgerEntry
from tests.admin.operator import HTML, Operator, deeds
from tests.providers.plain_server import PlainServer, answer, read_request, refuse, serving
from tests.world import ALICE, BAKERY, OTHER, Browser, World, text_of

BY = Actor("root@platform.example")
OWN_KEY, PLATFORM_KEY = "key-of-acme", "key-of-the-platform"


@pytest.fixture(scope="module")
def acme() -> Iterator[ModelServer]:
    """Another model server than the platform's."""
    with ModelServer() as server:
        yield server


@pytest.fixture
def settings(model: ModelServer) -> dict[str, Any]:
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_API_KEY": PLATFORM_KEY, "OPENAI_MODEL": "instant-5"}


@pytest.fixture(autouse=True)
def _nothing_counted(model: ModelServer, acme: ModelServer) -> None:
    model.reset()
    acme.reset()


def say(words: str) -> str:
    return "say-" + base64.urlsafe_b64encode(words.encode()).decode().rstrip("=")


def offer(world: World, url: str, *slugs: str, name: str = "acme", **more: Any) -> str:
    """An endpoint with a key of its own, open to the clients called `slugs`."""
    with world.app.app_context():
        endpoint_id = add_endpoint(EndpointDraft(name, url, OWN_KEY, **more), BY)
        if slugs:
            grant(endpoint_id, slugs, BY)
    return endpoint_id


def choose(world: World, model: str | None, slug: str = BAKERY) -> None:
    with world.app.app_context():
        publish_settings(slug, {"model": model})


def last(world: World, kind: type[Any]) -> Any:
    with world.app.app_context(), across_tenants(writes=False) as session:
        return session.scalar(select(kind).order_by(kind.id.desc()).limit(1))


# --- through a turn --------------------------------------------------------------------------------------------------


def test_a_client_is_answered_by_the_endpoint_it_names(world: World, acme: ModelServer, model: ModelServer) -> None:
    offer(world, acme.base_url, BAKERY)
    choose(world, "acme/" + say("From Acme."))
    assert text_of(world.vera.ask("Hello?")) == "From Acme."
    assert [request["authorization"] for request in acme.requests()] == [f"Bearer {OWN_KEY}"]
    assert model.tally()["calls"] == 0
    assert last(world, LedgerEntry).model == "acme/" + say("From Acme."), "the ledger names it as the client does"


def test_a_bare_name_means_the_endpoints_own_model(world: World, acme: ModelServer) -> None:
    offer(world, acme.base_url, is_for_all=True, model=say("Its own."))
    choose(world, "acme")
    assert text_of(world.vera.ask("Hello?")) == "Its own."


def test_without_a_model_the_first_that_it_offers_answers(world: World, acme: ModelServer) -> None:
    offer(world, acme.base_url, is_for_all=True)
    choose(world, "Acme")
    assert world.vera.ask("Hello?")[-1].kind == "done" and acme.tally()["calls"] == 1


@pytest.mark.parametrize("wanted", ["instant-3", "org/instant-3", None])
def test_what_names_no_endpoint_is_the_platforms(
    world: World, acme: ModelServer, model: ModelServer, wanted: str | None
) -> None:
    offer(world, acme.base_url, is_for_all=True)
    choose(world, wanted)
    world.vera.ask("Hello?")
    assert (acme.tally()["calls"], model.tally()["calls"]) == (0, 1)
    assert model.requests()[0]["authorization"] == f"Bearer {PLATFORM_KEY}"


def test_an_endpoint_that_is_not_open_answers_nobody(world: World, acme: ModelServer, model: ModelServer) -> None:
    offer(world, acme.base_url, OTHER, model="instant-5")
    for wanted in ("acme", "acme/instant-5", " ACME/instant-5"):
        choose(world, wanted)
        error = world.vera.ask("Hello?")[-1]
        assert (error.kind, error.data["type"]) == ("error", "urn:shaman:model-not-open")
        assert "not open" in error.data["detail"]
    assert (acme.tally()["calls"], model.tally()["calls"]) == (0, 0), "nothing was sent anywhere"
    assert (last(world, Turn).status, last(world, LedgerEntry).input_tokens) == ("failed", 0), "nor charged"
    choose(world, "acme", OTHER)
    assert Browser(world.app.test_client(), OTHER).ask("Hello?")[-1].kind == "done"


def test_withdrawn_or_given_up_it_answers_no_more(world: World, acme: ModelServer, model: ModelServer) -> None:
    endpoint_id = offer(world, acme.base_url, BAKERY, model="instant-5")
    choose(world, "acme")
    assert world.vera.ask("Hello?")[-1].kind == "done"
    with world.app.app_context():
        withdraw(endpoint_id, BAKERY, BY)
    assert world.vera.ask("Hello?")[-1].data["type"] == "urn:shaman:model-not-open"
    with world.app.app_context():
        grant(endpoint_id, [BAKERY], BY)
    assert world.vera.ask("Hello?")[-1].kind == "done"
    with world.app.app_context():
        retire_endpoint(endpoint_id, BY)
    assert world.vera.ask("Hello?")[-1].data["type"] == "urn:shaman:model-not-open"
    assert (acme.tally()["calls"], model.tally()["calls"]) == (2, 0), "never the platform's instead"


def test_a_changed_endpoint_is_asked_from_the_next_turn_on(world: World, acme: ModelServer, model: ModelServer) -> None:
    endpoint_id = offer(world, acme.base_url, BAKERY, model="instant-5")
    choose(world, "acme")
    world.vera.ask("Hello?")
    with world.app.app_context():
        change_endpoint(endpoint_id, EndpointDraft("acme", model.base_url, "a-newer-key", "instant-3"), 1, BY)
    world.vera.ask("Hello?")
    assert [request["authorization"] for request in acme.requests()] == [f"Bearer {OWN_KEY}"]
    assert [request["authorization"] for request in model.requests()] == ["Bearer a-newer-key"]


def test_a_key_follows_no_redirect(world: World) -> None:
    """SRF-08: an endpoint that sends us on to another host is a failure, and the other host hears nothing."""

    def elsewhere(line: Any, number: int) -> None:
        read_request(line)
        answer(line)

    with serving(elsewhere) as other:

        def redirect(line: Any, number: int) -> None:
            while read_request(line):
                refuse(line, 307, f"Location: {other.base_url}/chat/completions\r\n")

        with serving(redirect) as first:
            offer(world, first.base_url, BAKERY, model="m")
            choose(world, "acme")
            assert world.vera.ask("Hello?")[-1].kind == "error"
            found = check(Endpoint(first.base_url, OWN_KEY, None), seconds=3)
            assert not found.is_good and "another address" in found.words
        assert other.connections == 0


class TestWithoutAModelOfThePlatform:
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {}

    def test_a_client_with_an_endpoint_has_a_model_and_others_are_told(self, world: World, acme: ModelServer) -> None:
        offer(world, acme.base_url, BAKERY, model=say("From Acme."))
        choose(world, "acme")
        assert text_of(world.vera.ask("Hello?")) == "From Acme."
        assert "No language model is connected" not in world.vera.page()
        assert "No language model is connected" in Browser(world.app.test_client(), OTHER).page()


# --- the rules -------------------------------------------------------------------------------------------------------


def test_a_new_address_asks_for_the_key_anew(world: World) -> None:
    endpoint_id = offer(world, "https://models.example/v1")
    with world.app.app_context():
        with pytest.raises(Invalid) as refused:
            change_endpoint(endpoint_id, EndpointDraft("acme", "https://evil.example/v1", None), 1, BY)
        assert list(refused.value.errors) == ["key"]
        with across_tenants(writes=False):
            kept = find_endpoint(endpoint_id)
            assert (kept.base_url, kept.api_key, kept.version) == ("https://models.example/v1", OWN_KEY, 1)
        change_endpoint(endpoint_id, EndpointDraft("acme", "https://evil.example/v1", ""), 1, BY)
        with across_tenants(writes=False):
            assert find_endpoint(endpoint_id).api_key is None
        change_endpoint(endpoint_id, EndpointDraft("acme", "https://third.example/v1", None), 2, BY)


def test_the_key_stays_while_the_rest_changes(world: World) -> None:
    endpoint_id = offer(world, "https://models.example/v1/")
    with world.app.app_context():
        change_endpoint(endpoint_id, EndpointDraft("other", "https://models.example/v1", None, "m", True), 1, BY)
        with across_tenants(writes=False):
            kept = find_endpoint(endpoint_id)
            assert (kept.name, kept.api_key, kept.model, kept.is_for_all) == ("acme", OWN_KEY, "m", True)
        with pytest.raises(Conflict):
            change_endpoint(endpoint_id, EndpointDraft("acme", "https://models.example/v1", None), 1, BY)


def test_the_key_is_ciphertext_at_rest_and_in_no_log(world: World) -> None:
    offer(world, "https://models.example/v1")
    with world.app.app_context():
        with db.engine.connect() as connection:
            stored = connection.execute(text("SELECT api_key FROM model_endpoint")).scalar_one()
        assert OWN_KEY not in stored
        with across_tenants(writes=False) as session:
            assert OWN_KEY not in repr([entry.detail for entry in session.scalars(select(AuditEntry))])


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": "No Slug"}, "name"),
        ({"base_url": "models.example"}, "base_url"),
        ({"base_url": "ftp://models.example/v1"}, "base_url"),
        ({"base_url": "https://user:pass@models.example/v1"}, "base_url"),
        ({"base_url": "https://models.example/v1?key=1"}, "base_url"),
        ({"base_url": "https://pub\\@in/v1"}, "base_url"),
        ({"key": "two words"}, "key"),
        ({"key": "line\nend"}, "key"),
        ({"key": "schlüssel"}, "key"),
        ({"model": "m" * 201}, "model"),
    ],
)
def test_what_can_not_be_used_is_named(world: World, given: dict[str, Any], field: str) -> None:
    draft = {"name": "acme", "base_url": "https://models.example/v1", "key": "k"} | given
    with world.app.app_context(), pytest.raises(Invalid) as refused:
        add_endpoint(EndpointDraft(**draft), BY)
    assert list(refused.value.errors) == [field]


def test_an_inside_address_is_the_operators_to_choose(world: World) -> None:
    offer(world, "http://10.0.0.5:8000/v1")


def test_a_name_is_one_endpoints(world: World) -> None:
    endpoint_id = offer(world, "https://models.example/v1")
    with pytest.raises(Invalid):
        offer(world, "https://models.example/v1", name="ACME")
    with world.app.app_context():
        retire_endpoint(endpoint_id, BY)
        with pytest.raises(NotFound):
            retire_endpoint(endpoint_id, BY)
    again = offer(world, "https://models.example/v2")
    with world.app.app_context(), across_tenants(writes=False) as session:
        assert [endpoint.id for endpoint in all_endpoints()] == [again]
        assert session.scalar(select(db.func.count(ModelEndpoint.id))) == 1


def test_the_one_that_clients_inherit_stays_open(world: World) -> None:
    endpoint_id = offer(world, "https://models.example/v1", is_for_all=True)
    here, root = f"models/{endpoint_id}", Operator.of(world)
    with world.app.app_context():
        set_default("settings", {"model": "Acme/small"})
        with pytest.raises(Conflict):
            retire_endpoint(endpoint_id, BY)
        with pytest.raises(Conflict):
            change_endpoint(endpoint_id, EndpointDraft("acme", "https://models.example/v1", None), 1, BY)
    root.do(f"{here}/delete", here)
    assert "Choose another one under Limits first." in root.see(here)


def test_a_key_that_can_not_be_opened_can_be_typed_anew(world: World) -> None:
    endpoint_id = offer(world, "https://models.example/v1")
    here, root = f"models/{endpoint_id}", Operator.of(world)
    with world.app.app_context(), db.engine.begin() as connection:
        connection.execute(text("UPDATE model_endpoint SET api_key = 'gAAAAA-of-other-keys'"))
    assert "kept" in root.see("models") and "A key is kept" in root.see(here)
    root.do(here, here, seen="1", base_url="https://models.example/v1", key="typed-anew")
    with world.app.app_context(), across_tenants(writes=False):
        assert find_endpoint(endpoint_id).api_key == "typed-anew"


def test_a_provider_is_kept_for_as_long_as_its_endpoint_stays_the_same(tmp_path: Path) -> None:
    providers = Providers(load_settings(INSTANCE=str(tmp_path)))
    first = NamedEndpoint("e" * 26, 1, "acme", "https://models.example/v1", OWN_KEY, None)
    assert providers.for_endpoint(first) is providers.for_endpoint(replace(first))
    assert providers.for_endpoint(replace(first, version=2)) is not providers.for_endpoint(first)
    for number in range(2 * MOST_KEPT):
        providers.for_endpoint(replace(first, id=str(number)))
    assert len(providers._named) == MOST_KEPT
    assert OWN_KEY not in repr(first)


def test_grants_are_told_by_their_clients(world: World) -> None:
    endpoint_id = offer(world, "https://models.example/v1", BAKERY)
    choose(world, "acme/m")
    with world.app.app_context():
        with pytest.raises(Invalid, match="invalid") as refused:
            grant(endpoint_id, [OTHER, "nobody"], BY)
        assert "nobody" in refused.value.errors["clients"]
        assert grant(endpoint_id, [BAKERY], BY) == 0
        with across_tenants(writes=False):
            assert [found.slug for found in grantees(endpoint_id)] == [BAKERY]
            assert (count_grants(), count_users()) == ({endpoint_id: 1}, {"acme": 1})
        with pytest.raises(NotFound):
            withdraw(endpoint_id, OTHER, BY)


# --- the check -------------------------------------------------------------------------------------------------------


def respond(status: str, body: bytes = b"", headers: str = "") -> Any:
    def script(line: Any, number: int) -> None:
        read_request(line)
        line.sendall(f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    return script


def checked(server: PlainServer, model: str | None = None) -> Any:
    return check(Endpoint(server.base_url, OWN_KEY, model), seconds=1)


def test_a_good_endpoint_says_what_it_offers(acme: ModelServer, app: Any) -> None:
    with app.test_request_context():
        found = check(Endpoint(acme.base_url, OWN_KEY, "steady"))
        assert found.is_good and "steady" in found.models and "offers" in found.words
        assert not check(Endpoint(acme.base_url, OWN_KEY, "gone")).is_good


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (respond("401 No", b'{"error":{"message":"Incorrect key: key-of-acme"}}'), "refuses the key"),
        (respond("404 No"), "end in /v1"),
        (respond("500 No"), "error of its own (500)"),
        (respond("200 OK", b"<html>"), "something else"),
        (respond("200 OK", b'{"data": []}'), "no model"),
        (respond("200 OK", b'{"data": ["x"]}'), "something else"),
        (respond("200 OK", b"x" * (1 << 21)), "more than"),
        (lambda line, number: line.close() if read_request(line) else None, "broke off"),
        (lambda line, number: read_request(line) and line.recv(10), "in time"),
    ],
)
def test_a_bad_one_says_why_in_plain_words(app: Any, script: Any, words: str) -> None:
    with app.test_request_context(), serving(script) as server:
        found = checked(server)
        assert not found.is_good and words in found.words
        assert OWN_KEY not in found.words


def test_nothing_there_is_said(app: Any) -> None:
    with app.test_request_context():
        found = check(Endpoint("http://127.0.0.1:9/v1", OWN_KEY, None), seconds=2)
        assert not found.is_good and "Nothing answers" in found.words


# --- the pages -------------------------------------------------------------------------------------------------------


def test_an_endpoint_is_made_checked_opened_and_used(world: World, acme: ModelServer) -> None:
    root = Operator.of(world)
    made = root.do("new-model", name="acme", base_url=acme.base_url, key=OWN_KEY, model="instant-3")
    here = made.location.removeprefix("/admin/")
    assert made.status_code == 303
    root.do(f"{here}/check", here)
    page = root.see(here)
    assert "It answers, and offers" in page and OWN_KEY not in page
    assert "“instant-3” is not among them" in page, "the check says so where the server does not list it"
    assert root.do(f"{here}/clients", here, clients=f"{BAKERY}, {OTHER}").status_code == 303
    choose(world, "acme")
    assert world.vera.ask("Hello?")[-1].kind == "done"
    page = root.see("models")
    assert "2 clients" in page and "1 client" in page and "kept" in page
    root.do(f"{here}/clients/{BAKERY}/withdraw", here)
    assert world.vera.ask("Hello?")[-1].kind == "error"
    assert [(entry.action, entry.target, entry.tenant_slug) for entry in deeds(world)] == [
        ("endpoint.created", "acme", ""),
        ("endpoint.checked", "acme", ""),
        ("endpoint.granted", "acme", BAKERY),
        ("endpoint.granted", "acme", OTHER),
        ("endpoint.withdrawn", "acme", BAKERY),
    ]


def test_a_change_asks_for_the_key_and_keeps_what_was_typed(world: World) -> None:
    here, root = f"models/{offer(world, 'https://models.example/v1')}", Operator.of(world)
    asked = root.do(here, here, seen="1", base_url="https://other.example/v1", model="big")
    page = asked.get_data(as_text=True)
    assert asked.status_code == 422 and "Type the key again" in page and 'href="#key"' in page
    assert 'value="https://other.example/v1"' in page and 'value="big"' in page
    typed = root.do(here, here, seen="1", base_url="https://other.example/v1", key="secret-typed", model="")
    assert typed.status_code == 303 and "secret-typed" not in root.see(here)
    late = root.do(here, here, seen="1", base_url="https://late.example/v1", key="secret-late")
    assert late.status_code == 409 and "Somebody else" in late.get_data(as_text=True)
    assert "secret-late" not in late.get_data(as_text=True)


def test_given_up_it_is_gone_from_the_pages(world: World) -> None:
    here, root = f"models/{offer(world, 'https://models.example/v1')}", Operator.of(world)
    assert root.do(f"{here}/delete", here).status_code == 303
    assert root.http.get(f"/admin/{here}", headers=HTML).status_code == 404
    assert "None yet" in root.see("models")
    with world.app.app_context(), db.engine.connect() as connection:
        assert connection.execute(text("SELECT api_key FROM model_endpoint")).scalar_one() is None


@pytest.mark.parametrize(
    "fields", [{"name": "acme"}, {"base_url": "https://x.example"}, {"name": "a b", "base_url": "x"}]
)
def test_a_form_with_gaps_comes_back(world: World, fields: dict[str, str]) -> None:
    answer = Operator.of(world).do("new-model", **fields)
    assert answer.status_code == 422 and "Something is not right yet" in answer.get_data(as_text=True)


def test_unknown_clients_are_named(world: World) -> None:
    here, root = f"models/{offer(world, 'https://models.example/v1')}", Operator.of(world)
    answer = root.do(f"{here}/clients", here, clients=f"{BAKERY} nobody <b>")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 422 and "no client called &lt;b&gt;, nobody" in page
    assert "No client was chosen." in root.see(here)


def test_a_visitor_reads_that_the_question_is_safe(world: World, acme: ModelServer) -> None:
    offer(world, acme.base_url)
    choose(world, "acme")
    vera = world.vera
    vera.ask("Hello?")
    page = vera.page()
    assert "The assistant could not answer. Your question is safe." in page and "acme" not in page


def test_nobody_else_comes_here(world: World) -> None:
    here, alice = f"/admin/models/{offer(world, 'https://models.example/v1')}", world.signed_in(ALICE)
    for path in ("/admin/models", here, "/admin/new-model"):
        assert alice.get(path, headers=HTML).status_code == 403
    assert alice.post(f"{here}/delete", headers=HTML).status_code in (400, 403)
