"""A server of a few lines for what the simulated model cannot do: each connection is given to a function."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Script = Callable[[socket.socket, int], None]


class PlainServer:
    """Listens on 127.0.0.1 and counts its connections; `base_url` is what a provider takes."""

    def __init__(self, script: Script) -> None:
        self.connections = 0
        self.open: list[socket.socket] = []
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        for line in [self._listener, *self.open]:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()
        self._thread.join(5)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                line, _address = self._listener.accept()
                self.connections += 1
                self.open.append(line)
                threading.Thread(target=self._serve, args=(line, self.connections), daemon=True).start()

    def _serve(self, line: socket.socket, number: int) -> None:
        with suppress(OSError):
            self._script(line, number)


@contextmanager
def serving(script: Script) -> Iterator[PlainServer]:
    server = PlainServer(script)
    try:
        yield server
    finally:
        server.close()


def read_request(line: socket.socket) -> bytes:
    """One whole request; empty when the caller has closed."""
    got = b""
    while b"\r\n\r\n" not in got:
        piece = line.recv(65536)
        if not piece:
            return b""
        got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    length = next((int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length")), 0)
    while len(body) < length:
        body += line.recv(65536)
    return head + b"\r\n\r\n" + body


ANSWER = b'data: {"choices":[{"index":0,"delta":{"content":"Hello."},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def answer(line: socket.socket, body: bytes = ANSWER) -> None:
    """A good streamed answer; the connection may be kept."""
    line.sendall(STREAM + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))


def refuse(line: socket.socket, status: int = 503, headers: str = "") -> None:
    body = b'{"error":{"message":"busy","type":"server_error"}}'
    line.sendall(f"HTTP/1.1 {status} No\r\n{headers}Content-Type: application/json\r\n".encode())
    line.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
