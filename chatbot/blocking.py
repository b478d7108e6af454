"""Work that blocks a whole process under greenlets: waiting for the disk, long computations outside the interpreter."""

import sys
from collections.abc import Callable
from contextvars import copy_context
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def off_loop(work: Callable[[], T]) -> T:
    """Run `work` and return what it returns. Where greenlets serve, on a thread of its own, so that the others go on."""
    hub = _hub()
    return work() if hub is None else hub().threadpool.apply(copy_context().run, (work,))


def breathe() -> None:
    """Let the other greenlets go on, from within a long computation that stays on their loop; nothing where threads serve."""
    if _hub() is not None:
        from gevent import sleep

        sleep(0)


@cache
def _hub() -> Any:
    """gevent's way to its loop and its threads; None where threads serve."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        return None
    from gevent import get_hub

    return get_hub
