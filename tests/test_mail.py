"""Mail: handed over whole, or a clear refusal in time."""

import datetime
import io
import ipaddress
import logging
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.headerregistry import Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flask import Flask

from chatbot import mail, smtp
from chatbot.config import BadSetting, load_settings
from chatbot.db import across_tenants
from chatbot.errors import Invalid, MailFailed
from chatbot.smtp import MailServer, read_address, read_sender, read_server
from chatbot.tenancy import now
from tests.smtp_server import MailCatcher, settings_for

LINK = "https://chat.example.com/reset/CNRY-" + "s3cr3t" * 20 + "?a=b&c=d"
TEXT = f"Good morning Bob,\n\nset a new password here:\n{LINK}\n.\n..\nFrom us\n"


@pytest.fixture
def server() -> Iterator[MailCatcher]:
    with MailCatcher() as catcher:
        yield catcher


@pytest.fixture
def settings(server: MailCatcher) -> dict[str, Any]:
    return settings_for(server)


@pytest.fixture
def database() -> dict[str, str]:
    """None is needed here."""
    return {}


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A key and a certificate of its own making for 127.0.0.1, in one file."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail")]),
    )
    today = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), today, today + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path = tmp_path / "certificate.pem"
    path.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, form, serialization.NoEncryption()))
    return path


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is logged. Ask for it before the application."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


@pytest.fixture
def use(app: Flask) -> Callable[[Any], None]:
    """Have the application use another mail server."""

    def at(address: str | None) -> None:
        app.config["SHAMAN"].SMTP_URL = address

    return at


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "TIMEOUT", 0.3)


def send(app: Flask, to: str = "bob@bakery.example", subject: str = "Your new password", text: str = TEXT) -> None:
    with app.app_context():
        mail.send(to, subject, text)


def failure(app: Flask) -> MailFailed:
    with pytest.raises(MailFailed) as failed:
        send(app)
    assert failed.value.status == 502 and LINK not in str(failed.value.problem())
    return failed.value


# --- what is sent ---------------------------------------------------------------------------------------------------


def test_a_mail_arrives_whole(app: Flask, server: MailCatcher) -> None:
    send(app, text=TEXT + "Grüße ☕\n", subject="Schönes ☕ " * 20)
    [got] = server.mails
    assert got.get_content().replace("\r\n", "\n") == TEXT + "Grüße ☕\n"
    assert got["Subject"] == "Schönes ☕ " * 20 and got["To"] == "bob@bakery.example"
    assert got["From"].addresses == (Address("Bäcker, Söhne & Co.", "shaman", "bakery.example"),)
    assert got.get_content_type() == "text/plain" and got.get_content_charset() == "utf-8"
    assert abs(got["Date"].datetime - now()) < timedelta(seconds=60) and got["Auto-Submitted"] == "auto-generated"
    assert got["Message-ID"].endswith("@chat.example.com>")
    assert "ehlo chat.example.com" in server.commands and not [line for line in server.commands if "AUTH" in line]
    assert all(len(line) <= 998 and line.isascii() for line in server.sources[0].splitlines())


def test_a_link_stays_in_one_piece(app: Flask, server: MailCatcher) -> None:
    send(app)
    assert LINK.encode() in server.sources[0]


@pytest.mark.parametrize("line", ["x" * 5000, "ü" * 5000])
def test_long_lines_are_carried(line: str, app: Flask, server: MailCatcher) -> None:
    send(app, text=line)
    assert server.mails[0].get_content().strip() == line
    assert max(map(len, server.sources[0].splitlines())) <= 998


@pytest.mark.parametrize(
    "address", ["jörg@bäckerei.example", "bob@bäckerei.example", "bob@localhost", "o'neil+x@a.example"]
)
def test_addresses_of_all_kinds(address: str, app: Flask, server: MailCatcher) -> None:
    server.answers["EHLO"] = "250 SMTPUTF8"
    send(app, to=address)
    [line] = [line for line in server.commands if line.startswith("rcpt")]
    assert line == f"rcpt TO:<{read_address(address).addr_spec}>"


INJECTIONS = ["\r\nBcc: eve@evil.example", "\nBcc: eve@evil.example", "\r", "\n", "\x00", "\u2028x", "\x0b", "\x85"]


