"""What a web process does beside answering requests, and how it ends.

Started after the fork, by the server's hooks (`gunicorn.conf.py`). At SIGTERM open turns get a grace time, although they
run on threads that no request holds; what is left is interrupted and settled.
"""

import contextlib
import ctypes
import threading

import structlog
from flask import Flask

from chatbot.chat.live import Live
from chatbot.config import Settings
from chatbot.health import database_problem, newer_schema
from chatbot.jobs import JobThread

BOOT_FAILED = 3  # gunicorn stops as a whole, instead of starting such a process again and again
log = structlog.get_logger(__name__)


class Background:
    """The keeper of the running turns, and, where no `flask work` runs beside it, the jobs."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._settings: Settings = app.config["SHAMAN"]
        self._live: Live = app.extensions["shaman_live"]
        self._jobs = None if self._settings.REDIS_URL else JobThread(app)
        self._drain: threading.Thread | None = None
        self._ending = threading.Event()

    def start(self) -> None:
        """Begin. Raises SystemExit, and says why, on a database that a newer version of Shaman has changed."""
        with self._app.app_context():
            refusal = newer_schema(self._app)
        if refusal:
            log.error("not started", reason=refusal)
            raise SystemExit(BOOT_FAILED)
        _share_memory_pools()
        threading.Thread(target=self._begin, name="begin", daemon=True).start()

    def _begin(self) -> None:
        with self._app.app_context():
            while database_problem(self._app):  # it is being migrated, or away: nothing is written until it is right
                if self._ending.wait(1.0):
                    return
        self._live.keep()
        if self._jobs is not None:
            self._jobs.start()
        self._live.warm_up()

    def begin_to_end(self) -> None:
        """Take no new turns and let the open ones end within the grace time. Returns at once."""
        self._ending.set()
        if self._drain is None:
            log.info("ending", turns=self._live.running, grace=self._settings.GRACE_SECONDS)
            self._drain = threading.Thread(target=self._live.drain, args=(self._settings.GRACE_SECONDS,), name="drain")
            self._drain.start()

    def end(self) -> None:
        """Return when every turn is settled: after the grace time that was begun, or (told to quit) at once."""
        self._ending.set()
        if self._jobs is not None:
            self._jobs.stop()
        if self._drain is None:
            self._live.drain(0)
        else:
            self._drain.join()


M_ARENA_MAX = -8


def _share_memory_pools() -> None:
    """Have glibc share two pools of memory between all threads: one of its own for each of 400 costs some 60 MB."""
    with contextlib.suppress(OSError, AttributeError):  # another C library manages without
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)
