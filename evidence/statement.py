"""The form of every signed statement but a checkpoint: magic, suite, key id, what it says, signature.

bytes  field
8      magic: what kind of statement it is, and its version
2      suite, little-endian: which signature and hash (`schemas.layout.SIGNATURE_BYTES_BY_SUITE` gives its length)
6      zeros
32     key id: SHA-256 of the signer's SubjectPublicKeyInfo
n      what it says: `evidence.receipt`, `evidence.block_seal`, ...
64     signature over all bytes before it, by the suite
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from evidence import signature
from schemas.errors import LayoutError, LayoutReason
from schemas.layout import SIGNATURE_BYTES_BY_SUITE, SUITE_P256_SHA256

HEAD = struct.Struct("<8sH6x32s")
MAGIC_BYTES = 8
Sign = Callable[[bytes], bytes]


class Statement(NamedTuple):
    """A statement taken apart; its signature is `is_signed_by`'s question."""

    key_id: bytes
    body: bytes
    signed_bytes: bytes
    signature: bytes

    def is_signed_by(self, public_der: bytes) -> bool:
        """Whether this key signed it, and the statement names it."""
        names_it = self.key_id == signature.key_id(public_der)
        return names_it and signature.verify(public_der, self.signature, self.signed_bytes)


def encode(magic: bytes, key_id: bytes, body: bytes, sign: Sign) -> bytes:
    """The statement and its signature."""
    statement = HEAD.pack(magic, SUITE_P256_SHA256, key_id) + body
    return statement + sign(statement)


def decode(message: bytes, magic: bytes) -> Statement:
    """Take a statement apart, its form checked; raises LayoutError for anything else."""
    if len(message) < HEAD.size or message[:MAGIC_BYTES] != magic:
        raise LayoutError(LayoutReason.MAGIC, "not the statement that was expected")
    _, suite, key_id = HEAD.unpack_from(message)
    signature_bytes = SIGNATURE_BYTES_BY_SUITE.get(suite)
    if signature_bytes is None or message[10:16] != bytes(6):
        raise LayoutError(LayoutReason.UNKNOWN_ENUM, "suite of a statement")
    if len(message) < HEAD.size + signature_bytes:
        raise LayoutError(LayoutReason.SIZE, "statement")
    end = len(message) - signature_bytes
    return Statement(key_id, message[HEAD.size : end], message[:end], message[end:])


def size(body_bytes: int, suite: int = SUITE_P256_SHA256) -> int:
    """The length of a whole statement that says so many bytes."""
    return HEAD.size + body_bytes + SIGNATURE_BYTES_BY_SUITE[suite]
