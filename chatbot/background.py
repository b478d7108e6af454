"""What a web process does beside answering requests, and how it ends.

Started after the fork, by the server's hooks (`gunicorn.conf.py`). At SIGTERM open turns get a grace time, although they
run on threads that no request holds; what is left is interrupted and settled.
"""

import _thread
import threading

import structlog
from flask import Flask

from chatbot.chat.live import Live
from chatbot.config import Settings
from chatbot.encryption_keys import keep_canary, key_problem
from chatbot.health import database_problem, newer_schema
from chatbot.jobs import JobThread
from chatbot.memory import give_memory_back, share_memory_pools

BOOT_FAILED = 3  # gunicorn stops as a whole, instead of starting such a process again and again
log = structlog.get_logger(__name__)


class Background:
    """The keeper of the running turns, and, where no `flask work` runs beside it, the jobs."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._settings: Settings = app.config["SHAMAN"]
        self._live: Live = app.extensions["shaman_live"]
        self._jobs = None if self._settings.REDIS_URL else JobThread(app)
        self._drain: threading.Event | None = None  # set once it is over
        self._ending = threading.Event()

    def start(self) -> None:
        """Begin. Raises SystemExit, and says why, on a database that a newer version of Shaman has changed, or whose secrets the keys don't open."""
        with self._app.app_context():
            refusal = newer_schema(self._app)
            if refusal is None and database_problem(self._app) is None:
                refusal = key_problem()
        if refusal:
            log.error("not started", reason=refusal)
            raise SystemExit(BOOT_FAILED)
        share_memory_pools()
        threading.Thread(target=self._begin, name="begin", daemon=True).start()

    def _begin(self) -> None:
        with self._app.app_context():
            while database_problem(self._app):  # it is being migrated, or away: nothing is written until it is right
                if self._ending.wait(1.0):
                    return
            keep_canary()
        self._live.keep()
        if self._jobs is not None:
            self._jobs.start()
        self._live.warm_up()
        give_memory_back()

    def begin_to_end(self) -> None:
        """Take no new turns and let the open ones end within the grace time. Returns at once."""
        self._ending.set()
        if self._drain is None:
            log.info("ending", turns=self._live.running, grace=self._settings.GRACE_SECONDS)
            self._drain = threading.Event()
            # Not a Thread, whose start() waits a moment for it: where greenlets serve, a signal's handler must not wait.
            _thread.start_new_thread(self._drain_turns, ())

    def end(self) -> None:
        """Return when every turn is settled: after the grace time that was begun, or (told to quit) at once."""
        self._ending.set()
        if self._jobs is not None:
            self._jobs.stop()
        if self._drain is None:
            self._live.drain(0)
        else:
            self._drain.wait()

    def _drain_turns(self) -> None:
        assert self._drain is not None
        try:
            self._live.drain(self._settings.GRACE_SECONDS)
        finally:
            self._drain.set()
