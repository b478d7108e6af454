"""Trying a client's provider out before anybody depends on it, with words for what is wrong."""

from dataclasses import dataclass

from flask_babel import gettext as _

from chatbot.accounts.openid.calls import Deadline, Description, describe, fetch_keys, place_for
from chatbot.accounts.openid.errors import SignInProblem
from chatbot.accounts.openid.flows import check_sign_in_page
from chatbot.accounts.openid.id_tokens import is_usable
from chatbot.accounts.openid.providers import SignInProvider
from chatbot.accounts.openid.tokens import accepts_secret


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried. `why` says in the machine's words what is behind a problem."""

    is_good: bool
    words: str
    why: str = ""


def check_provider(provider: SignInProvider, redirect_uri: str) -> list[Finding]:
    """What is found, in order, up to the first problem. Takes seconds, and holds no transaction."""
    found: list[Finding] = []
    try:
        with place_for(provider) as deadline:
            description = describe(provider, deadline, is_fresh=True)
            found.append(Finding(True, _("The provider answers under this issuer.")))
            check_sign_in_page(provider, description)
            found.append(_check_keys(provider, description, deadline))
            if provider.client_secret:
                found.append(_check_secret(provider, description, redirect_uri, deadline))
    except SignInProblem as problem:
        found.append(Finding(False, str(problem.detail), str(problem.why)))
    return found


def _check_keys(provider: SignInProvider, description: Description, deadline: Deadline) -> Finding:
    if any(is_usable(key) for key in fetch_keys(provider, description, deadline)):
        return Finding(True, _("It publishes the keys that its answers are signed with."))
    return Finding(False, _("It publishes no key that its answers could be checked with."))


def _check_secret(provider: SignInProvider, description: Description, redirect_uri: str, deadline: Deadline) -> Finding:
    accepts = accepts_secret(provider, description, redirect_uri, deadline)
    if accepts is None:
        return Finding(True, _("Whether the client ID and the secret are right will show when somebody signs in."))
    if accepts:
        return Finding(True, _("It doesn't object to the client ID and the secret."))
    return Finding(False, _("It doesn't accept the client ID or the secret. Copy both once more."))
