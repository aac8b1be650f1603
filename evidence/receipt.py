"""The receipt: the hospital's signed word on batches of one stream, which lets their edge let go of them.

bytes  field (little-endian)
1      outcome
1      lane
2      number of batches
2      length of the checkpoint
2      zeros
16     edge
16     spool
16     store incarnation
8      stored_at of the newest of its batches, microseconds
64     reason, ASCII, zeros after it; empty where stored
40 x n batch number (8), batch id (32)
m      the newest checkpoint there is, a signed note (`evidence.checkpoint`); empty while there is none
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from evidence import statement
from schemas.errors import LayoutError, LayoutReason
from schemas.identity import BatchId, EdgeId, SpoolId
from schemas.report import Lane

RECEIPT_MAGIC = b"VWRECPT\x02"
RECEIPT_BATCHES_MAX = 1000  # some 40 kB: the topic's messages are at most 64 kB
REASON_BYTES_MAX = 64
CHECKPOINT_BYTES_MAX = 4096
NEWER_LAYOUT = "newer-layout"  # the reason of a refusal: no worker takes batches of this layout yet
_HEAD = struct.Struct("<BBHH2x16s16s16sq64s")
RECEIPT_HEAD_BYTES = _HEAD.size
_BATCH = struct.Struct("<Q32s")
_LANES = {int(lane) for lane in Lane}


class ReceiptOutcome(IntEnum):
    """What the hospital did with a batch."""

    STORED = 1
    QUARANTINED = 2  # kept as bytes, in the dead letters: the edge may let go of it
    REFUSED = 3  # not kept: the edge holds on to it, and says so


class ReceiptedBatch(NamedTuple):
    """A batch that a receipt names."""

    batch_no: int
    batch_id: BatchId


@dataclass(frozen=True)
class Receipt:
    """What became of these batches of a stream, in which incarnation of the store; `reason` says why not stored."""

    outcome: ReceiptOutcome
    edge: EdgeId
    spool: SpoolId
    lane: int
    batches: tuple[ReceiptedBatch, ...]
    incarnation: bytes
    stored_at_us: int
    reason: str = ""
    checkpoint: bytes = b""

    def encode(self, key_id: bytes, sign: statement.Sign) -> bytes:
        """The signed statement; raises LayoutError for more batches than one may name."""
        if not 0 < len(self.batches) <= RECEIPT_BATCHES_MAX or len(self.checkpoint) > CHECKPOINT_BYTES_MAX:
            raise LayoutError(LayoutReason.COUNTS, "receipt")
        head = _HEAD.pack(
            self.outcome, self.lane, len(self.batches), len(self.checkpoint), self.edge, self.spool, self.incarnation,
            self.stored_at_us, self.reason.encode("ascii", "replace")[:REASON_BYTES_MAX],
        )  # fmt: skip
        named = b"".join(_BATCH.pack(*batch) for batch in self.batches)
        return statement.encode(RECEIPT_MAGIC, key_id, head + named + self.checkpoint, sign)


def read_receipt(message: bytes, public_der: bytes) -> Receipt:
    """A receipt that this key signed; raises LayoutError for anything else."""
    signed_statement = statement.decode(message, RECEIPT_MAGIC)
    if len(signed_statement.body) < _HEAD.size:
        raise LayoutError(LayoutReason.SIZE, "receipt")
    outcome, lane, count, checkpoint_bytes, edge, spool, incarnation, at_us, reason = _HEAD.unpack_from(
        signed_statement.body
    )
    if outcome not in {int(o) for o in ReceiptOutcome} or lane not in _LANES or signed_statement.body[6:8] != bytes(2):
        raise LayoutError(LayoutReason.UNKNOWN_ENUM, "receipt")
    end = _HEAD.size + count * _BATCH.size
    if not 0 < count <= RECEIPT_BATCHES_MAX or len(signed_statement.body) != end + checkpoint_bytes:
        raise LayoutError(LayoutReason.COUNTS, "receipt")
    if not signed_statement.is_signed_by(public_der):
        raise LayoutError(LayoutReason.SIGNATURE, "receipt")
    batches = tuple(ReceiptedBatch(*fields) for fields in _BATCH.iter_unpack(signed_statement.body[_HEAD.size : end]))
    text = reason.rstrip(b"\x00").decode("ascii", "replace")
    return Receipt(
        ReceiptOutcome(outcome), edge, spool, lane, batches, incarnation, at_us, text, signed_statement.body[end:]
    )  # fmt: skip
