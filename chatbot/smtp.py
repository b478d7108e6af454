"""A mail server: its address (SMTP_URL), the sender's (MAIL_FROM), and handing one mail over.

    smtp://USER:PASSWORD@HOST:587    TLS begun with STARTTLS, which is asked for before anything else
    smtps://USER:PASSWORD@HOST:465   TLS from the first byte

A server's certificate is always checked against its name. `smtp://` to this very machine goes without TLS;
`?starttls=no` and `?starttls=yes` say otherwise.
"""

import re
import smtplib
import ssl
import time
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import structlog
from flask_babel import gettext as _

from chatbot.errors import MailFailed

TIMEOUT = 10.0  # seconds for handing one mail over, from the first byte to the last answer
HOW = "write it like smtp://USER:PASSWORD@HOST:587 or smtps://USER:PASSWORD@HOST:465"
ADDRESS = re.compile(r"""([^\s@<>()\[\],;:\\"\x00-\x1f\x7f]+)@([^\s@<>()\[\],;:\\"\x00-\x1f\x7f]+)""")
NAMED = re.compile(r"""([^<>"\\\x00-\x1f\x7f\x85\u2028\u2029]*)<([^<>]+)>""")
THIS_MACHINE = re.compile(r"localhost|127(\.[0-9]+){3}|::1")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed over, and how. `tls` is begun `at once`, by `STARTTLS`, or `never`."""

    host: str
    port: int
    tls: str
    user: str = ""
    password: str = field(default="", repr=False)


def read_server(address: str) -> MailServer:
    """The server that an SMTP_URL names. Raises ValueError, with words that hold nothing of it."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise ValueError(HOW) from None
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or port == 0 or parts.path.strip("/"):
        raise ValueError(HOW)
    if (
        parts.fragment
        or parts.query not in ("", "starttls=yes", "starttls=no")
        or (parts.query and parts.scheme == "smtps")
    ):
        raise ValueError(f"{HOW}; smtp:// may end with ?starttls=yes or ?starttls=no")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if bool(user) != bool(password):
        raise ValueError(f"{HOW}: USER and PASSWORD, or neither; characters like @ : / in them as %40 %3A %2F")
    tls = _tls(parts.scheme, parts.hostname, parts.query)
    return MailServer(parts.hostname, port or (465 if tls == "at once" else 587), tls, user, password)


def _tls(scheme: str, host: str, query: str) -> str:
    if scheme == "smtps":
        return "at once"
    wanted = query == "starttls=yes" or (not query and not THIS_MACHINE.fullmatch(host))
    return "STARTTLS" if wanted else "never"


def read_sender(value: str) -> Address:
    """`shaman@example.com` or `Shaman <shaman@example.com>`. Raises ValueError."""
    named = NAMED.fullmatch(value.strip())
    name, address = (named[1].strip(), named[2]) if named else ("", value)
    return read_address(address, name)


def read_address(value: str, name: str = "") -> Address:
    """One address, its domain as mail servers write it. Raises ValueError for anything else: more than one, a line's end."""
    found = ADDRESS.fullmatch(value.strip(" "))
    if not found or len(value) > 320:
        raise ValueError("write it like shaman@example.com or Shaman <shaman@example.com>")
    domain = found[2] if found[2].isascii() else found[2].encode("idna").decode()
    return Address(name, found[1], domain)


def hand_over(message: EmailMessage, server: MailServer, own_name: str) -> None:
    """Give `message` to `server`, greeting it as `own_name`, within TIMEOUT. Raises MailFailed."""
    try:
        connection = _connect(server, own_name)
        try:
            if server.tls == "STARTTLS":
                connection.starttls(context=ssl.create_default_context())
            if server.user:
                connection.login(server.user, server.password)
            _give(connection, message)
            connection.putcmd("quit")  # whatever it answers, the mail is its own by now
        finally:
            connection.close()
    except (smtplib.SMTPException, OSError, ValueError) as error:
        log.warning("mail not sent", error=type(error).__name__, code=_codes(error))
        raise _failed(error) from None


def _connect(server: MailServer, own_name: str) -> smtplib.SMTP:
    if server.tls == "at once":
        return _PatientTLS(server.host, server.port, own_name, timeout=TIMEOUT, context=ssl.create_default_context())
    return _Patient(server.host, server.port, own_name, timeout=TIMEOUT)


def _give(connection: smtplib.SMTP, message: EmailMessage) -> None:
    """What `send_message` does, which writes `>From` where a line of the text begins with From."""
    [sender], [receiver] = message["From"].addresses, message["To"].addresses
    is_ascii = (sender.addr_spec + receiver.addr_spec).isascii()
    connection.ehlo_or_helo_if_needed()
    if not is_ascii and not connection.has_extn("smtputf8"):
        raise smtplib.SMTPNotSupportedError
    source = message.as_bytes(policy=cast(EmailPolicy, message.policy).clone(utf8=not is_ascii))
    options = () if is_ascii else ("SMTPUTF8", "BODY=8BITMIME")
    connection.sendmail(sender.addr_spec, receiver.addr_spec, source, options)


class _Patient(smtplib.SMTP):
    """Waits for all of a server's answers together no longer than TIMEOUT, and not for each."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._end = time.monotonic() + TIMEOUT
        super().__init__(*args, **kwargs)

    def getreply(self) -> tuple[int, bytes]:
        if self.sock:
            self.sock.settimeout(max(0.01, self._end - time.monotonic()))
        return super().getreply()


class _PatientTLS(_Patient, smtplib.SMTP_SSL):
    pass


def _codes(error: Exception) -> list[int]:
    """The codes with which the server refused; nothing of its words, which may repeat ours."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return [code for code, _words in error.recipients.values()]
    return [error.smtp_code] if isinstance(error, smtplib.SMTPResponseException) else []


def _failed(error: Exception) -> MailFailed:
    failed = MailFailed(_reason(error))
    of_this_mail = isinstance(error, smtplib.SMTPRecipientsRefused | smtplib.SMTPSenderRefused | smtplib.SMTPDataError)
    failed.is_final = of_this_mail and min(_codes(error), default=0) >= 500
    return failed


def _reason(error: Exception) -> str:
    reasons: list[tuple[type[Exception], str]] = [
        (ssl.SSLCertVerificationError, _("The mail server's TLS certificate is not valid for its name.")),
        (ssl.SSLError, _("The mail server does not speak TLS as it is asked to.")),
        (smtplib.SMTPAuthenticationError, _("The mail server does not accept the user and password.")),
        (
            smtplib.SMTPNotSupportedError,
            _("The mail server does not offer what is asked of it (TLS, or a way to sign in)."),
        ),
        (smtplib.SMTPRecipientsRefused, _("The mail server does not accept this address.")),
        (smtplib.SMTPServerDisconnected, _("The mail server did not answer in time.")),
        (smtplib.SMTPException, _("The mail server did not accept the mail.")),
    ]
    fitting = (text for kind, text in reasons if isinstance(error, kind))
    return next(fitting, _("The mail server can't be reached."))
