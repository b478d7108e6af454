"""The simulated model's connections and addresses."""

import asyncio
import json
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any
from urllib.parse import parse_qs

from bench.model.call import Call, Reply, Step
from bench.model.catalogue import SCRIPTS, find_script
from bench.model.faults import ANY_CALL
from bench.model.ledger import Ledger, Record
from bench.model.play import Clock, Player
from bench.model.vectors import embeddings
from bench.model.wire import json_reply, refusal, whole


class Model:
    """One simulated model: its ledger, its clock, and the socket it listens on."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.clock = Clock(loop)
        self.ledger = Ledger()
        self.callers: set[asyncio.Transport] = set()

    async def listen(self, port: int = 0) -> asyncio.Server:
        """Accept callers on 127.0.0.1. Raises OSError when the port is taken."""
        return await self.loop.create_server(lambda: Connection(self), "127.0.0.1", port, backlog=1024)

    def hang_up(self) -> None:
        """Break every connection."""
        for transport in self.callers:
            transport.abort()

    def answer(self, method: str, target: str) -> Reply:
        """Everything but speech and embeddings."""
        path, _, query = target.partition("?")
        if method == "GET" and path.startswith("/v1/models"):
            return _models(path.removeprefix("/v1/models").strip("/"))
        if method == "GET" and path == "/tally":
            return json_reply(self.ledger.tally())
        if method == "GET" and path == "/requests":
            last = int(parse_qs(query).get("last", ["100"])[0])
            newest = reversed(list(islice(reversed(self.ledger.records), last)))
            return json_reply([record.shown() for record in newest])
        if method == "POST" and path == "/reset":
            self.ledger.reset()
            return json_reply({})
        return refusal(404, f"Unknown request URL: {method} {path}.")


def _models(name: str) -> Reply:
    if not name:
        return json_reply({"object": "list", "data": [_described(known) for known in SCRIPTS]})
    try:
        find_script(name)
    except LookupError:
        return _unknown(name)
    return json_reply(_described(name))


def _described(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1767225600, "owned_by": "simulated"}


def _unknown(model: str) -> Reply:
    return refusal(404, f"The model `{model}` does not exist or you do not have access to it.", "model_not_found")


class Connection(asyncio.Protocol):
    """One caller's connection, kept alive from request to request."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.buffer = b""
        self.last = False  # the caller wants no further request on this connection
        self.player: Player | None = None
        self.record: Record | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.model.callers.add(transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.player is None:
            self._read()

    def eof_received(self) -> None:
        """The caller is gone: connection_lost follows."""

    def connection_lost(self, exc: Exception | None) -> None:
        self.model.callers.discard(self.transport)
        if self.player is not None and self.record is not None:
            self.player.over = True
            self.record.closed_at = time.time()
            self._book(self.player, self.record)

    def pause_writing(self) -> None:
        if self.player:
            self.player.blocked = True

    def resume_writing(self) -> None:
        if self.player and self.player.blocked:
            self.player.resume()

    def _read(self) -> None:
        """Take one whole request from the buffer, if it is there."""
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        first, *lines = self.buffer[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        size = int(headers.get("content-length") or 0)
        if len(self.buffer) < end + 4 + size:
            return
        raw, self.buffer = self.buffer[end + 4 : end + 4 + size], self.buffer[end + 4 + size :]
        self.last = headers.get("connection", "").lower() == "close"
        method, target, _ = first.split(" ", 2)
        if method == "POST" and target in ("/v1/chat/completions", "/v1/embeddings"):
            self._speak(target, raw, headers.get("authorization", ""))
        else:
            self.transport.write(whole(self.model.answer(method, target)))
            self._next()

    def _speak(self, target: str, raw: bytes, authorization: str) -> None:
        try:
            body = json.loads(raw)
            call = Call(str(body["model"]), "", body)
        except (ValueError, KeyError, TypeError):
            call = Call("", "", {})
        call.seen = self.model.ledger.seen(call.model)
        self.record = Record(target, call.model, authorization, raw, asked=call.prompt_tokens())
        self.model.ledger.open(self.record)
        steps = _embedding_steps(call) if target == "/v1/embeddings" else _chat_steps(call)
        self.player = Player(call, steps, self.transport, self.model.clock, self._ended)
        self.player.advance()

    def _ended(self) -> None:
        player, record = self.player, self.record
        if player is not None and record is not None:
            record.completed_at = time.time()
            self._book(player, record)
            if not player.broken:
                self._next()

    def _book(self, player: Player, record: Record) -> None:
        record.tokens, record.status = player.tokens, player.status
        self.player = self.record = None
        self.model.ledger.close(record)

    def _next(self) -> None:
        if self.last:
            self.transport.close()
        elif self.buffer and not self.transport.is_closing():
            self.model.loop.call_soon(self._read)


def _chat_steps(call: Call) -> Iterator[Step]:
    if not call.body:
        return iter([refusal(400, "We could not parse the JSON body of your request.")])
    try:
        script, call.rest = find_script(call.model)
        return _begun(script(call))
    except (LookupError, ValueError):
        return iter([_unknown(call.model)])


def _begun(steps: Iterator[Step]) -> Iterator[Step]:
    """The same steps with the first already taken, so that a bad parameter in the name is found here."""
    first = next(steps, None)
    if first is None:
        return iter(())
    return _after(first, steps)


def _after(first: Step, rest: Iterator[Step]) -> Iterator[Step]:
    yield first
    yield from rest


def _embedding_steps(call: Call) -> Iterator[Step]:
    """Vectors, unless the model's name is one of the scripts that fail any call."""
    try:
        script, call.rest = find_script(call.model)
        if script in ANY_CALL.values():
            first = next(script(call))
            if not isinstance(first, float | str):
                return iter([first])
        return iter([json_reply(embeddings(call.body))])
    except LookupError:
        return iter([json_reply(embeddings(call.body))])
    except ValueError:
        return iter([_unknown(call.model)])
