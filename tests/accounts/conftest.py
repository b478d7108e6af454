"""Passwords in tests are hashed cheaply: the same code, other parameters."""

from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher

from chatbot.accounts import passwords

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(passwords, "_hasher", CHEAP)
    passwords._stand_in.cache_clear()
    yield
    passwords._stand_in.cache_clear()
