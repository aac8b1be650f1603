"""What time takes: whole partitions of rows, later the bodies of the batches that they were an index over.

Retention counts from when the youngest row of a partition was stored, not from when the partition was made: a device
may send its memory of last year today, into a chunk that is a year old. docs/adr/0006-retention.md.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

import psycopg

from emr_store.partitions import NOTE_EVERY_S
from schemas.layout import BODY_START

_LOCK = 0x76_77_72_74  # one at a time
_LOCK_TIMEOUT = "5s"  # behind a long reader nothing else has to wait: the next hour will do
_SLICE = timedelta(hours=1)  # batches stored in it are emptied in one transaction
# What stays of a batch: header and signature, and a byte more, so that it is read like any other.
HEAD_BYTES = BODY_START + 1


class Keep(NamedTuple):
    """How many days are kept, counted from when it was stored; 0: for ever."""

    reports: int = 0
    minutes: int = 0
    batches: int = 0


class Dropped(NamedTuple):
    """What was dropped, between which moments (text, as PostgreSQL writes them: a clock may say a year before 1)."""

    what: str
    since: str
    until: str


async def drop_old(conn: psycopg.AsyncConnection, keep: Keep) -> list[Dropped]:
    """Drop what is older; what was dropped. Nothing while another does it. Each partition is its own transaction."""
    if not await _is(conn, "SELECT pg_try_advisory_lock(%(lock)s)", {"lock": _LOCK}):
        return []
    out = []
    # What points into bodies of batches before the reports of its days, by which it is known that a body may go.
    of_reports = [(table, keep.reports) for table in ("waveform", "device_alarm", "device_setting", "report")]
    for table, days in (*of_reports, ("report_minute", keep.minutes)):
        if days:
            out += [
                part for name, take, part in await _partitions(conn, table) if await _drop(conn, name, take, part, days)
            ]
    if keep.batches:
        out += await _empty_batches(conn, keep.batches)
    await conn.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
    return out


async def _partitions(conn: psycopg.AsyncConnection, table: str) -> list[tuple[str, str, Dropped]]:
    """Of each partition or chunk the name, the SQL that takes it, and what it spans.

    A month stays, empty: writers know that they have made it.
    """
    months = await _is(conn, "SELECT relkind = 'p' FROM pg_class WHERE oid = %(table)s::regclass", {"table": table})
    cursor = await conn.execute((_MONTHS_SQL if months else _CHUNKS_SQL).encode(), [table])
    return [
        (name, f"TRUNCATE {name}" if months else _DROP_CHUNK_SQL, Dropped(table, since, until))
        for name, since, until in await cursor.fetchall()
    ]


async def _drop(conn: psycopg.AsyncConnection, name: str, take: str, part: Dropped, days: int) -> bool:
    """Drop a partition into which nothing was stored for so many days; whether it was, and held anything.

    The days' notes are locked first, then the partition, as a writer does: afterwards nobody stores into it whose note
    is not seen here.
    """
    span = {**part._asdict(), "keep": timedelta(days=days, seconds=2 * NOTE_EVERY_S)}  # as old as a note may be
    async with conn.transaction():
        await conn.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'".encode())
        if not await _is(conn, _OLD_SQL.format(locked="ORDER BY day FOR UPDATE"), span):
            return False
        await conn.execute(f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE".encode())
        if not await _is(conn, _OLD_SQL.format(locked=""), span) or not await _is(conn, _ANY_SQL.format(name), {}):
            return False
        await conn.execute(take.encode(), span)
        if part.what == "report":
            await conn.execute(f"UPDATE day_stored SET first_stored_at = NULL WHERE {_DAYS}".encode(), span)
        await conn.execute(_NOTE_SQL, span)
    return True


async def _is(conn: psycopg.AsyncConnection, sql: str, named: dict[str, object]) -> bool:
    row = await (await conn.execute(sql.encode(), named)).fetchone()
    return bool(row and row[0])


async def _empty_batches(conn: psycopg.AsyncConnection, days: int) -> list[Dropped]:
    """Take the bodies of batches, and their verdicts, whose rows are all dropped; in the order they were stored in."""
    out: list[Dropped] = []
    limits = {"keep": timedelta(days=days), "slice": _SLICE}
    while row := await (await conn.execute(_NEXT_BATCHES_SQL, limits)).fetchone():
        stored = {"what": "batch", "since": row[0], "until": row[1], "head": HEAD_BYTES}
        async with conn.transaction():
            await conn.execute(
                f"UPDATE batch SET sealed = substr(sealed, 1, %(head)s) WHERE {_STORED}".encode(), stored
            )
            await conn.execute(f"UPDATE seal SET judgement = '' WHERE {_STORED}".encode(), stored)
            await conn.execute(_NOTE_SQL, stored | {"since": "epoch"})
        out = [Dropped("batch", out[0].since if out else row[0], row[1])]
    return out


_DAYS = "day AT TIME ZONE 'UTC' >= %(since)s::timestamptz AND day AT TIME ZONE 'UTC' < %(until)s::timestamptz"
_STORED = "stored_at >= %(since)s::timestamptz AND stored_at < %(until)s::timestamptz"
_ANY_SQL = "SELECT EXISTS (SELECT FROM {})"
_OLD_SQL = f"""
SELECT coalesce(max(last_stored_at) < now() - %(keep)s, false)
FROM (SELECT last_stored_at FROM day_stored WHERE {_DAYS} {{locked}}) AS d
"""
_MONTHS_SQL = r"""
SELECT inhrelid::regclass::text, b[1], b[2] FROM pg_inherits JOIN pg_class ON oid = inhrelid
CROSS JOIN LATERAL regexp_match(pg_get_expr(relpartbound, oid), 'FROM \(''(.*)''\) TO \(''(.*)''\)') AS b
WHERE inhparent = %s::regclass
"""
_CHUNKS_SQL = """
SELECT format('%%I.%%I', chunk_schema, chunk_name), range_start::text, range_end::text
FROM timescaledb_information.chunks WHERE hypertable_name = %s
"""
_DROP_CHUNK_SQL = """
SELECT drop_chunks(%(what)s::regclass, newer_than => %(since)s::timestamptz, older_than => %(until)s::timestamptz)
"""
_NOTE_SQL = """
INSERT INTO dropped SELECT %(what)s, %(since)s, %(until)s, coalesce(max(batch), 0) FROM batch
ON CONFLICT (what, since) DO UPDATE SET until = excluded.until, last_batch = excluded.last_batch,
    dropped_at = excluded.dropped_at
"""
# A slice of the oldest that were not emptied yet, up to where a row is left of any: the first that a day still has.
_NEXT_BATCHES_SQL = """
SELECT stored_at::text, least(stored_at + %(slice)s, now() - %(keep)s, kept_from)::text
FROM (SELECT min(first_stored_at) AS kept_from FROM day_stored) AS d,
    (SELECT stored_at FROM batch
     WHERE stored_at >= coalesce((SELECT until FROM dropped WHERE what = 'batch'), 'epoch')
     ORDER BY stored_at LIMIT 1) AS b
WHERE stored_at < least(now() - %(keep)s, kept_from)
"""
