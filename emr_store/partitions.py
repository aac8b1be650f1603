"""Where rows lie: TimescaleDB makes its chunks; plain PostgreSQL gets a partition a month, and batches' bodies one for
each 2^24 numbers of a lane.

They are made ahead, in the background (`make_ahead`). A month that nobody could foresee (a device sends its memory of
last year) is made by the writer that needs it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import date
from typing import Any, Self

import numpy as np
import psycopg
from numpy.typing import NDArray

from schemas.report import Lane

PARTITIONED = ("report", "waveform", "report_minute", "device_alarm", "device_setting")
MONTHS_AHEAD = 2
BODY_BITS = 24  # 2^24 numbers a partition of batch_body
DAY_US = 86_400_000_000
# How often it is noted that rows of a day are stored, here and by other writers: a note is twice as old at most.
NOTE_EVERY_S = 3600
LOCK_TIMEOUT = "2s"  # behind an ANALYZE or another ATTACH: the next round will do


class Partitions:
    """The months (with TimescaleDB there is nothing to do) and numbers that have partitions; the days noted of late."""

    def __init__(self, plain: bool) -> None:
        self._plain = plain
        self._months: set[int] = set()
        self._bodies: set[tuple[int, int]] = set()
        self._noted_s: dict[int, float] = {}

    @classmethod
    def of(cls, conn: psycopg.Connection) -> Self:
        """How this store keeps its reports."""
        cursor = conn.execute(_IS_PLAIN_SQL)
        row = cursor.fetchone()
        return cls(bool(row and row[0]))

    def ensure(self, conn: psycopg.Connection, observed_at_us: NDArray[Any]) -> None:
        """Make the partitions that these moments need, and note their days; inside the caller's transaction.

        What a rolled-back transaction made or noted is made again: only what was there already is remembered.
        """
        days = np.unique(observed_at_us // DAY_US)
        if self._plain:
            for month in np.unique(days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)).tolist():
                if month not in self._months:
                    name = _first_of(month)
                    if _is_there(conn, f"report_{name.year:04}_{name.month:02}"):
                        self._months.add(month)
                    else:
                        conn.execute(_MAKE_MONTH_SQL, [name])
        now_s = time.monotonic()
        stale = [d for d in days.tolist() if now_s - self._noted_s.get(d, -NOTE_EVERY_S) >= NOTE_EVERY_S]
        if stale:
            noted = [row[0] for row in conn.execute(_NOTED_SQL, [stale, NOTE_EVERY_S])]
            self._noted_s |= dict.fromkeys(noted, now_s)
            if len(noted) < len(stale):
                conn.execute(_NOTE_SQL, [sorted(set(stale).difference(noted))])

    def ensure_bodies(self, conn: psycopg.Connection, numbers: Iterable[tuple[int, int]]) -> None:
        """Make the partitions that batches of these lanes and numbers need; inside the caller's transaction."""
        for lane, part in sorted({(lane, number >> BODY_BITS) for lane, number in numbers} - self._bodies):
            if _is_there(conn, f"batch_body_{lane}_{part}"):
                self._bodies.add((lane, part))
            else:
                conn.execute(_MAKE_BODY_SQL, [lane, part << BODY_BITS])


async def make_ahead(conn: psycopg.AsyncConnection, today: date) -> None:
    """Make the partitions of the coming months, and those of the next numbers of each lane.

    Raises psycopg.errors.LockNotAvailable where something holds a lock for long: it is tried again in the next round.
    """
    row = await (await conn.execute(_IS_PLAIN_SQL)).fetchone()
    month = (today.year - 1970) * 12 + today.month - 1
    months = range(month, month + MONTHS_AHEAD + 1) if row and row[0] else range(0)
    for each in months:
        await _make(conn, _MAKE_MONTH_SQL, [_first_of(each)])
    used = await (await conn.execute("SELECT last_value FROM batch_number")).fetchone()
    part = (used[0] if used else 0) >> BODY_BITS
    for lane in Lane:
        for number in (part, part + 1):
            await _make(conn, _MAKE_BODY_SQL, [int(lane), number << BODY_BITS])


async def _make(conn: psycopg.AsyncConnection, sql: str, parameters: list[object]) -> None:
    async with conn.transaction():
        await conn.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'".encode())
        await conn.execute(sql.encode(), parameters)


def _first_of(month: int) -> date:
    """The first day of a month, counted from January 1970."""
    year, index = divmod(month, 12)
    return date(1970 + year, index + 1, 1)


def _is_there(conn: psycopg.Connection, table: str) -> bool:
    row = conn.execute("SELECT to_regclass(%s) IS NOT NULL", [table]).fetchone()
    return bool(row and row[0])


_IS_PLAIN_SQL = "SELECT relkind = 'p' FROM pg_class WHERE oid = 'report'::regclass"
_MAKE_MONTH_SQL = "SELECT make_month(%s::date)"
_MAKE_BODY_SQL = "SELECT make_body(%s::int2, %s::bigint)"
# What is noted already is read: an upsert would lock its row, and other writers would wait for this transaction.
_NOTED_SQL = """
SELECT day - date '1970-01-01' FROM day_stored
WHERE day IN (SELECT date '1970-01-01' + d FROM unnest(%s::int4[]) AS d)
    AND last_stored_at >= now() - %s * interval '1 second' AND first_stored_at IS NOT NULL
"""
_NOTE_SQL = """
INSERT INTO day_stored AS s SELECT date '1970-01-01' + d, now(), now() FROM unnest(%s::int4[]) AS d
ON CONFLICT (day) DO UPDATE SET first_stored_at = coalesce(s.first_stored_at, now()), last_stored_at = now()
"""
