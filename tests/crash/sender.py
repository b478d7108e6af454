"""A visitor with a book: every message it sent, under which name, what was acknowledged and what it heard of the answer."""

import http.client
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import orjson

from chatbot.tenancy import new_id
from tests.world import BAKERY, hidden

HOME = f"/chat/{BAKERY}"
Asked = tuple[http.client.HTTPConnection, http.client.HTTPResponse]
BROKEN = (OSError, http.client.HTTPException, ValueError)


@dataclass
class Note:
    """One message in the book. `heard` are pieces with the time each came; `acknowledged` is the data of `start`."""

    sender: str
    name: str
    text: str
    session: str = ""
    sent_at: float = 0.0
    status: int = 0
    acknowledged: dict[str, Any] | None = None
    heard: list[tuple[float, str]] = field(default_factory=list)
    last_id: str = ""
    end: tuple[str, dict[str, Any]] | None = None

    @property
    def answer(self) -> str:
        return "".join(piece for _at, piece in self.heard)

    def heard_before(self, moment: float) -> str:
        return "".join(piece for at, piece in self.heard if at <= moment)

    def when_heard(self, characters: int) -> float:
        """When the first so many characters had been heard."""
        length = 0
        for at, piece in self.heard:
            length += len(piece)
            if length >= characters:
                return at
        return self.heard[-1][0] if self.heard else self.sent_at

    def take(self, kind: str, id_: str, data: dict[str, Any]) -> None:
        self.last_id = id_ or self.last_id
        if kind == "start":
            self.acknowledged = data
        elif kind == "delta":
            self.heard.append((time.monotonic(), data["text"]))
        elif kind in ("done", "error"):
            self.end = (kind, data)


class Sender:
    """A browser with script: its cookies, its page, its messages."""

    def __init__(self, port: int, timeout: float = 60, address: str = "127.0.0.1") -> None:
        self.port, self.timeout, self.address = port, timeout, address
        self.id = new_id()
        self.cookies: dict[str, str] = {}
        self.token = self.session = ""
        self.book: list[Note] = []

    def request(self, method: str, path: str, fields: dict[str, str] | None = None, **headers: str) -> Asked:
        """Ask on a connection of its own; returns (connection, response), to be closed by the caller."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, self.timeout, (self.address, 0))
        sent = {"Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items()), **headers}
        body = None
        if fields is not None:
            body, sent["Content-Type"] = urlencode(fields), "application/x-www-form-urlencoded"
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
        except BROKEN:
            connection.close()
            raise
        for value in response.headers.get_all("Set-Cookie") or []:
            name, _, rest = value.partition("=")
            self.cookies[name] = rest.partition(";")[0]
        return connection, response

    def page(self, **query: str) -> str:
        """The chat page; remembers its form's token and its conversation."""
        path = HOME + (f"?{urlencode(query)}" if query else "")
        connection, response = self.request("GET", path, Accept="text/html")
        text = str(response.read().decode())
        connection.close()
        self.token, self.session = hidden(text, "csrf_token"), hidden(text, "session_id")
        return text

    def write(self, text: str) -> Note:
        """A new entry in the book, not sent yet."""
        note = Note(self.id, new_id(), text, self.session)
        self.book.append(note)
        return note

    def fields(self, note: Note) -> dict[str, str]:
        return {"csrf_token": self.token, "message": note.text, "session_id": note.session, "name": note.name}

    def send(self, note: Note, to_start: bool = False) -> None:
        """Send a message and follow its answer to the end, or until the line breaks; `to_start`: to the acknowledgement."""
        fields = self.fields(note)
        note.sent_at = time.monotonic()
        with suppress(*BROKEN):  # the book says how far it came
            self._follow(note, self.request("POST", HOME, fields, Accept="text/event-stream"), to_start)

    def follow(self, note: Note, cut_after: int | None = None) -> None:
        """Go on reading an answer after the last event that came; `cut_after` bytes hang up again."""
        assert note.acknowledged
        path = f"{HOME}/turns/{note.acknowledged['turn_id']}/events"
        headers = {"Accept": "text/event-stream", "Last-Event-ID": note.last_id}
        with suppress(*BROKEN):
            self._follow(note, self.request("GET", path, None, **headers), cut_after=cut_after)

    def press(self, path: str) -> int:
        """Send one of the page's other forms (Stop, Retry)."""
        fields = {"csrf_token": self.token, "name": new_id()}
        connection, response = self.request("POST", HOME + path, fields, Accept="text/html")
        response.read()
        connection.close()
        return int(response.status)

    def retry_path(self) -> str | None:
        """The address of the page's Retry button, if it offers one."""
        log = self.page().partition('role="log"')[2].partition("<template")[0]
        found = re.search(rf'action="{HOME}(/turns/\w+/retry)"', log)
        return found[1] if found else None

    def _follow(self, note: Note, asked: Asked, to_start: bool = False, cut_after: int | None = None) -> None:
        connection, response = asked
        note.status = response.status
        try:
            if response.status == 200:
                self._read(note, response, to_start, cut_after)
        finally:
            connection.close()

    def _read(self, note: Note, response: http.client.HTTPResponse, to_start: bool, cut_after: int | None) -> None:
        fields: dict[str, str] = {}
        size = 0
        while line := response.readline():
            size += len(line)
            if cut_after is not None and size > cut_after:
                return  # as if the line had broken within this very line: nothing of it counts
            if line == b"\n":
                if "event" in fields:
                    note.take(fields["event"], fields.get("id", ""), orjson.loads(fields["data"]))
                    if note.end or (to_start and note.acknowledged):
                        return
                fields = {}
            elif not line.startswith(b":"):
                name, _, value = line.decode().rstrip("\n").partition(": ")
                fields[name] = value
