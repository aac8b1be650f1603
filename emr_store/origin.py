"""Where a value came from: the way of its report through the stages, and its batch."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from schemas.identity import BatchId
from schemas.report import Lane


class Path(NamedTuple):
    """One report's way: instants of each stage. `position` is its seal's place in the log; None: not in it yet."""

    device: UUID
    claim: str | None
    bed: str | None
    observed_at: datetime
    received_at: datetime
    created_at: datetime
    signed_at: datetime
    stored_at: datetime
    position: int | None
    lane: int
    batch_no: int
    batch_id: BatchId
    leaf: int


_POSITION = "(SELECT e.position FROM log_entry e WHERE e.seal = s.seal ORDER BY e.position LIMIT 1)"
_NEWEST_SQL = f"""
SELECT d.uuid AS device, d.claim, w.bed, l.observed_at, l.received_at, b.created_at, s.signed_at, l.stored_at,
    {_POSITION} AS position, b.lane, b.batch_no, b.batch_id, l.leaf
FROM latest_value l JOIN device d USING (device) JOIN batch b USING (batch) JOIN seal s USING (seal)
LEFT JOIN device_bed_believed w ON w.device = l.device AND w.valid @> l.observed_at
WHERE b.lane = {int(Lane.LIVE)} ORDER BY l.stored_at DESC LIMIT 1
"""


def newest_path(conn: psycopg.Connection) -> Path | None:
    """The way of the newest report that came live; None while there is none."""
    return conn.cursor(row_factory=class_row(Path)).execute(_NEWEST_SQL.encode()).fetchone()


_ORIGIN_SQL = f"""
SELECT b.batch_no, encode(b.batch_id, 'hex'), b.edge::text, e.label, b.lane,
    (extract(epoch FROM s.signed_at) * 1000)::int8, {_POSITION},
    (SELECT count(*) FROM batch_validation v WHERE v.batch = b.batch)
FROM batch b
JOIN seal s ON s.seal = coalesce((SELECT max(v.seal) FROM batch_validation v WHERE v.batch = b.batch), b.seal)
LEFT JOIN edge e ON e.edge = b.edge WHERE b.batch_id = %s
"""


def origin(conn: psycopg.Connection, batch_id: BatchId) -> dict[str, object] | None:
    """Where a kept batch came from, for people; None where there is none.

    When it was signed, and where in the log, are of its newest seal; `earlier_seals` are those before it.
    """
    row = conn.execute(_ORIGIN_SQL.encode(), (batch_id,)).fetchone()
    if row is None:
        return None
    number, ident, edge, label, lane, signed_ms, position, earlier = row
    return {
        "batch_no": number, "batch_id": ident, "edge": f"{label or ''} {edge}".strip(), "lane": Lane(lane).name.lower(),
        "signed_ms": signed_ms, "position": position, "earlier_seals": earlier,
    }  # fmt: skip
