"""Repeats: a frame is dropped only when it says the same thing twice (DESIGN, "What must hold" 2).

Bytes that carry a time of their own are the same thing within an hour. Without one, identical bytes are two
measurements, unless the earlier copy's acknowledgement may have been lost. It has not been lost where its sender went
on: a frame on a connection proves those whose answers were on the wire before it came (in MQTT, the one with the same
packet identifier: MQTT 5.0 section 2.2.1). So each connection's unproven frames are remembered, and a resend is known
by them.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from edge_agent.delivery import Delivery

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
_ELSEWHERE = (
    "SELECT connection, slot FROM unproven WHERE key = ? AND connection <> ? AND at >= ? ORDER BY at DESC, slot DESC"
)


@dataclass(frozen=True)
class Sending:
    """A delivery whose sender could send it again, and what its reports say."""

    delivery: Delivery
    own_time: bool
    claims: frozenset[str]  # one gateway may send the same bytes for two beds over two connections

    @cached_property
    def key(self) -> bytes:
        """What two frames have in common that say the same."""
        who = "\x1f".join([self.delivery.sender, *sorted(self.claims)]).encode("utf-8", "replace")
        return sha256(sha256(who).digest() + self.delivery.frame).digest()[:16]


class Repeats:
    """The keys of the last hour, in the spool; each call belongs to the transaction that is open."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._run = os.urandom(8)  # connections are counted anew after a restart

    def is_repeat(self, sending: Sending, now_us: int) -> bool:
        """Whether the frame was kept before; what it proves is forgotten."""
        since_us, proves = now_us - WINDOW_US, sending.delivery.proves
        if sending.own_time:
            buckets = range(now_us // BUCKET_US - BUCKETS + 1, now_us // BUCKET_US + 1)
            found = self._db.execute(_SEEN, (*buckets, sending.key, since_us)).fetchone() is not None
        else:
            found = self._find_unproven(sending, since_us)
        if proves:
            span = (self._connection(sending), proves.start, proves.stop)
            self._db.execute("DELETE FROM unproven WHERE connection = ? AND slot >= ? AND slot < ?", span)
        return found

    def remember(self, sending: Sending, now_us: int) -> None:
        """The frame is kept, now or before; its acknowledgement may yet be lost."""
        if sending.own_time:
            seen = (now_us // BUCKET_US, sending.key, now_us)
            self._db.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", seen)
        elif sending.delivery.slot is not None:
            unproven = (self._connection(sending), sending.delivery.slot, sending.key, now_us)
            self._db.execute("INSERT OR REPLACE INTO unproven VALUES (?, ?, ?, ?)", unproven)

    def prove(self, connection: int, tokens: range) -> None:
        """The answers to these frames of a connection have arrived."""
        span = (self._run + connection.to_bytes(8), tokens.start, tokens.stop)
        self._db.execute("DELETE FROM unproven WHERE connection = ? AND slot >= ? AND slot < ?", span)

    def tidy(self, now_us: int) -> None:
        """Forget what is older than the window or over the limits."""
        self._db.execute("DELETE FROM seen WHERE bucket <= ?", (now_us // BUCKET_US - BUCKETS,))
        if self._count("seen") > SEEN_MAX:
            self._db.execute("DELETE FROM seen WHERE bucket = (SELECT min(bucket) FROM seen)")
        self._db.execute("DELETE FROM unproven WHERE at < ?", (now_us - WINDOW_US,))
        if (excess := self._count("unproven") - UNPROVEN_MAX) > 0:
            oldest = "SELECT key FROM unproven ORDER BY at LIMIT ?"
            self._db.execute(f"DELETE FROM unproven WHERE key IN ({oldest})", (excess,))

    def _find_unproven(self, sending: Sending, since_us: int) -> bool:
        """Whether this is a resend; the copy that is sent now stands for the earlier one."""
        slot, key = sending.delivery.slot, sending.key
        if sending.delivery.redelivered:
            named = "DELETE FROM unproven WHERE key = ? AND slot = ? AND at >= ?"
            return self._db.execute(named, (key, slot, since_us)).rowcount > 0
        if slot is None or sending.delivery.redelivered is not None:
            return False
        earlier = self._db.execute(_ELSEWHERE, (key, self._connection(sending), since_us)).fetchone()
        if earlier is not None:  # frames come again in their order: those before it were answered
            self._db.execute("DELETE FROM unproven WHERE connection = ? AND slot <= ?", earlier)
        return earlier is not None

    def _count(self, table: str) -> int:
        (count,) = self._db.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(count)

    def _connection(self, sending: Sending) -> bytes:
        return self._run + sending.delivery.connection.to_bytes(8)
