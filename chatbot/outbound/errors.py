"""What an address that somebody typed can come to. The words never hold what the other side said, or where a name led."""

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from chatbot.errors import ShamanError


class OutboundRefused(ShamanError):
    """The address may not be reached. Nothing was connected, so what listens there makes no difference."""

    status, kind, title = 422, "outbound-refused", _l("This address can't be used")


class OutboundFailed(ShamanError):
    """The address may be reached, and nothing of use came back."""

    status, kind, title = 502, "outbound-failed", _l("Nothing could be fetched from this address")


def refused_as_written() -> OutboundRefused:
    return OutboundRefused(_("Write a whole web address, like https://www.example.com/page."))


def refused_as_inside() -> OutboundRefused:
    return OutboundRefused(_("This address belongs to a private network. Only the operator can open it."))


def failed_in_time() -> OutboundFailed:
    return OutboundFailed(_("The other side took too long. Please try again later."))


def failed_in_size() -> OutboundFailed:
    return OutboundFailed(_("The other side sends more than can be taken in."))


def failed_unknown_name() -> OutboundFailed:
    return OutboundFailed(_("Nothing is known under this address. Is its name spelled right?"))


def failed_connection() -> OutboundFailed:
    return OutboundFailed(_("The other side can't be reached, or broke off. Please try again later."))


def failed_certificate() -> OutboundFailed:
    return OutboundFailed(_("No secure connection: the other side's certificate isn't valid for this address."))


def failed_unreadable() -> OutboundFailed:
    return OutboundFailed(_("The other side's answer can't be read."))


def failed_redirects() -> OutboundFailed:
    return OutboundFailed(_("This address sends us on to another one. Write the one it leads to."))


def failed_status() -> OutboundFailed:
    return OutboundFailed(_("The other side didn't give the page: it may be gone, or not for everybody."))


def failed_type() -> OutboundFailed:
    return OutboundFailed(_("What is at this address is of a kind that can't be read."))
