"""Sequences: how far each device has counted in this spool, without a gap.

What one commit gives is one row of `sequence_given`; every ten seconds the rows are folded into `device`, for a row a
device and commit costs more than all else that is kept of a report.

The table is bounded: the devices that were quiet the longest leave it. One that comes back must not use a number again,
so the spool keeps the highest number of all that left (the floor), and a device that is not in the table begins above
it.
"""

from __future__ import annotations

import sqlite3
import struct

DEVICES_MAX = 100_000  # some 5 MB
EVICTED_AT_ONCE = 5_000  # beyond what is too many
CACHED_MAX = 20_000  # in memory
_GIVEN = struct.Struct("<16sQ")  # device, its last number
_KEEP = "INSERT OR REPLACE INTO device (device, sequence, used_at) VALUES (?, ?, ?)"
_QUIETEST = "SELECT device FROM device ORDER BY used_at LIMIT ?"


def last_numbers(db: sqlite3.Connection) -> dict[bytes, int]:
    """The last number of every device that the file knows."""
    found: dict[bytes, int] = dict(db.execute("SELECT device, sequence FROM device"))
    for (given,) in db.execute("SELECT given FROM sequence_given ORDER BY id"):
        found.update(_GIVEN.iter_unpack(given))
    return found


class Sequences:
    """The numbers of one spool. After a transaction that failed it is made anew: its memory is ahead of the file."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._last: dict[bytes, int] = {}  # every device of `sequence_given`, and others that were asked for
        self._given: dict[bytes, int] = {}  # in this transaction
        self._folded = True  # nothing stands in `sequence_given`
        (self.floor,) = db.execute("SELECT sequence_floor FROM meta").fetchone()
        for (given,) in db.execute("SELECT given FROM sequence_given ORDER BY id"):
            self._last.update(_GIVEN.iter_unpack(given))
            self._folded = False

    def is_new(self, device: bytes) -> bool:
        """Whether nothing is known of it."""
        return device not in self._last and self._read(device) is None

    def next(self, device: bytes) -> int:
        """The device's next number."""
        last = self._last.get(device)
        if last is None:
            last = self._read(device) or self.floor
        last += 1
        self._last[device] = self._given[device] = last
        return last

    def write(self) -> None:
        """At the end of a transaction."""
        if self._given:
            given = b"".join([_GIVEN.pack(device, last) for device, last in self._given.items()])
            self._db.execute("INSERT INTO sequence_given (given) VALUES (?)", (given,))
            self._given.clear()
            self._folded = False

    def fold(self, now_us: int) -> None:
        """At the beginning of a transaction: what was given since the last time goes into the table, which is kept
        within its bound."""
        if self._folded:
            return
        given: dict[bytes, int] = {}
        for (row,) in self._db.execute("SELECT given FROM sequence_given ORDER BY id"):
            given.update(_GIVEN.iter_unpack(row))
        self._db.executemany(_KEEP, [(device, last, now_us) for device, last in given.items()])
        self._db.execute("DELETE FROM sequence_given")
        self._folded = True
        if len(self._last) > CACHED_MAX:
            self._last.clear()
        (count,) = self._db.execute("SELECT count(*) FROM device").fetchone()
        if count > DEVICES_MAX:
            self._evict(count - DEVICES_MAX + EVICTED_AT_ONCE)

    def _evict(self, count: int) -> None:
        highest = f"SELECT max(sequence) FROM device WHERE device IN ({_QUIETEST})"
        self.floor = max(self.floor, *self._db.execute(highest, (count,)).fetchone())
        self._db.execute(f"DELETE FROM device WHERE device IN ({_QUIETEST})", (count,))
        self._db.execute("UPDATE meta SET sequence_floor = ?", (self.floor,))
        self._last.clear()

    def _read(self, device: bytes) -> int | None:
        row = self._db.execute("SELECT sequence FROM device WHERE device = ?", (device,)).fetchone()
        return int(row[0]) if row else None
