"""What a host's name means just now, looked up once and judged whole."""

import queue
import socket
import threading
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

import structlog

from chatbot.outbound.addresses import is_inside, is_inside_name, literal, read_host
from chatbot.outbound.allowance import Allowance
from chatbot.outbound.errors import failed_in_time, failed_unknown_name, refused_as_inside, refused_as_written

log = structlog.get_logger(__name__)


def guard_host(host: str, port: int, *, seconds: float = 10, allow: Sequence[str] | None = None) -> str:
    """The IP address to connect to for `host` and `port`; see `guarded_addresses`."""
    return guarded_addresses(host, port, seconds=seconds, allow=allow)[0]


def guarded_addresses(
    host: str, port: int, *, seconds: float = 10, allow: Sequence[str] | None = None
) -> tuple[str, ...]:
    """The IP addresses of `host`, all of them public or allowed, in the resolver's order: connect to one of these and to
    nothing else, and keep the name for SNI, certificate and Host.

    Raises OutboundRefused for an inside host, or a name of which even one address is inside; OutboundFailed when it is
    unknown or can't be looked up in `seconds`.
    """
    try:
        host = read_host(host)
    except ValueError:
        raise refused_as_written() from None
    return judged(host, port, seconds, Allowance.of(allow))


def judged(host: str, port: int, seconds: float, allowance: Allowance) -> tuple[str, ...]:
    """`guarded_addresses` for a host that was read already."""
    addresses = [host] if literal(host) is not None else _look_up(host, port, seconds)
    if not allowance.has_name(host, port):
        for address in addresses:
            _judge(host, address, port, allowance)
    return tuple(addresses)


def _judge(host: str, address: str, port: int, allowance: Allowance) -> None:
    meant = literal(address)
    if meant is None or (is_inside(ip_address(address)) and not allowance.has_address(meant, port)):
        log.warning("outbound refused", host=host, address=address, port=port)
        raise refused_as_inside()


def _look_up(host: str, port: int, seconds: float) -> list[str]:
    """Every address of a name. The system's resolver can't be hurried, so one that is too slow is left to itself."""
    answers: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=ask, name="look-up", daemon=True).start()
    try:
        answer = answers.get(timeout=max(0.001, seconds))
    except queue.Empty:
        raise refused_as_inside() if is_inside_name(host) else failed_in_time() from None
    if isinstance(answer, Exception) or not answer:
        raise refused_as_inside() if is_inside_name(host) else failed_unknown_name()
    return list(dict.fromkeys(str(place[0]) for *_rest, place in answer))
