"""Where rows lie: TimescaleDB makes its chunks; plain PostgreSQL gets a partition a month, as moments come."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import numpy as np
import psycopg
from numpy.typing import NDArray

_LOCK = 0x76_77_70_61
PARTITIONED = ("report", "waveform", "report_minute", "device_alarm", "device_setting")
DAY_US = 86_400_000_000
# How often it is noted that rows of a day are stored, here and by other writers: a note is twice as old at most.
NOTE_EVERY_S = 3600


class Partitions:
    """The months that have partitions (with TimescaleDB there is nothing to do), and the days noted of late."""

    def __init__(self, plain: bool) -> None:
        self._plain = plain
        self._months: set[int] = set()
        self._noted_s: dict[int, float] = {}

    @classmethod
    def of(cls, conn: psycopg.Connection) -> Self:
        """How this store keeps its reports."""
        cursor = conn.execute("SELECT relkind = 'p' FROM pg_class WHERE oid = 'report'::regclass")
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
                    self._make(conn, month)
        now_s = time.monotonic()
        stale = [d for d in days.tolist() if now_s - self._noted_s.get(d, -NOTE_EVERY_S) >= NOTE_EVERY_S]
        if stale:
            cursor = conn.execute(
                "INSERT INTO day_stored AS s SELECT date '1970-01-01' + d, now(), now() FROM unnest(%s::int4[]) AS d"
                " ON CONFLICT (day) DO UPDATE SET first_stored_at = coalesce(s.first_stored_at, now()),"
                " last_stored_at = now() WHERE s.last_stored_at < now() - %s * interval '1 second'",
                [stale, NOTE_EVERY_S],
            )
            if cursor.rowcount == 0:
                self._noted_s |= dict.fromkeys(stale, now_s)

    def _make(self, conn: psycopg.Connection, month: int) -> None:
        year, index = divmod(month, 12)
        first = datetime(1970 + year, index + 1, 1, tzinfo=UTC)
        after = (first + timedelta(days=32)).replace(day=1)
        name = f"{first.year:04}_{first.month:02}"
        conn.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        cursor = conn.execute("SELECT to_regclass(%s)", [f"report_{name}"])
        row = cursor.fetchone()
        if row and row[0] is None:
            bounds = f"FROM ('{first.isoformat()}') TO ('{after.isoformat()}')"  # four digits a year, unlike %Y
            for table in PARTITIONED:
                conn.execute(f"CREATE TABLE {table}_{name} PARTITION OF {table} FOR VALUES {bounds}".encode())
        else:
            self._months.add(month)
