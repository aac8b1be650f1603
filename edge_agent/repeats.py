"""Repeats: a frame is dropped only when it says the same thing twice (DESIGN, "What must hold" 2).

Bytes that carry a time of their own are the same thing within an hour. Without one, identical bytes are two
measurements, unless the earlier copy's acknowledgement may have been lost. It has not been lost where its sender went
on: the next frame on a connection proves the one before (in MQTT, the next with the same packet identifier:
MQTT 5.0 section 2.2.1). So the one unproven frame of each connection is remembered, and a resend is known by it.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

WINDOW_US = 3_600_000_000
# Keys lie in buckets of ten minutes: what is written lies together, and what is old goes as whole pages.
BUCKET_US = 600_000_000
BUCKETS = WINDOW_US // BUCKET_US + 1
SEEN_MAX = 1_000_000  # keys with a time of their own, some 40 MB; beyond it the oldest bucket goes
UNPROVEN_MAX = 100_000

SCHEMA = """
CREATE TABLE seen (bucket INTEGER, key BLOB, at INTEGER, PRIMARY KEY (bucket, key)) WITHOUT ROWID;
CREATE TABLE unproven (
    connection BLOB, slot INTEGER, key BLOB, at INTEGER, PRIMARY KEY (connection, slot)
) WITHOUT ROWID;
CREATE INDEX unproven_key ON unproven (key);
"""
_SEEN = f"SELECT 1 FROM seen WHERE bucket IN ({', '.join('?' * BUCKETS)}) AND key = ? AND at >= ?"


@dataclass(frozen=True)
class Sending:
    """Who sent which frame over which connection. Without a sender (serial) nobody sends again: never a repeat.

    `packet_id` is MQTT's: where there is one, `redelivered` (its DUP flag) alone tells a resend.
    """

    sender: str
    connection: int
    frame: bytes
    own_time: bool
    claims: frozenset[str]  # one gateway may send the same bytes for two beds over two connections
    redelivered: bool = False
    packet_id: int | None = None

    @property
    def answered(self) -> bool:
        """Whether there is somebody who could miss an answer, and send again."""
        return self.sender != "" and self.connection >= 0

    @cached_property
    def key(self) -> bytes:
        """What two frames have in common that say the same."""
        who = "\x1f".join([self.sender, *sorted(self.claims)]).encode("utf-8", "replace")
        return sha256(sha256(who).digest() + self.frame).digest()[:16]


class Repeats:
    """The keys of the last hour, in the spool; each call belongs to the transaction that is open."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._run = os.urandom(8)  # connections are counted anew after a restart

    def is_repeat(self, sending: Sending, now_us: int) -> bool:
        """Whether the frame was kept before; what came before it on its connection is proven from now on."""
        if not sending.answered:
            return False
        place, since_us = self._place(sending), now_us - WINDOW_US
        if sending.own_time:
            buckets = range(now_us // BUCKET_US - BUCKETS + 1, now_us // BUCKET_US + 1)
            found = self._db.execute(_SEEN, (*buckets, sending.key, since_us)).fetchone() is not None
        else:
            found = self._find_unproven(sending, place, since_us)
        self._db.execute("DELETE FROM unproven WHERE connection = ? AND slot = ?", place)
        return found

    def remember(self, sending: Sending, now_us: int) -> None:
        """The frame is kept, now or before; its acknowledgement may yet be lost."""
        if sending.answered and sending.own_time:
            row: tuple[int | bytes, ...] = (now_us // BUCKET_US, sending.key, now_us)
            self._db.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", row)
        elif sending.answered:
            row = (*self._place(sending), sending.key, now_us)
            self._db.execute("INSERT OR REPLACE INTO unproven VALUES (?, ?, ?, ?)", row)

    def tidy(self, now_us: int) -> None:
        """Forget what is older than the window or over the limits."""
        self._db.execute("DELETE FROM seen WHERE bucket <= ?", (now_us // BUCKET_US - BUCKETS,))
        if self._count("seen") > SEEN_MAX:
            self._db.execute("DELETE FROM seen WHERE bucket = (SELECT min(bucket) FROM seen)")
        self._db.execute("DELETE FROM unproven WHERE at < ?", (now_us - WINDOW_US,))
        if (excess := self._count("unproven") - UNPROVEN_MAX) > 0:
            oldest = "SELECT key FROM unproven ORDER BY at LIMIT ?"
            self._db.execute(f"DELETE FROM unproven WHERE key IN ({oldest})", (excess,))

    def _find_unproven(self, sending: Sending, place: tuple[bytes, int], since_us: int) -> bool:
        where = "key = ? AND slot = ? AND at >= ?"
        key = (sending.key, place[1], since_us)
        connections = {c for (c,) in self._db.execute(f"SELECT connection FROM unproven WHERE {where}", key)}
        elsewhere = sending.packet_id is None and bool(connections - {place[0]})
        found = elsewhere or (sending.redelivered and bool(connections))
        if found:  # the copy that is sent now stands for the earlier one
            self._db.execute(f"DELETE FROM unproven WHERE {where}", key)
        return found

    def _count(self, table: str) -> int:
        (count,) = self._db.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(count)

    def _place(self, sending: Sending) -> tuple[bytes, int]:
        return self._run + sending.connection.to_bytes(8), -1 if sending.packet_id is None else sending.packet_id
