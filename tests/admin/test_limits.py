"""What clients inherit: a change reaches all who have not set their own, in the next turn; and the page that changes it."""

import re
from typing import Any

import pytest
from sqlalchemy import event
from werkzeug.test import TestResponse

from bench.model import ModelServer
from chatbot.audit import Actor
from chatbot.db import across_tenants, db, read
from chatbot.errors import Conflict, Forbidden, Invalid
from chatbot.tenants.clients import create_client, find_client, publish_settings
from chatbot.tenants.defaults import Defaults, fingerprint, forget_defaults, platform_defaults, set_default
from chatbot.tenants.endpoints import EndpointDraft, add_endpoint
from chatbot.tenants.inheritance import clients_with_own, count_clients_and_own, require_second_factor, set_limits
from chatbot.tenants.inheritance import set_settings as set_inherited
from chatbot.tenants.published import published
from tests.admin.operator import HTML, Operator, deeds
from tests.world import ALICE, BAKERY, OTHER, ROOT, World, hidden, text_of

BY = Actor("root@platform.example")


@pytest.fixture
def settings(model: ModelServer) -> dict[str, Any]:
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "echo-all"}


def inherit(world: World, **settings: Any) -> None:
    with world.app.app_context():
        set_inherited(settings, fingerprint(platform_defaults().settings), BY)


def said(world: World) -> str:
    """What the model was given, as it repeats it."""
    return text_of(world.vera.ask("Hello?"))


# --- through a turn --------------------------------------------------------------------------------------------------


def test_a_default_reaches_the_next_turn_of_all_that_have_not_set_their_own(world: World) -> None:
    assert "Be warm and friendly." in said(world)
    inherit(world, tone="formal", unknown="Ask the owner.")
    assert "Be formal and polite." in said(world) and "say: Ask the owner." in said(world)
    with world.app.app_context():
        publish_settings(BAKERY, {"tone": "casual"})
    own = said(world)
    assert "Be relaxed and casual." in own, "its own goes first"
    assert "say: Ask the owner." in own, "field by field"
    inherit(world)
    assert "say: I don't know that." in said(world), "a default that is taken back is gone"


def test_defaults_bound_what_the_model_is_asked_for(world: World, model: ModelServer) -> None:
    inherit(world, temperature=0.2, max_tokens=33, context_messages=0)
    with world.app.app_context():
        publish_settings(BAKERY, {"temperature": None})  # as good as left out
    vera = world.vera
    session = vera.ask("One?")[0].data["session_id"]
    vera.ask("Two?", session_id=session)
    body = model.requests(1)[0]["body"]
    assert (body["temperature"], body["max_tokens"]) == (0.2, 33)
    assert [message["role"] for message in body["messages"]] == ["system", "user"], "no history"


def test_a_default_limit_holds_for_those_without_their_own(world: World) -> None:
    with world.app.app_context():
        set_limits({"messages_per_day": 1}, fingerprint({}), BY)
        with across_tenants():
            find_client(OTHER).limits = {"messages_per_day": 5}
    assert world.vera.ask("One?") and world.vera.post(script=True, message="Two?").status_code == 429
    other = type(world.vera)(world.app.test_client(), OTHER)
    assert other.ask("One?") and other.ask("Two?")


def test_a_default_longest_answer_is_reserved_for(world: World) -> None:
    """The tokens that a turn may cost are reckoned with what it inherits."""
    with world.app.app_context():
        set_limits({"tokens_per_month": 2000}, fingerprint({}), BY)
    inherit(world, max_tokens=50_000)
    assert world.vera.ask("One?"), "the last turn may overshoot, alone"
    inherit(world, max_tokens=10)
    assert world.vera.ask("Two?")


def test_the_turn_asks_the_database_nothing_more(world: World) -> None:
    """Defaults are kept in memory and a version is parsed once for each state of them."""
    inherit(world, tone="formal")

    def statements() -> int:
        asked: list[str] = []
        with world.app.app_context():
            inherited = platform_defaults().settings
            engine = db.engine
            event.listen(engine, "before_cursor_execute", hear := lambda *given: asked.append(given[2]))
            read(world.ids[BAKERY], lambda unit: published(unit, inherited))
            platform_defaults()
            event.remove(engine, "before_cursor_execute", hear)
        return sum("settings_version" in statement or "platform_setting" in statement for statement in asked)

    assert statements() == 2, "the number, and the document once"
    assert statements() == 1


