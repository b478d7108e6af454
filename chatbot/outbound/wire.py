"""One connection to one checked address, with a deadline for all of it and a measure for what it may bring."""

import http.client
import io
import select
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, TypeVar, cast

from chatbot.outbound.addresses import Address
from chatbot.outbound.errors import failed_connection, failed_in_size, failed_unreadable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

HEADERS = 64 * 1024  # bytes of status and headers; http.client takes 100 of them
READ = 64 * 1024

Some = TypeVar("Some")


class Wire(io.RawIOBase):
    """A connected socket as http.client reads and writes it.

    A socket's own timeout begins anew with each read, and a peer that sends a byte a second never meets it (under gevent
    not even within one TLS record): so the socket never waits, and each wait here is for what is left until `deadline`
    (of time.monotonic). More than `most` bytes are not read.
    """

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline
        self._taken, self.most = 0, HEADERS
        sock.setblocking(False)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        if self._taken >= self.most:
            raise failed_in_size()
        count = self._patiently(lambda: self._sock.recv_into(buffer), select.POLLIN)
        self._taken += count
        return count

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._patiently(partial(self._sock.send, rest), select.POLLOUT) :]

    def secure(self, name: str) -> None:
        """Speak TLS from here on, with a peer whose certificate is for `name`."""
        secured = tls_context().wrap_socket(self._sock, server_hostname=name, do_handshake_on_connect=False)
        self._sock = secured
        self._patiently(secured.do_handshake, select.POLLIN)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self, READ)

    def expect(self, size: int) -> None:
        """Headers are over; from here `size` bytes may come."""
        self.most = self._taken + size

    def close(self) -> None:
        super().close()
        self._sock.close()

    def _patiently(self, step: Callable[[], Some], event: int) -> Some:
        while True:
            seconds = left_until(self._deadline)
            try:
                return step()
            except ssl.SSLWantReadError:
                event = select.POLLIN
            except ssl.SSLWantWriteError:
                event = select.POLLOUT
            except BlockingIOError:
                pass
            poll = select.poll()  # select() knows no socket beyond the 1,024th
            poll.register(self._sock, event)
            poll.poll(seconds * 1000)


def left_until(deadline: float) -> float:
    """Seconds; raises TimeoutError when none are left."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def dial(address: Address, places: Sequence[str], deadline: float) -> Wire:
    """A connection to one of `places`, IP addresses that were judged. Raises OSError."""
    wire = _connected(address, places, deadline)
    try:
        if address.scheme == "https":
            wire.secure(address.host)
    except (OSError, ValueError):
        wire.close()
        raise
    return wire


def _connected(address: Address, places: Sequence[str], deadline: float) -> Wire:
    problem: OSError = ConnectionError()
    for tried, place in enumerate(places):
        sock = socket.socket(socket.AF_INET6 if ":" in place else socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.settimeout(left_until(deadline) / (len(places) - tried))  # a silent one leaves time for the next
            sock.connect((place, address.port))
            return Wire(sock, deadline)
        except OSError as error:
            sock.close()
            problem = error
    raise problem


@cache
def tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


def ask(
    wire: Wire, address: Address, method: str, headers: Mapping[str, str], body: bytes | None
) -> http.client.HTTPResponse:
    """Send one request; the answer, its body unread. Raises OSError, HTTPException, ValueError."""
    connection = http.client.HTTPConnection(address.host, address.port)
    connection.sock = cast(socket.socket, wire)
    connection.putrequest(method, address.target, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = http.client.HTTPResponse(cast(socket.socket, wire), method=method)
    answer.begin()
    return answer


def read_body(wire: Wire, answer: http.client.HTTPResponse, limit: int) -> bytes:
    """The whole body, unpacked, of at most `limit` bytes. Raises OutboundFailed beside what `ask` raises."""
    encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip"):
        raise failed_unreadable()
    if (answer.length or 0) > limit:
        raise failed_in_size()
    wire.expect(limit + READ)
    body = bytearray()
    unpacker = zlib.decompressobj(wbits=31) if "gzip" in encoding else None
    while piece := answer.read(READ):
        body += unpacker.decompress(piece, limit + 1 - len(body)) if unpacker else piece
        if len(body) > limit:
            raise failed_in_size()
        if unpacker and unpacker.unused_data:
            raise failed_unreadable()
    if answer.length or (body and unpacker and not unpacker.eof):  # it broke off
        raise failed_connection()
    return bytes(body)
