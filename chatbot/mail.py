"""Mail to one person: plain text, through the operator's mail server.

A mail mostly carries a link that is a secret, and jobs are plain rows of the database. So `post` puts a mail into its
job as ciphertext under ENCRYPTION_KEYS, bound to the job's tenant; a mail that was sent, or given up, is deleted.
"""

import json
import re
from datetime import timedelta
from email.header import Header
from email.headerregistry import HeaderRegistry, UniqueUnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from email.utils import format_datetime, make_msgid
from typing import Any, cast
from urllib.parse import urlsplit

import structlog
from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import delete, select

from chatbot.config import Settings
from chatbot.db import across_tenants, as_tenant, db
from chatbot.errors import Invalid, MailFailed
from chatbot.jobs import Job, enqueue, handles, sweeps
from chatbot.secrets_at_rest import seal, unseal
from chatbot.smtp import hand_over, read_address, read_sender, read_server
from chatbot.tenancy import now

KIND = "mail"
PAUSES = [timedelta(seconds=seconds) for seconds in (15, 60, 300, 900, 3600)]  # before each further try
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
LONGEST_LINE = 900  # bytes; a mail server takes up to 998
log = structlog.get_logger(__name__)


class _Subject(UniqueUnstructuredHeader):
    """Folded the library's older way: its newer one loses spaces between words that are not ASCII (Python 3.11)."""

    def fold(self, *, policy: EmailPolicy) -> str:
        return f"Subject: {Header(str(self), header_name='Subject').encode(linesep=policy.linesep)}{policy.linesep}"


_headers = HeaderRegistry()
_headers.map_to_type("subject", cast(Any, _Subject))
POLICY = SMTP.clone(header_factory=_headers)


def can_mail() -> bool:
    """Whether the operator has set up a mail server. Without one, a link is shown to whoever asked for it."""
    return bool(_settings().SMTP_URL)


def send(to: str, subject: str, text: str) -> None:
    """Send a mail now; it takes up to ten seconds. Raises Invalid for an address or subject that is none, MailFailed."""
    _hand_over(_checked(to, subject, text))


def post(to: str, subject: str, text: str) -> None:
    """Send a mail soon, by a job in the session's transaction, which tries again for an hour and a half.

    A page never waits for a mail server. Raises Invalid as `send` does, and MailFailed where there is no mail server.
    """
    mail = _checked(to, subject, text)
    job = enqueue(KIND)
    job.payload = {"sealed": seal(json.dumps(mail), _place(job.tenant_id))}


@handles(KIND)
def _deliver(sealed: str, tries: int = 0) -> None:
    tenant_id = db.session().tenant_id
    try:
        _hand_over(json.loads(unseal(sealed, _place(tenant_id))))
    except MailFailed as failed:
        if failed.is_final or tries >= len(PAUSES):
            log.error("mail given up", tries=tries + 1)
            return
        with as_tenant(tenant_id) if tenant_id else across_tenants():
            enqueue(KIND, delay=PAUSES[tries], sealed=sealed, tries=tries + 1)


@sweeps
def give_up() -> int:
    """Delete the mails whose jobs have died: they took their worker down, or no key opens them. Returns how many."""
    dead = (Job.kind == KIND, Job.status == "dead")
    with across_tenants(writes=False) as session:
        found = session.scalars(select(Job.id).where(*dead)).all()
    if found:
        log.error("mail given up", mails=len(found))
        with across_tenants() as session:
            session.execute(delete(Job).where(Job.id.in_(found)).execution_options(synchronize_session=False))
    return len(found)


def _settings() -> Settings:
    settings: Settings = current_app.config["SHAMAN"]
    return settings


def _place(tenant_id: str | None) -> str:
    return f"mail:{tenant_id or ''}"


def _checked(to: str, subject: str, text: str) -> dict[str, str]:
    """The mail as plain values, with the id that it keeps however often it is tried. Raises Invalid, MailFailed."""
    if not can_mail():
        raise MailFailed(_("No mail server is set up."))
    try:
        address = read_address(to)
    except ValueError:
        raise Invalid(_("This is no e-mail address.")) from None
    if CONTROLS.search(subject):
        raise Invalid(_("A mail's subject is one line."))
    return {"to": address.addr_spec, "subject": subject, "text": text, "id": make_msgid(domain=_own_name())}


def _hand_over(mail: dict[str, str]) -> None:
    settings = _settings()
    if not settings.SMTP_URL or not settings.MAIL_FROM:
        raise MailFailed(_("No mail server is set up."))
    message = EmailMessage(POLICY)
    message["From"] = read_sender(settings.MAIL_FROM)
    message["To"] = read_address(mail["to"])
    message["Subject"] = mail["subject"]
    message["Date"] = format_datetime(now())
    message["Message-ID"] = mail["id"]
    message["Auto-Submitted"] = "auto-generated"  # no out-of-office answers
    message.set_content(mail["text"], cte=_encoding(mail["text"]))
    hand_over(message, read_server(settings.SMTP_URL), _own_name())


def _encoding(text: str) -> str:
    """As it is, where it is ASCII, so that a long link stays in one piece for whoever reads the source."""
    is_plain = text.isascii() and all(len(line) <= LONGEST_LINE for line in text.splitlines())
    return "7bit" if is_plain else "quoted-printable"


def _own_name() -> str:
    """What this installation is called among mail servers: PUBLIC_URL's host, an IP address in brackets."""
    host = urlsplit(_settings().PUBLIC_URL).hostname or "localhost"
    if ":" in host:
        return f"[IPv6:{host}]"
    return f"[{host}]" if re.fullmatch(r"[0-9.]+", host) else host
