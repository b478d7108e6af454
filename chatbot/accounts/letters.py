"""What is mailed to people about their accounts: a link to set a new password, an invitation to a client."""

from flask_babel import force_locale
from flask_babel import gettext as _

from chatbot import mail
from chatbot.accounts.links import make_reset_link
from chatbot.accounts.people import find_account
from chatbot.audit import Actor
from chatbot.db import across_tenants
from chatbot.errors import NotFound
from chatbot.jobs import enqueue, handles

RESET_MAIL = "reset-mail"


def ask_for_reset_mail(email: str, language: str) -> None:
    """See to it soon that whoever has an account with this e-mail gets a link, by a job in the session's transaction.

    The page that asks does the same for every e-mail, so its time tells nobody who has an account.
    """
    enqueue(RESET_MAIL, email=email, language=language)


@handles(RESET_MAIL)
def _mail_reset(email: str, language: str) -> None:
    with across_tenants():
        account = find_account(email)
        if account is None:
            return
        try:
            link = make_reset_link(account.id, Actor(account.email, account.id))
        except NotFound:  # switched off
            return
        with force_locale(language or "en"):
            mail.post(account.email, *_reset_letter(link))


def _reset_letter(link: str) -> tuple[str, str]:
    subject = _("Set a new password")
    text = _(
        "Somebody asked for a new password for your account. If it was you, open this link within 30 minutes:\n\n"
        "%(link)s\n\n"
        "If it was not you, there is nothing to do: your password stays as it is.",
        link=link,
    )
    return subject, text


def post_invitation(email: str, client: str, inviter: str, link: str) -> None:
    """Mail an invitation soon, by a job in the session's transaction. Raises Invalid, MailFailed as `mail.post`."""
    client, inviter = _one_line(client), _one_line(inviter)
    subject = _("Your invitation to %(client)s", client=client)
    text = _(
        "%(inviter)s invites you to %(client)s. To accept, open this link within 7 days:\n\n"
        "%(link)s\n\n"
        "If you don't know what this is about, there is nothing to do.",
        inviter=inviter,
        client=client,
        link=link,
    )
    mail.post(email, subject, text)


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text).strip()
