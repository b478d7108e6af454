"""The embedders that tests use: the real one, loaded once for all, and two that need no model."""

import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from flask import Flask

from bench.model.vectors import embed
from chatbot.knowledge.arrays import Vectors
from chatbot.knowledge.embedder import BuiltinEmbedder, Embedder


@cache
def real() -> BuiltinEmbedder:
    """all-MiniLM-L6-v2, its unfolded weights kept between runs."""
    return BuiltinEmbedder(cache=Path(tempfile.gettempdir()) / "shaman-tests" / "embedder")


class Hashed:
    """Near are texts that share words. `dimension` tells one such embedder from another."""

    def __init__(self, dimension: int = 64) -> None:
        self.name, self.dimension = f"hashed-{dimension}", dimension

    def embed(self, texts: Sequence[str]) -> Vectors:
        return np.array([embed(text, self.dimension) for text in texts], np.float32).reshape(-1, self.dimension)


class Broken:
    """One that never answers. It counts how often it was asked."""

    name, dimension = "broken", 64

    def __init__(self) -> None:
        self.asked = 0

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.asked += 1
        raise OSError("no space left on device")


def use(app: Flask, embedder: Embedder) -> None:
    app.extensions["shaman_embedder"] = embedder
