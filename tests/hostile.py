"""A web server that answers as badly as its script says, and remembers who came."""

import datetime
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Heard:
    """One request, headers by lower-case name."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Script = Callable[[socket.socket, Heard], None]


def page(body: bytes = b"Hello", status: int = 200, **headers: str) -> Script:
    given = {"Content-Type": "text/html"} | {name.replace("_", "-"): value for name, value in headers.items()}
    length = "" if status == 204 else f"Content-Length: {len(body)}\r\n"
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return raw(f"HTTP/1.1 {status} X\r\n{length}{lines}\r\n".encode() + body)


def redirect(location: str, status: int = 302) -> Script:
    return raw(f"HTTP/1.1 {status} X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode("latin-1"))


def raw(data: bytes) -> Script:
    return lambda sock, _heard: sock.sendall(data)


def forever(start: bytes, piece: bytes, pause: float = 0) -> Script:
    """`start`, then `piece` again and again until nobody listens."""

    def send(sock: socket.socket, _heard: Heard) -> None:
        sock.sendall(start)
        for _ in count():
            sock.sendall(piece)
            time.sleep(pause)

    return send


@dataclass
class Hostile:
    host: str
    pages: dict[str, Script]
    tls: ssl.SSLContext | None = None
    port: int = 0
    connections: int = 0
    heard: list[Heard] = field(default_factory=list)

    @contextmanager
    def serving(self) -> Iterator["Hostile"]:
        with socket.create_server((self.host, self.port)) as listener:
            self.port = listener.getsockname()[1]
            thread = threading.Thread(target=self._accept, args=(listener,), daemon=True)
            thread.start()
            yield self
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                self.connections += 1
                threading.Thread(target=self._answer, args=(sock,), daemon=True).start()

    def _answer(self, sock: socket.socket) -> None:
        with suppress(OSError, ValueError), sock:  # whoever came broke off, or doesn't speak HTTP
            sock.settimeout(10)
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True)
            with sock, sock.makefile("rb") as lines:
                method, path, _version = lines.readline().decode().split()
                headers = {}
                while (line := lines.readline().decode("latin-1").strip()) != "":
                    name, _, value = line.partition(":")
                    headers[name.lower()] = value.strip()
                heard = Heard(method, path, headers, lines.read(int(headers.get("content-length", 0))))
                self.heard.append(heard)
                self.pages.get(path, page(b"", 404))(sock, heard)


def certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A certificate that `name` made for itself: the file to trust it by, and what a server shows it with."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_general_name(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(exist_ok=True)
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return folder / "cert.pem", context


def _general_name(name: str) -> x509.GeneralName:
    with suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(name))
    return x509.DNSName(name)
