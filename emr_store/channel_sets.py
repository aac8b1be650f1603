"""The store's numbers for lists of channels."""

from __future__ import annotations

from hashlib import sha256

import psycopg

from emr_store.rows import Lot


class ChannelSets:
    """The number of each channel list that this connection has met: such rows never change."""

    def __init__(self, conn: psycopg.Connection) -> None:
        self._conn = conn
        self._numbers: dict[bytes, int] = {}
        self._uncommitted: list[bytes] = []

    def number(self, channels: bytes) -> int:
        """Of a list (12 bytes a channel) that `ensure` has met."""
        return self._numbers[channels]

    def ensure(self, lot: Lot) -> None:
        """Give each channel list that is new a row; one that is there is read, so that no writer waits for it."""
        new = {sha256(g.channels).digest(): g for g in lot.groups if g.channels not in self._numbers}
        if not new:
            return
        numbers = dict(self._conn.execute(_KNOWN_SQL, [list(new)]).fetchall())
        for digest in sorted(new):  # in one order: two writers with the same lists never wait in a circle
            group = new[digest]
            if digest not in numbers:
                first = group.records[0]
                row = self._conn.execute(_NEW_SQL, [
                    group.channels, digest,
                    *(column[first].tolist() for column in (lot.table.code, lot.table.unit, lot.table.channel)),
                ]).fetchone()  # fmt: skip
                assert row is not None
                numbers[digest] = row[0]
            self._numbers[group.channels] = numbers[digest]
            self._uncommitted.append(group.channels)

    def committed(self) -> None:
        """What was numbered since the last time stands."""
        self._uncommitted.clear()

    def rolled_back(self) -> None:
        """Numbers of a transaction that was rolled back are none."""
        for channels in self._uncommitted:
            del self._numbers[channels]
        self._uncommitted.clear()


_KNOWN_SQL = "SELECT digest, channel_set FROM channel_set WHERE digest = ANY(%s::bytea[])"
# Where another writer's transaction has just made it, that one's number.
_NEW_SQL = """
INSERT INTO channel_set (channels, digest, code, unit, channel) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (digest) DO UPDATE SET digest = excluded.digest RETURNING channel_set
"""
