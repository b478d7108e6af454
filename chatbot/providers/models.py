"""Models as data: the default and, where known, when one retires (`models.yaml`)."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

PAGE = Path(__file__).with_name("models.yaml")


@cache
def known_models() -> dict[str, Any]:
    """The page as read: `default`, and `models` by name."""
    return yaml.safe_load(PAGE.read_text())  # type: ignore[no-any-return]


def default_model() -> str:
    return str(known_models()["default"])
