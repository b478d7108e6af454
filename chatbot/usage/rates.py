"""How often somebody may call, counted by Flask-Limiter over a moving window; each limit is written in words."""

import threading
import time
from functools import lru_cache
from typing import Any

from flask_limiter.errors import RateLimitExceeded
from limits import parse_many

from chatbot.extensions import limiter

# The library keeps a limit by the line of code that asks: two threads there would count on each other's name.
_one_at_a_time = threading.Lock()


def count_call(rate: str, scope: str, whose: str) -> float | None:
    """Count a call of `whose` within `scope` against a rate like "5 per minute". Returns the seconds to wait when it is one too many."""
    return _ask(rate, scope, whose)


def wait_for_call(rate: str, scope: str, whose: str, calls: int = 1) -> float | None:
    """The seconds until `calls` more of `whose` would be within the rate; None when they are now. Counts nothing."""
    return _ask(rate, scope, whose, cost=calls, deduct_when=lambda response: False)


def _ask(rate: str, scope: str, whose: str, **how: Any) -> float | None:
    try:
        with _one_at_a_time, limiter.shared_limit(rate, scope=scope, key_func=lambda: whose, **how):
            return None
    except RateLimitExceeded:
        current = limiter.current_limit
        return max(1.0, current.reset_at - time.time()) if current else 60.0


def is_rate(value: Any) -> bool:
    """Whether `value` is a rate that can be counted: "5 per minute", "5 per minute; 100 per day"."""
    return isinstance(value, str) and _is_rate(value)


@lru_cache(1000)
def _is_rate(value: str) -> bool:
    try:
        return all(item.amount > 0 for item in parse_many(value))
    except ValueError:
        return False
