"""A transport under the SDK's HTTP client, made for streams that are stopped, paced and timed.

It is http.client below and httpx2 above: the SDK keeps its keys, headers and errors. Each read takes all that the socket
holds, so that a reader which pauses between reads falls behind nothing; stopping a call shuts its socket, which ends a
read under way at once; a read waits no longer than the call's idle time and its deadline allow.
"""

import http.client
import select
import socket
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2

from chatbot.providers.contract import Call, Stopped

CONNECT = 10.0  # seconds
IDLE_KEPT = 30.0  # seconds for which an unused connection is kept
MOST_KEPT = 64  # connections an address
READ = 65536

Connection = http.client.HTTPConnection
_calls = threading.local()  # the SDK has no place to hand a call through to its transport


@contextmanager
def on_behalf_of(call: Call) -> Iterator[None]:
    """Requests made by this thread within belong to `call`."""
    _calls.current = call
    try:
        yield
    finally:
        _calls.current = None


class StreamTransport(httpx2.BaseTransport):
    """Sends requests over kept-alive connections; bodies are read as `RawBody`."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, str, int], list[tuple[float, Connection]]] = defaultdict(list)
        self._lock = threading.Lock()
        self._tls = ssl.create_default_context()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        call: Call | None = getattr(_calls, "current", None)
        url = request.url
        address = (url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80))
        body = request.read()
        connection = self._connection(address, request)
        _watch(call, connection, request)
        try:
            return self._exchange(connection, request, body, call, address)
        except BaseException as error:
            connection.close()
            if call is not None:
                call.on_stop(None)
                if call.is_stopped:
                    raise Stopped from error
            raise _translated(error, request) from error

    def _exchange(
        self,
        connection: Connection,
        request: httpx2.Request,
        body: bytes,
        call: Call | None,
        address: tuple[str, str, int],
    ) -> httpx2.Response:
        target = request.url.raw_path.decode("ascii")
        connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers.raw:
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        stream = RawBody(self, connection, answer, request, call, address)
        headers = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in answer.getheaders()]
        return httpx2.Response(answer.status, headers=headers, stream=stream, request=request)

    def _connection(self, address: tuple[str, str, int], request: httpx2.Request) -> Connection:
        scheme, host, port = address
        with self._lock:
            kept = self._idle[address]
            while kept:
                since, connection = kept.pop()
                if time.monotonic() - since < IDLE_KEPT and not _has_news(connection):
                    return connection
                connection.close()
        fresh: Connection
        if scheme == "https":
            fresh = http.client.HTTPSConnection(host, port, timeout=CONNECT, context=self._tls)
        else:
            fresh = http.client.HTTPConnection(host, port, timeout=CONNECT)
        try:
            fresh.connect()
        except OSError as error:
            raise httpx2.ConnectError(type(error).__name__, request=request) from error
        fresh.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return fresh

    def keep(self, address: tuple[str, str, int], connection: Connection) -> None:
        """Take back a connection whose answer was read to its end."""
        with self._lock:
            kept = self._idle[address]
            if len(kept) < MOST_KEPT:
                kept.append((time.monotonic(), connection))
                return
        connection.close()


class RawBody(httpx2.SyncByteStream):
    """An answer's body, one piece for all that the socket held at each read."""

    def __init__(
        self,
        transport: StreamTransport,
        connection: Connection,
        answer: http.client.HTTPResponse,
        request: httpx2.Request,
        call: Call | None,
        address: tuple[str, str, int],
    ) -> None:
        self._transport, self._connection, self._answer = transport, connection, answer
        self._request, self._call, self._address = request, call, address
        self._whole = False

    def __iter__(self) -> Iterator[bytes]:
        read = _chunked(self._answer) if self._answer.chunked else _plain(self._answer)
        try:
            while True:
                self._set_patience()
                piece = next(read, None)
                if piece is None:
                    break
                if piece:
                    yield piece
        except (OSError, http.client.HTTPException, ValueError) as error:
            if self._call is not None and self._call.is_stopped:
                raise Stopped from error
            raise _translated(error, self._request) from error
        if self._call is not None and self._call.is_stopped:
            raise Stopped
        self._whole = True

    def _set_patience(self) -> None:
        """How long the next read may wait: not past the call's deadline."""
        if self._call is not None and self._connection.sock is not None:
            self._connection.sock.settimeout(max(0.01, min(self._call.idle, self._call.left())))

    def close(self) -> None:
        if self._call is not None:
            self._call.on_stop(None)
        if self._whole and not self._answer.will_close and self._connection.sock is not None:
            self._answer.close()
            self._transport.keep(self._address, self._connection)
        else:
            self._answer.close()
            self._connection.close()


def _watch(call: Call | None, connection: Connection, request: httpx2.Request) -> None:
    """Let stopping the call shut the connection's socket, and set how long it may be silent."""
    timeout = (request.extensions.get("timeout") or {}).get("read")
    connection.sock.settimeout(min(call.idle, max(0.01, call.left())) if call else timeout)
    if call is not None:
        call.on_stop(lambda sock=connection.sock: _shut(sock))  # type: ignore[misc]


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it was closed already


def _has_news(connection: Connection) -> bool:
    """Whether an unused connection can be read: then the other side has closed it, or broken the protocol."""
    if connection.sock is None:
        return True
    readable, _writable, _broken = select.select([connection.sock], [], [], 0)
    return bool(readable)


def _plain(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    expected = answer.length
    while piece := answer.read1(READ):
        yield piece
        expected = None if expected is None else expected - len(piece)
    if expected:
        raise http.client.IncompleteRead(b"")


def _chunked(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """Decode a chunked body. Each step reads once, so it gives all whole and part chunks that were there."""
    decoder = ChunkDecoder()
    while not decoder.is_done:
        data = answer.fp.read1(READ)
        if not data:
            raise http.client.IncompleteRead(b"")
        yield decoder.feed(data)
    answer.chunked = False  # the end was read here: http.client must not look for it again
    answer.length = 0


class ChunkDecoder:
    """Takes the framing of `Transfer-Encoding: chunked` off, whatever the cuts."""

    def __init__(self) -> None:
        self._rest = b""
        self._left = 0  # bytes of the current chunk still to come
        self._in_trailer = False
        self.is_done = False

    def feed(self, data: bytes) -> bytes:
        """The body's bytes in `data`. Raises ValueError for framing that is none."""
        buffer, at, pieces = self._rest + data, 0, []
        while not self.is_done:
            if self._left:
                piece = buffer[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left or at >= len(buffer):
                    break
            end = buffer.find(b"\n", at)
            if end < 0:
                if len(buffer) - at > 4096:
                    raise ValueError("a chunk's header has no end")
                break
            line, at = buffer[at:end].strip(), end + 1
            self._take_line(line)
        self._rest = b"" if self.is_done else buffer[at:]
        return b"".join(pieces)

    def _take_line(self, line: bytes) -> None:
        if self._in_trailer:
            self.is_done = not line
        elif line:  # an empty one ends the chunk before
            self._left = int(line.split(b";", 1)[0], 16)
            self._in_trailer = self._left == 0


def _translated(error: BaseException, request: httpx2.Request) -> BaseException:
    """`error` as one of httpx2's, which the SDK knows. It names no address and no header."""
    if isinstance(error, httpx2.HTTPError | Stopped):
        return error
    if isinstance(error, TimeoutError):
        return httpx2.ReadTimeout("no byte in time", request=request)
    if isinstance(error, OSError | http.client.HTTPException | ValueError):
        return httpx2.RemoteProtocolError(type(error).__name__, request=request)
    return error
