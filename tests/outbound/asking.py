"""Asking through the guard the way a test does: whatever comes of it is handed back."""

from typing import Any

from chatbot.errors import ShamanError
from chatbot.outbound import Fetched, OutboundFailed, OutboundRefused, fetch

FRIEND, INSIDE = "127.0.0.1", "127.0.0.2"
ALLOW = [FRIEND]

Names = dict[str, list[list[str]]]


def try_fetch(url: str, **options: Any) -> Fetched | ShamanError:
    given: dict[str, Any] = {"allow": ALLOW, "seconds": 5} | options
    try:
        return fetch(url, **given)
    except (OutboundRefused, OutboundFailed) as error:
        return error


def words(tried: Fetched | ShamanError) -> tuple[str, str]:
    assert isinstance(tried, ShamanError), tried
    return tried.kind, str(tried.detail)
