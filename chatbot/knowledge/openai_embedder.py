"""An embedder behind an OpenAI-compatible endpoint."""

import hashlib
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chatbot.knowledge.arrays import Vectors, np
from chatbot.knowledge.embedder import MAX_CHARACTERS, EmbedderBroken

if TYPE_CHECKING:
    from openai import OpenAI

BATCH = 64
TIMEOUT = 10.0  # seconds for one batch
REST = 30.0  # seconds without a call after one that failed: no visitor waits for a server that is away


class EmbedderAway(EmbedderBroken):
    """The endpoint did not answer, or not with vectors."""


class OpenAIEmbedder:
    """`model` at `base_url` (None: OpenAI's own). The dimension is known after the first answer."""

    def __init__(self, model: str, base_url: str | None = None, api_key: str | None = None) -> None:
        place = hashlib.sha256((base_url or "").encode()).hexdigest()[:8]
        self.name = f"{model[:80]}@{place}"  # one model name may mean other vectors elsewhere
        self.dimension = 0
        self._model, self._base_url, self._api_key = model, base_url, api_key or "none"
        self._client: OpenAI | None = None
        self._lock = threading.Lock()
        self._rests_until = 0.0

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See Embedder.embed. Raises EmbedderAway."""
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        if time.monotonic() < self._rests_until:
            raise EmbedderAway("resting after a failure")
        try:
            parts = [self._batch(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
            vectors = np.concatenate(parts)
        except Exception as error:
            self._rests_until = time.monotonic() + REST
            raise EmbedderAway(type(error).__name__) from error
        self.dimension = vectors.shape[1]
        return vectors

    def _batch(self, texts: Sequence[str]) -> Vectors:
        plain = [text[:MAX_CHARACTERS].encode("utf-8", "replace").decode() or " " for text in texts]
        answer = self._connected().embeddings.create(model=self._model, input=plain, encoding_format="float")
        rows = [item.embedding for item in sorted(answer.data, key=lambda item: item.index)]
        vectors = np.array(rows, np.float32)
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise EmbedderAway("this is not one vector for each text")
        return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), np.float32)

    def _connected(self) -> "OpenAI":
        with self._lock:
            if self._client is None:
                from openai import OpenAI  # takes a second to load

                self._client = OpenAI(api_key=self._api_key, base_url=self._base_url, timeout=TIMEOUT, max_retries=0)
            return self._client
