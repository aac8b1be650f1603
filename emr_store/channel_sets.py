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
        """Give each channel list that is new a row, all in one statement; one that is there is read, so that no writer
        waits for it."""
        lists = zip(lot.channel_lists.channels, lot.channel_lists.report, strict=True)
        new = {sha256(c).digest(): (c, report) for c, report in lists if c not in self._numbers}
        if not new:
            return
        numbers = {bytes(d): n for d, n in self._conn.execute(_KNOWN_SQL, [list(new)])}
        absent = {digest: found for digest, found in new.items() if digest not in numbers}
        if absent:
            numbers |= self._insert(lot, absent)
        for digest, (channels, _) in new.items():
            self._numbers[channels] = numbers[digest]
            self._uncommitted.append(channels)

    def _insert(self, lot: Lot, absent: dict[bytes, tuple[bytes, int]]) -> dict[bytes, int]:
        """Rows for these lists, by digest; beside each list is a report that has it."""
        table = lot.table
        columns: list[list[str]] = [[], [], []]
        for _, report in absent.values():
            records = slice(*table.record_start[report : report + 2].tolist())
            for texts, column in zip(columns, (table.code, table.unit, table.channel), strict=True):
                texts.append("{" + ",".join(map(str, column[records].tolist())) + "}")
        rows = self._conn.execute(_NEW_SQL, [[c for c, _ in absent.values()], list(absent), *columns])
        return {bytes(digest): number for digest, number in rows}

    def committed(self) -> None:
        """What was numbered since the last time stands."""
        self._uncommitted.clear()

    def rolled_back(self) -> None:
        """Numbers of a transaction that was rolled back are none."""
        for channels in self._uncommitted:
            del self._numbers[channels]
        self._uncommitted.clear()


_KNOWN_SQL = "SELECT digest, channel_set FROM channel_set WHERE digest = ANY(%s::bytea[])"
# In one order: two writers with the same lists never wait in a circle. Where another writer's transaction has just made
# one, that one's number.
_NEW_SQL = """
INSERT INTO channel_set (channels, digest, code, unit, channel)
SELECT c, h, n::int8[], u::int8[], i::int8[]
FROM unnest(%b::bytea[], %b::bytea[], %b::text[], %b::text[], %b::text[]) AS t(c, h, n, u, i) ORDER BY h
ON CONFLICT (digest) DO UPDATE SET digest = excluded.digest RETURNING digest, channel_set
"""
