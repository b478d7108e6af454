"""The one guarded way to fetch an address that somebody typed.

`addresses` says how an address is written and which lie inside; `allowance` what the operator opens all the same
(OUTBOUND_ALLOW); `names` looks a name up once and judges all that it means; `wire` is one connection to exactly such an
address, with a deadline and a measure; `fetching` asks and follows; `sessions` is all this for callers of `requests`.
"""

from chatbot.outbound.errors import OutboundFailed, OutboundRefused
from chatbot.outbound.fetching import Fetched, check_address, fetch
from chatbot.outbound.names import guard_host, guarded_addresses

__all__ = [
    "Fetched",
    "OutboundFailed",
    "OutboundRefused",
    "check_address",
    "fetch",
    "guard_host",
    "guarded_addresses",
]
