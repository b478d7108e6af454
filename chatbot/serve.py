"""`make run`, once the libraries are there: prepare, serve, and say where.

    .venv/bin/python bin/serve

The application's modules are loaded once, here in what becomes gunicorn's master process; the preparation and the web
processes are forked from it. The preparation's child ends before gunicorn starts, so that what it opened (threads,
connections, the embedder) is nobody's.
"""

import errno
import multiprocessing
import socket
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from gunicorn.app.wsgiapp import WSGIApplication

from chatbot.config import PROJECT, Settings, load_settings
from chatbot.prepare import Beginning, prepare


def main() -> None:
    """Prepare and serve until stopped. Ends with one line, and not with a traceback, when it can't begin."""
    settings = load_settings()
    _refuse_taken_address(settings)
    beginning = _prepare_in_child(settings)
    Server(settings.PUBLIC_URL + beginning.path, beginning.first_admin).run()


class Server(WSGIApplication):
    """gunicorn with the project's own settings file, saying where to go once it listens."""

    def __init__(self, address: str, first_admin: str | None) -> None:
        self.address, self.first_admin = address, first_admin
        sys.argv = ["gunicorn", "--config", str(Path(__file__).with_name("gunicorn.conf.py")), "wsgi:app"]
        super().__init__(prog="gunicorn")

    def load_config(self) -> None:
        super().load_config()
        self.cfg.set("chdir", str(PROJECT))
        self.cfg.set("when_ready", self._say_where)

    def _say_where(self, server: Any) -> None:
        say(f"chat with it at {self.address} (Ctrl-C stops it)")
        if self.first_admin:
            say(f"nobody looks after it yet: make the first admin, once and within 24 hours, at {self.first_admin}")


def say(text: str) -> None:
    print(f"Shaman: {text}", flush=True)


def _prepare_in_child(settings: Settings) -> Beginning:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_prepare, args=(settings, sender))
    child.start()
    try:
        child.join()
    except KeyboardInterrupt:
        child.join()  # which had it too
    if child.exitcode:
        raise SystemExit(1)
    beginning: Beginning = receiver.recv()
    return beginning


def _prepare(settings: Settings, sender: Connection) -> None:
    try:
        sender.send(prepare(settings, say))
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _refuse_taken_address(settings: Settings) -> None:
    """Raise SystemExit with one line when HOST and PORT can't be listened on."""
    host, port = settings.HOST, settings.PORT
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SystemExit(f"Shaman: {_why_not(error, host, port)}") from None


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is taken. Stop what uses it, or write another one into .env, like PORT={port + 1}"
    if error.errno == errno.EACCES:
        return f"port {port} needs more rights than this account has. Write one above 1023 into .env, like PORT=5000"
    return f"can't listen on HOST {host}: {error.strerror}"
