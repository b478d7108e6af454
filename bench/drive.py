"""The load: visitors who ask one question after the other, timed from the socket. Light, because it shares the machine with what it times."""

import asyncio
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

TURN_SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """How a stream is read: a match of `first` marks the first text, `text` finds the JSON strings that make up the answer, `end` stands
    in the last event of a whole one."""

    first: re.Pattern[bytes]
    text: re.Pattern[bytes]
    end: bytes


@dataclass(frozen=True)
class Target:
    """Something that answers: `request(visitor, turn)` gives (path, headers, body)."""

    name: str
    port: int
    request: Callable[[int, int], tuple[str, dict[str, str], dict[str, Any]]]
    answer: Answer


@dataclass(slots=True)
class Turn:
    """One answered question; times in seconds of the monotonic clock, 0 when it never came."""

    started: float
    first: float = 0.0
    ended: float = 0.0
    parts: list[bytes] = field(default_factory=list)
    error: str = ""


@dataclass
class Load:
    """All turns of one run. `visitors` holds them per visitor, in order."""

    visitors: list[list[Turn]]
    seconds: float

    @property
    def turns(self) -> list[Turn]:
        """Every turn."""
        return [turn for turns in self.visitors for turn in turns]

    @property
    def good(self) -> list[Turn]:
        """Those answered whole and right."""
        return [turn for turn in self.turns if not turn.error]

    def first_ms(self, share: float) -> float:
        """Milliseconds to the first text at that share (0.5: the median)."""
        return percentile([(turn.first - turn.started) * 1000 for turn in self.good], share)

    def total_ms(self, share: float) -> float:
        """Milliseconds to the end mark."""
        return percentile([(turn.ended - turn.started) * 1000 for turn in self.good], share)

    def rate(self) -> float:
        """Turns a second: each visitor's own rate, added up, so that the staggered start does not count."""
        return sum(
            len(own) / (own[-1].ended - own[0].started)
            for own in self.visitors
            if own and not any(turn.error for turn in own)
        )

    def errors(self) -> list[str]:
        """What went wrong, once for each turn."""
        return [turn.error for turn in self.turns if turn.error]


def percentile(values: list[float], share: float) -> float:
    """The value below which that share lies; not a number for none."""
    if not values:
        return float("nan")
    if share == 0.5:
        return median(values)
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, round(share * (len(ranked) - 1)))]


class Caller(asyncio.Protocol):
    """One question on one connection."""

    def __init__(self, target: Target, payload: bytes, turn: Turn, over: asyncio.Future[None]) -> None:
        self.target, self.payload, self.turn, self.over = target, payload, turn, over

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.payload)

    def data_received(self, data: bytes) -> None:
        turn = self.turn
        turn.parts.append(data)
        if not turn.first and self.target.answer.first.search(b"".join(turn.parts)):
            turn.first = time.monotonic()
        if not turn.ended and self.target.answer.end in data:
            turn.ended = time.monotonic()

    def connection_lost(self, exc: Exception | None) -> None:
        self.turn.ended = self.turn.ended or time.monotonic()
        if not self.over.done():
            self.over.set_result(None)


async def ask(target: Target, visitor: int, number: int) -> Turn:
    """One turn from connect to close."""
    path, headers, body = target.request(visitor, number)
    data = json.dumps(body).encode()
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: 127.0.0.1:{target.port}",
        "Connection: close",
        "Content-Type: application/json",
    ]
    lines += [f"Content-Length: {len(data)}", *(f"{name}: {value}" for name, value in headers.items())]
    payload = ("\r\n".join(lines) + "\r\n\r\n").encode() + data
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    turn = Turn(time.monotonic())
    try:
        transport, _ = await loop.create_connection(
            lambda: Caller(target, payload, turn, over), "127.0.0.1", target.port
        )
        await asyncio.wait_for(over, TURN_SECONDS)
        transport.close()
    except (OSError, TimeoutError) as error:
        turn.error = type(error).__name__
    return turn


async def visit(target: Target, visitor: int, turns: int, wait: float) -> list[Turn]:
    """One visitor's questions, each after the answer to the last."""
    await asyncio.sleep(wait)
    return [await ask(target, visitor, number) for number in range(turns)]


async def crowd(target: Target, visitors: int, turns: int, stagger: float) -> Load:
    """Visitors that arrive evenly over `stagger` seconds and ask `turns` questions each."""
    began = time.monotonic()
    waits = [stagger * number / visitors for number in range(visitors)]
    visits = [visit(target, number, turns, wait) for number, wait in enumerate(waits)]
    return Load(await asyncio.gather(*visits), time.monotonic() - began)


def drive(target: Target, visitors: int, turns: int, stagger: float, expected: str | None = None) -> Load:
    """Run a crowd to its end, then look at what each was told: an answer that is cut, or not the `expected` text, is an error."""
    load = asyncio.run(crowd(target, visitors, turns, stagger))
    for turn in load.turns:
        turn.error = turn.error or fault(target, turn, expected)
        turn.parts.clear()
    return load


def fault(target: Target, turn: Turn, expected: str | None) -> str:
    """What is wrong with an answer, or nothing."""
    data = b"".join(turn.parts)
    if not re.match(rb"HTTP/1\.[01] 200 ", data):
        return data[:300].decode("utf-8", "replace") or "no answer"
    if target.answer.end not in data:
        return f"cut: …{data[-200:]!r}"
    if expected is not None and spoken_text(target, data) != expected:
        return f"other words: …{spoken_text(target, data)[-60:]!r}"
    return ""


def spoken_text(target: Target, data: bytes) -> str:
    """The whole answer from the events of a stream."""
    return "".join(json.loads(piece) for piece in target.answer.text.findall(unchunked(data)))


def unchunked(data: bytes) -> bytes:
    """The body of an HTTP answer, its chunks joined."""
    head, _, rest = data.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head.lower():
        return rest
    parts = []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        parts.append(rest[:length])
        rest = rest[length + 2 :]
    return b"".join(parts)
