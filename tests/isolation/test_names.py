"""What running answers, names, user ids, cookies and knowledge could give away, and don't."""

import json

from sqlalchemy import select

from bench.model import ModelServer
from chatbot.chat.models import Conversation, Turn, Visitor
from chatbot.db import across_tenants, as_tenant
from chatbot.jobs import run_next
from tests.isolation.cast import Cast
from tests.isolation.probes import a_running_turn, outcome
from tests.world import BAKERY, OTHER, read_events


def test_a_running_answer_is_heard_by_its_owner_alone(people: Cast) -> None:
    turn = a_running_turn(people.vera)
    for name in ("walt", "olga", "vera_elsewhere", "alice", "bob", "charlie_here", "colleague", "outsider"):
        stranger = people.callers[name]
        for position in ("", "0", "1", "5.end", "999999"):
            headers = {"Last-Event-ID": position}
            for answer in (
                stranger.stream(f"/turns/{turn}/events", headers=headers),
                stranger.call(
                    f"/chat/turns/{turn}/events", query_string={"client": stranger.browser.slug}, headers=headers
                ),
            ):
                assert answer.status_code == 404 and b"event:" not in answer.get_data(), stranger.name
        assert stranger.post(f"/turns/{turn}/stop").status_code == 404
        assert stranger.post(f"/turns/{turn}/retry").status_code == 404
    assert status_of(people, turn) == ("running", False)
    assert people.vera.post(f"/turns/{turn}/stop").status_code == 204


def status_of(people: Cast, turn_id: str) -> tuple[str, bool]:
    with people.world.app.app_context(), as_tenant(people.world.ids[BAKERY], writes=False) as session:
        turn = session.get(Turn, turn_id)
        return turn.status, turn.is_stopping


def test_a_forged_or_foreign_cookie_is_another_browser(people: Cast) -> None:
    session = people.vera.ask("say CNRY-answer")["session_id"]
    cookie = people.vera.browser.http.get_cookie("shaman_visitor")
    assert cookie
    plain, _, signature = cookie.value.rpartition(".")
    for forged in (plain, f"{plain}.{signature[:-1]}", f"{plain}.{signature[::-1]}", f".{signature}", "", '"x"', "%00"):
        browser = people.world.app.test_client()
        browser.set_cookie("shaman_visitor", forged)
        assert browser.get(f"/chat/{BAKERY}?session={session}").status_code == 404, forged


def test_a_name_is_its_visitors_own(people: Cast) -> None:
    """The same name from another visitor, or Idempotency-Key from another caller, is another turn."""
    names = {"name": "the-same-name", "message": "say CNRY-answer"}
    by_form = {
        who.name: read_events(who.post(**names).get_data())[0].data["turn_id"]
        for who in (people.vera, people.walt, people.olga)
    }
    assert len(set(by_form.values())) == 3
    headers, body = {"Idempotency-Key": "the-same-key"}, {"message": "say CNRY-answer"}
    callers = (people.program, people.colleague, people.outsider)
    turns = [who.call("/chat", method="POST", json=body, headers=headers).get_json()["turn_id"] for who in callers]
    assert len(set(turns)) == 3
    other_user = people.program.call("/chat", method="POST", json=body | {"user_id": "ada"}, headers=headers)
    assert other_user.status_code == 409 and turns[0] not in other_user.get_data(as_text=True)
    again = people.program.call("/chat", method="POST", json=body, headers=headers).get_json()
    assert again["turn_id"] == turns[0]


def test_user_ids_stay_under_their_key(people: Cast) -> None:
    """A user_id is a name under one key, whatever it is made of: no two reach one visitor, nor another key's."""
    app = people.world.app
    keys = {
        who.name: who.key["Authorization"].split("_")[1] for who in (people.program, people.colleague, people.outsider)
    }
    theirs, browser = keys[people.colleague.name], people.vera.ask("say hello")
    with app.app_context(), as_tenant(people.world.ids[BAKERY], writes=False) as session:
        vera_subject = session.scalar(
            select(Visitor.subject).join(Conversation).where(Conversation.id == browser["session_id"])
        )
    names = ["anonymous", "a", "A", "a:b", "a:", ":a", ":", "a%", "a_", "*", "anonymous:"]
    names += [f"key:{theirs}", theirs, str(vera_subject)]
    names += [f"../key:{theirs}", f":key:{theirs}", "ä", "a\u0308", "\u202ea", "a b", " a", "a" * 200]
    seen: dict[str, str] = {}
    for caller in (people.program, people.colleague, people.outsider):
        for name in names:
            answer = caller.call("/chat", method="POST", json={"message": "say x", "user_id": name})
            session_id = answer.get_json()["session_id"]
            assert session_id not in seen, (name, seen.get(session_id))
            seen[session_id] = f"{caller.name}: {name!r}"
    assert browser["session_id"] not in seen


def test_a_browsers_user_ids_stay_under_its_cookie(people: Cast) -> None:
    ids = {}
    for caller in (people.vera, people.walt):
        for name in ("anonymous", "a", "a:b", "browser:a"):
            body = {"message": "say CNRY-answer", "user_id": name, "client": BAKERY}
            ids[caller.name, name] = caller.call("/chat", method="POST", json=body).get_json()
    assert len({answer["session_id"] for answer in ids.values()}) == 8
    for (owner, _name), answer in ids.items():
        for caller in (people.vera, people.walt):
            events = caller.call(f"/chat/turns/{answer['turn_id']}/events?client={BAKERY}")
            assert events.status_code == (200 if caller.name == owner else 404)


def test_a_key_reaches_its_own_client_alone(people: Cast) -> None:
    """A key with another client's short name finds what it would find with one that never was."""
    other, none = (
        people.outsider.call("/chat", method="POST", json={"message": "say x", "client": slug})
        for slug in (BAKERY, "never-was")
    )
    assert other.status_code == 404 and outcome(other) == outcome(none)
    own = people.outsider.call("/chat", method="POST", json={"message": "say x", "client": OTHER})
    with people.world.app.app_context(), across_tenants(writes=False) as session:
        assert session.scalars(select(Turn.tenant_id)).all() == [people.world.ids[OTHER]] and own.status_code == 200


def test_knowledge_reaches_its_own_clients_model_alone(people: Cast, model: ModelServer) -> None:
    """Near-identical knowledge in two clients, told apart by one word: the model is shown the asker's own, each time."""
    for who, word in ((people.program, "CNRY-bakery"), (people.outsider, "CNRY-other")):
        for number in range(10):
            pair = {"question": f"What does loaf number {number} cost?", "answer": f"{word}: {number} euros a loaf."}
            who.call("/client/knowledge", method="POST", json=pair)
    with people.world.app.app_context():
        while run_next("test"):
            pass
    for number in range(10):
        for who, own, other in ((people.vera, "CNRY-bakery", "CNRY-other"), (people.olga, "CNRY-other", "CNRY-bakery")):
            asked = f"say: what does loaf number {number} of {other} cost?"
            who.ask(asked)
            context = json.dumps(model.requests(last=1)[0]["body"]["messages"][:1])
            assert own in context and other not in context
            assert "CNRY-the-platforms-key" not in context
