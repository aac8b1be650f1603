"""Sequences: how far each device has counted in this spool, without a gap.

The table is bounded: the devices that were quiet the longest leave it. One that comes back must not use a number again,
so the spool keeps the highest number of all that left (the floor), and a device that is not in the table begins above
it.
"""

from __future__ import annotations

import sqlite3

DEVICES_MAX = 100_000  # some 5 MB
EVICTED_AT_ONCE = 5_000  # beyond what is too many
CACHED_MAX = 20_000  # in memory
_KEEP = "INSERT OR REPLACE INTO device (device, sequence, used_at) VALUES (?, ?, ?)"
_QUIETEST = "SELECT device FROM device ORDER BY used_at LIMIT ?"


class Sequences:
    """The numbers of one spool. After a transaction that failed it is made anew: its memory is ahead of the file."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._last: dict[bytes, int] = {}
        self._given: dict[bytes, int] = {}
        (self.floor,) = db.execute("SELECT sequence_floor FROM meta").fetchone()

    def is_new(self, device: bytes) -> bool:
        """Whether it is not in the table."""
        return device not in self._last and self._read(device) is None

    def next(self, device: bytes) -> int:
        """The device's next number."""
        last = self._last.get(device)
        if last is None:
            last = self._read(device) or self.floor
        self._last[device] = self._given[device] = last + 1
        return last + 1

    def write(self, now_us: int) -> None:
        """At the end of a transaction."""
        rows = [(device, sequence, now_us) for device, sequence in self._given.items()]
        self._db.executemany(_KEEP, rows)
        self._given.clear()
        if len(self._last) > CACHED_MAX:
            self._last.clear()

    def evict(self) -> None:
        """Keep the table within its bound."""
        (count,) = self._db.execute("SELECT count(*) FROM device").fetchone()
        if count <= DEVICES_MAX:
            return
        excess = (count - DEVICES_MAX + EVICTED_AT_ONCE,)
        highest = f"SELECT max(sequence) FROM device WHERE device IN ({_QUIETEST})"
        self.floor = max(self.floor, *self._db.execute(highest, excess).fetchone())
        self._db.execute(f"DELETE FROM device WHERE device IN ({_QUIETEST})", excess)
        self._db.execute("UPDATE meta SET sequence_floor = ?", (self.floor,))
        self._last.clear()

    def _read(self, device: bytes) -> int | None:
        row = self._db.execute("SELECT sequence FROM device WHERE device = ?", (device,)).fetchone()
        return int(row[0]) if row else None
