"""Moving windows: each name is counted by itself, however many threads ask at once."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from chatbot.usage.rates import count_call, wait_for_call

RATE = "20 per minute"


@pytest.fixture
def database() -> dict[str, str]:
    return {}


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads that take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_threads")
def test_threads_do_not_count_on_each_others_name(app: Flask) -> None:
    def let_in(number: int) -> int:
        calls = 0
        for _ in range(150):
            with app.test_request_context("/"):
                calls += count_call("100 per minute", "tries", f"name-{number}") is None
        return calls

    with ThreadPoolExecutor(24) as threads:
        assert list(threads.map(let_in, range(24))) == [100] * 24


def test_asking_counts_nothing(app: Flask) -> None:
    with app.test_request_context("/"):
        assert [wait_for_call(RATE, "tries", "vera") for _ in range(30)] == [None] * 30
        assert wait_for_call(RATE, "tries", "vera", calls=20) is None
        assert 1 <= (wait_for_call(RATE, "tries", "vera", calls=21) or 0) <= 62
        assert [count_call(RATE, "tries", "vera") for _ in range(20)] == [None] * 20
        assert 1 <= (wait_for_call(RATE, "tries", "vera") or 0) <= 62
        assert wait_for_call(RATE, "tries", "walt") is None
