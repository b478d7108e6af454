"""Keeping the process small: what glibc's allocator does unless told, and libraries that are not always needed."""

import contextlib
import ctypes
import gc
from functools import cache
from importlib import import_module
from typing import Any

M_ARENA_MAX = -8


class Later:
    """A library, imported when something of it is first used: `np = Later("numpy")`."""

    def __init__(self, name: str) -> None:
        self.__dict__["_name"] = name

    def __getattr__(self, attribute: str) -> Any:
        found = self.__dict__[attribute] = getattr(import_module(self.__dict__["_name"]), attribute)
        return found


def share_memory_pools() -> None:
    """Have glibc share two pools of memory between all threads: one of its own for each of 400 costs some 60 MB."""
    with contextlib.suppress(OSError, AttributeError):  # another C library manages without
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def give_memory_back() -> None:
    """Return what is free to the system: importing and loading leave holes."""
    gc.collect()
    trim = _trim()
    if callable(trim):
        trim(0)


@cache
def _trim() -> object:
    """glibc's malloc_trim, or None where the C library has none (musl, macOS)."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
