"""Legal holds: partitions of the record that retention leaves alone, whatever their age. Each is an act."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import psycopg
from psycopg.rows import class_row

from emr_store import acts
from emr_store.acts import Author, this_user
from schemas.errors import VitalwireError


class Partition(NamedTuple):
    """A partition or chunk, by the name that PostgreSQL gives it; `bounds` as PostgreSQL writes them."""

    partition: str
    bounds: str
    held: bool


class Hold(NamedTuple):
    """A partition that is held."""

    partition: str
    since: datetime
    by: str
    why: str


_PARTITIONS_SQL = """
WITH RECURSIVE part AS (
    SELECT c.oid, c.relkind, pg_get_expr(c.relpartbound, c.oid) AS bounds
    FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid JOIN pg_class p ON p.oid = inhparent
    WHERE p.relkind = 'p' AND NOT p.relispartition AND c.relkind IN ('r', 'p') AND p.relnamespace = %s::regnamespace
    UNION ALL
    SELECT c.oid, c.relkind, part.bounds || ' ' || pg_get_expr(c.relpartbound, c.oid)
    FROM part JOIN pg_inherits ON inhparent = part.oid JOIN pg_class c ON c.oid = inhrelid)
SELECT oid::regclass::text AS partition, bounds FROM part WHERE relkind = 'r'
"""
_CHUNKS_SQL = """
UNION ALL SELECT format('%%I.%%I', chunk_schema, chunk_name), format('of %%I from %%s to %%s', hypertable_name,
    range_start, range_end)
FROM timescaledb_information.chunks
"""


def partitions(conn: psycopg.Connection) -> list[Partition]:
    """What can be held: months, chunks of TimescaleDB, and ranges of batch numbers."""
    chunks = conn.execute("SELECT to_regclass('timescaledb_information.chunks') IS NOT NULL").fetchone()
    found = _PARTITIONS_SQL + (_CHUNKS_SQL if chunks and chunks[0] else "")
    sql = (
        f"SELECT p.partition, p.bounds, h.partition IS NOT NULL AS held FROM ({found}) AS p"
        " LEFT JOIN legal_hold h USING (partition) ORDER BY 1"
    )
    row = conn.execute("SELECT current_schema()").fetchone()
    return conn.cursor(row_factory=class_row(Partition)).execute(sql.encode(), (row and row[0],)).fetchall()


def holds(conn: psycopg.Connection) -> list[Hold]:
    """What is held now, the oldest first."""
    sql = "SELECT partition, since, by, why FROM legal_hold ORDER BY since, partition"
    return conn.cursor(row_factory=class_row(Hold)).execute(sql).fetchall()


def add(conn: psycopg.Connection, partition: str, author: Author | None = None) -> None:
    """Keep a partition until the hold is released.

    Raises VitalwireError where there is none of this name, where it is held already, and where no reason is given.
    """
    who = author or this_user()
    if not who.why.strip():
        raise VitalwireError("a legal hold needs its reason: --why 'case 2026-117'")
    with conn.transaction():
        if partition not in {p.partition for p in partitions(conn)}:
            raise VitalwireError(f"there is no partition {partition!r}: see `vitalwire hold partitions`")
        at = acts.now(conn)
        act_id = acts.record(conn, acts.act("hold.add", who, at, partition=partition))
        added = conn.execute(
            "INSERT INTO legal_hold (partition, since, by, why, act) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            (partition, at, who.by, who.why, act_id),
        ).rowcount
        if not added:
            raise VitalwireError(f"{partition} is held already: see `vitalwire hold list`")


def release(conn: psycopg.Connection, partition: str, author: Author | None = None) -> None:
    """Let retention have a partition again; raises VitalwireError where it is not held."""
    with conn.transaction():
        if not conn.execute("DELETE FROM legal_hold WHERE partition = %s", (partition,)).rowcount:
            raise VitalwireError(f"{partition} is not held: see `vitalwire hold list`")
        acts.record(conn, acts.act("hold.release", author, acts.now(conn), partition=partition))
