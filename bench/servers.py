"""Servers under measurement: started on a free port, weighed by what /proc tells of their processes, stopped."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60.0


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """A process and its children that serve HTTP; `ready` is the path that says when it may be asked."""

    name: str
    command: list[str]
    ready: str
    env: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    log: Path = Path(os.devnull)
    idle_rate: float = 0.0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> float:
        """Start and wait until it answers; the seconds that took. Raises RuntimeError with its output when it doesn't."""
        began = time.monotonic()
        with self.log.open("ab") as out:
            self.child = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env={**os.environ, **self.env, "PORT": str(self.port)},
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.process = psutil.Process(self.child.pid)
        while not answers(f"http://127.0.0.1:{self.port}{self.ready}"):
            self.check_alive()
            if time.monotonic() - began > START_SECONDS:
                self.stop()
                raise RuntimeError(f"{self.name} did not start in {START_SECONDS:.0f} s:\n{self.log_end()}")
            time.sleep(0.02)
        return time.monotonic() - began

    def check_alive(self) -> None:
        """Raise RuntimeError with its last words when it has ended by itself."""
        if self.child.poll() is not None:
            raise RuntimeError(f"{self.name} ended by itself with {self.child.returncode}:\n{self.log_end()}")

    def log_end(self) -> str:
        """The last it wrote."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.is_file() else ""

    def stop(self) -> None:
        """End it and its children: asked first, killed after 30 seconds."""
        family = [self.process, *self.process.children(recursive=True)] if self.process.is_running() else []
        self.child.terminate()
        try:
            self.child.wait(30)
        except subprocess.TimeoutExpired:
            for member in family:
                member.kill()
            self.child.wait(5)

    def family(self) -> list[psutil.Process]:
        """The process and all below it."""
        return [self.process, *self.process.children(recursive=True)]

    def cpu(self) -> float:
        """Seconds of CPU so far, user and system, dead children included."""
        return sum(sum(member.cpu_times()[:4]) for member in self.family())

    def memory(self) -> float:
        """MB of memory: each process's own share (PSS), or its resident size where the kernel doesn't tell."""
        return sum(_share(member) for member in self.family()) / 1e6

    def weigh_idle(self, seconds: float = 2.0) -> None:
        """Remember what it costs when nobody asks, to be subtracted later."""
        before = self.cpu()
        time.sleep(seconds)
        self.idle_rate = (self.cpu() - before) / seconds


def _share(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss)
    except (psutil.AccessDenied, psutil.NoSuchProcess, AttributeError):
        return float(process.memory_info().rss) if process.is_running() else 0.0


def answers(url: str) -> bool:
    """Whether it answers now, and not with a failure of its own."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def relay(model_url: str) -> Server:
    """The bare relay in front of a model, on greenlets as the product is."""
    port = free_port()
    words = f"--bind 127.0.0.1:{port} --worker-class gevent --worker-connections 2000 --no-control-socket --log-level warning"
    command = [sys.executable, "-m", "gunicorn", *words.split(), "bench.relay:app"]
    return Server("bare relay", command, "/", {"MODEL_URL": model_url}, port)
