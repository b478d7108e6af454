"""Inside addresses that the operator opens all the same: OUTBOUND_ALLOW.

An entry is a network (10.1.0.0/16), an address (10.1.2.3, fd00::3) or a host (intranet.example.com), each with a port or
without (10.1.2.3:8080, [fd00::3]:8080). A host's entry opens whatever addresses its name has, that name alone.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Self

from flask import current_app

from chatbot.outbound.addresses import read_host

ENTRY = re.compile(r"(?:\[([^\[\]]+)\]|([^\[\]:]+))(?::([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Entry:
    """`place` is a network, or a host's name; without a port it is about all of them."""

    place: IPv4Network | IPv6Network | str
    port: int | None


@dataclass(frozen=True, slots=True)
class Allowance:
    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, entries: Sequence[str] | None) -> Self:
        """What `entries` open; None means the installation's own OUTBOUND_ALLOW (in an application context)."""
        given = current_app.config["SHAMAN"].OUTBOUND_ALLOW if entries is None else entries
        return cls(tuple(read_entry(text) for text in given))

    def has_name(self, host: str, port: int) -> bool:
        return any(entry.place == host and entry.port in (None, port) for entry in self.entries)

    def has_address(self, address: IPv4Address | IPv6Address, port: int) -> bool:
        return any(
            not isinstance(entry.place, str) and address in entry.place and entry.port in (None, port)
            for entry in self.entries
        )


def read_entry(text: str) -> Entry:
    """One entry of OUTBOUND_ALLOW. Raises ValueError."""
    parts = ENTRY.fullmatch(text)
    place, port = (parts[1] or parts[2], parts[3]) if parts else (text, None)
    if port is not None and not 0 < int(port) < 65536:
        raise ValueError("no such port")
    number = None if port is None else int(port)
    try:
        return Entry(ip_network(place), number)
    except ValueError:
        return Entry(read_host(place), number)


def check_entries(entries: list[str]) -> list[str]:
    """`entries` themselves. Raises ValueError, which names the first that can't be used."""
    for text in entries:
        try:
            read_entry(text)
        except ValueError:
            raise ValueError(
                f"{text!r} is no network and no host; write them like 10.1.0.0/16, 10.1.2.3:8080, intranet.example.com"
            ) from None
    return entries
