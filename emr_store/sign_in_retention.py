"""What sign-in keeps for a while and nobody needs any more: tries, and what was used once and could not be used again.

Conditions and deed are a function of the database's owner (migration 0025): whatever is asked for, nothing goes that a
throttle or a guard against replay still needs. Sessions, keys, enrolments and acts are never removed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

import psycopg

CHUNK_ROWS = 10_000  # of each table, in one transaction
CHUNKS_MAX = 100  # in one round; the rest goes in the next


class Purged(NamedTuple):
    """How many rows went, of which kind."""

    attempts: int = 0
    assertions: int = 0
    logouts: int = 0
    challenges: int = 0


async def purge(conn: psycopg.AsyncConnection, keep_attempts_days: int, chunk_rows: int = CHUNK_ROWS) -> Purged:
    """Remove what is older; 0 days: tries stay for ever. Several processes may do it at once."""
    keep = timedelta(days=keep_attempts_days) if keep_attempts_days else None
    total = Purged()
    for _ in range(CHUNKS_MAX):
        row = await (await conn.execute(_PURGE_SQL, [keep, chunk_rows])).fetchone()
        assert row is not None
        purged = Purged(*row)
        total = Purged(*(so_far + now for so_far, now in zip(total, purged, strict=True)))
        if max(purged) < chunk_rows:
            break
    return total


_PURGE_SQL = "SELECT attempts, assertions, logouts, challenges FROM purge_sign_in_rows(%s, %s)"
