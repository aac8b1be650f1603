"""How far each device has counted: noted by the writers a row a transaction, folded into a row a device.

The view `sequence` adds up both, so that what it says never waits for this.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from emr_store.rows import COPY_END, COPY_HEAD, INT4_OID, INT8_OID, Chunk, CopyRows, copy


def note(conn: psycopg.Connection, chunk: Chunk, spool: NDArray[Any]) -> None:
    """Note how far the devices of these reports have counted in their spools (V16, a report each)."""
    copy(conn, "sequence_noted", sequence_rows(chunk, spool))


def sequence_rows(chunk: Chunk, spool: NDArray[Any]) -> bytes:
    """Binary COPY into `sequence_noted`: how far each device has counted in each spool (V16, a report each)."""
    spools, of = np.unique(spool, return_inverse=True)
    pairs, which, counts = np.unique(of << 32 | chunk.device, return_inverse=True, return_counts=True)
    last = np.zeros(len(pairs), np.int64)
    np.maximum.at(last, which, chunk.table.sequence.astype(np.int64))
    out: list[bytes] = [COPY_HEAD]
    for i in range(len(spools)):
        mine = pairs >> 32 == i
        row, no_nulls = CopyRows(1, 4), np.zeros(np.count_nonzero(mine), bool)
        row.octets(spools[i : i + 1].view(np.uint8).reshape(1, 16))
        row.array((pairs[mine] & 0xFFFFFFFF)[None], ">i4", INT4_OID, no_nulls)
        row.array(last[mine][None], ">i8", INT8_OID, no_nulls)
        row.array(counts[mine][None], ">i8", INT8_OID, no_nulls)
        out.append(row.matrix().tobytes())
    out.append(COPY_END)
    return b"".join(out)


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
