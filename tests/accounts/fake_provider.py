"""An OpenID Connect provider that lies as its test wants: real HTTP, real signatures, wrong wherever it is told to be."""

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ssl import SSLContext
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlencode, urlsplit

from joserfc import jwk
from joserfc.jws import JWSRegistry

DISCOVERY, KEYS, TOKEN, USERINFO = "/.well-known/openid-configuration", "/jwks", "/token", "/userinfo"
LEGS = (DISCOVERY, KEYS, TOKEN, USERINFO)
CLIENT_ID, SECRET = "shaman", "s3cret & + %/ü"

Leg = Callable[["_Handler"], None]
KEY = jwk.RSAKey.generate_key(2048, {"kid": "first", "use": "sig", "alg": "RS256"})


def page(status: int = 200, kind: str = "text/html", body: str = "<h1>Hello</h1>") -> Leg:
    return lambda handler: handler.say(status, kind, body.encode())


def slow(seconds: float) -> Leg:
    """Silent for a while, then as always; a caller that left is no matter."""

    def wait(handler: "_Handler") -> None:
        time.sleep(seconds)
        handler.usual()

    return wait


def dripping(handler: "_Handler") -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(600):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)


@dataclass
class FakeProvider:
    """`claims` go into the next ID tokens (None takes one out), `header` into their header; `sign` replaces the signing.

    `legs` replace what an address answers. `clock` is by how many seconds its clock is ahead. `heard` counts the calls.
    """

    claims: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=dict)
    described: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    legs: dict[str, Leg] = field(default_factory=dict)
    sign: Callable[["FakeProvider", dict[str, Any]], str] | None = None
    key: Any = field(default_factory=lambda: KEY)
    published: list[dict[str, Any]] | None = None
    clock: float = 0
    heard: Counter[str] = field(default_factory=Counter)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    url: str = ""

    @contextmanager
    def serving(self, tls: SSLContext | None = None) -> Iterator["FakeProvider"]:
        handler = type("Handler", (_Handler,), {"provider": self})
        with _Server(("127.0.0.1", 0), handler) as server:
            if tls is not None:
                server.socket = tls.wrap_socket(server.socket, server_side=True)
            self.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
            thread.start()
            yield self
            server.shutdown()
            thread.join()

    def settings(self, name: str) -> dict[str, str]:
        return {
            f"OAUTH_{name}_CLIENT_ID": CLIENT_ID,
            f"OAUTH_{name}_CLIENT_SECRET": SECRET,
            f"OAUTH_{name}_DISCOVERY_URL": self.url + DISCOVERY,
        }

    def is_person(self, subject: str, **claims: Any) -> None:
        self.claims = {"sub": subject, **claims}

    def rotate(self, kid: str = "second") -> None:
        self.key = jwk.RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})

    # --- what a person's browser does there ---

    def answer(self, address: str, **changes: str | None) -> str:
        """What the provider sends the browser back to, from the address that it was sent to; None takes a value out."""
        asked = dict(parse_qsl(urlsplit(address).query))
        assert asked["response_type"] == "code" and asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split() and len(asked["state"]) > 30 and len(asked["nonce"]) > 30
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        values: dict[str, str | None] = {"code": code, "state": asked["state"], **changes}
        query = urlencode({name: value for name, value in values.items() if value is not None})
        return f"{urlsplit(asked['redirect_uri']).path}?{query}"

    # --- what the application asks ---

    def describe(self) -> dict[str, Any]:
        own = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize?kept=1",
            "token_endpoint": self.url + TOKEN,
            "jwks_uri": self.url + KEYS,
            "userinfo_endpoint": self.url + USERINFO,
        }
        return _without_none(own | self.described)

    def keys(self) -> dict[str, Any]:
        return {"keys": self.published if self.published is not None else [self.key.as_dict(private=False)]}

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        kind, _, packed = authorization.partition(" ")
        given = base64.b64decode(packed).decode().partition(":") if kind == "Basic" else ("", "", "")
        if (unquote_plus(given[0]), unquote_plus(given[2])) != (CLIENT_ID, SECRET):
            return 401, {"error": "invalid_client"}
        asked = self.codes.pop(form.get("code", ""), None)  # a code is good once
        if asked is None or form.get("redirect_uri") != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        challenge = _packed(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if not hmac.compare_digest(challenge, asked["code_challenge"]):
            return 400, {"error": "invalid_grant"}
        access_token = secrets.token_urlsafe(16)
        token = (self.sign or signed)(self, self.id_claims(asked, access_token))
        return 200, {"access_token": access_token, "token_type": "Bearer", "expires_in": 300, "id_token": token}

    def id_claims(self, asked: dict[str, str], access_token: str) -> dict[str, Any]:
        now = int(time.time() + self.clock)
        left = hashlib.sha256(access_token.encode()).digest()[:16]
        own = {
            "iss": self.url,
            "aud": asked["client_id"],
            "iat": now,
            "exp": now + 3600,
            "nonce": asked["nonce"],
            "at_hash": _packed(left),
        }
        return _without_none(own | self.claims)


def signed(provider: FakeProvider, claims: dict[str, Any]) -> str:
    key = provider.key
    header = {"alg": key.get("alg") or "RS256", "kid": key.kid} | provider.header
    return _sign(_without_none(header), claims, key)


def _sign(header: dict[str, Any], claims: dict[str, Any], key: Any) -> str:
    """Without any of the library's own doubts about what is asked for."""
    text = f"{_packed(json.dumps(header).encode())}.{_packed(json.dumps(claims).encode())}"
    return f"{text}.{_packed(JWSRegistry.algorithms[header['alg']].sign(text.encode(), key))}"


def unsigned(provider: FakeProvider, claims: dict[str, Any]) -> str:
    header = json.dumps({"alg": "none"}).encode()
    return f"{_packed(header)}.{_packed(json.dumps(claims).encode())}."


def signed_with_the_public_key(provider: FakeProvider, claims: dict[str, Any]) -> str:
    """As HS256, whose secret is what everybody can read: the key that the provider publishes."""
    header = json.dumps({"alg": "HS256", "kid": provider.key.kid}).encode()
    text = f"{_packed(header)}.{_packed(json.dumps(claims).encode())}"
    return f"{text}.{_packed(hmac.digest(provider.key.as_pem(private=False), text.encode(), 'sha256'))}"


def signed_by_another(provider: FakeProvider, claims: dict[str, Any]) -> str:
    """By a key of the same name that the provider doesn't publish."""
    other = jwk.RSAKey.generate_key(2048, {"kid": provider.key.kid})
    return _sign({"alg": "RS256", "kid": other.kid}, claims, other)


def altered(provider: FakeProvider, claims: dict[str, Any]) -> str:
    """Signed well, and changed afterwards."""
    header, _, signature = signed(provider, claims).split(".")
    return f"{header}.{_packed(json.dumps(claims | {'sub': 'somebody-else'}).encode())}.{signature}"


def with_its_own_key(provider: FakeProvider, claims: dict[str, Any]) -> str:
    """By a key that the token's own header brings along."""
    other = jwk.RSAKey.generate_key(2048)
    return _sign({"alg": "RS256", "jwk": other.as_dict(private=False)}, claims, other)


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_args: Any) -> None:
        """Callers that hang up are what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    provider: FakeProvider
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.provider.heard[path] += 1
        with suppress(OSError):
            self.provider.legs.get(path, _Handler.usual)(self)

    do_POST = do_GET  # noqa: N815  the name that the library calls

    def usual(self) -> None:
        path = urlsplit(self.path).path
        if path == DISCOVERY:
            self.say_json(200, self.provider.describe())
        elif path == KEYS:
            self.say_json(200, self.provider.keys())
        elif path == TOKEN:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            self.say_json(*self.provider.token(form, self.headers.get("Authorization", "")))
        elif path == USERINFO:
            assert self.headers.get("Authorization", "").startswith("Bearer ")
            self.say_json(200, {"sub": self.provider.claims.get("sub")} | self.provider.userinfo)
        else:
            self.say_json(404, {})

    def say_json(self, status: int, document: Any) -> None:
        self.say(status, "application/json", json.dumps(document).encode())

    def say(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        """Quiet."""
