"""An ending that the database refuses: the text is kept all the same, and the conversation goes on."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from bench.model import ModelServer
from chatbot.chat.models import Turn
from tests.chat.test_faults import rows, texts
from tests.world import World, read_events

REFUSE = (
    "CREATE TRIGGER refuse BEFORE INSERT ON ledger_entry WHEN new.model <> '' BEGIN SELECT RAISE(ABORT, 'refused'); END"
)


@pytest.fixture
def settings(model: ModelServer) -> dict[str, Any]:
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "obey"}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_ending_that_is_refused_is_a_failure_with_its_text(world: World) -> None:
    with closing(sqlite3.connect(world.app.config["SHAMAN"].database_file)) as connection:
        connection.execute(REFUSE)
        last = read_events(world.vera.post(script=True, message="say We deliver.").data)[-1]
        assert (last.kind, last.data["type"]) == ("error", "urn:shaman:error")
        assert texts(world)[1] == ("assistant", "We deliver.", "failed")
        connection.execute("DROP TRIGGER refuse")
    world.vera.post(message="say Good morning.")
    assert [turn.status for turn in rows(world, Turn)] == ["failed", "complete"]