@pytest.mark.parametrize("tail", INJECTIONS, ids=repr)
def test_no_header_is_slipped_in(tail: str, app: Flask, server: MailCatcher) -> None:
    with pytest.raises(Invalid):
        send(app, to="bob@bakery.example" + tail)
    with pytest.raises(Invalid):
        send(app, subject="Hello" + tail)
    with pytest.raises(ValueError, match="write it like"):
        read_sender(f"Shaman{tail}x <shaman@bakery.example>")
    assert server.commands == []


@pytest.mark.parametrize(
    "to", ["", "bob", "@", "a@b@c", "a@b, c@d", "<a@b>", "a b@c", "a@b>", "x" * 320 + "@b", "a@[::1]"]
)
def test_one_address_and_nothing_else(to: str, app: Flask, server: MailCatcher) -> None:
    with pytest.raises(Invalid):
        send(app, to=to)
    assert server.commands == []


# --- a mail server that misbehaves ----------------------------------------------------------------------------------

STEPS = ["GREETING", "EHLO", "MAIL", "RCPT", "DATA"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.usefixtures("impatient")
def test_a_server_that_hangs_is_given_up_in_time(step: str, app: Flask, server: MailCatcher) -> None:
    server.answers[step] = None
    begun = time.monotonic()
    assert "in time" in str(failure(app).detail) or step == "GREETING"
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("step", [*STEPS, "MAIL DATA"])
def test_a_server_that_hangs_up(step: str, app: Flask, server: MailCatcher) -> None:
    server.answers[step] = ""
    assert not failure(app).is_final


@pytest.mark.parametrize(
    "step, answer, is_final",
    [
        ("GREETING", "554 no", False),
        ("GREETING", "HTTP/1.1 400 Bad Request", False),
        ("EHLO", "421 later", False),
        ("MAIL", "550 you may not", True),
        ("RCPT", "550 nobody of that name", True),
        ("RCPT", "450 greylisted", False),
        ("DATA", "554 no", True),
        ("MAIL DATA", "552 too much", True),
        ("MAIL DATA", "452 full", False),
    ],
)
def test_a_server_that_refuses(step: str, answer: str, is_final: bool, app: Flask, server: MailCatcher) -> None:
    server.answers |= {step: answer, "HELO": answer}
    assert failure(app).is_final == is_final


def test_what_it_says_after_taking_the_mail_does_not_matter(app: Flask, server: MailCatcher) -> None:
    server.answers["QUIT"] = None
    begun = time.monotonic()
    send(app)
    assert time.monotonic() - begun < 2 and len(server.mails) == 1


def test_a_server_that_is_not_there(app: Flask, use: Callable[[Any], None]) -> None:
    use("smtp://127.0.0.1:1")
    assert "can't be reached" in str(failure(app).detail)


@pytest.mark.usefixtures("impatient")
def test_slow_answers_are_in_time_together(app: Flask, server: MailCatcher) -> None:
    server.pause = 0.1
    begun = time.monotonic()
    failure(app)
    assert time.monotonic() - begun < 1


def test_nothing_of_a_mail_is_logged(written: io.StringIO, caplog: Any, app: Flask, server: MailCatcher) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers["RCPT"] = f"550 <bob@bakery.example> {LINK}"
    failure(app)
    server.answers.clear()
    send(app)
    logged = written.getvalue() + caplog.text
    assert "mail not sent" in logged and "550" in logged
    assert "CNRY" not in logged and "bob@" not in logged and "password" not in logged


# --- TLS ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address, at_once",
    [("smtps://bob:p%40ss@127.0.0.1:{}", True), ("smtp://bob:p%40ss@127.0.0.1:{}?starttls=yes", False)],
)
def test_tls_with_a_certificate_that_is_trusted(
    address: str,
    at_once: bool,
    app: Flask,
    certificate: Path,
    use: Callable[[Any], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with MailCatcher(certificate, tls_at_once=at_once) as server:
        use(address.format(server.port))
        assert "certificate" in str(failure(app).detail), "nobody vouches for it yet"
        assert not [line for line in server.commands if "AUTH" in line]
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        send(app)
        assert len(server.mails) == 1 and [line for line in server.commands if line.startswith("AUTH PLAIN")]
        use(address.format(server.port).replace("127.0.0.1", "localhost"))
        assert "certificate" in str(failure(app).detail), "it is another's"


def test_a_server_without_starttls_gets_nothing(app: Flask, server: MailCatcher, use: Callable[[Any], None]) -> None:
    use(f"smtp://bob:pass@127.0.0.1:{server.port}?starttls=yes")
    assert "does not offer" in str(failure(app).detail)
    assert {line.split()[0].upper() for line in server.commands if line} <= {"EHLO", "QUIT"}


def test_a_server_without_tls_where_tls_is_expected(
    app: Flask, server: MailCatcher, use: Callable[[Any], None]
) -> None:
    use(f"smtps://127.0.0.1:{server.port}")
    server.answers["GREETING"] = "220 here"
    failure(app)


def test_a_password_that_is_refused(app: Flask, server: MailCatcher, use: Callable[[Any], None]) -> None:
    use(f"smtp://bob:pass@127.0.0.1:{server.port}")
    server.answers["AUTH"] = "535 no"
    failed = failure(app)
    assert "password" in str(failed.detail) and not failed.is_final, "the operator may put it right"


# --- the settings ---------------------------------------------------------------------------------------------------


def test_addresses_of_servers() -> None:
    assert read_server("smtp://mail.example.com") == MailServer("mail.example.com", 587, "STARTTLS")
    assert read_server("smtp://u:p%40%2F@mail.example.com:25") == MailServer(
        "mail.example.com", 25, "STARTTLS", "u", "p@/"
    )
    assert read_server("smtps://u%40x:p@mail.example.com/") == MailServer(
        "mail.example.com", 465, "at once", "u@x", "p"
    )
    assert read_server("smtp://localhost:1025").tls == read_server("smtp://[::1]:25").tls == "never"
    assert read_server("smtp://mail:1025?starttls=no").tls == "never"
    assert read_server("smtp://127.0.0.1?starttls=yes").tls == "STARTTLS"
    assert "p%40" not in repr(read_server("smtp://u:p%40@h")) and "p@" not in repr(read_server("smtp://u:p%40@h"))


BAD = [
    ("SMTP_URL", "mail.example.com"),
    ("SMTP_URL", "mail.example.com:587"),
    ("SMTP_URL", "http://mail.example.com"),
    ("SMTP_URL", "smtp://"),
    ("SMTP_URL", "smtp://:25"),
    ("SMTP_URL", "smtp://mail.example.com:port"),
    ("SMTP_URL", "smtp://mail.example.com:70000"),
    ("SMTP_URL", "smtp://mail.example.com:0"),
    ("SMTP_URL", "smtp://user@mail.example.com"),
    ("SMTP_URL", "smtp://user:pa/ss@mail.example.com"),
    ("SMTP_URL", "smtp://mail.example.com/path"),
    ("SMTP_URL", "smtp://mail.example.com?tls=no"),
    ("SMTP_URL", "smtps://mail.example.com?starttls=no"),
    ("MAIL_FROM", "shaman"),
    ("MAIL_FROM", "Shaman <shaman>"),
    ("MAIL_FROM", "Shaman <shaman@a.example"),
    ("MAIL_FROM", "a@b.example, c@d.example"),
    ("MAIL_FROM", "Shaman\nBcc: x <shaman@a.example>"),
    ("MAIL_FROM", ""),
]


@pytest.mark.parametrize("name, value", BAD)
def test_a_bad_value_stops_the_start(name: str, value: str, tmp_path: Path) -> None:
    good = {"SMTP_URL": "smtp://mail.example.com", "MAIL_FROM": "shaman@mail.example.com", "INSTANCE": str(tmp_path)}
    load_settings(**good)
    with pytest.raises(BadSetting) as refused:
        load_settings(**(good | {name: value}))
    assert name in str(refused.value) and "\n" not in str(refused.value) and len(str(refused.value)) < 200
    assert "pa/ss" not in str(refused.value)


def test_without_a_mail_server(app: Flask, use: Callable[[Any], None]) -> None:
    with app.app_context():
        assert mail.can_mail()
        use(None)
        assert not mail.can_mail()
        with pytest.raises(MailFailed):
            mail.send("bob@bakery.example", "Hello", "x")
        with pytest.raises(MailFailed), across_tenants():
            mail.post("bob@bakery.example", "Hello", "x")
