"""What leaves after COMMIT: which batches of which streams became what; unsigned, until they are sent as receipts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from emr_store.signed_block import BlockBatch
from evidence.receipt import ReceiptOutcome
from schemas.batch import Header
from schemas.identity import BatchId, EdgeId, SpoolId

CHUNK_ROWS = 5000


@dataclass(frozen=True)
class OutboxRow:
    """What became of a batch; `reason` says why it is not stored."""

    id: int
    edge: EdgeId
    spool: SpoolId
    lane: int
    batch_no: int
    batch_id: BatchId
    outcome: ReceiptOutcome
    reason: str
    stored_at_us: int


@dataclass(frozen=True)
class BatchOutcome:
    """What the edge of this batch is to be told."""

    header: Header
    batch_id: BatchId
    outcome: ReceiptOutcome
    reason: str = ""


def stored(batch: BlockBatch) -> BatchOutcome:
    """That this batch is stored, now or from earlier."""
    return BatchOutcome(batch.header, batch.batch_id, ReceiptOutcome.STORED)


def put(conn: psycopg.Connection, outcomes: Sequence[BatchOutcome]) -> None:
    """Have these told; inside the caller's transaction."""
    if outcomes:
        headers = [o.header for o in outcomes]
        conn.execute(_PUT_SQL, [
            [h.edge for h in headers], [h.spool for h in headers], [int(h.lane) for h in headers],
            [h.batch_no for h in headers], [o.batch_id for o in outcomes], [int(o.outcome) for o in outcomes],
            [o.reason for o in outcomes],
        ])  # fmt: skip


async def waiting(conn: psycopg.AsyncConnection, limit: int = CHUNK_ROWS) -> list[OutboxRow]:
    """The oldest that are not delivered yet."""
    cursor = await conn.execute(_WAITING_SQL, (limit,), binary=True)
    return [
        OutboxRow(
            id=number,
            edge=EdgeId(bytes(edge)),
            spool=SpoolId(bytes(spool)),
            lane=lane,
            batch_no=batch_no,
            batch_id=BatchId(bytes(batch_id)),
            outcome=ReceiptOutcome(outcome),
            reason=reason,
            stored_at_us=us,
        )
        for number, edge, spool, lane, batch_no, batch_id, outcome, reason, us in await cursor.fetchall()
    ]


async def delivered(conn: psycopg.AsyncConnection, ids: Sequence[int]) -> None:
    """These are with the broker."""
    await conn.execute("DELETE FROM outbox WHERE id = ANY(%s)", (list(ids),))


_PUT_SQL = """
INSERT INTO outbox (edge, spool, lane, batch_no, batch_id, outcome, reason)
SELECT encode(e, 'hex')::uuid, encode(s, 'hex')::uuid, l, n, b, o, r
FROM unnest(%b::bytea[], %b::bytea[], %b::int2[], %b::int8[], %b::bytea[], %b::int2[], %b::text[])
    AS u(e, s, l, n, b, o, r)
"""
_WAITING_SQL = """
SELECT id, uuid_send(edge), uuid_send(spool), lane, batch_no, batch_id, outcome, reason,
    (extract(epoch FROM stored_at) * 1000000)::int8
FROM outbox ORDER BY id LIMIT %s
"""
