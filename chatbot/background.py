"""What a web process does beside answering requests, and how it ends.

Started after the fork, by the server's hooks (`gunicorn.conf.py`). At SIGTERM open turns get a grace time, although they
run on threads that no request holds; what is left is interrupted and settled.
"""

import threading

import structlog
from flask import Flask

from chatbot.chat.live import Live
from chatbot.config import Settings
from chatbot.jobs import JobThread

log = structlog.get_logger(__name__)


class Background:
    """The keeper of the running turns, and, where no `flask work` runs beside it, the jobs."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._settings: Settings = app.config["SHAMAN"]
        self._live: Live = app.extensions["shaman_live"]
        self._jobs = None if self._settings.REDIS_URL else JobThread(app)
        self._drain: threading.Thread | None = None

    def start(self) -> None:
        self._live.keep()
        if self._jobs is not None:
            self._jobs.start()
        threading.Thread(target=self._live.warm_up, name="warm-up", daemon=True).start()

    def begin_to_end(self) -> None:
        """Take no new turns and let the open ones end within the grace time. Returns at once."""
        if self._drain is None:
            log.info("ending", turns=self._live.running, grace=self._settings.GRACE_SECONDS)
            self._drain = threading.Thread(target=self._live.drain, args=(self._settings.GRACE_SECONDS,), name="drain")
            self._drain.start()

    def end(self) -> None:
        """Return when every turn is settled: after the grace time that was begun, or (told to quit) at once."""
        if self._jobs is not None:
            self._jobs.stop()
        if self._drain is None:
            self._live.drain(0)
        else:
            self._drain.join()
