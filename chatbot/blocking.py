"""Work that blocks a whole process under greenlets: waiting for the disk, long computations outside the interpreter."""

import sys
from collections.abc import Callable
from contextvars import copy_context
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")
THREADS = 16


def off_loop(work: Callable[[], T]) -> T:
    """Run `work` and return what it returns. Where greenlets serve, on a thread of its own, so that the others go on."""
    hub = _hub()
    return work() if hub is None else _threads(hub()).apply(copy_context().run, (work,))


def breathe() -> None:
    """Let the other greenlets go on, from within a long computation that stays on their loop; nothing where threads serve."""
    if _hub() is not None:
        from gevent import sleep

        sleep(0)


@cache
def _threads(hub: Any) -> Any:
    """Threads of our own: on gevent's ten names are looked up, and a slow name server would hold up every commit."""
    from gevent.threadpool import ThreadPool

    return ThreadPool(THREADS, hub=hub)


@cache
def _hub() -> Any:
    """gevent's way to its loop and its threads; None where threads serve."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        return None
    from gevent import get_hub

    return get_hub
