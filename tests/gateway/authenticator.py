"""A security key in software (WebAuthn level 3, CTAP 2.2), which can also answer wrongly, field by field."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

UP, UV, BE, BS, AT = 0x01, 0x04, 0x08, 0x10, 0x40
ORIGIN, RP_ID = "https://vitalwire.hospital.example", "vitalwire.hospital.example"


@dataclass(frozen=True)
class Lie:
    """What is to be wrong; None: as it should be."""

    type: str | None = None
    challenge: bytes | None = None
    origin: str = ORIGIN
    client: dict[str, Any] = field(default_factory=dict)  # of clientDataJSON, besides
    rp_id: str = RP_ID
    flags: int = UP | UV
    handle: bytes | None = None
    signature: bytes | None = None
    count: int | None = None
    attachment: str = "cross-platform"


HONEST = Lie()


class SoftKey:
    """One credential, of one person. `curve`: P-256 makes ES256."""

    def __init__(self, curve: ec.EllipticCurve | None = None) -> None:
        self.id = secrets.token_bytes(32)
        self.count = 0
        self.handle = b""
        self._curve = curve or ec.SECP256R1()
        self._key = ec.generate_private_key(self._curve)

    def create(self, options: bytes, lie: Lie = HONEST) -> dict[str, Any]:
        """As navigator.credentials.create() answers, in JSON."""
        asked = json.loads(options)
        self.handle = base64url_to_bytes(asked["user"]["id"])
        attested = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + self.public_key
        data = self._data(replace(lie, flags=lie.flags | AT)) + attested
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        return self._answer(lie, {
            "clientDataJSON": _client(lie, "webauthn.create", asked["challenge"]),
            "attestationObject": bytes_to_base64url(attestation), "transports": ["usb"],
        })  # fmt: skip

    def get(self, options: bytes, lie: Lie = HONEST) -> dict[str, Any]:
        """As navigator.credentials.get() answers, in JSON."""
        client = _client(lie, "webauthn.get", json.loads(options)["challenge"])
        self.count += 1
        data = self._data(lie)
        over = data + sha256(base64url_to_bytes(client)).digest()
        signature = lie.signature or self._key.sign(over, ec.ECDSA(self._hash()))
        return self._answer(lie, {
            "clientDataJSON": client, "authenticatorData": bytes_to_base64url(data),
            "signature": bytes_to_base64url(signature), "userHandle": bytes_to_base64url(lie.handle or self.handle),
        })  # fmt: skip

    def _answer(self, lie: Lie, response: dict[str, Any]) -> dict[str, Any]:
        id_ = bytes_to_base64url(self.id)
        return {"id": id_, "rawId": id_, "type": "public-key", "authenticatorAttachment": lie.attachment,
                "clientExtensionResults": {}, "response": response}  # fmt: skip

    def _data(self, lie: Lie) -> bytes:
        count = self.count if lie.count is None else lie.count
        return sha256(lie.rp_id.encode()).digest() + bytes([lie.flags]) + count.to_bytes(4, "big")

    def _hash(self) -> SHA256 | SHA384:
        return SHA256() if isinstance(self._curve, ec.SECP256R1) else SHA384()

    @property
    def public_key(self) -> bytes:
        """COSE (RFC 9053, 7.1.1)."""
        numbers, size = self._key.public_key().public_numbers(), (self._curve.key_size + 7) // 8
        alg, crv = (-7, 1) if isinstance(self._curve, ec.SECP256R1) else (-35, 2)
        return cbor2.dumps(
            {1: 2, 3: alg, -1: crv, -2: numbers.x.to_bytes(size, "big"), -3: numbers.y.to_bytes(size, "big")}
        )


def _client(lie: Lie, kind: str, challenge: str) -> str:
    given = {"type": lie.type or kind, "challenge": challenge, "origin": lie.origin, "crossOrigin": False, **lie.client}
    if lie.challenge is not None:
        given["challenge"] = bytes_to_base64url(lie.challenge)
    return bytes_to_base64url(json.dumps(given).encode())
