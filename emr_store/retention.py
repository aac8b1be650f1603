"""What time takes: whole partitions of rows, later those of the bodies of the batches that they were an index over.

Retention counts from when the youngest row of a partition was stored, not from when the partition was made: a device
may send its memory of last year today, into a chunk that is a year old. What a legal hold names stays, at any age.
docs/adr/0006-retention.md. Conditions and deed are functions of the database's owner (migration 0003).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

import psycopg

from emr_store.partitions import NOTE_EVERY_S
from schemas.report import Lane

_LOCK = 0x76_77_72_74  # one at a time
_LOCK_TIMEOUT = "5s"  # behind a long reader nothing else has to wait: the next hour will do
# What points into bodies of batches before the reports of its days, by which it is known that a body may go.
_OF_REPORTS = ("waveform", "device_alarm", "device_setting", "report")


class Keep(NamedTuple):
    """How many days are kept, counted from when it was stored; 0: for ever."""

    reports: int = 0
    minutes: int = 0
    batches: int = 0
    adt_batches: int = 0  # the lane `adt`, and its messages that could not be validated; 0: as `batches` says

    @property
    def adt_days(self) -> int:
        """How long the bytes of the lane `adt` are kept: as the shorter of the two says."""
        return min((days for days in (self.adt_batches, self.batches) if days), default=0)


class Dropped(NamedTuple):
    """What was dropped, between which moments (text, as PostgreSQL writes them: a clock may say a year before 1)."""

    what: str
    since: str
    until: str


async def drop_old(conn: psycopg.AsyncConnection, keep: Keep) -> list[Dropped]:
    """Drop what is older; what was dropped. Nothing while another does it. Each partition is its own transaction.

    Raises psycopg.errors.LockNotAvailable where somebody reads a partition for long.
    """
    row = await (await conn.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])).fetchone()
    if not (row and row[0]):
        return []
    try:
        dropped = []
        for table in _OF_REPORTS if keep.reports else ():
            dropped += await _drop_rows(conn, table, keep.reports)
        if keep.minutes:
            dropped += await _drop_rows(conn, "report_minute", keep.minutes)
        if keep.batches:
            dropped += await _drop_bodies(conn, keep.batches)
        return dropped + await _drop_adt(conn, keep.adt_days)
    finally:
        if not conn.closed:
            await conn.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


async def _drop_rows(conn: psycopg.AsyncConnection, table: str, days: int) -> list[Dropped]:
    keep = timedelta(days=days, seconds=2 * NOTE_EVERY_S)  # as old as a note may be
    partitions = await (await conn.execute("SELECT * FROM row_partitions(%s)", [table])).fetchall()
    return [
        Dropped(table, since, until)
        for name, since, until in partitions
        if await _drop(conn, "SELECT drop_rows(%s, %s, %s)", [table, name, keep])
    ]


async def _drop_bodies(conn: psycopg.AsyncConnection, days: int) -> list[Dropped]:
    keep = timedelta(days=days)
    dropped = []
    for lane, part in await (await conn.execute(_BODIES_SQL)).fetchall():
        if lane != Lane.ADT and await _drop(conn, "SELECT drop_body(%s::int2, %s::bigint, %s)", [lane, part, keep]):
            row = await (await conn.execute(_DROPPED_BODY_SQL, [lane, part << 24])).fetchone()
            assert row is not None
            dropped.append(Dropped("batch", *row))
    return dropped


async def _drop_adt(conn: psycopg.AsyncConnection, days: int) -> list[Dropped]:
    """Bytes of the lane `adt`, one by one; rows over them stay, for names in those are erased by an act."""
    await conn.execute("SELECT note_adt_retention(%s)", [days])
    if not days:
        return []
    keep = timedelta(days=days)
    dropped = []
    for lane, part in await (await conn.execute(_BODIES_SQL)).fetchall():
        if lane != Lane.ADT:
            continue
        row = await _ask_owner(conn, "SELECT * FROM drop_adt_bodies(%s::bigint, %s)", [part, keep])
        bodies, since, until = row
        if bodies:
            dropped.append(Dropped("adt batch", since, until))
    await conn.execute("SELECT drop_adt_dead_letters(%s)", [keep])
    return dropped


async def _drop(conn: psycopg.AsyncConnection, sql: str, parameters: list[object]) -> bool:
    return bool((await _ask_owner(conn, sql, parameters))[0])


async def _ask_owner(conn: psycopg.AsyncConnection, sql: str, parameters: list[object]) -> tuple[Any, ...]:
    """What a function of the owner's answers, in a transaction of its own."""
    async with conn.transaction():
        await conn.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'".encode())
        row = await (await conn.execute(sql.encode(), parameters)).fetchone()
    assert row is not None
    return row


_BODIES_SQL = """
SELECT name[1]::int2, name[2]::bigint
FROM pg_class CROSS JOIN LATERAL regexp_match(relname, '^batch_body_(\\d+)_(\\d+)$') AS name
WHERE relkind = 'r' AND relispartition AND name IS NOT NULL AND relnamespace =
    (SELECT relnamespace FROM pg_class WHERE oid = 'batch_body'::regclass) ORDER BY 2, 1
"""
_DROPPED_BODY_SQL = "SELECT stored_from::text, stored_to::text FROM dropped_body WHERE lane = %s AND first_batch = %s"
