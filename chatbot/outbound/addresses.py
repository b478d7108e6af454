"""How an address is written, and which addresses lie inside.

An address is read here once, strictly, into the parts that are then judged and contacted; no other reader looks at the
text again, so nothing can be judged as one host and contacted as another. (Readers differ: urlsplit drops tabs, browsers
take a backslash for a slash, the system's resolver takes 0x7f.1 for 127.0.0.1.)
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import quote

import idna
from flask_babel import gettext as _

from chatbot.outbound.errors import OutboundRefused, refused_as_written

LONGEST = 4096  # characters
PORTS = {"http": 80, "https": 443}

WHOLE = re.compile(r"(https?)://([^/?#]+)([^#]*)(?:#.*)?", re.ASCII | re.IGNORECASE)
AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:%]+))(?::([0-9]{0,5}))?")
NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")  # such a host is IPv4 in some notation, and no name
TARGET_SIGNS = "/?:@!$&'()*+,;=%~[]"

# Inside, though Python (one version or another) counts them as global, or they lead through a tunnel.
NEVER = [
    ip_network(text)
    for text in (
        "168.63.129.16/32",  # Azure's own services, within each of its machines
        "192.0.0.0/24",  # protocols' own; Oracle's metadata is at .192
        "192.88.99.0/24",  # 6to4
        "2002::/16",
        "2001::/23",  # Teredo and other protocols' own
        "3fff::/20",  # documentation
    )
]
UNICAST = ip_network("2000::/3")  # all of IPv6 that is anybody's public address
NAT64 = ip_network("64:ff9b::/96")  # a public IPv4 address, as a network without IPv4 sees it

# Names that mean something on one machine or in one network alone; a name without a dot does too.
INSIDE_NAMES = ("localhost", "local", "internal", "intranet", "lan", "corp", "home", "home.arpa")


@dataclass(frozen=True, slots=True)
class Address:
    """One http or https address. `host` is a lower-case ASCII name or a literal without brackets, as it is contacted."""

    scheme: str
    host: str
    port: int
    target: str  # path and query, percent-encoded

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port


def read_address(url: str, https_only: bool = False) -> Address:
    """The parts of `url`. Raises OutboundRefused for anything but a plain http or https address."""
    url = url.strip(" ")
    whole = WHOLE.fullmatch(url)
    if whole is None or len(url) > LONGEST or is_odd(url):
        raise refused_as_written()
    scheme, authority = whole[1].lower(), whole[2]
    if "@" in authority:
        raise OutboundRefused(_("Leave the name and the password out of the address."))
    if https_only and scheme != "https":
        raise OutboundRefused(_("This address must begin with https://."))
    parts = AUTHORITY.fullmatch(authority)
    if parts is None:
        raise refused_as_written()
    port = int(parts[3] or PORTS[scheme])
    try:
        host = read_host(parts[1] or parts[2])
        target = quote(whole[3] if whole[3].startswith("/") else f"/{whole[3]}", safe=TARGET_SIGNS)
    except ValueError:
        raise refused_as_written() from None
    if not 0 < port < 65536:
        raise refused_as_written()
    return Address(scheme, host, port, target)


def is_odd(text: str) -> bool:
    """Whether readers might disagree about it: backslashes, controls, line ends, invisible characters."""
    return "\\" in text or not text.isprintable()


def read_host(host: str) -> str:
    """`host` as it is contacted: wide and foreign letters as ASCII, no dot at the end. Raises ValueError for no host."""
    if ":" in host:
        if "%" in host:
            raise ValueError("an address of one network card")
        return str(IPv6Address(host))
    if not host.isascii():
        host = idna.encode(host, uts46=True).decode()
    host = host.lower().removesuffix(".")
    if ENDS_IN_NUMBER.fullmatch(host):
        return str(IPv4Address(host))  # four plain numbers; any other notation raises
    if len(host) > 253 or not NAME.fullmatch(host):
        raise ValueError("no name of a host")
    return host


def literal(host: str) -> IPv4Address | IPv6Address | None:
    """The IP address that `host` is; None for a name."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_inside(address: IPv4Address | IPv6Address) -> bool:
    """Whether it is anything but one public host's address."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_inside(address.ipv4_mapped)
        if address in NAT64:
            return is_inside(IPv4Address(int(address) & 0xFFFFFFFF))
        if address not in UNICAST or address.scope_id is not None:
            return True
    return not address.is_global or address.is_multicast or any(address in network for network in NEVER)


def is_inside_name(host: str) -> bool:
    """Whether a name is one of an inside network even where nobody knows it: so it can't be asked for which there are."""
    return "." not in host or any(f".{host}".endswith(f".{name}") for name in INSIDE_NAMES)
