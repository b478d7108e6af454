"""A visitor's turn, through the page's own forms and event stream, against a simulated model."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from bench.model import ModelServer
from chatbot.chat.models import Message, Turn
from chatbot.db import as_tenant, db
from chatbot.usage.models import LedgerEntry
from tests.world import BAKERY, World, read_events, text_of


@pytest.fixture
def settings(model: ModelServer) -> dict[str, Any]:
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "paced-20-60-12"}


def rows(world: World, kind: type[Any]) -> list[Any]:
    with world.app.app_context(), as_tenant(world.ids[BAKERY], writes=False) as session:
        order = getattr(kind, "position", getattr(kind, "number", kind.created_at))
        return list(session.scalars(db.select(kind).order_by(order)))


def test_an_answer_is_streamed_and_stored(world: World) -> None:
    events = world.vera.ask("When do you open?")
    assert [events[0].kind, events[-1].kind] == ["start", "done"]
    question, answer = rows(world, Message)
    assert (question.content, question.role) == ("When do you open?", "user")
    assert (answer.content, answer.status) == (text_of(events), "complete")
    [entry] = rows(world, LedgerEntry)
    assert entry.output_tokens == 12 and not entry.estimated


def test_the_same_name_is_one_turn(world: World) -> None:
    vera = world.vera
    first = vera.ask("Hello?", name="abc")
    again = vera.ask("Hello?", name="abc", session_id=first[0].data["session_id"])
    assert [e.data for e in again if e.kind in ("start", "done")] == [
        e.data for e in first if e.kind in ("start", "done")
    ]
    assert text_of(again) == text_of(first) and len(rows(world, Turn)) == 1


def test_the_same_name_in_parallel_is_one_turn(world: World) -> None:
    vera = world.vera
    page = vera.page()
    from tests.world import hidden

    cookie = vera.http.get_cookie("shaman_visitor")
    session = vera.http.get_cookie("shaman_session")
    assert cookie and session
    fields = {"csrf_token": hidden(page, "csrf_token"), "message": "Hello?", "name": "same", "session_id": ""}

    def send(_: int) -> str:
        http = world.app.test_client()
        for each in (cookie, session):
            http.set_cookie(each.key, each.value)
        answer = http.post(f"/chat/{BAKERY}", data=fields, headers={"Accept": "text/event-stream"})
        return text_of(read_events(answer.get_data()))

    with ThreadPoolExecutor(8) as pool:
        texts = set(pool.map(send, range(8)))
    assert len(texts) == 1 and texts != {""} and len(rows(world, Turn)) == 1


def test_the_same_name_with_other_words_is_refused(world: World) -> None:
    vera = world.vera
    session = vera.ask("Hello?", name="abc")[0].data["session_id"]
    answer = vera.post(script=True, message="Something else", name="abc", session_id=session)
    assert answer.status_code == 409 and len(rows(world, Turn)) == 1


def test_the_turn_ends_though_nobody_listens(world: World, wait: Callable[..., None]) -> None:
    answer = world.vera.post(script=True, message="Hello?")
    next(iter(answer.response))
    answer.close()
    wait(lambda: [turn.status for turn in rows(world, Turn)] == ["complete"])


def test_a_viewer_that_comes_back_gets_the_rest(world: World) -> None:
    vera = world.vera
    events = vera.ask("Hello?")
    turn, seen = events[0].data["turn_id"], events[3].id
    rest = vera.http.get(f"{vera.home}/turns/{turn}/events", headers={"Last-Event-ID": seen}).get_data()
    assert text_of(events)[: int(seen)] + text_of(read_events(rest)) == text_of(events)
    assert [event.kind for event in read_events(rest)] == ["delta", "done"]


def test_turns_of_one_conversation_run_in_order(world: World) -> None:
    vera = world.vera
    session = vera.ask("One?")[0].data["session_id"]
    running = vera.post(script=True, message="Two?", session_id=session)
    next(iter(running.response))
    third = vera.ask("Three?", session_id=session)
    assert third[0].kind == "waiting" and third[0].data == {"position": 1}
    first_end, second_end, third_end = (turn.ended_at for turn in rows(world, Turn))
    assert first_end < second_end < third_end
    contents = [message.content for message in rows(world, Message)]
    assert contents[::2] == ["One?", "Two?", "Three?"] and all(contents)


class TestStop:
    @pytest.fixture
    def settings(self, model: ModelServer) -> dict[str, Any]:
        return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "silent-after-5"}

    def test_stop_keeps_what_was_said(self, world: World) -> None:
        vera = world.vera
        answer = vera.post(script=True, message="Hello?")
        stream = cast(Iterator[bytes], iter(answer.response))
        received = b"".join(next(stream) for _ in range(3))
        turn = read_events(received)[0].data["turn_id"]
        threading.Timer(0.1, lambda: vera.post(f"/turns/{turn}/stop")).start()
        events = read_events(received + b"".join(stream))
        assert events[-1].kind == "done" and events[-1].data["finish_reason"] == "stopped"
        assert [m.content for m in rows(world, Message) if m.role == "assistant"] == [text_of(events)]
        assert text_of(events)
