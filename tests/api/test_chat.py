"""`POST /api/chat` where the answer outlasts the caller's patience."""

from typing import Any

import pytest

from bench.model import ModelServer
from tests.world import BAKERY, World, read_events


@pytest.fixture
def settings(model: ModelServer) -> dict[str, Any]:
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "obey"}


def test_an_answer_that_takes_long_names_its_turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatbot.api.chat.PATIENCE", -300.0)
    http, body = world.app.test_client(), {"message": "play silent-after-3", "client": BAKERY}
    answer = http.post("/api/chat", json=body)
    problem = answer.get_json()
    assert (answer.status_code, answer.mimetype, problem["status"]) == (504, "application/problem+json", 504)
    assert problem["session_id"] and "turn" in problem["detail"]
    events = http.get(f"/api/chat/turns/{problem['turn_id']}/events", query_string={"client": BAKERY})
    first: Any = next(iter(events.response))
    assert read_events(first)[0].data["session_id"] == problem["session_id"]
    events.close()