# --- the rules -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "field"),
    [({"temperature": 3}, "temperature"), ({"length": "endless"}, "length"), ({"greeting": "Hi"}, "greeting")],
)
def test_settings_are_checked_as_a_clients_own(world: World, given: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        inherit(world, **given)
    assert list(refused.value.errors) == [field]


def test_limits_are_checked_as_a_clients_own(world: World) -> None:
    with world.app.app_context(), pytest.raises(Invalid) as refused:
        set_limits({"messages_per_day": -1, "chat_rate": "often"}, fingerprint({}), BY)
    assert set(refused.value.errors) == {"messages_per_day", "chat_rate"}


def test_who_saves_an_older_state_is_told(world: World) -> None:
    with world.app.app_context():
        set_limits({"messages_per_day": 1}, fingerprint({}), BY)
        with pytest.raises(Conflict):
            set_limits({"messages_per_day": 2}, fingerprint({}), BY)
        assert platform_defaults().limits == {"messages_per_day": 1}


def test_a_default_model_is_open_to_all(world: World) -> None:
    with world.app.app_context():
        add_endpoint(EndpointDraft("acme", "https://models.example/v1", None), BY)
    with pytest.raises(Invalid):
        inherit(world, model="acme/small")


def test_nobody_shuts_themselves_out(world: World) -> None:
    with world.app.app_context():
        with pytest.raises(Forbidden):
            require_second_factor(True, False, BY)
        require_second_factor(True, True, BY)
        assert platform_defaults().requires_second_factor
        require_second_factor(False, False, BY)
        assert not platform_defaults().requires_second_factor


def test_who_has_their_own_is_counted(world: World) -> None:
    with world.app.app_context():
        set_default("limits", {"messages_per_day": 9})
        publish_settings(BAKERY, {"tone": "casual", "temperature": 0.0, "model": None})
        with across_tenants():
            find_client(OTHER).limits = {"messages_per_day": 5, "chat_rate": None}
        with across_tenants(writes=False):
            clients, own = count_clients_and_own()
            assert clients == 2
            assert {name: count for name, count in own.items() if count} == {
                "messages_per_day": 1,
                "tone": 1,
                "temperature": 1,
            }
            assert [(found.slug, found.value) for found in clients_with_own("tone")] == [(BAKERY, "casual")]
            assert [found.slug for found in clients_with_own("messages_per_day")] == [OTHER]


# --- the page --------------------------------------------------------------------------------------------------------


def seen_by(page: str, form: str) -> str:
    """The state that a form of the page was made from."""
    return hidden(page.split(f'action="/admin/{form}"')[1], "seen")


def save(root: Operator, form: str, **fields: str) -> TestResponse:
    return root.do(form, "limits", **{"seen": seen_by(root.see("limits"), form), **fields})


def now_set(world: World) -> Defaults:
    with world.app.app_context():
        forget_defaults()
        return platform_defaults()


def test_limits_are_saved_shown_and_taken_back(world: World) -> None:
    root = Operator.of(world)
    given = {"messages_per_day": "500", "tokens_per_month": "", "money_per_month": "20.00", "chat_rate": "5 per minute"}
    assert save(root, "limits", **given).status_code == 303
    assert now_set(world).limits == {"messages_per_day": 500, "money_per_month": "20.00", "chat_rate": "5 per minute"}
    page = root.see("limits")
    assert all(f'value="{value}"' in page for value in ("500", "20.00", "5 per minute"))
    save(root, "limits")
    assert now_set(world).limits == {}
    first, second = deeds(world)
    assert (first.action, first.who) == ("platform.limits_changed", ROOT)
    assert first.detail["changes"]["messages_per_day"] == [None, 500]
    assert second.detail["changes"]["messages_per_day"] == [500, None]


def test_settings_are_saved_and_shown(world: World) -> None:
    root = Operator.of(world)
    given = {"tone": "formal", "length": "short", "temperature": "0.3", "max_tokens": "200", "context_messages": "0"}
    assert save(root, "limits/settings", **given).status_code == 303
    assert now_set(world).settings == {
        "tone": "formal",
        "length": "short",
        "temperature": 0.3,
        "max_tokens": 200,
        "context_messages": 0,
    }
    page = root.see("limits")
    assert 'value="formal"' in page and re.search(r'<option selected value="short"', page)


@pytest.mark.parametrize(
    ("form", "fields", "wrong"),
    [
        ("limits", {"messages_per_day": "-1"}, "messages_per_day"),
        ("limits", {"messages_per_day": "many"}, "messages_per_day"),
        ("limits", {"chat_rate": "often"}, "chat_rate"),
        ("limits/settings", {"temperature": "3"}, "temperature"),
        ("limits/settings", {"length": "endless"}, "length"),
        ("limits/settings", {"language": "x" * 21}, "language"),
    ],
)
def test_what_can_not_be_used_keeps_what_was_typed(world: World, form: str, fields: dict[str, str], wrong: str) -> None:
    answer = save(Operator.of(world), form, **fields, **({"tone": "gruff"} if "settings" in form else {}))
    page = answer.get_data(as_text=True)
    assert answer.status_code == 422 and f'href="#{wrong}"' in page
    assert "gruff" in page or form == "limits"
    assert now_set(world).limits == now_set(world).settings == {}


def test_two_admins_and_one_form(world: World) -> None:
    """The second is told, sees what holds now, keeps what was typed, and may save again."""
    root = Operator.of(world)
    before = seen_by(root.see("limits"), "limits")
    save(root, "limits", messages_per_day="100")
    late = root.do("limits", "limits", seen=before, messages_per_day="7")
    page = late.get_data(as_text=True)
    assert late.status_code == 409 and "Now: 100." in page and 'value="7"' in page
    assert now_set(world).limits == {"messages_per_day": 100}
    root.do("limits", "limits", seen=seen_by(page, "limits"), messages_per_day="7")
    assert now_set(world).limits == {"messages_per_day": 7}


def test_it_says_how_many_inherit_and_who_does_not(world: World) -> None:
    with world.app.app_context():
        publish_settings(BAKERY, {"tone": "casual <b>"})
    root = Operator.of(world)
    page = root.see("limits")
    assert "1 client inherits it" in page and 'href="/admin/limits/own/tone"' in page
    own = root.see("limits/own/tone")
    assert "Harbour Bakery" in own and "casual &lt;b&gt;" in own and "Other Shop" not in own
    assert root.http.get("/admin/limits/own/greeting", headers=HTML).status_code == 404


def test_a_second_factor_is_required_only_by_one_who_has_shown_theirs(world: World) -> None:
    weak = Operator.of(world)
    refused = weak.do("limits/security", "limits", requires_second_factor="y")
    assert refused.status_code == 422 and "second factor of your own first" in refused.get_data(as_text=True)
    assert ROOT in weak.see("limits"), "it says who has none yet"
    strong = Operator.of(world, strong=True)
    assert strong.do("limits/security", "limits", requires_second_factor="y").status_code == 303
    assert weak.http.get("/admin/limits", headers=HTML).location.startswith("/account/second-factor")
    assert strong.do("limits/security", "limits").status_code == 303
    assert weak.see("limits")


def test_the_page_costs_the_same_however_many_clients_there_are(world: World) -> None:
    root = Operator.of(world)

    def statements() -> int:
        asked: list[str] = []
        with world.app.app_context():
            engine = db.engine
        event.listen(engine, "before_cursor_execute", hear := lambda *given: asked.append(given[2]))
        root.see("limits")
        event.remove(engine, "before_cursor_execute", hear)
        return len(asked)

    root.see("limits")
    few = statements()
    with world.app.app_context():
        for number in range(20):
            create_client(f"shop-{number}", "Shop", {"tone": "casual"})
    assert statements() == few


def test_nobody_else_comes_here(world: World) -> None:
    alice = world.signed_in(ALICE)
    assert alice.get("/admin/limits", headers=HTML).status_code == 403
    assert alice.post("/admin/limits", headers=HTML).status_code in (400, 403)
