"""What keeps a request honest: headers and CSP, the cookies' names, whose address it came from."""

import io
import ipaddress
import re
from typing import IO, Any

from flask import Flask, Request, Response, request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import RequestRedirect

from chatbot.config import Settings
from chatbot.errors import NotFound

CSP = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "object-src": "'none'",
    "manifest-src": "'self'",
    "frame-ancestors": "'none'",
}
WITH_PORT = re.compile(r"^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::[0-9]+)?$")  # some proxies pass the port on
CSP_LINE = "; ".join(f"{name} {value}" for name, value in CSP.items())

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "X-Frame-Options": "DENY",
}


class BoundedForms(FormDataParser):
    """Forms that come as one text, held to the bounds of those that come in parts: Werkzeug reads a million fields of one."""

    def parse(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: dict[str, str] | None = None
    ) -> tuple[IO[bytes], MultiDict[str, str], MultiDict[str, Any]]:
        if mimetype == "application/x-www-form-urlencoded":
            text, longest = bytearray(), self.max_form_memory_size or 0
            while piece := stream.read(longest + 1 - len(text)):
                text += piece
                if len(text) > longest:
                    raise RequestEntityTooLarge()
            if text.count(b"&") >= (self.max_form_parts or 0):
                raise RequestEntityTooLarge()
            stream = io.BytesIO(text)
        return super().parse(stream, mimetype, content_length, options)


class BoundedRequest(Request):
    form_data_parser_class = BoundedForms


def init_security(app: Flask, settings: Settings) -> None:
    """Headers on every answer; the real caller's address behind `TRUSTED_PROXIES`; bounds for what callers send."""
    app.request_class = BoundedRequest
    if settings.TRUSTED_PROXIES:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.TRUSTED_PROXIES, x_proto=0, x_host=0)  # type: ignore[method-assign]
    app.config.update(
        SECRET_KEY=settings.SECRET_KEY,
        SESSION_COOKIE_NAME=cookie_name("session", settings),
        SESSION_COOKIE_SECURE=settings.is_https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH="/",
        PERMANENT_SESSION_LIFETIME=60 * 60 * 24 * 30,
        WTF_CSRF_TIME_LIMIT=None,
        WTF_CSRF_SSL_STRICT=False,  # the check compares with the request's host; links come from PUBLIC_URL here
        PREFERRED_URL_SCHEME="https" if settings.is_https else "http",
        MAX_CONTENT_LENGTH=16 * 1024 * 1024,
        MAX_FORM_MEMORY_SIZE=1024 * 1024,  # a form as one text is read in half a second at the worst
    )
    app.before_request(_refuse_routing_redirects)
    app.after_request(_add_headers)
    if settings.is_https:
        app.after_request(_strict_transport)


def _refuse_routing_redirects() -> None:
    """The router would send `/chat//x` to `/chat/x` at whatever Host the request named; no address of ours needs that."""
    if isinstance(request.routing_exception, RequestRedirect):
        raise NotFound()


def cookie_name(name: str, settings: Settings) -> str:
    """`__Host-` on https: bound to this very host, whatever a sub-domain may set."""
    return f"__Host-{name}" if settings.is_https else f"shaman_{name}"


def _add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    is_file = (
        request.endpoint == "static" and response.status_code < 400
    )  # a page about one that isn't there is personal
    if response.mimetype == "text/html":
        response.headers.setdefault("Content-Security-Policy", CSP_LINE)
    elif not is_file:
        response.headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    if not is_file and "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"  # what is personal is never kept by anyone in between
        response.vary.add("Cookie")
    return response


def _strict_transport(response: Response) -> Response:
    response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    return response


def caller_address() -> str:
    """The caller's address for limits: an IPv6 /64 counts as one caller, for that is what one subscriber has."""
    return group_address(request.remote_addr or "")


def group_address(address: str) -> str:
    """`address` itself, or the /64 of an IPv6 address; 'unknown' for what is none (a Unix socket's peer)."""
    match = WITH_PORT.match(address)
    try:
        parsed: Any = ipaddress.ip_address(match[1] or match[2] if match else address)
    except ValueError:
        return "unknown"
    if parsed.version == 6 and parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    if parsed.version == 6:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
