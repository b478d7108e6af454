"""The embedder that this application uses, and what it makes of passages and questions."""

from collections.abc import Sequence
from typing import cast

import structlog
from flask import current_app

from chatbot.knowledge.arrays import Vectors
from chatbot.knowledge.embedder import Embedder
from chatbot.knowledge.vectors import pack_each, texts_to_embed

log = structlog.get_logger(__name__)


def embedder_in_use() -> Embedder:
    return cast(Embedder, current_app.extensions["shaman_embedder"])


def try_embed(texts: Sequence[str]) -> Vectors | None:
    """Vectors of `texts`, or None when the embedder fails: then passages are found by their words alone."""
    embedder = embedder_in_use()
    try:
        return embedder.embed(texts)
    except Exception as error:  # a missing library, a full disk, a server that is away: words still answer
        log.warning("embedder failed", embedder=embedder.name, error=type(error).__name__)
        return None


def try_embed_passages(passages: Sequence[tuple[str, str, str]], *, is_pairs: bool) -> list[bytes] | None:
    """The packed vectors of passages, (title, heading, text) each; None when the embedder fails.

    The question of a pair is a part of its own: a visitor who asks just that finds just that.
    """
    groups = [texts_to_embed(*passage) + [passage[0]] * is_pairs for passage in passages]
    vectors = try_embed([text for group in groups for text in group])
    return None if vectors is None else pack_each(groups, vectors)
