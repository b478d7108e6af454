"""The guarded way for callers of `requests`, Authlib's clients among them: every call of the session goes through `fetch`.

For a session that a library makes itself: `guard(OAuth2Session(...))`.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import requests
from requests.adapters import BaseAdapter

from chatbot.outbound.errors import failed_redirects
from chatbot.outbound.fetching import REDIRECTS, fetch

LIMIT = 1_000_000  # bytes: discovery documents, keys and tokens are small

SomeSession = TypeVar("SomeSession", bound=requests.Session)


class GuardedAdapter(BaseAdapter):
    """Answers what a session asks. Certificates are always checked, proxies never used, and a redirect is a failure:
    what these sessions bring (a code, a secret, a token) is meant for one address alone."""

    def __init__(self, seconds: float, https_only: bool, allow: Sequence[str] | None) -> None:
        super().__init__()
        self._seconds, self._https_only, self._allow = seconds, https_only, allow

    def send(self, request: requests.PreparedRequest, *_args: Any, **_options: Any) -> requests.Response:
        """The whole answer, its body read. Raises OutboundRefused and OutboundFailed."""
        body = request.body.encode() if isinstance(request.body, str) else request.body
        if body is not None and not isinstance(body, bytes):
            raise TypeError("a guarded session sends text and bytes, no streams")
        headers: Mapping[str, Any] = request.headers
        fetched = fetch(
            request.url or "",
            method=request.method or "GET",
            headers={_text(name): _text(value) for name, value in headers.items()},
            body=body,
            follow=0,
            limit=LIMIT,
            seconds=self._seconds,
            https_only=self._https_only,
            allow=self._allow,
        )
        if fetched.status in REDIRECTS:
            raise failed_redirects()
        response = requests.Response()
        response.status_code, response.url, response.request = fetched.status, fetched.url, request
        response.headers.update(fetched.headers)
        response.headers.pop("content-encoding", None)  # it was unpacked
        response.raw = io.BytesIO(fetched.body)
        response.encoding = requests.utils.get_encoding_from_headers(response.headers)
        return response

    def close(self) -> None:
        """Nothing is kept open."""


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def guard(
    session: SomeSession, *, seconds: float = 10, https_only: bool = False, allow: Sequence[str] | None = None
) -> SomeSession:
    """`session`, from now on unable to reach anything but through the guard. `seconds` are for each whole call."""
    session.trust_env = False
    session.adapters.clear()
    session.mount("", GuardedAdapter(seconds, https_only, allow))  # file: and the like are refused there too
    return session


def guarded_session(
    seconds: float = 10, *, https_only: bool = False, allow: Sequence[str] | None = None
) -> requests.Session:
    """A new session under the guard."""
    return guard(requests.Session(), seconds=seconds, https_only=https_only, allow=allow)
