"""Shaman as the bench runs it: a database of its own in a scratch folder, two clients, a key for each, the shipped server command."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.passages import write_passages
from bench.servers import ROOT, Server, free_port

PLAIN, KNOWING = "bench", "bench-knowing"
READY_SECONDS = 900.0


@dataclass
class Installation:
    """One installation in `folder`, answered by the simulated model. `keys` are the API keys by client."""

    folder: Path
    model_url: str
    keys: dict[str, str] = field(default_factory=dict)

    def env(self, model: str = "steady") -> dict[str, str]:
        """What the environment says to every command and to the server."""
        return {
            "FLASK_APP": "wsgi:app",
            "INSTANCE": str(self.folder / "instance"),
            "DATABASE_URL": f"sqlite:///{self.folder / 'bench.db'}",
            "OPENAI_BASE_URL": self.model_url,
            "OPENAI_MODEL": model,
            "CHAT_RATE_LIMIT": "1000000 per minute",
            "KEY_RATE_LIMIT": "1000000 per minute",
        }

    def flask(self, *words: str) -> str:
        """Run `flask …`; what it printed. Raises RuntimeError with its complaint."""
        command = [sys.executable, "-m", "flask", *words]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **self.env()},
            capture_output=True,
            text=True,
            timeout=READY_SECONDS,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"flask {' '.join(words)}:\n{done.stdout[-1000:]}{done.stderr[-3000:]}")
        return done.stdout

    def prepare(self) -> None:
        """The database and the clients."""
        self.flask("db", "upgrade")
        for client in (PLAIN, KNOWING):
            self.flask("client", "create", client, "--name", client.title())
            made = self.flask(
                "key", "create", client, "--name", "bench", "--scope", "chat", "--scope", "manage", "--scope", "read"
            )
            self.keys[client] = made.strip().splitlines()[-1]

    def server(self, model: str = "steady") -> Server:
        """The server as `make run` starts it, less the set-up before."""
        port = free_port()
        env = {**self.env(model), "HOST": "127.0.0.1"}
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "-c",
            "chatbot/gunicorn.conf.py",
            "wsgi:app",
        ]
        return Server("Shaman", command, "/readyz", env, port, self.folder / "server.log")

    def teach(self, server: Server, passages: int) -> int:
        """Give the knowing client a file of so many passages and wait until it is ready; how many it was cut into."""
        file = write_passages(self.folder / "knowledge.md", passages)
        self.flask("knowledge", "add", KNOWING, str(file))
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            sources = sources_in(self.call(server, KNOWING, "GET", "/api/client/knowledge"))
            if sources and all(source["status"] == "ready" for source in sources):
                return sum(int(source.get("passages") or 0) for source in sources)
            if any(source["status"] == "failed" for source in sources):
                raise RuntimeError(f"the knowledge could not be read: {sources}")
            time.sleep(0.5)
        raise RuntimeError("the knowledge was not ready in time")

    def call(self, server: Server, client: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One API call with the client's key."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.keys[client]}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)


def sources_in(answer: Any) -> list[dict[str, Any]]:
    """The rows of a list answer, whatever the list is called."""
    if isinstance(answer, list):
        return answer
    return next((value for value in answer.values() if isinstance(value, list)), [])
