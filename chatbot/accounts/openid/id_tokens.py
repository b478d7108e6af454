"""Checking ID tokens: who signed, for whom, for which sign-in, and when (OpenID Connect Core, 3.1.3.7).

Only signatures of private keys count. A token that names no algorithm, or HS…, whose secret could be anything that the
provider publishes, is never tried.
"""

import base64
import hashlib
import hmac
import math
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc import jwk, jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jws import JWSRegistry
from orjson import JSONDecodeError, loads

from chatbot.accounts.openid.errors import clock_differs, unbelieved

DIGESTS = {
    "RS256": "sha256", "RS384": "sha384", "RS512": "sha512",
    "PS256": "sha256", "PS384": "sha384", "PS512": "sha512",
    "ES256": "sha256", "ES384": "sha384", "ES512": "sha512",
    "EdDSA": "sha512", "Ed25519": "sha512",
}  # fmt: skip
CLOCK = 60.0  # seconds that two clocks may differ
SMALLEST_RSA = 2048  # bits
LONGEST = 128_000  # characters
ANY_DIRECTORY = "{tenantid}"  # in Microsoft's issuer, when it speaks for all directories
DIRECTORY = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# By kid (None: the token names none): the keys that may have signed, further ones fetched while one goes on asking.
FindKeys = Callable[[str | None], Iterable[dict[str, Any]]]


class _Asymmetric(JWSRegistry):
    max_header_length = 8192
    max_signature_length = 2048

    def get_alg(self, name: str) -> Any:
        if name not in DIGESTS:
            raise UnsupportedAlgorithmError()
        return self.algorithms[name]  # the library's own way also warns of the name EdDSA, which providers still use


# A header that nobody here knows is passed over, as the standard wants; one marked critical is refused.
REGISTRY = _Asymmetric(strict_check_header=False)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say. `begun_at` (Unix time) is when the sign-in was begun; `backdated` are the seconds by which
    the provider dates its tokens back on purpose."""

    label: str
    issuer: str
    client_id: str
    nonce: str
    begun_at: float
    backdated: float = 0.0


def check_id_token(token: Any, access_token: Any, expected: Expected, find_keys: FindKeys) -> dict[str, Any]:
    """The claims of a token that is what it should be. Raises AnswerRefused; ProviderTrouble when keys can't be had."""
    if not isinstance(token, str) or not token.isascii() or token.count(".") != 2 or len(token) > LONGEST:
        raise unbelieved(expected.label, "there is no signed ID token in it")
    header, claims, key = _open(token, expected, find_keys)
    _check_issuer(claims, key, expected)
    _check_audience(claims, expected)
    _check_times(claims, expected)
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), expected.nonce.encode()):
        raise unbelieved(expected.label, "the ID token's nonce is not this sign-in's")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255 or not (subject.isascii() and subject.isprintable()):
        raise unbelieved(expected.label, "the ID token names no subject")
    if "at_hash" in claims and not _is_hash_of(access_token, claims["at_hash"], DIGESTS[header["alg"]]):
        raise unbelieved(expected.label, "the ID token belongs to another access token")
    return claims


def _open(token: str, expected: Expected, find_keys: FindKeys) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Header, claims and the key that signed them."""
    try:
        unverified = jws.extract_compact(token.encode(), registry=REGISTRY)
        header, claims = unverified.headers(), loads(unverified.payload or b"")
    except (JoseError, JSONDecodeError, ValueError, TypeError, RecursionError):
        raise unbelieved(expected.label, "the ID token can't be read") from None
    kid = header.get("kid")
    if header.get("alg") not in DIGESTS:
        raise unbelieved(expected.label, "the ID token is signed in a way that proves nothing")
    if not isinstance(claims, dict) or not (kid is None or isinstance(kid, str)):
        raise unbelieved(expected.label, "the ID token can't be read")
    for key in find_keys(kid):
        if _has_signed(token, key):
            return header, claims, key
    raise unbelieved(expected.label, "no key that the provider publishes has signed the ID token")


def _has_signed(token: str, data: dict[str, Any]) -> bool:
    key = _public_key(data)
    try:
        return key is not None and bool(jws.deserialize_compact(token, key, registry=REGISTRY))
    except (JoseError, ValueError, TypeError, AttributeError):
        return False


def is_usable(data: dict[str, Any]) -> bool:
    """Whether a JWK is a public key that a signature can be checked with."""
    return _public_key(data) is not None


def _public_key(data: dict[str, Any]) -> jwk.Key | None:
    if data.get("kty") not in ("RSA", "EC", "OKP") or data.get("use", "sig") != "sig" or data.get("crv") == "Ed448":
        return None
    try:
        key = jwk.import_key(data)
        is_weak = isinstance(key, jwk.RSAKey) and key.public_key.key_size < SMALLEST_RSA
    except (JoseError, UnsupportedAlgorithm, ValueError, TypeError, LookupError, AttributeError):  # an odd key is none
        return None
    return None if is_weak else key


def _check_issuer(claims: dict[str, Any], key: dict[str, Any], expected: Expected) -> None:
    directory = claims.get("tid")
    if not is_issuer(claims.get("iss"), expected.issuer, directory):
        raise unbelieved(expected.label, "the ID token is another issuer's")
    if ANY_DIRECTORY in expected.issuer and not is_issuer(claims["iss"], key.get("issuer", expected.issuer), directory):
        raise unbelieved(expected.label, "the ID token is signed with a key of another issuer")


def is_issuer(said: Any, expected: Any, directory: Any = None) -> bool:
    """Whether `said` is exactly the issuer `expected`, whose {tenantid} stands for the directory that the token names."""
    if not isinstance(said, str) or not isinstance(expected, str):
        return False
    if ANY_DIRECTORY not in expected:
        return said == expected
    is_one = isinstance(directory, str) and DIRECTORY.fullmatch(directory) is not None
    return is_one and said == expected.replace(ANY_DIRECTORY, directory)


def _check_audience(claims: dict[str, Any], expected: Expected) -> None:
    given = claims.get("aud")
    audience = given if isinstance(given, list) else [given]
    party = claims.get("azp")
    is_ours = expected.client_id in audience and party in (None, expected.client_id)
    if not is_ours or (len(audience) > 1 and party is None):
        raise unbelieved(expected.label, "the ID token is meant for somebody else")


def _check_times(claims: dict[str, Any], expected: Expected) -> None:
    """Issued during this sign-in, by a clock that differs from ours by a minute at the most, and not over yet."""
    now = time.time()
    issued, ends, begins = (_number(claims, name, expected) for name in ("iat", "exp", "nbf"))
    if issued is None or ends is None:
        raise unbelieved(expected.label, "the ID token doesn't say from when until when it counts")
    ahead, behind = max(issued, begins or issued) - now, expected.begun_at - expected.backdated - issued
    if max(ahead, behind) > CLOCK:
        raise clock_differs(expected.label, max(ahead, behind))
    if ends + CLOCK <= now:
        raise unbelieved(expected.label, "the ID token has run out")


def _number(claims: dict[str, Any], name: str, expected: Expected) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise unbelieved(expected.label, f"the ID token's {name} is no time")
    return float(value)


def _is_hash_of(access_token: Any, claimed: Any, digest: str) -> bool:
    if not isinstance(access_token, str) or not isinstance(claimed, str):
        return False
    hashed = hashlib.new(digest, access_token.encode()).digest()
    left = base64.urlsafe_b64encode(hashed[: len(hashed) // 2]).rstrip(b"=")
    return hmac.compare_digest(left, claimed.encode())
