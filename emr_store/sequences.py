"""How far each device has counted: noted by the writers a row a transaction, folded into a row a device.

The view `sequence` adds up both, so that what it says never waits for this.
"""

from __future__ import annotations

from typing import Any

import psycopg
from numpy.typing import NDArray

from emr_store import rows


def note(conn: psycopg.Connection, chunk: rows.Chunk, spool: NDArray[Any]) -> None:
    """Note how far the devices of these reports have counted in their spools (V16, a report each)."""
    rows.copy(conn, "sequence_noted", rows.sequence_rows(chunk, spool))


async def fold(conn: psycopg.AsyncConnection) -> None:
    """Fold what was noted since the last time."""
    await conn.execute(_FOLD_SQL)


_FOLD_SQL = """
WITH noted AS (DELETE FROM sequence_noted RETURNING *)
INSERT INTO sequence_folded AS f
SELECT n.spool, u.device, max(u.last), sum(u.stored)
FROM noted n, unnest(n.device, n.last, n.stored) AS u(device, last, stored) GROUP BY 1, 2 ORDER BY 1, 2
ON CONFLICT (spool, device) DO UPDATE SET last = greatest(f.last, excluded.last), stored = f.stored + excluded.stored
"""
