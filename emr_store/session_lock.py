"""One process at a time, of those that share a database: a lock that ends with its session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg


@contextmanager
def held_alone(conn: psycopg.Connection, lock: int) -> Iterator[bool]:
    """Whether we are the one that works; for the time of the block. The connection is in autocommit mode."""
    row = conn.execute("SELECT pg_try_advisory_lock(%s)", (lock,)).fetchone()
    held = bool(row and row[0])
    try:
        yield held
    finally:
        if held and not conn.closed:
            conn.execute("SELECT pg_advisory_unlock(%s)", (lock,))
