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
import weakref
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx2

from chatbot.providers.contract import Call, Stopped

CONNECT = 10.0  # seconds
IDLE_KEPT = 30.0  # seconds for which an unused connection is kept
MOST_KEPT = 64  # connections an address
READ = 65536
LAST_LOOK = 0.02  # seconds that the end of an answer's framing may come after the end of its text

Connection = http.client.HTTPConnection
Kept = dict[tuple[str, str, int], list[tuple[float, Connection]]]  # since when, by address
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
        self._idle: Kept = defaultdict(list)
        self._lock = threading.Lock()
        self._tls = ssl.create_default_context()
        weakref.finalize(self, _close_all, self._idle)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        call: Call | None = getattr(_calls, "current", None)
        url = request.url
        address = (url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80))
        body = request.read()
        connection: Connection | None = None
        try:
            connection = self._connection(address, call)
            _watch(call, connection, request)
            return self._exchange(connection, request, body, call, address)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if call is not None:
                call.on_stop(None)
                if call.is_stopped:
                    raise Stopped from error
            raise _translated(error, request, has_connected=connection is not None) from error

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
        if call is not None:
            call.was_asked = True
        answer = connection.getresponse()
        if call is not None and answer.status >= 400:
            call.was_asked = False  # a refusal costs nothing
        stream = RawBody(self, connection, answer, request, call, address)
        headers = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in answer.getheaders()]
        return httpx2.Response(answer.status, headers=headers, stream=stream, request=request)

    def _connection(self, address: tuple[str, str, int], call: Call | None) -> Connection:
        scheme, host, port = address
        with self._lock:
            kept = self._idle[address]
            while kept:
                since, connection = kept.pop()
                if time.monotonic() - since < IDLE_KEPT and not _has_news(connection):
                    return connection
                connection.close()
        fresh = http.client.HTTPConnection(host, port)
        fresh.sock = _dial(host, port, call, self._tls if scheme == "https" else None)
        return fresh

    def close(self) -> None:
        """Close the connections that are kept."""
        with self._lock:
            _close_all(self._idle)

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
        self._pieces = _chunked(answer) if answer.chunked else _plain(answer)

    def __iter__(self) -> Iterator[bytes]:
        try:
            while True:
                self._set_patience()
                piece = next(self._pieces, None)
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

    def _set_patience(self) -> None:
        """How long the next read may wait: not past the call's deadline. (Setting it is a system call.)"""
        if self._call is not None and self._connection.sock is not None:
            patience = min(self._call.idle, max(0.01, self._call.left()))
            if patience != self._connection.sock.gettimeout():
                self._connection.sock.settimeout(patience)

    def _is_over(self) -> bool:
        """Whether the whole body was read. Its reader stops at the end mark: the framing's own end is looked for here."""
        if self._answer.length != 0 and self._connection.sock is not None:
            with suppress(OSError, http.client.HTTPException, ValueError, StopIteration):
                self._connection.sock.settimeout(LAST_LOOK)
                next(self._pieces)
        return self._answer.length == 0 and self._connection.sock is not None

    def close(self) -> None:
        is_stopped = False
        if self._call is not None:
            self._call.on_stop(None)
            is_stopped = self._call.is_stopped
        if not is_stopped and self._is_over() and not self._answer.will_close:
            self._answer.close()
            self._transport.keep(self._address, self._connection)
        else:
            self._answer.close()
            self._connection.close()


def _dial(host: str, port: int, call: Call | None, tls: ssl.SSLContext | None) -> socket.socket:
    """A connected socket; stopping the call ends a connecting under way. Raises OSError when no address answers."""
    problem = OSError("the name has no address")
    for family, kind, protocol, _name, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(CONNECT if call is None else min(CONNECT, max(0.01, call.left())))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _cut_on_stop(call, sock)
            sock.connect(place)
            if tls is None:
                return sock
            sock = tls.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
            _cut_on_stop(call, sock)
            sock.do_handshake()
            return sock
        except OSError as error:
            sock.close()
            problem = error
        except BaseException:
            sock.close()
            raise
    raise problem


def _close_all(kept: Kept) -> None:
    for connections in kept.values():
        while connections:
            connections.pop()[1].close()


def _cut_on_stop(call: Call | None, sock: socket.socket) -> None:
    if call is not None:
        call.on_stop(lambda: _shut(sock))


def _watch(call: Call | None, connection: Connection, request: httpx2.Request) -> None:
    """Let stopping the call shut the connection's socket, and set how long it may be silent."""
    timeout = (request.extensions.get("timeout") or {}).get("read")
    connection.sock.settimeout(min(call.idle, max(0.01, call.left())) if call else timeout)
    _cut_on_stop(call, connection.sock)


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):  # it was closed already
        sock.shutdown(socket.SHUT_RDWR)


def _has_news(connection: Connection) -> bool:
    """Whether an unused connection can be read: then the other side has closed it, or broken the protocol."""
    if connection.sock is None:
        return True
    poll = select.poll()  # select() knows no socket beyond the 1,024th
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


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
        piece = decoder.feed(data)
        if decoder.is_done:
            answer.chunked, answer.length = False, 0  # the end was read here: http.client must not look for it again
            answer.will_close |= decoder.has_extra
        yield piece


class ChunkDecoder:
    """Takes the framing of `Transfer-Encoding: chunked` off, whatever the cuts."""

    def __init__(self) -> None:
        self._rest = b""
        self._left = 0  # bytes of the current chunk still to come
        self._in_trailer = False
        self.is_done = False
        self.has_extra = False  # more came after the end: such a connection is not used again

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
        self.has_extra = self.is_done and at < len(buffer)
        return b"".join(pieces)

    def _take_line(self, line: bytes) -> None:
        if self._in_trailer:
            self.is_done = not line
        elif line:  # an empty one ends the chunk before
            size = line.split(b";", 1)[0].strip()
            if not size.isalnum():  # int() takes signs and underscores too
                raise ValueError("a chunk's size is no number")
            self._left = int(size, 16)
            self._in_trailer = self._left == 0


def _translated(error: BaseException, request: httpx2.Request, has_connected: bool = True) -> BaseException:
    """`error` as one of httpx2's, which the SDK knows. It names no address and no header."""
    if isinstance(error, httpx2.HTTPError | Stopped):
        return error
    if isinstance(error, TimeoutError):
        return (httpx2.ReadTimeout if has_connected else httpx2.ConnectTimeout)("no byte in time", request=request)
    if isinstance(error, OSError | http.client.HTTPException | ValueError):
        kind = httpx2.RemoteProtocolError if has_connected else httpx2.ConnectError
        return kind(type(error).__name__, request=request)
    return error
