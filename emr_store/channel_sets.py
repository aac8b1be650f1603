"""The store's numbers for lists of channels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

import numpy as np
import psycopg

from schemas.layout import CHANNEL_BYTES


class ChannelSets:
    """The number of each channel list that this connection has met: such rows never change."""

    def __init__(self, conn: psycopg.Connection) -> None:
        self._conn = conn
        self._numbers: dict[bytes, int] = {}
        self._uncommitted: list[bytes] = []

    def number(self, channels: bytes) -> int:
        """Of a list (12 bytes a channel) that `ensure` has met."""
        return self._numbers[channels]

    def ensure(self, lists: Iterable[bytes]) -> None:
        """Give each channel list that is new a row, all in one statement; one that is there is read, so that no writer
        waits for it."""
        new = {sha256(channels).digest(): channels for channels in lists if channels not in self._numbers}
        if not new:
            return
        numbers = {bytes(d): n for d, n in self._conn.execute(_KNOWN_SQL, [list(new)])}
        absent = [channels for digest, channels in new.items() if digest not in numbers]
        if absent:
            numbers |= self._insert(absent)
        for digest, channels in new.items():
            self._numbers[channels] = numbers[digest]
            self._uncommitted.append(channels)

    def _insert(self, absent: Sequence[bytes]) -> dict[bytes, int]:
        """Rows for these lists; their numbers by digest."""
        columns: list[list[str]] = [[], [], []]
        for channels in absent:
            for column, values in zip(columns, columns_of(channels), strict=True):
                column.append("{" + ",".join(map(str, values)) + "}")
        rows = self._conn.execute(_NEW_SQL, [list(absent), [sha256(c).digest() for c in absent], *columns])
        return {bytes(digest): number for digest, number in rows}

    def committed(self) -> None:
        """What was numbered since the last time stands."""
        self._uncommitted.clear()

    def rolled_back(self) -> None:
        """Numbers of a transaction that was rolled back are none."""
        for channels in self._uncommitted:
            del self._numbers[channels]
        self._uncommitted.clear()


def columns_of(channels: bytes) -> list[list[int]]:
    """Code, unit and channel of a list (12 bytes a channel), each as a list."""
    columns: list[list[int]] = np.frombuffer(channels, "<u4").reshape(-1, CHANNEL_BYTES // 4).T.tolist()
    return columns


_KNOWN_SQL = "SELECT digest, channel_set FROM channel_set WHERE digest = ANY(%s::bytea[])"
# In one order: two writers with the same lists never wait in a circle. Where another writer's transaction has just made
# one, that one's number.
_NEW_SQL = """
INSERT INTO channel_set (channels, digest, code, unit, channel)
SELECT c, h, n::int8[], u::int8[], i::int8[]
FROM unnest(%b::bytea[], %b::bytea[], %b::text[], %b::text[], %b::text[]) AS t(c, h, n, u, i) ORDER BY h
ON CONFLICT (digest) DO UPDATE SET digest = excluded.digest RETURNING digest, channel_set
"""
