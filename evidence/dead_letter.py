"""A message that could not be validated, travelling on to the table `dead_letter` as bytes, signed by the platform.

    bytes  field (little-endian), before the signature
    1      outcome that its edge is told, 0: none (an unknown edge, a bad signature)
    7      zeros
    64     reason, ASCII, zeros after it
    64     topic that it was read from, the same
    32     SHA-256 of the message

The message itself comes after the signature.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import sha256

from evidence import statement
from evidence.receipt import ReceiptOutcome
from schemas.errors import LayoutError, LayoutReason

DEAD_LETTER_MAGIC = b"VWDEAD\x00\x02"
TEXT_BYTES_MAX = 64
_BODY = struct.Struct("<B7x64s64s32s")
DEAD_LETTER_BODY_BYTES = _BODY.size
_HEAD_BYTES = statement.size(_BODY.size)
_OUTCOMES = {0: None, 2: ReceiptOutcome.QUARANTINED, 3: ReceiptOutcome.REFUSED}


@dataclass(frozen=True)
class DeadLetter:
    """A message, why it was not validated, and what its edge is told (None: nothing; its signature did not hold)."""

    reason: str
    topic: str
    outcome: ReceiptOutcome | None
    message: bytes

    def encode(self, key_id: bytes, sign: statement.Sign) -> bytes:
        """The signed statement, then the message."""
        reason, topic = (text.encode("ascii", "replace")[:TEXT_BYTES_MAX] for text in (self.reason, self.topic))
        body = _BODY.pack(self.outcome or 0, reason, topic, sha256(self.message).digest())
        return statement.encode(DEAD_LETTER_MAGIC, key_id, body, sign) + self.message


def is_dead_letter(message: bytes) -> bool:
    """Whether it says to be one."""
    return message.startswith(DEAD_LETTER_MAGIC)


def read_dead_letter(message: bytes, public_der: bytes) -> DeadLetter:
    """A dead letter that this key signed; raises LayoutError for anything else."""
    signed_statement = statement.decode(message[:_HEAD_BYTES], DEAD_LETTER_MAGIC)
    if (
        len(signed_statement.body) != _BODY.size
        or signed_statement.body[0] not in _OUTCOMES
        or signed_statement.body[1:8] != bytes(7)
    ):
        raise LayoutError(LayoutReason.UNKNOWN_ENUM, "dead letter")
    if not signed_statement.is_signed_by(public_der):
        raise LayoutError(LayoutReason.SIGNATURE, "dead letter")
    outcome, reason, topic, digest = _BODY.unpack(signed_statement.body)
    content = message[_HEAD_BYTES:]
    if sha256(content).digest() != digest:
        raise LayoutError(LayoutReason.BODY_HASH, "dead letter")
    texts = [field.rstrip(b"\x00").decode("ascii", "replace") for field in (reason, topic)]
    return DeadLetter(texts[0], texts[1], _OUTCOMES[outcome], content)
