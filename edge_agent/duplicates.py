"""Duplicates: a frame is dropped only when it says the same thing twice (DESIGN, "What must hold" 2; docs/adr/0008).

Bytes that carry a time of their own are the same thing within an hour. Without one, identical bytes are two
measurements, unless the second is a resend: the answer to the first may have been lost, and the sender sends it again
over a connection that it made since. An answer has not been lost where its sender went on (a frame on a connection
proves those whose answers were on the wire before it came; in MQTT the one with the same packet identifier, MQTT 5.0
section 2.2.1), or where it ended its connection in order after it. So each connection's unproven frames are remembered,
and a resend is known by them.
"""

from __future__ import annotations

import os
import sqlite3
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from edge_agent import seen
from edge_agent.delivery import Delivery
from edge_agent.seen import SeenKeys
from schemas.report import Kind, Report

WINDOW_US = 3_600_000_000
RESEND_WINDOW_S = 300  # since the first copy: a sender that was not answered does not wait for so long
UNPROVEN_MAX = 100_000
CONNECTIONS_MAX = 20_000  # of which it is known when they began
_NO_VALUES = frozenset({Kind.CONTEXT, Kind.DESCRIPTION, Kind.EVENT})

SCHEMA = f"""
{seen.SCHEMA}CREATE TABLE unproven (
    connection BLOB, token INTEGER, key BLOB, at INTEGER, first_at INTEGER, PRIMARY KEY (connection, token)
) WITHOUT ROWID;
CREATE INDEX unproven_key ON unproven (key);
"""
_ELSEWHERE = (
    "SELECT connection, token, first_at FROM unproven WHERE key = ? AND connection <> ? AND at <= ? AND first_at >= ?"
    " ORDER BY at DESC, token DESC"
)
_FORGET = "DELETE FROM unproven WHERE connection = ? AND token >= ? AND token < ?"


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
        # The time of one value (an old cuff pressure) tells nothing of the values beside it that have none.
        values = [r for r in reports if r.kind not in _NO_VALUES] or reports  # contexts come with the first copy alone
        own_time = all(r.own_time for r in values)
        # One gateway may send the same bytes for two beds over two connections.
        claims = (values[0].claim,) if len(values) == 1 else tuple(sorted({r.claim for r in values}))
        return Sending(delivery, own_time, sha256(_who(delivery.sender, claims) + delivery.frame).digest()[:16])


@lru_cache(16_384)
def _who(sender: str, claims: tuple[str, ...]) -> bytes:
    return sha256("\x1f".join([sender, *claims]).encode("utf-8", "replace")).digest()


class Duplicates:
    """The keys of the last hour, in the spool; each call belongs to the transaction that is open."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._run = os.urandom(8)  # connections are counted anew after a restart
        self._seen, self._found = SeenKeys(db), set[bytes]()
        self._with_unproven = set[int]()  # connections of this run that have rows in `unproven`, and maybe more
        # When the first frame of a connection of this run came; those that were silent for longest are evicted.
        self._began_us: OrderedDict[int, int] = OrderedDict()
        self._resend: tuple[Sending, int] | None = None  # that was just found, and when its first copy came

    def begin(self, sendings: Sequence[Sending], now_us: int) -> None:
        """At the beginning of a transaction: look up all that it is about."""
        self._found = self._seen.begin([s.key for s in sendings if s.own_time], now_us - WINDOW_US)

    def write(self, now_us: int) -> None:
        """At the end of a transaction."""
        self._seen.write(now_us)

    def committed(self) -> None:
        """The transaction is on the disk."""
        self._seen.committed()

    def is_duplicate(self, sending: Sending, now_us: int) -> bool:
        """Whether the frame was kept before; what it proves is forgotten."""
        delivery = sending.delivery
        self._resend = None
        if sending.own_time:
            found = sending.key in self._found or sending.key in self._seen.added
            self._note_began(delivery.connection, now_us)
        elif delivery.redelivered is not None:
            found = delivery.redelivered and self._take_redelivered(sending, now_us)
        else:
            found = self._take_resend(sending, now_us)
        if delivery.answered:
            self.prove(delivery.connection, delivery.answered)
        return found

    def remember(self, sending: Sending, now_us: int) -> None:
        """The frame is kept, now or before; its acknowledgement may yet be lost."""
        if sending.own_time:
            self._seen.add(sending.key, now_us)
        elif sending.delivery.token is not None:
            first_at_us = now_us
            if self._resend is not None and self._resend[0] is sending:
                first_at_us = self._resend[1]  # or resends of resends would go on for ever
            connection = self._connection(sending.delivery.connection)
            unproven = (connection, sending.delivery.token, sending.key, now_us, first_at_us)
            self._db.execute("INSERT OR REPLACE INTO unproven VALUES (?, ?, ?, ?, ?)", unproven)
            self._with_unproven.add(sending.delivery.connection)

    def prove(self, connection: int, tokens: range) -> None:
        """The answers to these frames of a connection have arrived: they are not sent again."""
        if connection not in self._with_unproven:  # a statement a frame would cost more than the frame
            return
        self._db.execute(_FORGET, (self._connection(connection), tokens.start, tokens.stop))

    def tidy(self, now_us: int) -> None:
        """After `begin`: forget what is older than the window or over the limits."""
        self._seen.tidy(now_us - WINDOW_US)
        self._db.execute("DELETE FROM unproven WHERE at < ?", (now_us - WINDOW_US,))
        excess = self._count_unproven() - UNPROVEN_MAX
        if excess > 0:
            oldest = "SELECT key FROM unproven ORDER BY at LIMIT ?"
            self._db.execute(f"DELETE FROM unproven WHERE key IN ({oldest})", (excess,))
        ours = self._db.execute(
            "SELECT DISTINCT connection FROM unproven WHERE substr(connection, 1, 8) = ?", (self._run,)
        )
        self._with_unproven = {int.from_bytes(connection[len(self._run) :]) for (connection,) in ours}

    def _take_redelivered(self, sending: Sending, now_us: int) -> bool:
        """Whether a frame that says of itself that it is sent again was kept: the copy of now stands for it."""
        named = "DELETE FROM unproven WHERE key = ? AND token = ? AND at >= ?"
        copy = (sending.key, sending.delivery.token, now_us - WINDOW_US)
        return self._db.execute(named, copy).rowcount > 0

    def _take_resend(self, sending: Sending, now_us: int) -> bool:
        """Whether this is a resend, on a connection that began after a copy came: the copy of now stands for that."""
        delivery = sending.delivery
        began_us = self._note_began(delivery.connection, now_us)
        if delivery.token is None:
            return False
        since_us = now_us - RESEND_WINDOW_S * 1_000_000
        here = self._connection(delivery.connection)
        earlier = self._db.execute(_ELSEWHERE, (sending.key, here, began_us, since_us)).fetchone()
        if earlier is None:
            return False
        connection, token, first_at_us = earlier
        self._db.execute(_FORGET, (connection, 0, token + 1))  # they come again in order: those before were answered
        self._resend = (sending, first_at_us)
        return True

    def _note_began(self, connection: int, now_us: int) -> int:
        """When the connection's first frame came."""
        began_us = self._began_us.setdefault(connection, now_us)
        self._began_us.move_to_end(connection)
        if len(self._began_us) > CONNECTIONS_MAX:
            self._began_us.popitem(last=False)
        return began_us

    def _count_unproven(self) -> int:
        (count,) = self._db.execute("SELECT count(*) FROM unproven").fetchone()
        return int(count)

    def _connection(self, connection: int) -> bytes:
        return self._run + connection.to_bytes(8)
