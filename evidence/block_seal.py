"""The platform's seal over a block: these batches, validated so, under this nomenclature.

    bytes  field (little-endian)
    4      number of batches
    4      zeros
    8      signed_at, microseconds
    32     root of a tree (RFC 9162) over the batches: `validation_leaf` of each, in their order
    32     hash of the nomenclature
    32     `travel_hash`: what travels beside the batches; zeros where an act is named: nothing travelled
    32     id of the act that made stored batches be validated again; zeros: none, they had just come

One batch's leaf and its path show what was said of its values, without the rest of the block. The travel hash is for
whoever opens the block: not all that it is over is stored, so that nobody computes it again from the record.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from evidence import statement
from evidence.statement import Statement
from evidence.tree import leaf_hash, merkle_root
from schemas import layout
from schemas.block import Block
from schemas.errors import LayoutError, LayoutReason
from schemas.identity import BatchId

SEAL_MAGIC = b"VWSEAL\x00\x02"
_BODY = struct.Struct("<I4xq32s32s32s32s")
SEAL_BYTES = statement.size(_BODY.size)
NO_ACT = bytes(32)
NO_TRAVEL = bytes(32)
_TRAVEL_TAG = b"VWTRAVEL"


@dataclass(frozen=True)
class BlockSeal:
    """What a seal says; `root` is over `validation_leaf` of each batch."""

    batches: int
    signed_at_us: int
    root: bytes
    nomenclature_hash: bytes
    travel_hash: bytes
    act_id: bytes = NO_ACT

    def encode(self, key_id: bytes, sign: statement.Sign) -> bytes:
        """The signed statement, SEAL_BYTES long."""
        body = _BODY.pack(
            self.batches, self.signed_at_us, self.root, self.nomenclature_hash, self.travel_hash, self.act_id
        )
        return statement.encode(SEAL_MAGIC, key_id, body, sign)


def validation_leaf(batch_id: BatchId, validation: bytes) -> bytes:
    """The leaf hash of a batch: H(0x00 || batch id || its flags, validation results and values
    (`Block.validations`))."""
    return leaf_hash(batch_id + validation)


def validation_root(batch_ids: Sequence[BatchId], validations: Sequence[bytes]) -> bytes:
    """The root that a seal over these batches has."""
    pairs = zip(batch_ids, validations, strict=True)
    return merkle_root([validation_leaf(batch_id, validation) for batch_id, validation in pairs])


def travel_hash(block: Block) -> bytes:
    """What a seal over this block says of what neither its root nor its nomenclature is over.

    H("VWTRAVEL" || validated at || when each batch was appended || each batch's signature); instants are i64, us.
    """
    appended_at = block.appended_at_us.astype("<i8").tobytes()
    signatures = [sealed[layout.HEADER_BYTES : layout.BODY_START] for sealed in block.batches]
    validated_at = struct.pack("<q", block.validated_at_us)
    return sha256(b"".join((_TRAVEL_TAG, validated_at, appended_at, *signatures))).digest()


def read_seal(message: bytes) -> tuple[BlockSeal, Statement]:
    """A seal, its form checked; whether a key signed it is `Statement.is_signed_by`. Raises LayoutError."""
    signed_statement = statement.decode(message, SEAL_MAGIC)
    if len(signed_statement.body) != _BODY.size or signed_statement.body[4:8] != bytes(4):
        raise LayoutError(LayoutReason.SIZE, "seal")
    return BlockSeal(*_BODY.unpack(signed_statement.body)), signed_statement
