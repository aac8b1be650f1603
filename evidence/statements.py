"""Signed statements: the receipt that releases a batch, and the seal over a block. Each begins with its own magic."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256

from evidence import signature
from schemas.errors import LayoutError
from schemas.layout import SIGNATURE_BYTES, SUITE_P256_SHA256

RECEIPT_MAGIC = b"VWRECPT\x01"
SEAL_MAGIC = b"VWSEAL\x00\x01"
REASON_BYTES_MAX = 64
# magic · suite · outcome · zero · key_id · edge · spool · lane · zeros · batch_no · batch_id · chain position ·
# store incarnation · stored_at · reason
_RECEIPT = struct.Struct("<8sHBx32s16s16sB7xQ32sQ16sq64s")
# magic · suite · zeros · key_id · block id · hash of judgement · nomenclature hash · signed_at
_SEAL = struct.Struct("<8sH6x32s32s32s32sq")
SEAL_BYTES = _SEAL.size + SIGNATURE_BYTES


class ReceiptOutcome(IntEnum):
    """What the hospital did with a batch."""

    STORED = 1
    QUARANTINED = 2


@dataclass(frozen=True)
class Receipt:
    """The hospital's word that it keeps a batch; `chain_position` is that of its seal, 0 where quarantined."""

    outcome: ReceiptOutcome
    edge: bytes
    spool: bytes
    lane: int
    batch_no: int
    batch_id: bytes
    chain_position: int
    incarnation: bytes
    stored_at_us: int
    reason: str = ""

    def encode(self, key_id: bytes, sign: Callable[[bytes], bytes]) -> bytes:
        """The statement and its signature."""
        statement = _RECEIPT.pack(
            RECEIPT_MAGIC, SUITE_P256_SHA256, self.outcome, key_id, self.edge, self.spool, self.lane, self.batch_no,
            self.batch_id, self.chain_position, self.incarnation, self.stored_at_us,
            self.reason.encode("ascii", "replace")[:REASON_BYTES_MAX],
        )  # fmt: skip
        return statement + sign(statement)


def read_receipt(message: bytes, public_der: bytes) -> Receipt:
    """A receipt that this key signed; raises LayoutError for anything else."""
    if len(message) != _RECEIPT.size + SIGNATURE_BYTES or message[:8] != RECEIPT_MAGIC:
        raise LayoutError("magic", "not a receipt")
    statement, sig = message[: _RECEIPT.size], message[_RECEIPT.size :]
    _, suite, outcome, key, edge, spool, lane, no, batch, position, incarnation, at, why = _RECEIPT.unpack(statement)
    if suite != SUITE_P256_SHA256 or outcome not in (1, 2):
        raise LayoutError("unknown-enum", "receipt")
    if key != signature.key_id(public_der) or not signature.verify(public_der, sig, statement):
        raise LayoutError("signature", "receipt")
    reason = why.rstrip(b"\x00").decode("ascii", "replace")
    return Receipt(ReceiptOutcome(outcome), edge, spool, lane, no, batch, position, incarnation, at, reason)


def block_id(batch_ids: Sequence[bytes]) -> bytes:
    """What a seal names a block by: H of its batches' ids in order; their headers commit to all their bytes."""
    return sha256(b"VWBLKID\x01" + b"".join(batch_ids)).digest()


@dataclass(frozen=True)
class Seal:
    """The platform's word on a block: these batches, judged so, under this nomenclature."""

    key_id: bytes
    block_id: bytes
    judgement_hash: bytes
    nomenclature_hash: bytes
    signed_at_us: int


def sign_seal(seal: Seal, sign: Callable[[bytes], bytes]) -> bytes:
    """The statement and its signature."""
    statement = _SEAL.pack(
        SEAL_MAGIC, SUITE_P256_SHA256, seal.key_id, seal.block_id, seal.judgement_hash, seal.nomenclature_hash,
        seal.signed_at_us,
    )  # fmt: skip
    return statement + sign(statement)


def read_seal(message: bytes) -> Seal:
    """A seal, its form checked; the signature is `seal_signed_by`'s. Raises LayoutError."""
    if len(message) != SEAL_BYTES or message[:8] != SEAL_MAGIC:
        raise LayoutError("magic", "not a seal")
    _, suite, *fields = _SEAL.unpack_from(message)
    if suite != SUITE_P256_SHA256:
        raise LayoutError("unknown-enum", "seal")
    return Seal(*fields)


def seal_signed_by(message: bytes, public_der: bytes) -> bool:
    """Whether this key signed the seal, and the seal names it."""
    statement, sig = message[: _SEAL.size], message[_SEAL.size :]
    return read_seal(message).key_id == signature.key_id(public_der) and signature.verify(public_der, sig, statement)


def chain_hash(previous: bytes, seal: bytes) -> bytes:
    """The chain's next link: H(0x02 || link before || H(seal))."""
    return sha256(b"\x02" + previous + sha256(seal).digest()).digest()
