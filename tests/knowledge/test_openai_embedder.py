"""The embedder behind an endpoint, against the simulated model."""

import numpy as np
import pytest

from chatbot.knowledge.openai_embedder import EmbedderAway, OpenAIEmbedder
from tests.embedders import use


def test_gives_one_vector_of_length_one_for_each_text(model):
    embedder = OpenAIEmbedder("embed", model.base_url)
    vectors = embedder.embed([f"text {number}" for number in range(70)] + ["", "\ud800"])
    assert vectors.shape == (72, embedder.dimension)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors.dtype == np.float32


def test_rests_after_a_failure(model):
    embedder = OpenAIEmbedder("embed", "http://127.0.0.1:1/v1")
    for _ in range(2):
        with pytest.raises(EmbedderAway):
            embedder.embed(["text"])


def test_one_model_at_two_places_is_two_embedders():
    assert OpenAIEmbedder("m", "http://a.example/v1").name != OpenAIEmbedder("m", "http://b.example/v1").name


def test_search_with_an_endpoint(shelf, model):
    use(shelf.app, OpenAIEmbedder("embed", model.base_url))
    shelf.put("bread.md", "Our rye loaf costs 4 euros.")
    assert shelf.find("rye loaf costs")[0].text == "Our rye loaf costs 4 euros."
