"""Where `report` lies: TimescaleDB makes its chunks; plain PostgreSQL gets a partition a month, as moments come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Self

import numpy as np
import psycopg
from numpy.typing import NDArray

_LOCK = 0x76_77_70_61


class Partitions:
    """The months that have a partition; with TimescaleDB there is nothing to do."""

    def __init__(self, plain: bool) -> None:
        self._plain = plain
        self._months: set[int] = set()

    @classmethod
    async def of(cls, conn: psycopg.AsyncConnection) -> Self:
        """How this store keeps its reports."""
        cursor = await conn.execute("SELECT relkind = 'p' FROM pg_class WHERE oid = 'report'::regclass")
        row = await cursor.fetchone()
        return cls(bool(row and row[0]))

    async def ensure(self, conn: psycopg.AsyncConnection, observed_at_us: NDArray[Any]) -> None:
        """Make the partitions that these moments need; inside the caller's transaction.

        A partition that a rolled-back transaction made is made again: what is there already is no error.
        """
        if not self._plain:
            return
        stamps = observed_at_us.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
        for month in np.unique(stamps).tolist():
            if month in self._months:
                continue
            year, index = divmod(month, 12)
            first = datetime(1970 + year, index + 1, 1, tzinfo=UTC)
            after = (first + timedelta(days=32)).replace(day=1)
            name = f"report_{first.year:04}_{first.month:02}"
            await conn.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            cursor = await conn.execute("SELECT to_regclass(%s)", [name])
            row = await cursor.fetchone()
            if row and row[0] is None:
                bounds = f"FROM ('{first.isoformat()}') TO ('{after.isoformat()}')"  # four digits a year, unlike %Y
                await conn.execute(f"CREATE TABLE {name} PARTITION OF report FOR VALUES {bounds}".encode())
            else:
                self._months.add(month)
