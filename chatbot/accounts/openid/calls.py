"""Asking a provider: within seconds, by few at a time, and what it says about itself kept for a while.

However slow a provider is, it holds few of the requests that a process can answer at once, and each for a few seconds.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
from flask import current_app
from flask_babel import lazy_gettext as _l
from pydantic import BaseModel, ConfigDict, ValidationError
from requests import HTTPError, RequestException, Response, Session

from chatbot.accounts.openid.errors import odd_answer, too_many, too_slow, unreachable
from chatbot.accounts.openid.providers import SignInProvider, is_same_provider
from chatbot.outbound import OutboundFailed, OutboundRefused
from chatbot.outbound.sessions import guarded_session

log = structlog.get_logger(__name__)

SECONDS = 8.0  # for all legs that one page waits for
AT_ONCE = 4  # calls of one provider in one process
AT_ONCE_OF_CLIENTS = 16  # of all clients' own together, so that they leave the rest their share
DESCRIBED_FOR = 3600.0  # seconds
KEYS_FOR = 3600.0
KEYS_AGAIN_AFTER = 60.0  # an unknown key asks for new ones, no more often than this
MOST_KEPT = 2000


class Description(BaseModel):
    """What a provider says about itself (OpenID Connect Discovery), as far as it is used here."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a page's answer is due, on time.monotonic."""

    at: float

    @classmethod
    def soon(cls) -> "Deadline":
        return cls(time.monotonic() + SECONDS)

    def left(self, provider: SignInProvider) -> float:
        """Seconds. Raises ProviderSlow when none are left."""
        seconds = self.at - time.monotonic()
        if seconds < 0.05:
            raise too_slow(provider.label)
        return seconds


@dataclass
class _Keys:
    found: list[dict[str, Any]]
    found_at: float
    again_at: float = -KEYS_AGAIN_AFTER  # when an unknown key last asked for new ones


@dataclass
class _Memory:
    """What one process remembers of its providers, and how many calls are under way."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    calls: Counter[str] = field(default_factory=Counter)
    descriptions: dict[str, tuple[float, Description]] = field(default_factory=dict)
    keys: dict[str, _Keys] = field(default_factory=dict)

    def tidy(self) -> None:
        for kept in (self.descriptions, self.keys):
            if len(kept) > MOST_KEPT:
                kept.clear()


def _memory() -> _Memory:
    kept: _Memory = current_app.extensions.setdefault("shaman_sign_in", _Memory())
    return kept


@contextmanager
def place_for(provider: SignInProvider) -> Iterator[Deadline]:
    """One of the few places for calls to `provider`, and the time they may take. Raises ProviderBusy at once for none."""
    memory, own = _memory(), provider.place
    few = max(1, current_app.config["SHAMAN"].WEB_CONNECTIONS // 4)
    with memory.lock:
        is_full = memory.calls[own] >= min(AT_ONCE, few)
        if provider.tenant_id is not None:
            is_full = is_full or memory.calls["clients"] >= min(AT_ONCE_OF_CLIENTS, few)
        if is_full:
            raise too_many(provider.label)
        taken = [own] if provider.tenant_id is None else [own, "clients"]
        memory.calls.update(taken)
    try:
        yield Deadline.soon()
    finally:
        with memory.lock:
            memory.calls.subtract(taken)
            memory.calls += Counter()  # forgets those at nought


def describe(provider: SignInProvider, deadline: Deadline, *, is_fresh: bool = False) -> Description:
    """What the provider says about itself, as of an hour ago at the most. Raises ProviderTrouble."""
    memory = _memory()
    kept = memory.descriptions.get(provider.place)
    if kept is not None and time.monotonic() - kept[0] < DESCRIBED_FOR and not is_fresh:
        return kept[1]
    document = get_json(provider, provider.discovery_url, deadline)
    try:
        description = Description.model_validate(document)
    except ValidationError as error:
        missing = ", ".join(str(part["loc"][0]) for part in error.errors(include_url=False))
        raise odd_answer(provider.label, _l("its description of itself lacks: %(names)s", names=missing)) from None
    _check_issuer(provider, description)
    memory.tidy()
    memory.descriptions[provider.place] = time.monotonic(), description
    return description


def _check_issuer(provider: SignInProvider, description: Description) -> None:
    """A document that names another issuer is somebody else's."""
    said = description.issuer
    is_own = provider.tenant_id is not None
    is_right = said == provider.issuer if is_own else is_same_provider(said, provider)
    if not is_right:
        raise odd_answer(
            provider.label, _l("it calls itself %(issuer)s, and the issuer must be exactly that", issuer=said[:200])
        )


