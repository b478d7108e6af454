"""What one application keeps for its knowledge: the embedder in use and the indexes in memory."""

import structlog
from flask import Flask

from chatbot.config import Settings
from chatbot.knowledge import reading  # noqa: F401  it declares its jobs
from chatbot.knowledge.embedder import BuiltinEmbedder, Embedder
from chatbot.knowledge.index import IndexCache
from chatbot.knowledge.openai_embedder import OpenAIEmbedder

log = structlog.get_logger(__name__)


def init_knowledge(app: Flask, settings: Settings) -> None:
    app.extensions["shaman_embedder"] = _embedder(settings)
    app.extensions["shaman_indexes"] = IndexCache()


def _embedder(settings: Settings) -> Embedder:
    """The configured embedder; the built-in one, of which nothing is loaded before it is needed, when there is none."""
    model = settings.OPENAI_EMBEDDING_MODEL
    if model and settings.has_model:
        return OpenAIEmbedder(model, settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY)
    if model:
        log.warning(
            "OPENAI_EMBEDDING_MODEL is set without OPENAI_API_KEY or OPENAI_BASE_URL: the built-in embedder is used"
        )
    return BuiltinEmbedder(cache=settings.INSTANCE / "embedder")
