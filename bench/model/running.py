"""The simulated model as something a test or a measurement starts and stops."""

import asyncio
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.model.server import Model

ROOT = Path(__file__).resolve().parents[2]


class ModelServer:
    """A simulated model on a free port of 127.0.0.1, in a thread of its own, or with `process=True` in a process of its own.

    `base_url` is what OPENAI_BASE_URL takes (it ends in /v1). Stops when the `with` block ends.
    """

    def __init__(self, process: bool = False, port: int = 0) -> None:
        self._port, self._process = port, process
        self.pid: int | None = None
        self.base_url = ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Listen. Raises RuntimeError when the process does not come up."""
        if self._process:
            self._start_process()
        else:
            self._start_thread()
        return self

    def stop(self) -> None:
        """Close every connection and the port."""
        if self._process:
            self._child.terminate()
            self._child.wait(10)
            if self._child.stdout:
                self._child.stdout.close()
        else:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    @property
    def root(self) -> str:
        """The address without /v1."""
        return self.base_url.removesuffix("/v1")

    def tally(self) -> dict[str, Any]:
        """True calls and tokens: in all, per model, per Authorization."""
        return dict(self._ask("/tally"))

    def requests(self, last: int = 100) -> list[dict[str, Any]]:
        """The newest requests, oldest first."""
        return list(self._ask(f"/requests?last={last}"))

    def reset(self) -> None:
        """Forget counts and requests."""
        self._ask("/reset", b"")

    def wait_for(self, holds: Callable[[dict[str, Any]], bool], seconds: float = 10) -> dict[str, Any]:
        """The newest request as soon as `holds(request)`. Raises TimeoutError.

        `model.wait_for(lambda request: request["closed_by_caller_at"])` waits until the caller has hung up.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            newest = self.requests(1)
            if newest and holds(newest[0]):
                return newest[0]
            time.sleep(0.02)
        raise TimeoutError(f"not within {seconds} s: {self.requests(1)}")

    def _ask(self, path: str, data: bytes | None = None) -> Any:
        with urllib.request.urlopen(self.root + path, data, timeout=10) as reply:
            return json.load(reply)

    def _start_process(self) -> None:
        command = [sys.executable, "-m", "bench.model", "--port", str(self._port)]
        self._child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._child.stdout
        self.base_url = self._child.stdout.readline().strip()
        self.pid = self._child.pid
        if not self.base_url:
            raise RuntimeError("the simulated model did not start")

    def _start_thread(self) -> None:
        self._loop = asyncio.new_event_loop()
        listening = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listening,), name="simulated-model", daemon=True)
        self._thread.start()
        if not listening.wait(10):
            raise RuntimeError("the simulated model did not start")

    def _run(self, listening: threading.Event) -> None:
        model = Model(self._loop)
        server = self._loop.run_until_complete(model.listen(self._port))
        self.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        listening.set()
        self._loop.run_forever()
        server.close()
        model.hang_up()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()
