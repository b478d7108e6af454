"""How gunicorn serves Shaman: `make run` reads this, and so does `gunicorn -c chatbot/gunicorn.conf.py wsgi:app`.

Greenlets: with 200 open streams a turn costs two thirds of what it costs on threads, and its first words come in a
quarter of the time (docs/performance.md). What blocks all of them for long runs off their loop (`blocking.py`).
"""
# ruff: noqa: E402  greenlets are put in place before anything else is imported

from gevent import monkey

monkey.patch_all()

import gc
import signal
from typing import Any

from gunicorn import glogging

from chatbot.background import Background
from chatbot.config import load_settings
from chatbot.logs import server_formatter

_settings = load_settings()
_host = f"[{_settings.HOST}]" if ":" in _settings.HOST else _settings.HOST

bind = f"{_host}:{_settings.PORT}"
workers = _settings.WEB_WORKERS
worker_class = "gevent"
worker_connections = _settings.WEB_CONNECTIONS + 1000  # beyond those: kept-alive ones that wait for their next request
keepalive = 5

# The worker's main loop reports each second that it lives, however long its streams last: this ends a worker that
# hangs as a whole, never a long answer.
timeout = 60
# After SIGTERM open turns have GRACE_SECONDS to end; what is left is then settled as interrupted, before this runs out.
graceful_timeout = int(_settings.GRACE_SECONDS) + 10

preload_app = False  # threads, the writer and database connections belong to the process that serves
control_socket_disable = True
accesslog = None  # the application writes one structured line per request
loglevel = "warning"


class logger_class(glogging.Logger):  # noqa: N801  gunicorn's name for it
    """gunicorn's own log in the form of ours, without what a request said."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        form = server_formatter()
        for handler in self.error_log.handlers:
            handler.setFormatter(form)


def pre_fork(server: Any, worker: Any) -> None:
    """Leave what is loaded by now out of garbage collection, which would copy the pages that processes share."""
    gc.collect()
    gc.freeze()


def post_worker_init(worker: Any) -> None:
    """Begin what runs beside the requests, and end it in time: `worker_exit` alone is too late when a viewer is attached."""
    worker.background = Background(worker.app.callable)
    worker.background.start()
    stop_serving = signal.getsignal(signal.SIGTERM)

    def on_sigterm(number: int, frame: Any) -> None:
        worker.background.begin_to_end()
        if callable(stop_serving):
            stop_serving(number, frame)

    signal.signal(signal.SIGTERM, on_sigterm)
    # Ctrl-C reaches every process of the terminal: the master tells the workers, and twice would be once too often.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def worker_exit(server: Any, worker: Any) -> None:
    background = getattr(worker, "background", None)
    if background is not None:
        background.end()
