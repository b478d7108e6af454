"""The people of the story, at a simulated model that says what it is told to."""

from typing import Any

import pytest
from flask import Flask

from bench.model import ModelServer
from chatbot.accounts import passwords
from tests.accounts.conftest import CHEAP
from tests.embedders import Hashed, use
from tests.isolation.cast import Cast, make_cast
from tests.world import World


@pytest.fixture
def settings(model: ModelServer) -> dict[str, Any]:
    return {"OPENAI_BASE_URL": model.base_url, "OPENAI_MODEL": "obey", "OPENAI_API_KEY": "CNRY-the-platforms-key"}


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hasher", CHEAP)


@pytest.fixture
def people(app: Flask, world: World) -> Cast:
    use(app, Hashed())
    return make_cast(world)
