"""Counters of limits in this process's memory.

The library's own store begins a thread for nearly every hit, to forget what has expired; this one looks about once a minute.
"""

import time

from limits.storage import MemoryStorage

TIDY_EVERY = 60.0


class QuietMemoryStorage(MemoryStorage):
    """`shaman-memory://`: the library's memory store, tidied more rarely."""

    STORAGE_SCHEME = ["shaman-memory"]
    _tidied = 0.0

    def _MemoryStorage__schedule_expiry(self) -> None:  # noqa: N802  the name that the library's own call has
        if time.monotonic() - self._tidied > TIDY_EVERY:
            self._tidied = time.monotonic()
            super()._MemoryStorage__schedule_expiry()  # type: ignore[misc]


IN_MEMORY = f"{QuietMemoryStorage.STORAGE_SCHEME[0]}://"
