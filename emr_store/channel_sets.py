"""The store's numbers for lists of channels."""

from __future__ import annotations

from hashlib import sha256

import psycopg

from emr_store.rows import Lot
from schemas.batch import Table


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
        lists = lot.channel_lists
        new = {
            sha256(channels).digest(): (channels, report)
            for channels, report in zip(lists.channels, lists.report, strict=True)
            if channels not in self._numbers
        }
        if not new:
            return
        numbers: dict[bytes, int] = dict(self._conn.execute(_KNOWN_SQL, [list(new)]).fetchall())
        unknown = {digest: one for digest, one in new.items() if digest not in numbers}
        if unknown:
            numbers |= self._insert(lot.table, unknown)
        for digest, (channels, _) in new.items():
            self._numbers[channels] = numbers[digest]
            self._uncommitted.append(channels)

    def _insert(self, table: Table, lists: dict[bytes, tuple[bytes, int]]) -> dict[bytes, int]:
        """Give these lists rows, all in one statement; with each comes a report that has it."""
        columns: list[list[str]] = [[], [], []]
        for _, report in lists.values():
            records = slice(*table.record_start[report : report + 2].tolist())
            for texts, column in zip(columns, (table.code, table.unit, table.channel), strict=True):
                texts.append("{" + ",".join(map(str, column[records].tolist())) + "}")
        values = [list(lists), [channels for channels, _ in lists.values()], *columns]
        return dict(self._conn.execute(_NEW_SQL, values).fetchall())

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
# it, that one's number.
_NEW_SQL = """
INSERT INTO channel_set (channels, digest, code, unit, channel)
SELECT channels, digest, code::int8[], unit::int8[], channel::int8[]
FROM unnest(%s::bytea[], %s::bytea[], %s::text[], %s::text[], %s::text[]) AS t(digest, channels, code, unit, channel)
ORDER BY digest
ON CONFLICT (digest) DO UPDATE SET digest = excluded.digest RETURNING digest, channel_set
"""
