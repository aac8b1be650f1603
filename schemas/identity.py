"""What edges, spools, streams and batches are named by: types of their own, so that none passes for another."""

from __future__ import annotations

from typing import NamedTuple, NewType

EdgeId = NewType("EdgeId", bytes)  # 16 bytes, those of the UUID that an edge is registered by
SpoolId = NewType("SpoolId", bytes)  # 16 random bytes, new with each spool: numbers begin anew in it
BatchId = NewType("BatchId", bytes)  # 32 bytes, SHA-256 of the batch's header


class StreamKey(NamedTuple):
    """A stream: a lane of one spool of its edge. Sorted, the order in which the ledger locks them."""

    spool: SpoolId
    lane: int
    edge: EdgeId


class BatchKey(NamedTuple):
    """A batch number of a stream. Two batches may have one: after a spool was put back to an older state."""

    stream: StreamKey
    batch_no: int
