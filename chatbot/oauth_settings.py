"""Reading OAUTH_<NAME>_CLIENT_ID, …_CLIENT_SECRET and …_DISCOVERY_URL: the operator's own sign-in providers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

SETTING = re.compile(r"OAUTH_([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)_(CLIENT_ID|CLIENT_SECRET|DISCOVERY_URL)")
WELL_KNOWN = "/.well-known/openid-configuration"
KNOWN = {
    "GOOGLE": f"https://accounts.google.com{WELL_KNOWN}",
    "MICROSOFT": f"https://login.microsoftonline.com/common/v2.0{WELL_KNOWN}",
}
RESERVED = ("CLIENT", "PASSKEY", "SECOND")  # /login/… has pages of these names


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """One sign-in button. `name` is the <NAME>, in lower case: it stands in /login/<name>."""

    name: str
    client_id: str
    client_secret: str = field(repr=False)
    discovery_url: str


def read_providers(values: Mapping[str, Any]) -> dict[str, ProviderSettings]:
    """The providers that `values` (names and values of settings) describe, by name.

    Raises ValueError, whose text begins with the setting that is missing or can't be used.
    """
    given: dict[str, dict[str, str]] = {}
    for setting, value in values.items():
        parts = SETTING.fullmatch(setting)
        if parts and value:
            given.setdefault(parts[1], {})[parts[2]] = value.strip()
    return {name.lower(): _read(name, parts) for name, parts in sorted(given.items())}


def _read(name: str, parts: dict[str, str]) -> ProviderSettings:
    parts = {"DISCOVERY_URL": KNOWN[name]} | parts if name in KNOWN else parts
    for part in ("CLIENT_ID", "CLIENT_SECRET", "DISCOVERY_URL"):
        if part not in parts:
            raise ValueError(f"OAUTH_{name}_{part}: it is missing, and the others of OAUTH_{name}_… need it")
    if name in RESERVED:
        raise ValueError(f"OAUTH_{name}_CLIENT_ID: {name} is no name for a provider here; choose another")
    url = parts["DISCOVERY_URL"]
    if not url.endswith(WELL_KNOWN):
        raise ValueError(f"OAUTH_{name}_DISCOVERY_URL: it must end with {WELL_KNOWN}")
    if not _is_safe(url):
        raise ValueError(f"OAUTH_{name}_DISCOVERY_URL: it must begin with https:// (http:// only on this machine)")
    return ProviderSettings(name.lower(), parts["CLIENT_ID"], parts["CLIENT_SECRET"], url)


def _is_safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))


def is_loopback(host: str) -> bool:
    """Whether `host`, as it is written, is this very machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
