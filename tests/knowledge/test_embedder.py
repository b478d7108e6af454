from pathlib import Path

import numpy as np
import pytest

from chatbot.knowledge import embedder
from chatbot.knowledge.embedder import BuiltinEmbedder, EmbedderBroken

TEXTS = ["How much is mending a flat tyre?", "Repairing a puncture costs 18 euros.", "We bake bread.", "", "\ud800"]


def test_vectors_have_length_one_and_near_texts_are_near():
    vectors = BuiltinEmbedder().embed(TEXTS)
    assert vectors.shape == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_the_mapped_weights_give_the_same_vectors(tmp_path: Path):
    mapped = BuiltinEmbedder(tmp_path)
    assert not mapped.is_loaded
    assert mapped.embed(TEXTS) == pytest.approx(BuiltinEmbedder().embed(TEXTS), abs=1e-5)
    assert BuiltinEmbedder(tmp_path).embed(TEXTS[:1]).shape == (1, 384)
    (made,) = tmp_path.iterdir()
    (made / "weights.bin").unlink()  # 90 MB


def test_no_texts_load_nothing():
    lazy = BuiltinEmbedder()
    assert lazy.embed([]).shape == (0, 384)
    assert not lazy.is_loaded


def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "tokenizer.json").write_text("{}")
    monkeypatch.setattr(embedder, "TOKENIZER", tmp_path / "tokenizer.json")
    with pytest.raises(EmbedderBroken, match="pinned"):
        BuiltinEmbedder().embed(["a"])
