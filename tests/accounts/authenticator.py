"""A passkey in software: makes keys and signs challenges as a browser with its authenticator does, honestly or not."""

import hashlib
import json
import secrets
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from webauthn.helpers import bytes_to_base64url as b64

PRESENT, VERIFIED, WITH_KEY = 0x01, 0x04, 0x40


class Authenticator:
    """One device. `count` is its counter: as passkeys that are synchronised have none, 0 stays 0."""

    def __init__(
        self, origin: str = "https://chat.example.com", host: str = "chat.example.com", count: int = 0
    ) -> None:
        self.origin, self.host, self.count = origin, host, count
        self.id = secrets.token_bytes(16)
        self.user: str | None = None
        self._key = ec.generate_private_key(ec.SECP256R1())

    def make(self, options: dict[str, Any], key: Any = None, **changes: Any) -> str:
        """The answer to navigator.credentials.create(), as JSON. `changes` go into what the browser says of the page."""
        self.user = options["user"]["id"]
        numbers = self._key.public_key().public_numbers()
        point = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + cbor2.dumps(key or point)
        data = self._data(PRESENT | VERIFIED | WITH_KEY) + attested
        made = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        page = self._page("webauthn.create", options["challenge"], changes)
        return self._answer({"clientDataJSON": b64(page), "attestationObject": b64(made), "transports": ["internal"]})

    def sign(self, options: dict[str, Any], flags: int = PRESENT | VERIFIED, **changes: Any) -> str:
        """The answer to navigator.credentials.get(), as JSON."""
        self.count += bool(self.count)
        data, page = self._data(flags), self._page("webauthn.get", options["challenge"], changes)
        signature = self._key.sign(data + hashlib.sha256(page).digest(), ec.ECDSA(hashes.SHA256()))
        signed = {"clientDataJSON": b64(page), "authenticatorData": b64(data), "signature": b64(signature)}
        return self._answer(signed | {"userHandle": self.user})

    def _data(self, flags: int) -> bytes:
        return hashlib.sha256(self.host.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big")

    def _page(self, kind: str, challenge: str, changes: dict[str, Any]) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin} | changes).encode()

    def _answer(self, response: dict[str, Any]) -> str:
        return json.dumps({"id": b64(self.id), "rawId": b64(self.id), "type": "public-key", "response": response})
