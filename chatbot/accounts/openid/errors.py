"""What a sign-in with a provider can come to, in words for the person who tries.

    SignInProblem
    ├── FlowLost (400)         the answer belongs to no sign-in that this browser began
    ├── AnswerRefused (400)    the provider said no, or said what can't be believed
    ├── NotInvited (403)       the person is known to the provider, and not here
    └── ProviderTrouble (502)  ├── ProviderSlow (504)   ├── ProviderBusy (503)

None of them takes another way of signing in down. The words never hold what the provider said.
"""

from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from chatbot.errors import ShamanError


class SignInProblem(ShamanError):
    """`why` says more to whoever set the provider up: in the log, and on the page that checks a client's own."""

    title = _l("You are not signed in")

    def __init__(self, detail: Any = "", *, why: Any = "", retry_after: float | None = None) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.why = why or detail


class FlowLost(SignInProblem):
    status, kind = 400, "sign-in-lost"

    def __init__(self) -> None:
        super().__init__(
            _("This sign-in was begun in another browser, was used already, or is more than ten minutes old.")
        )


class AnswerRefused(SignInProblem):
    status, kind = 400, "sign-in-refused"


class NotInvited(SignInProblem):
    status, kind = 403, "not-invited"


class ProviderTrouble(SignInProblem):
    status, kind = 502, "provider"


class ProviderSlow(ProviderTrouble):
    status, kind = 504, "provider-slow"


class ProviderBusy(ProviderTrouble):
    status, kind = 503, "provider-busy"


def stopped(label: str) -> AnswerRefused:
    return AnswerRefused(_("The sign-in with %(name)s was stopped before its end.", name=label))


def unbelieved(label: str, why: str) -> AnswerRefused:
    """For an answer that doesn't prove who somebody is: forged, mixed up, or a provider that is set up wrong."""
    words = _("What %(name)s answered doesn't prove who you are, so it was not used.", name=label)
    return AnswerRefused(words, why=why)


def clock_differs(label: str, seconds: float) -> AnswerRefused:
    return AnswerRefused(
        _(
            "The clocks of %(name)s and of this server differ by about %(n)s seconds, and at most 60 can be allowed."
            " Please tell whoever runs them.",
            name=label,
            n=round(seconds),
        )
    )


def unreachable(label: str, why: Any) -> ProviderTrouble:
    return ProviderTrouble(_("%(name)s can't be reached at the moment.", name=label), why=why)


def too_slow(label: str) -> ProviderSlow:
    return ProviderSlow(_("%(name)s takes too long to answer.", name=label), why=_l("it didn't answer in time"))


def too_many(label: str) -> ProviderBusy:
    return ProviderBusy(
        _("Many people are signing in with %(name)s just now. Please try again in a moment.", name=label),
        retry_after=5,
    )


def odd_answer(label: str, why: Any) -> ProviderTrouble:
    """For an answer that can't be read: an error page, a document without what it must hold."""
    return ProviderTrouble(_("%(name)s answered with something that can't be used.", name=label), why=why)


def unknown_person(label: str) -> NotInvited:
    """The same words whether or not somebody here has the provider's e-mail: it is no proof, and nobody is told."""
    return NotInvited(
        _(
            "Nobody here signs in with this %(name)s account yet. If you have an account here, sign in the way you did"
            " before and link %(name)s on the page of your account. If not, ask for an invitation, and open its link"
            " in this browser.",
            name=label,
        )
    )


def not_in_client(label: str) -> NotInvited:
    return NotInvited(
        _(
            "You have no place at %(name)s yet. Ask one of its admins for an invitation, and open its link in this"
            " browser.",
            name=label,
        )
    )
