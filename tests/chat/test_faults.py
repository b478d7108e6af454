"""When the model, the disk or the database fails: what the visitor reads, what is kept, and that Retry mends it.

The simulated model does what the question says ("play <script>"), so that one application meets every fault.
"""

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.model import ModelServer
from bench.model.scripts import MANY_LANGUAGES, PIECES
from chatbot.chat.models import Message, Turn
from chatbot.db import as_tenant, db
from chatbot.tenancy import new_id
from chatbot.usage.models import LedgerEntry
from tests.providers.plain_server import read_request, serving
from tests.world import BAKERY, World, read_events, text_of

ROOT = Path(__file__).resolve().parents[2]
FIVE = "".join(PIECES[:5])


@pytest.fixture
def settings(model: ModelServer) -> dict[str, Any]:
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "obey", "CHAT_TIMEOUT": 1, "TURN_TIMEOUT": 15}


def rows(world: World, kind: type[Any]) -> list[Any]:
    with world.app.app_context(), as_tenant(world.ids[BAKERY], writes=False) as session:
        found = list(session.scalars(db.select(kind)))
    return sorted(found, key=lambda row: (getattr(row, "position", 0), getattr(row, "number", 0), row.id))


def texts(world: World) -> list[tuple[str, str, str]]:
    """What the visitor sees of the conversation: (role, text, status), replaced answers left out."""
    return [(m.role, m.content, m.status) for m in rows(world, Message) if m.replaced_by is None]


SAFE = "Your question is safe"
FAILURES = [
    ("status-400", 502, "", "could not answer"),
    ("status-401", 502, "", "could not answer"),
    ("status-404", 502, "", "could not answer"),
    ("status-429", 503, "", "very busy"),
    ("status-429-quota", 502, "", "could not answer"),
    ("status-429-retry-86400", 503, "", "very busy"),
    ("status-500", 502, "", "could not answer"),
    ("status-503", 503, "", "very busy"),
    ("silent", 504, "", "too long"),
    ("silent-after-5", 504, FIVE, "too long"),
    ("drop", 502, "", "could not answer"),
    ("html", 502, "", "could not answer"),
    ("error-in-200", 502, "", "could not answer"),
    ("no-words", 502, "", "could not answer"),
    ("tool-calls", 502, "", "could not answer"),
    ("garbage", 502, FIVE, "could not answer"),
    ("error-in-stream", 502, FIVE, "could not answer"),
    ("cut-2000", 502, None, "could not answer"),
    ("fin-2000", 502, None, "could not answer"),
    ("ends-2000", 502, None, "could not answer"),
]


