"""The product with every thread under cProfile, on each thread's own CPU clock. `PROFILE` names the file that is written at the end.

Slow, because the clock is a system call: read shares, not times.
"""

import atexit
import cProfile
import os
import pstats
import re
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

# Only waiting: what the clock shows for them is the cost of taking turns at the interpreter's lock.
WAITS = re.compile(r"time\.sleep|SimpleQueue|'acquire' of '_thread|'poll' of 'select")
_profiles: list[cProfile.Profile] = []


def _begin(frame: FrameType, kind: str, argument: Any) -> None:
    """The first call in a new thread: from here on its profile takes over."""
    profile = cProfile.Profile(time.thread_time)
    _profiles.append(profile)
    profile.enable()


def _write() -> None:
    """All threads' figures together, the costliest first, by a function's own time and then with what it calls."""
    with Path(os.environ["PROFILE"]).open("w", encoding="utf-8") as out:
        for profile in _profiles:
            profile.snapshot_stats()
        used = [profile for profile in _profiles if profile.stats]
        total = pstats.Stats(used[0], stream=out)
        for profile in used[1:]:
            total.add(profile)
        figures: dict[tuple[str, int, str], object] = vars(total)["stats"]
        for key in [key for key in figures if WAITS.search(key[2])]:
            del figures[key]
        total.sort_stats("tottime").print_stats(60)
        total.sort_stats("cumulative").print_stats(90)


threading.setprofile(_begin)
atexit.register(_write)

from wsgi import app  # noqa: E402  after the profile, so that its threads are seen

__all__ = ["app"]
