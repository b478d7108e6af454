"""Asking an address that somebody typed, and following where it sends us, each step judged anew."""

import http.client
import ssl
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from urllib.parse import urljoin

import structlog

from chatbot.outbound import errors
from chatbot.outbound.addresses import Address, is_odd, read_address
from chatbot.outbound.allowance import Allowance
from chatbot.outbound.errors import OutboundFailed
from chatbot.outbound.names import judged
from chatbot.outbound.wire import Wire, ask, dial, left_until, read_body

log = structlog.get_logger(__name__)

REDIRECTS = (301, 302, 303, 307, 308)
# Headers of ours, whatever a caller gives, and those that may go on to another origin; any other may hold a secret.
OURS = {"host", "connection", "accept-encoding", "content-length", "transfer-encoding", "te", "trailer", "upgrade"}
OURS |= {"expect", "keep-alive", "proxy-authorization", "proxy-connection"}
CARRIED = {"accept", "accept-language", "user-agent"}
SAVING = 3.0  # seconds that looking up a name may hold up saving a form


@dataclass(frozen=True, slots=True)
class Fetched:
    """A final answer: where it came from, its status, its headers by lower-case name, its body unpacked."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Asking:
    """One step's request. Headers' names are lower-case."""

    address: Address
    method: str
    headers: Mapping[str, str]
    body: bytes | None


def check_address(url: str, *, https_only: bool = False, allow: Sequence[str] | None = None) -> str:
    """`url` in its one normal form, for saving.

    Raises OutboundRefused for what is known to be wrong now. A name that can't be looked up now passes: it is judged
    whenever it is used.
    """
    address = read_address(url, https_only)
    try:
        judged(address.host, address.port, SAVING, Allowance.of(allow))
    except OutboundFailed:
        log.info("outbound name unknown", host=address.host)
    return address.url


def fetch(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    follow: int = 3,
    limit: int = 10_000_000,
    seconds: float = 30,
    accept: tuple[str, ...] = (),
    https_only: bool = False,
    allow: Sequence[str] | None = None,
) -> Fetched:
    """What `url` answers, in at most `seconds` for everything and `limit` bytes of unpacked body.

    The final answer is returned whatever its status; but with `accept` (`text/html`, `image/*`) anything other than a 2xx
    of such a type is a failure. At most `follow` redirects are followed; with 0 a redirect is itself the final answer.
    Another origin gets neither the body nor any header but `CARRIED`. `allow` stands in for OUTBOUND_ALLOW.
    Raises OutboundRefused and OutboundFailed.
    """
    deadline = time.monotonic() + seconds
    allowance = Allowance.of(allow)
    asking = Asking(read_address(url, https_only), method.upper(), _given(headers, accept), body)
    for _step in range(follow + 1):
        with _asked(asking, deadline, allowance) as (wire, answer):
            onward = _onward(asking, answer, https_only) if follow else None
            if onward is None:
                _expect(answer, accept)
                return Fetched(asking.address.url, answer.status, _headers_of(answer), read_body(wire, answer, limit))
        asking = onward
    raise errors.failed_redirects()


def _given(headers: Mapping[str, str] | None, accept: tuple[str, ...]) -> dict[str, str]:
    given = {name.lower(): value for name, value in (headers or {}).items()}
    return {"user-agent": "Shaman", "accept": ", ".join(accept) or "*/*"} | {
        name: value for name, value in given.items() if name not in OURS
    }


@contextmanager
def _asked(asking: Asking, deadline: float, allowance: Allowance) -> Iterator[tuple[Wire, http.client.HTTPResponse]]:
    """One step's answer, its body unread; all that can go wrong with it is an OutboundFailed."""
    address = asking.address
    own = {"Host": address.authority, "Connection": "close", "Accept-Encoding": "identity"}
    if asking.body is not None:
        own["Content-Length"] = str(len(asking.body))
    try:
        places = judged(address.host, address.port, left_until(deadline), allowance)
        with closing(dial(address, places, deadline)) as wire:
            yield wire, ask(wire, address, asking.method, own | dict(asking.headers), asking.body)
    except (OSError, http.client.HTTPException, ValueError, zlib.error) as error:
        log.info("outbound failed", host=address.host, cause=type(error).__name__)
        raise _in_plain_words(error) from None


def _in_plain_words(error: Exception) -> OutboundFailed:
    if isinstance(error, TimeoutError):
        return errors.failed_in_time()
    if isinstance(error, ssl.SSLCertVerificationError):
        return errors.failed_certificate()
    return errors.failed_connection() if isinstance(error, OSError) else errors.failed_unreadable()


def _onward(asking: Asking, answer: http.client.HTTPResponse, https_only: bool) -> Asking | None:
    """The request that a redirect asks for; None when the answer is none."""
    location = answer.headers.get("Location")
    if answer.status not in REDIRECTS or not location:
        return None
    location = location.encode("latin-1").decode()
    if is_odd(location):  # before urljoin, which would drop some of it
        raise errors.refused_as_written()
    address = read_address(urljoin(asking.address.url, location), https_only)
    if answer.status in (301, 302, 303) and asking.method not in ("GET", "HEAD"):
        headers = {name: value for name, value in asking.headers.items() if name != "content-type"}
        asking = replace(asking, method="GET", headers=headers, body=None)
    if address.origin == asking.address.origin:
        return replace(asking, address=address)
    if asking.body is not None:
        raise errors.failed_redirects()
    return replace(
        asking,
        address=address,
        headers={name: value for name, value in asking.headers.items() if name in CARRIED},
    )


def _headers_of(answer: http.client.HTTPResponse) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in answer.headers.items():
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _expect(answer: http.client.HTTPResponse, accept: tuple[str, ...]) -> None:
    """Raise OutboundFailed, before the body is read, for an answer that is not of the kind that is wanted."""
    if not accept:
        return
    if not 200 <= answer.status < 300:
        raise errors.failed_status()
    kind = answer.headers.get_content_type() if "Content-Type" in answer.headers else ""
    family = kind.partition("/")[0]
    if answer.status == 204 or not {kind, f"{family}/*", "*/*"} & set(accept):
        raise errors.failed_type()
