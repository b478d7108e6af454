"""Embeddings that are always the same for the same text, and near for texts that share words."""

import base64
import hashlib
import math
import re
import struct
from typing import Any

DIMENSIONS = 384


def embed(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """A unit vector: each word adds eight signed places, told by its hash."""
    vector = [0.0] * dimensions
    for word in re.findall(r"\w+", text.lower()) or [""]:
        digest = hashlib.sha256(word.encode()).digest()
        for place in range(0, 32, 4):
            number = int.from_bytes(digest[place : place + 4], "big")
            vector[number % dimensions] += 1.0 if number & 0x40000000 else -1.0
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [value / length for value in vector]


def embeddings(body: dict[str, Any]) -> dict[str, Any]:
    """The answer to `POST /v1/embeddings`. A model named `…-<dimensions>` or the parameter `dimensions` sets the size."""
    texts = body.get("input") or ""
    texts = [texts] if isinstance(texts, str) else [text if isinstance(text, str) else repr(text) for text in texts]
    tail = str(body.get("model", "")).rpartition("-")[2]
    dimensions = int(body.get("dimensions") or (tail if tail.isdecimal() else DIMENSIONS))
    packed = body.get("encoding_format") == "base64"
    rows = [_row(place, embed(text, dimensions), packed) for place, text in enumerate(texts)]
    words = sum(len(text.split()) for text in texts)
    return {
        "object": "list",
        "data": rows,
        "model": body.get("model"),
        "usage": {"prompt_tokens": words, "total_tokens": words},
    }


def _row(place: int, vector: list[float], packed: bool) -> dict[str, Any]:
    value = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if packed else vector
    return {"object": "embedding", "index": place, "embedding": value}
