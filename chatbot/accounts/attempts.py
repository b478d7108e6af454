"""Trying a password: the same words and the same time whoever is meant, and not often.

Failures are counted for the e-mail and for the address they come from. A browser in which the account has signed in
before is counted by itself, so that nobody's guessing locks the owner out of it; a link by mail gets in always.
"""

import hashlib
from dataclasses import dataclass

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import update

from chatbot.accounts.models import Account
from chatbot.accounts.passwords import AT_ONCE, is_right, renewed, turn
from chatbot.accounts.people import find_account, read_email
from chatbot.db import across_tenants
from chatbot.errors import RateLimited
from chatbot.usage.rates import count_call, wait_for_call

FAILURES = "20 per 15 minutes"
MOST_AT_ONCE = 10  # so that a large installation's owners have ten tries too

Counter = tuple[str, str]  # a scope, and whose


@dataclass(frozen=True, slots=True)
class Known:
    """A browser that has a cookie of ours: its own name, and the accounts that have signed in with a password there."""

    browser: str = ""
    accounts: tuple[str, ...] = ()


def try_password(email: str, password: str, address: str, known: Known) -> Account | None:
    """The account whose e-mail and password these are; None for any other.

    Raises RateLimited after many failures, Unavailable when many people sign in at this moment.
    """
    typed = read_email(email)
    account = _find(typed)
    with turn():
        return _try(account, password, _counters(typed or email.strip().casefold(), account, address, known))


def check_own_password(account_id: str, password: str) -> bool:
    """Whether this is the password of whoever is signed in, who has tries of their own. Raises as `try_password`."""
    with across_tenants(writes=False) as session:
        account = session.get(Account, account_id)
    with turn():
        return _try(account, password, [("password-own", account_id)]) is not None


def _find(email: str | None) -> Account | None:
    with across_tenants(writes=False):
        return find_account(email)


def _try(account: Account | None, password: str, counters: list[Counter]) -> Account | None:
    _refuse_too_many(counters)
    kept = account.password_hash if account is not None else None
    if not is_right(password, kept) or account is None or kept is None:
        for scope, whose in counters:
            count_call(FAILURES, scope, whose)
        return None
    _renew(account.id, kept, renewed(password, kept))
    return account


def _counters(email: str, account: Account | None, address: str, known: Known) -> list[Counter]:
    if account is not None and account.id in known.accounts:
        return [("password-browser", f"{known.browser}:{account.id}")]
    digest = hashlib.sha256(email.encode("utf-8", "surrogatepass")).hexdigest()
    return [("password-account", digest), ("password-address", address)]


def _refuse_too_many(counters: list[Counter]) -> None:
    # As much room is left as tries may be under way in all processes, so that no number at once gets beyond the rate.
    room = min(AT_ONCE * current_app.config["SHAMAN"].WEB_WORKERS, MOST_AT_ONCE)
    waits = [wait for counter in counters if (wait := wait_for_call(FAILURES, *counter, calls=room)) is not None]
    if waits:
        minutes = max(1, round(max(waits) / 60))
        words = _(
            "There were too many tries that failed. Wait %(n)s minutes, or set a new password with a link.", n=minutes
        )
        raise RateLimited(words, retry_after=max(waits))


def _renew(account_id: str, kept: str, hashed: str | None) -> None:
    if hashed is not None:
        with across_tenants() as session:
            unchanged = Account.id == account_id, Account.password_hash == kept
            session.execute(update(Account).where(*unchanged).values(password_hash=hashed))
