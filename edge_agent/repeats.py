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
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from edge_agent import seen
from edge_agent.delivery import Delivery
from edge_agent.seen import SeenKeys
from schemas.report import Report

WINDOW_US = 3_600_000_000
UNPROVEN_MAX = 100_000

SCHEMA = f"""
{seen.SCHEMA}CREATE TABLE unproven (
    connection BLOB, slot INTEGER, key BLOB, at INTEGER, PRIMARY KEY (connection, slot)
) WITHOUT ROWID;
CREATE INDEX unproven_key ON unproven (key);
"""
_ELSEWHERE = (
    "SELECT connection, slot FROM unproven WHERE key = ? AND connection <> ? AND at >= ? ORDER BY at DESC, slot DESC"
)


@dataclass(slots=True)
class Sending:
    """A delivery whose sender could send it again, and what its reports say.

    `key` is what two frames have in common that say the same.
    """

    delivery: Delivery
    own_time: bool
    key: bytes

    @staticmethod
    def of(delivery: Delivery, reports: Sequence[Report]) -> Sending:
        """Of a delivery and the reports of its frame."""
        own_time = any(r.own_time for r in reports)
        # One gateway may send the same bytes for two beds over two connections.
        claims = (reports[0].claim,) if len(reports) == 1 else tuple(sorted({r.claim for r in reports}))
        return Sending(delivery, own_time, sha256(_who(delivery.sender, claims) + delivery.frame).digest()[:16])


@lru_cache(16_384)
def _who(sender: str, claims: tuple[str, ...]) -> bytes:
    return sha256("\x1f".join([sender, *claims]).encode("utf-8", "replace")).digest()


class Repeats:
    """The keys of the last hour, in the spool; each call belongs to the transaction that is open."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._run = os.urandom(8)  # connections are counted anew after a restart
        self._seen, self._found = SeenKeys(db), set[bytes]()

    def begin(self, sendings: Sequence[Sending], now_us: int) -> None:
        """At the beginning of a transaction: look up all that it is about."""
        self._found = self._seen.begin([s.key for s in sendings if s.own_time], now_us - WINDOW_US)

    def write(self, now_us: int) -> None:
        """At the end of a transaction."""
        self._seen.write(now_us)

    def is_repeat(self, sending: Sending, now_us: int) -> bool:
        """Whether the frame was kept before; what it proves is forgotten."""
        proves = sending.delivery.proves
        if sending.own_time:
            found = sending.key in self._found or sending.key in self._seen.added
        else:
            found = self._find_unproven(sending, now_us - WINDOW_US)
        if proves:
            self.prove(sending.delivery.connection, proves)
        return found

    def remember(self, sending: Sending, now_us: int) -> None:
        """The frame is kept, now or before; its acknowledgement may yet be lost."""
        if sending.own_time:
            self._seen.add(sending.key, now_us)
        elif sending.delivery.slot is not None:
            unproven = (self._connection(sending.delivery.connection), sending.delivery.slot, sending.key, now_us)
            self._db.execute("INSERT OR REPLACE INTO unproven VALUES (?, ?, ?, ?)", unproven)

    def prove(self, connection: int, tokens: range) -> None:
        """The answers to these frames of a connection have arrived."""
        span = (self._connection(connection), tokens.start, tokens.stop)
        self._db.execute("DELETE FROM unproven WHERE connection = ? AND slot >= ? AND slot < ?", span)

    def tidy(self, now_us: int) -> None:
        """After `begin`: forget what is older than the window or over the limits."""
        self._seen.tidy(now_us - WINDOW_US)
        self._db.execute("DELETE FROM unproven WHERE at < ?", (now_us - WINDOW_US,))
        (count,) = self._db.execute("SELECT count(*) FROM unproven").fetchone()
        if count > UNPROVEN_MAX:
            oldest = "SELECT key FROM unproven ORDER BY at LIMIT ?"
            self._db.execute(f"DELETE FROM unproven WHERE key IN ({oldest})", (count - UNPROVEN_MAX,))

    def _find_unproven(self, sending: Sending, since_us: int) -> bool:
        """Whether this is a resend; the copy that is sent now stands for the earlier one."""
        slot, key = sending.delivery.slot, sending.key
        if sending.delivery.redelivered:
            named = "DELETE FROM unproven WHERE key = ? AND slot = ? AND at >= ?"
            return self._db.execute(named, (key, slot, since_us)).rowcount > 0
        if slot is None or sending.delivery.redelivered is not None:
            return False
        earlier = self._db.execute(_ELSEWHERE, (key, self._connection(sending.delivery.connection), since_us))
        if found := earlier.fetchone():  # frames come again in their order: those before it were answered
            self._db.execute("DELETE FROM unproven WHERE connection = ? AND slot <= ?", found)
        return found is not None

    def _connection(self, number: int) -> bytes:
        return self._run + number.to_bytes(8)
