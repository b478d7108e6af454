"""What passkeys are bound to.

A site is known by PUBLIC_URL, never by what a request says. Browsers have passkeys for https and for localhost only.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

ANSWER_WITHIN = 5 * 60  # seconds, from a challenge to its answer


@dataclass(frozen=True, slots=True)
class Site:
    """What passkeys are bound to: the host's name, and the origin that a browser must have been on."""

    host: str
    origin: str


def site_of(public_url: str) -> Site | None:
    """The site at `public_url`; None where browsers have no passkeys: on plain http, and on an address without a name."""
    parts = urlsplit(public_url)
    host = (parts.hostname or "").encode("idna").decode()
    is_local = host == "localhost" or host.endswith(".localhost")
    if _is_address(host) or not (parts.scheme == "https" or is_local):
        return None
    port = "" if parts.port in (None, {"https": 443, "http": 80}[parts.scheme]) else f":{parts.port}"
    return Site(host, f"{parts.scheme}://{host}{port}")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


# --- asking ----------------------------------------------------------------------------------------------------------
