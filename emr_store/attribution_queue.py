"""What waits for the attributor, written in the transaction that stores it: batches that say who is where, or whose.

Numbers of batches are given before COMMIT, so that no cursor over them would be safe. Batches of values alone, as most
are, never wait here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import psycopg

from emr_store.batches import NumberedBatch
from emr_store.rows import Chunk
from schemas.report import Kind


def put(conn: psycopg.Connection, numbered: Sequence[NumberedBatch], chunk: Chunk) -> None:
    """Note those of these batches that hold reports of kind CONTEXT; inside the caller's transaction."""
    speaking = set(np.unique(chunk.batch[chunk.table.kind == Kind.CONTEXT]).tolist())
    waiting = [each for each in numbered if each.number in speaking]
    if waiting:
        numbers, lanes = [each.number for each in waiting], [int(each.batch.header.lane) for each in waiting]
        conn.execute("INSERT INTO attribution_batch SELECT * FROM unnest(%b::int8[], %b::int2[])", [numbers, lanes])
