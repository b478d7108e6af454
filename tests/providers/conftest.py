"""The simulated model, with nothing counted yet."""

import pytest

from bench.model import ModelServer


@pytest.fixture
def llm(model: ModelServer) -> ModelServer:
    model.reset()
    return model
