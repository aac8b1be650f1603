"""What a box and the gateway say to each other while it is let in, and when its certificate is renewed.

All go by POST to one path as JSON; bytes are base64. The box proves by its own key that it is the one that asks.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Literal

import msgspec

PATH = "/enrol"
BODY_BYTES_MAX = 16_384  # of what a box sends, and of what it is answered
KEY_BYTES_MAX = 256  # SubjectPublicKeyInfo of P-256 has 91
CSR_CHARS_MAX = 4096
_PROOF = b"vitalwire edge proof v1\0"


class Begin(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="ask", tag="begin"):
    """A box shows the code of its invitation, and the key that it will sign with (SubjectPublicKeyInfo)."""

    code: str
    public_key: bytes


class AskChallenge(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="ask", tag="challenge"):
    """A box wants to prove that it has this key (SHA-256 of its SubjectPublicKeyInfo)."""

    key_id: bytes


class Prove(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="ask", tag="prove"):
    """The answer to a challenge. `csr`: PEM (RFC 2986) of the key for Kafka; "": it wants no certificate."""

    key_id: bytes
    challenge: bytes
    signature: bytes
    csr: str = ""


Request = Begin | AskChallenge | Prove


class Challenged(msgspec.Struct, frozen=True):
    """What is to be signed next: once, within two minutes."""

    challenge: bytes


class Standing(msgspec.Struct, frozen=True):
    """How a box stands whose proof was believed.

    `challenge` is the next one. `edge`, `label`, `platform_key` (PEM; "": the processors have not run yet) and the
    certificate with its `ca` are there once a person agreed; `certificate` "": `why` says what a person must do.
    """

    state: Literal["pending", "agreed", "refused"]
    challenge: bytes
    edge: str = ""
    label: str = ""
    platform_key: str = ""
    certificate: str = ""
    ca: str = ""
    why: str = ""


def proof_message(challenge: bytes, csr: str) -> bytes:
    """What the key signs: it is no batch's, and holds the request for a certificate too."""
    return _PROOF + sha256(challenge).digest() + sha256(csr.encode()).digest()
