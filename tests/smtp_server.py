"""A mail server on 127.0.0.1 that keeps what it is given, or misbehaves as it is told."""

import socketserver
import ssl
import threading
import time
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast


class MailCatcher(socketserver.ThreadingTCPServer):
    """`answers` replaces its answer to a command, like {"RCPT": "550 nobody"}; None is no answer, "" hangs up."""

    allow_reuse_address = daemon_threads = True
    block_on_close = False

    def __init__(self, certificate: Path | None = None, *, tls_at_once: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.port: int = self.server_address[1]
        self.certificate, self.tls_at_once = certificate, tls_at_once
        self.answers: dict[str, str | None] = {}
        self.pause = 0.0  # seconds before each answer
        self.commands: list[str] = []
        self.sources: list[bytes] = []

    @property
    def mails(self) -> list[EmailMessage]:
        return [message_from_bytes(source, policy=policy.default) for source in self.sources]

    def __enter__(self) -> "MailCatcher":
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


def settings_for(server: MailCatcher) -> dict[str, Any]:
    return {
        "SMTP_URL": f"smtp://127.0.0.1:{server.port}",
        "MAIL_FROM": "Bäcker, Söhne & Co. <shaman@bakery.example>",
        "PUBLIC_URL": "https://chat.example.com",
    }


class _Conversation(socketserver.StreamRequestHandler):
    server: MailCatcher
    timeout = 30

    def handle(self) -> None:
        steps: dict[str, Callable[[], None]] = {"DATA": self._take, "STARTTLS": self._encrypt}
        try:
            if self.server.tls_at_once:
                self._encrypt()
            verb = "GREETING"
            while self._answer(verb) and verb != "QUIT":
                steps.get(verb, lambda: None)()
                line = self.rfile.readline().decode().strip()
                verb = line.split(" ")[0].upper()
                self.server.commands.append(line)
        except (OSError, ssl.SSLError):
            pass

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def _answer(self, verb: str) -> bool:
        """Answer a command. Whether the conversation goes on."""
        time.sleep(self.server.pause)
        tls = b"250-STARTTLS\r\n" if self.server.certificate and not self.server.tls_at_once else b""
        usual = {"GREETING": "220 here", "EHLO": "250 AUTH PLAIN", "DATA": "354 go on", "STARTTLS": "220 go on"}
        said = self.server.answers.get(
            verb, usual.get(verb, "" if verb == "" else "235 yes" if verb == "AUTH" else "250 yes")
        )
        if said is None:
            self.rfile.readline()  # until the other side gives up
        if not said:
            return False
        self.wfile.write((b"250-here\r\n" + tls if verb == "EHLO" else b"") + said.encode() + b"\r\n")
        return said[0] in "23"

    def _take(self) -> None:
        lines = list(iter(self.rfile.readline, b".\r\n"))
        said = self.server.answers.get("MAIL DATA", "250 taken")
        if said:
            self.server.sources.append(b"".join(line.removeprefix(b".") for line in lines))
            self.wfile.write(said.encode() + b"\r\n")
        else:
            raise ConnectionAbortedError

    def _encrypt(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cast(Any, self.server.certificate))
        self.request = self.connection = context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), cast(Any, self.connection.makefile("wb", buffering=0))