class TestOfTheModel:
    @pytest.fixture(params=["sqlite"])
    def database(self, request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
        """What the model does has no part in the database: one of them is enough."""
        import shutil

        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "shaman.db")
        return {}

    @pytest.mark.parametrize("script, status, said, words", FAILURES, ids=[row[0] for row in FAILURES])
    def test_the_page_says_why_and_keeps_everything(
        self, world: World, script: str, status: int, said: str | None, words: str
    ) -> None:
        vera = world.vera
        answer = vera.post(message=f"play {script}")
        assert answer.status_code == 303
        page = vera.page()
        assert words in page and SAFE in page and "Retry" in page
        [(_, question, _), (_, text, state)] = texts(world)
        assert question == f"play {script}" and state == "failed"
        assert (text and "".join(PIECES).startswith(text)) if said is None else text == said
        assert text in page
        [turn] = rows(world, Turn)
        assert (turn.status, turn.problem["status"]) == ("failed", status)

    @pytest.mark.parametrize("script, status, said, words", FAILURES, ids=[row[0] for row in FAILURES])
    def test_programs_get_a_true_status(
        self, world: World, script: str, status: int, said: str | None, words: str
    ) -> None:
        http = world.app.test_client()
        answer = http.post("/api/chat", json={"message": f"play {script}"}, headers=world.key())
        problem = answer.get_json()
        assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
        assert problem["status"] == status and problem["type"].startswith("urn:shaman:model") and problem["detail"]
        assert problem["session_id"] and problem["turn_id"]
        assert ("Retry-After" in answer.headers) == (status == 503)

    def test_nothing_that_the_model_said_of_its_error_is_handed_on(self, world: World) -> None:
        vera = world.vera
        shown = json.dumps([event.data for event in vera.ask("play status-401")]) + vera.page()
        assert "API key" not in shown and "invalid_api_key" not in shown

    def test_the_stream_ends_with_the_error_after_what_was_said(self, world: World) -> None:
        events = world.vera.ask("play garbage")
        assert text_of(events) == FIVE and events[-1].kind == "error"
        assert events[-1].data["type"] == "urn:shaman:model-broken"

    def test_an_answer_over_the_limit_is_capped_and_says_so(self, world: World, model: ModelServer) -> None:
        vera, limit = world.vera, world.app.config["SHAMAN"].ANSWER_LIMIT
        events = vera.ask("play big-5mb")
        assert len(text_of(events)) == limit
        assert events[-1].kind == "done" and events[-1].data["finish_reason"] == "length"
        assert texts(world)[1] == ("assistant", text_of(events), "complete")
        assert "longer than it may be" in vera.page()
        assert model.wait_for(lambda request: request["closed_by_caller_at"])

    def test_one_piece_of_a_megabyte_is_capped_too(self, world: World) -> None:
        assert len(text_of(world.vera.ask("play one-chunk-1mb"))) == world.app.config["SHAMAN"].ANSWER_LIMIT

    @pytest.mark.parametrize("script, estimated", [("no-usage", True), ("zero-usage", True), ("instant-20", False)])
    def test_missing_usage_is_estimated_and_marked(self, world: World, script: str, estimated: bool) -> None:
        world.vera.ask(f"play {script}")
        [entry] = rows(world, LedgerEntry)
        assert entry.estimated is estimated and entry.output_tokens > 0 and entry.input_tokens > 0

    def test_a_partial_answer_is_charged_as_estimated_and_a_refusal_is_free(self, world: World) -> None:
        vera = world.vera
        vera.ask("play garbage")
        vera.ask("play status-400")
        partial, refused = rows(world, LedgerEntry)
        assert partial.estimated and partial.output_tokens > 0
        assert (refused.input_tokens, refused.output_tokens, refused.outcome) == (0, 0, "failed")

    def test_a_model_that_thinks_for_nothing_is_charged_as_it_says(self, world: World, model: ModelServer) -> None:
        model.reset()
        world.vera.ask("play tool-calls")
        [entry] = rows(world, LedgerEntry)
        tally = model.tally()
        assert (entry.input_tokens, entry.output_tokens) == (tally["prompt_tokens"], tally["completion_tokens"])

    def test_a_strange_name_for_a_retry_is_refused(self, world: World) -> None:
        vera = world.vera
        turn = vera.ask("play status-400")[0].data["turn_id"]
        for name in ("x" * 301, "a b", "\u0661"):
            assert vera.post(f"/turns/{turn}/retry", script=True, name=name).status_code == 422

    def test_a_failed_answer_is_no_part_of_what_the_model_is_told(self, world: World, model: ModelServer) -> None:
        vera = world.vera
        vera.ask("play status-400")
        vera.ask("say Hello.")
        told = [message["content"] for message in model.requests(1)[0]["body"]["messages"][1:]]
        assert told == ["play status-400", "say Hello."]

    @pytest.mark.parametrize("size", [1, 2, 3, 7])
    def test_any_language_is_shown_and_stored_as_it_was_sent(self, world: World, size: int) -> None:
        assert text_of(world.vera.ask(f"play utf8-cut-{size}")) == texts(world)[1][1] == MANY_LANGUAGES

    @pytest.mark.parametrize("script, said", [("silent", ""), ("silent-after-5", FIVE), ("long-first-900", "")])
    def test_stop_frees_the_model_in_any_phase(
        self, world: World, model: ModelServer, script: str, said: str, wait: Callable[..., None]
    ) -> None:
        model.reset()
        vera = world.vera
        stream: Iterator[Any] = iter(vera.post(script=True, message=f"play {script}").response)
        received = b"".join(next(stream) for _ in range(2 if said else 1))
        wait(lambda: model.tally()["calls"] == 1)
        stopped_at = time.time()
        assert vera.post(f"/turns/{read_events(received)[0].data['turn_id']}/stop").status_code == 303
        events = read_events(received + b"".join(stream))
        assert events[-1].data["finish_reason"] == "stopped"
        assert texts(world)[1] == ("assistant", said, "stopped")
        assert model.wait_for(lambda r: r["closed_by_caller_at"])["closed_by_caller_at"] - stopped_at < 2

    def test_stop_takes_a_message_out_of_the_line(self, world: World) -> None:
        vera = world.vera
        first = vera.post(script=True, message="play paced-20-20-20")
        stream: Iterator[Any] = iter(first.response)
        start = read_events(bytes(next(stream)))[0].data
        second = vera.post(script=True, message="say Never.", session_id=start["session_id"])
        waiting: Iterator[Any] = iter(second.response)
        assert read_events(bytes(next(waiting)))[0].kind == "waiting"
        [turn] = [turn for turn in rows(world, Turn) if turn.status == "waiting"]
        vera.post(f"/turns/{turn.id}/stop")
        assert read_events(b"".join(waiting))[-1].data["finish_reason"] == "stopped"
        assert read_events(b"".join(stream))[-1].kind == "done"
        assert [status for _, _, status in texts(world)] == ["complete", "complete", "complete", "stopped"]

    def test_an_answer_goes_on_when_its_reader_leaves(self, world: World, wait: Callable[..., None]) -> None:
        answer = world.vera.post(script=True, message="play paced-20-50-25")
        next(iter(answer.response))
        answer.close()
        wait(lambda: rows(world, Turn)[0].status == "complete")
        assert texts(world)[1][1] == "".join(PIECES[:25])

    def test_answers_that_last_hold_no_connection(self, world: World, wait: Callable[..., None]) -> None:
        pool = world.app.extensions["shaman_database"].engine.pool
        threads = [
            threading.Thread(target=_ask_api, args=(world, f"play paced-20-20-60-{n}", f"u{n}")) for n in range(5)
        ]
        threads += [threading.Thread(target=lambda: world.vera.post(message="play paced-20-20-60")) for _ in range(5)]
        for thread in threads:
            thread.start()
        wait(lambda: len([m for m in rows(world, Message) if m.content and m.role == "assistant"]) == 10)
        assert pool.checkedout() <= 1  # the writer's, at a moment in which it saves
        for thread in threads:
            thread.join()