def get_json(provider: SignInProvider, url: str, deadline: Deadline, **headers: str) -> dict[str, Any]:
    """A JSON object that the provider gives. Raises ProviderTrouble."""
    with calling(provider, deadline) as session:
        answer = session.get(url, headers={"Accept": "application/json"} | headers)
    return _read_json(provider, url, answer)


def _read_json(provider: SignInProvider, url: str, answer: Response) -> dict[str, Any]:
    if answer.status_code != 200:
        raise unreachable(
            provider.label, _l("%(url)s answers with status %(status)s", url=url, status=answer.status_code)
        )
    try:
        document = answer.json()
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise odd_answer(provider.label, _l("%(url)s answers with something other than a JSON object", url=url))
    return document


@contextmanager
def calling(provider: SignInProvider, deadline: Deadline) -> Iterator[Session]:
    """A guarded session for one call, which lasts no longer than is left; what goes wrong is a ProviderTrouble."""
    seconds = deadline.left(provider)
    with (
        guarded_session(seconds, https_only=provider.is_https, allow=provider.allow) as session,
        plainly(provider, deadline),
    ):
        yield session


@contextmanager
def plainly(provider: SignInProvider, deadline: Deadline) -> Iterator[None]:
    """What goes wrong on the way to the provider, as a ProviderTrouble."""
    try:
        yield
    except (OutboundRefused, OutboundFailed) as error:
        deadline.left(provider)  # when the time is up, that is what happened
        raise unreachable(provider.label, error.detail) from None
    except HTTPError:
        raise
    except RequestException as error:  # an address that can't be read
        log.info("provider's address", provider=provider.name, cause=type(error).__name__)
        raise odd_answer(provider.label, _l("it names an address that can't be used")) from None


def keys_for(
    provider: SignInProvider, description: Description, kid: str | None, deadline: Deadline
) -> Iterator[dict[str, Any]]:
    """The provider's public keys (as JWKs) that may have signed: those called `kid`; of all, when the token names none.

    First those at hand; when one goes on asking, those that the provider publishes now, asked at most once a minute.
    Raises ProviderTrouble.
    """
    memory, place = _memory(), f"{provider.place} {description.jwks_uri}"
    kept = memory.keys.get(place)
    if kept is None or time.monotonic() - kept.found_at > KEYS_FOR:
        kept = _Keys(fetch_keys(provider, description, deadline), time.monotonic())
        memory.tidy()
        memory.keys[place] = kept
        yield from _named(kept.found, kid)
        return
    yield from _named(kept.found, kid)
    with memory.lock:
        if time.monotonic() - kept.again_at < KEYS_AGAIN_AFTER:
            return
        kept.again_at = time.monotonic()
    kept.found, kept.found_at = fetch_keys(provider, description, deadline), time.monotonic()
    yield from _named(kept.found, kid)


def fetch_keys(provider: SignInProvider, description: Description, deadline: Deadline) -> list[dict[str, Any]]:
    """The public keys (JWKs) that the provider publishes now. Raises ProviderTrouble."""
    keys = get_json(provider, description.jwks_uri, deadline).get("keys")
    if not isinstance(keys, list):
        raise odd_answer(provider.label, _l("its list of keys is none"))
    return [key for key in keys[:100] if isinstance(key, dict)]


def _named(keys: list[dict[str, Any]], kid: str | None) -> list[dict[str, Any]]:
    return [key for key in keys if kid is None or key.get("kid") == kid]
