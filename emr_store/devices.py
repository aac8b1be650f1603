"""The store's numbers for devices, and what devices and their edges say of themselves in events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
import psycopg
from numpy.typing import NDArray

from emr_store import device_state
from emr_store.equal_rows import distinct
from emr_store.rows import Chunk
from emr_store.texts import texts_json
from schemas.identity import EdgeId
from schemas.report import Kind

_Array = NDArray[Any]


class Devices:
    """The number of each device that this connection has met; a device as heard through one edge has one of its own.

    Such rows never change. An edge that claims another's device writes beside what the other says, never onto it.
    """

    def __init__(self, conn: psycopg.Connection) -> None:
        self._conn = conn
        self._numbers: dict[bytes, int] = {}  # by device and edge, 16 bytes each
        self._uncommitted: list[bytes] = []

    def numbers(self, device: _Array, edge: _Array) -> _Array:
        """The store's number of each report's device (both V16, a report each); new ones get a row."""
        words = np.concatenate([_bytes_of(device), _bytes_of(edge)], axis=1)
        first, which = distinct(words)
        keys = [words[i].tobytes() for i in first.tolist()]
        new = [key for key in keys if key not in self._numbers]
        if new:
            self._learn(
                self._conn.execute(_KNOWN_SQL, _split_keys(new), binary=True)
            )  # no writer waits for what is there
            new = [key for key in new if key not in self._numbers]
        if new:
            self._learn(self._conn.execute(_NEW_SQL, _split_keys(new), binary=True))
        return np.array([self._numbers[key] for key in keys])[which]

    def _learn(self, found: Iterable[tuple[bytes, int]]) -> None:
        for key, number in found:
            self._numbers[bytes(key)] = number
            self._uncommitted.append(bytes(key))

    def committed(self) -> None:
        """What was numbered since the last time stands."""
        self._uncommitted.clear()

    def rolled_back(self) -> None:
        """Numbers of a transaction that was rolled back are none."""
        for key in self._uncommitted:
            del self._numbers[key]
        self._uncommitted.clear()


def _bytes_of(ids: _Array) -> _Array:
    return np.ascontiguousarray(ids).view(np.uint8).reshape(len(ids), 16)


def _split_keys(keys: Sequence[bytes]) -> list[list[bytes]]:
    """Devices, and the edge of each."""
    return [[key[:16] for key in keys], [key[16:] for key in keys]]


def note_events(conn: psycopg.Connection, chunk: Chunk, edges: _Array) -> None:
    """Events say what a device claims to be, the first claim stays; and how far an edge's clock (V16) is off."""
    claims: dict[int, str] = {}
    for report in np.flatnonzero((chunk.table.kind == Kind.EVENT) | (chunk.table.kind == Kind.REJECTED)).tolist():
        for entry in msgspec.json.decode(texts_json(chunk.table, report)):
            if "claim" in entry:
                claims[int(chunk.device[report])] = entry["claim"]
            if entry.get("system") == "vitalwire" and entry.get("code") == "counts":
                offset_ms = device_state.clock_offset_ms(entry.get("text", ""))
                if offset_ms is not None:
                    at_us = int(chunk.table.received_at_us[report])
                    device_state.note_clock(conn, EdgeId(edges[report].tobytes()), at_us, offset_ms)
    if claims:
        conn.execute(_CLAIM_SQL, [list(claims), list(claims.values())])


_KNOWN_SQL = """
SELECT uuid_send(uuid) || uuid_send(edge), device FROM device
WHERE (uuid, edge) IN (SELECT encode(d, 'hex')::uuid, encode(e, 'hex')::uuid
                       FROM unnest(%b::bytea[], %b::bytea[]) AS t(d, e))
"""
_NEW_SQL = """
WITH u AS (SELECT encode(d, 'hex')::uuid AS uuid, encode(e, 'hex')::uuid AS edge
           FROM unnest(%b::bytea[], %b::bytea[]) AS t(d, e)),
    i AS (INSERT INTO device (uuid, edge) SELECT uuid, edge FROM u ORDER BY uuid, edge
          ON CONFLICT (uuid, edge) DO UPDATE SET uuid = excluded.uuid RETURNING uuid, edge, device)
SELECT uuid_send(uuid) || uuid_send(edge), device FROM i
"""
_CLAIM_SQL = """
UPDATE device SET claim = u.c FROM unnest(%b::int4[], %b::text[]) AS u(d, c)
WHERE device.device = u.d AND device.claim IS NULL
"""