class TestRetry:
    """A model that fails a few times and then is fine again."""

    @pytest.fixture
    def settings(self, model: ModelServer) -> dict[str, Any]:
        return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": f"flaky-3-{new_id()}"}

    def test_works_once_and_takes_the_failed_answers_place(self, world: World) -> None:
        vera = world.vera
        turn = vera.ask("Hello?")[0].data["turn_id"]
        assert texts(world)[1][2] == "failed"
        answers = [vera.post(f"/turns/{turn}/retry", script=True, name="again") for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert len({text_of(read_events(answer.get_data())) for answer in answers}) == 1
        assert [(role, status) for role, _, status in texts(world)] == [("user", "complete"), ("assistant", "complete")]
        assert vera.post(f"/turns/{turn}/retry", script=True, name="thrice").status_code == 409
        assert "Retry</button>" not in _log(vera.page())
        assert len(rows(world, Turn)) == 2

    def test_works_without_script_and_pressed_twice(self, world: World) -> None:
        vera = world.vera
        vera.post(message="Hello?")
        form = re.search(r'action="/chat/[^"/]*(/turns/[^"]*/retry)".*?name="name" value="([^"]*)"', vera.page(), re.S)
        assert form
        assert [vera.post(form[1], name=form[2]).status_code for _ in range(2)] == [303, 303]
        assert "Good morning and thank you" in _log(vera.page())
        assert SAFE not in _log(vera.page())
        assert len(rows(world, Turn)) == 2


class TestDripping:
    """A server whose headers come byte by byte: no read is ever idle, and yet the turn ends at its deadline."""

    @pytest.fixture
    def settings(self) -> Iterator[dict[str, Any]]:
        def drip(line: socket.socket, number: int) -> None:
            read_request(line)
            line.sendall(b"HTTP/1.1 200 OK\r\nX-Endless: ")
            for _ in range(200):
                line.sendall(b"a")
                time.sleep(0.1)

        with serving(drip) as server:
            yield {"OPENAI_BASE_URL": server.base_url, "OPENAI_MODEL": "any", "TURN_TIMEOUT": 2}

    def test_the_turn_ends_at_its_deadline(self, world: World) -> None:
        began = time.monotonic()
        events = world.vera.ask("Hello?")
        assert events[-1].data["type"] == "urn:shaman:model-timeout"
        assert time.monotonic() - began < 8


def _ask_api(world: World, message: str, user: str) -> None:
    world.app.test_client().post("/api/chat", json={"message": message, "user_id": user}, headers=world.key())


def _log(page: str) -> str:
    return page.partition('role="log"')[2].partition("<template")[0]
