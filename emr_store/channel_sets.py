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
        """Give each channel list that is new a row."""
        for group in lot.groups:
            channels = group.channels
            if channels in self._numbers:
                continue
            first = group.records[0]
            row = self._conn.execute(
                "INSERT INTO channel_set (channels, digest, code, unit, channel) VALUES (%s, %s, %s, %s, %s)"
                " ON CONFLICT (digest) DO UPDATE SET digest = excluded.digest RETURNING channel_set",
                [channels, sha256(channels).digest(),
                 *(column[first].tolist() for column in (lot.table.code, lot.table.unit, lot.table.channel))],
            ).fetchone()  # fmt: skip
            assert row is not None
            self._numbers[channels] = row[0]
            self._uncommitted.append(channels)

    def committed(self) -> None:
        """What was numbered since the last time stands."""
        self._uncommitted.clear()

    def rolled_back(self) -> None:
        """Numbers of a transaction that was rolled back are none."""
        for channels in self._uncommitted:
            del self._numbers[channels]
        self._uncommitted.clear()
