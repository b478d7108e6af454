"""Plays a script on a connection: every stream waits on one shared clock, so that two hundred of them cost little."""

import asyncio
import math
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

from bench.model.call import Call, Reply, Signal, Step
from bench.model.wire import DONE, LAST_CHUNK, chunk, completion, event, framed_text, head, whole

STEPS_IN_A_ROW = 256
STREAM_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}


class Clock:
    """Wakes many players with few timers: those due within the same millisecond share one."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now = loop.time
        self._loop = loop
        self._slots: dict[int, list[Callable[[], None]]] = {}

    def wake(self, due: float, player: Callable[[], None]) -> None:
        """Call `player` at `due`, in the loop's seconds, up to a millisecond later."""
        slot = math.ceil(due * 1000)
        waiting = self._slots.get(slot)
        if waiting is None:
            self._slots[slot] = [player]
            self._loop.call_at(slot / 1000, self._ring, slot)
        else:
            waiting.append(player)

    def _ring(self, slot: int) -> None:
        for player in self._slots.pop(slot):
            player()


class Player:
    """One answer on its way; `tokens` are those said so far, `status` what the caller was answered.

    `ended(True)` is called when the script is through, `ended(False)` never: the connection tells that it was lost.
    """

    def __init__(
        self, call: Call, steps: Iterator[Step], transport: asyncio.Transport, clock: Clock, ended: Callable[[], None]
    ) -> None:
        self.call, self.steps, self.transport, self.clock, self.ended = call, steps, transport, clock, ended
        self.due = clock.now()
        self.tokens = 0
        self.status = 0
        self.over = False
        self.broken = False
        self.blocked = False
        self._sent = 0
        self._texts: list[str] = []
        self._extra: dict[str, Any] = {}
        self._raw: list[bytes] = []

    def advance(self) -> None:
        """Take steps until one asks to wait, the caller reads too slowly, or others should have a turn."""
        for _ in range(STEPS_IN_A_ROW):
            if self.over or self.blocked:
                return
            step = next(self.steps, None)
            if type(step) is float:
                self.due += step
                if self.due > self.clock.now():
                    self.clock.wake(self.due, self.advance)
                    return
            elif step is None:
                self._finish()
            elif not self._take(step):
                return
        self.clock.wake(self.clock.now(), self.advance)

    def resume(self) -> None:
        """The caller reads again."""
        self.blocked = False
        self.advance()

    def _take(self, step: Step) -> bool:
        """One step that is no pause. False when nothing may follow."""
        if isinstance(step, Reply):
            self._answer(step)
        elif isinstance(step, Signal):
            return self._obey(step)
        elif self.call.streams:
            self._stream(step)
        else:
            self._collect(step)
        return not self.over

    def _stream(self, step: Step) -> None:
        if not self.status:
            self._open()
        if isinstance(step, bytes):
            self._send(step)
            return
        self.tokens += 1
        if isinstance(step, dict):
            self._event(event(self.call.model, step))
        elif self.call.form or self.call.encode or self.call.cut is not None or not self.call.chunked:
            self._event(event(self.call.model, {"content": step}))
        else:
            self.transport.write(framed_text(self.call.model, str(step)))

    def _collect(self, step: Step) -> None:
        if isinstance(step, bytes):
            self._raw.append(step)
            return
        self.tokens += 1
        if isinstance(step, str):
            self._texts.append(step)
        elif isinstance(step, dict):
            for name, value in step.items():
                known = self._extra.get(name)
                self._extra[name] = known + value if isinstance(known, str) else value

    def _open(self) -> None:
        self.status = 200
        framing = {"transfer-encoding": "chunked"} if self.call.chunked else {"connection": "close"}
        self.transport.write(head(200, {**STREAM_HEADERS, **framing, **self.call.headers}))
        if not self.call.bare:
            self._event(event(self.call.model, {"role": "assistant", "content": ""}))

    def _event(self, data: bytes) -> None:
        self._send(self.call.form(data) if self.call.form else data)

    def _send(self, body: bytes) -> None:
        """Body bytes on their way: packed, cut, framed."""
        if self.over:
            return
        if self.call.encode:
            body = self.call.encode(body)
        cut = self.call.cut is not None and self._sent + len(body) >= self.call.cut
        if cut and self.call.cut is not None:
            body = body[: self.call.cut - self._sent]
        self._sent += len(body)
        if body:
            self.transport.write(chunk(body) if self.call.chunked and self.call.streams else body)
        if cut:
            self._obey(self.call.cut_by)

    def _usage(self) -> dict[str, int] | None:
        asked = self.call.prompt_tokens()
        if isinstance(self.call.usage, dict):
            return self.call.usage
        if self.call.usage == "none":
            return None
        return {"prompt_tokens": asked, "completion_tokens": self.tokens, "total_tokens": asked + self.tokens}

    def _finish(self) -> None:
        if self.call.streams:
            self._finish_stream()
        else:
            self._finish_whole()
        self._end()

    def _finish_stream(self) -> None:
        call = self.call
        if not self.status:
            self._open()
        if not call.bare:
            early = call.usage == "early"
            if call.finish:
                self._event(event(call.model, {}, call.finish, self._usage() if early else None))
            usage = self._usage()
            if usage and not early and (call.body.get("stream_options") or {}).get("include_usage"):
                self._event(event(call.model, None, usage=usage))
            if call.done_mark:
                self._event(DONE)
        if call.chunked and not self.over:
            self.transport.write(LAST_CHUNK)
        if not call.chunked:
            self.transport.close()

    def _finish_whole(self) -> None:
        body = b"".join(self._raw) or completion(self.call, "".join(self._texts), self._extra, self._usage())
        if self.call.encode:
            body, self.call.encode = self.call.encode(body), None
        self.status = 200
        self.transport.write(
            head(200, {"content-type": "application/json", "content-length": str(len(body)), **self.call.headers})
        )
        self._send(body)

    def _answer(self, reply: Reply) -> None:
        self.status = reply.status
        self.transport.write(whole(reply))
        self._end()

    def _obey(self, signal: Signal) -> bool:
        """Act on the connection. False when nothing may follow."""
        if signal is Signal.HEAD:
            if not self.status and self.call.streams:
                self._open()
            return True
        if signal is not Signal.HANG:
            self.broken = True
            self._end()
            self.clock.wake(self.clock.now() + 0.02, self.transport.close if signal is Signal.FIN else self._reset)
        return False

    def _reset(self) -> None:
        """Close with RST, after what was written had its time to arrive."""
        connection = self.transport.get_extra_info("socket")
        if connection is not None and connection.fileno() >= 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _end(self) -> None:
        if not self.over:
            self.over = True
            self.ended()
