"""The rows of `report`, every column of them, held against the batches that they are an index over.

What each row should be is what the writer makes of the same bytes (`emr_store.rows`). Both come as PostgreSQL's binary
COPY, so that an equal row is equal bytes; only a row that differs is taken apart.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import psycopg
from numpy.typing import NDArray

from emr_store.batch_proof import Window
from emr_store.rows import COPY_HEAD, Lot, report_rows
from emr_store.verification import NUMBER_MAX, NUMBER_MIN, Verification
from schemas.filed_at import filed_at_us

_Array = NDArray[Any]
NO_NUMBER = -1  # of a device or a channel list that the store does not have

# A row of `report` in a binary COPY: two bytes of field count, then each field with four bytes of length. The first
# nine are of fixed width.
_FIXED = struct.Struct(">h iq iq ii ii ih ih iq iq ii".replace(" ", ""))
_LENGTH = struct.Struct(">i")
_COLUMNS = (
    "observed_at", "received_at", "device", "channel_set", "kind", "flags", "sequence", "batch", "leaf",
    "value", "decimals", "validity", "verdict", "texts",
)  # fmt: skip
_BATCH_AT, _LEAF_AT = 2 + 12 + 12 + 8 + 8 + 6 + 6 + 12 + 4, 2 + 12 + 12 + 8 + 8 + 6 + 6 + 12 + 12 + 4
_NULL_LENGTH = -1
_END = b"\xff\xff"


class Row(NamedTuple):
    """A row as bytes: all but `texts`, and `texts` (None: null)."""

    batch: int
    leaf: int
    columns: bytes
    texts: bytes | None


def split_rows(stream: bytes) -> Iterator[Row]:
    """The rows of a binary COPY of `report`."""
    at = len(COPY_HEAD)
    unpack, batch_of, leaf_of = _LENGTH.unpack_from, struct.Struct(">q").unpack_from, _LENGTH.unpack_from
    while stream[at : at + 2] != _END:
        start, at = at, at + _FIXED.size
        for _ in range(4):  # value, decimals, validity, verdict
            length = unpack(stream, at)[0]
            at += 4 + max(0, length)
        columns = stream[start:at]
        length = unpack(stream, at)[0]
        at += 4
        texts = None if length == _NULL_LENGTH else stream[at : at + length]
        at += max(0, length)
        yield Row(batch_of(columns, _BATCH_AT)[0], leaf_of(columns, _LEAF_AT)[0], columns, texts)


class Numbers:
    """The store's own numbers for devices and channel lists, read once."""

    def __init__(self, conn: psycopg.Connection) -> None:
        # With migration 5 a device heard through another edge than its own has a row of its own.
        row = conn.execute("SELECT to_regclass('device_bed') IS NOT NULL").fetchone()
        self._by_edge = bool(row and row[0])
        self._device: dict[bytes, int] = {}
        for number, uuid, edge in conn.execute("SELECT device, uuid_send(uuid), uuid_send(edge) FROM device"):
            self._device[bytes(uuid) + (bytes(edge) if self._by_edge else b"")] = number
        self._channel_set = {
            bytes(channels): number
            for number, channels in conn.execute("SELECT channel_set, channels FROM channel_set")
        }

    def channel_set(self, channels: bytes) -> int:
        """Of a list, 12 bytes a channel."""
        return self._channel_set.get(channels, NO_NUMBER)

    def devices(self, window: Window) -> _Array:
        """Of each report's device, as heard through its edge."""
        device = window.table.device
        keys = np.empty((len(device), 32), np.uint8)
        keys[:, :16] = np.ascontiguousarray(device).view(np.uint8).reshape(-1, 16)
        edges = np.frombuffer(b"".join(batch.header.edge for batch in window.batches), np.uint8).reshape(-1, 16)
        keys[:, 16:] = np.repeat(edges, window.counts, axis=0)
        names, which = np.unique(keys.view("V32").ravel(), return_inverse=True)
        width = 32 if self._by_edge else 16
        return np.array([self._device.get(name.tobytes()[:width], NO_NUMBER) for name in names], np.int64)[which]


def chunk_of(window: Window, numbers: Numbers) -> Lot:
    """The window as the writer has it."""
    table = window.table
    flags, verdicts, values = window.results
    return Lot(
        table, flags, verdicts, values, device=numbers.devices(window), batch=window.batch, leaf=window.leaf,
        observed_at_us=filed_at_us(table.observed_at_us, table.received_at_us), channel_set_of=numbers.channel_set,
    )  # fmt: skip


def kept_stream(conn: psycopg.Connection, window: Window) -> bytes:
    """All rows of `report` that name a batch of this window, as they lie."""
    columns = ", ".join(_COLUMNS)
    # Numbers of ours, no text of anybody's.
    sql = (
        f"COPY (SELECT {columns} FROM report WHERE batch >= {window.first} AND batch < {window.after}) TO STDOUT BINARY"
    )
    with conn.cursor().copy(sql.encode()) as copy:
        return b"".join(bytes(data) for data in copy)


def check_rows(
    conn: psycopg.Connection, window: Window, chunk: Lot | None, taken: _Array, result: Verification
) -> None:
    """Step 6: every report of the window has its row, and no row is without a report.

    `chunk` is `chunk_of` the window, None where it has no batch; `taken`, a report each: retention may have taken it.
    """
    expected: dict[tuple[int, int], Row] = {}
    if chunk is not None:
        expected = {(row.batch, row.leaf): row for row in split_rows(report_rows(chunk))}
    words = _Words(window)
    for row in split_rows(kept_stream(conn, window)):
        result.counts["report"] += 1
        should_be = expected.pop((row.batch, row.leaf), None)
        if should_be is None:
            if row.batch not in window.damaged:
                result.add(words.where(row), _STRANGE)
            continue
        if row.columns != should_be.columns:
            for name in differences(row.columns, should_be.columns):
                result.add(words.where(row), f"the row's {name} is not what was sealed")
        if row.texts != should_be.texts and _texts(row.texts) != _texts(should_be.texts):
            result.add(words.where(row), "the row's texts are not what was sealed")
        if result.is_full:
            return
    if expected:
        _missing(window, expected, taken, words, result)


_STRANGE = "a row that no report stands behind"


def _missing(
    window: Window, expected: dict[tuple[int, int], Row], taken: _Array, words: _Words, result: Verification
) -> None:
    starts = dict(zip([b.row.batch for b in window.batches], np.cumsum([0, *window.counts]).tolist(), strict=False))
    for (batch, leaf), row in expected.items():
        if taken[starts[batch] + leaf]:
            result.counts["dropped"] += 1
        else:
            result.add(words.where(row), "its row is gone")


class _Words:
    """Where a row stands, in words."""

    def __init__(self, window: Window) -> None:
        self._where = {batch.row.batch: batch.row.where for batch in window.batches}

    def where(self, row: Row) -> str:
        return f"{self._where.get(row.batch, f'batch {row.batch}')} leaf {row.leaf}"


def differences(kept: bytes, sealed: bytes) -> list[str]:
    """The columns (all but `texts`) that differ; none where a row only says the same in another way."""
    kept_fields, sealed_fields = _fields(kept), _fields(sealed)
    width = _width(sealed_fields[_COLUMNS.index("value")])
    return [
        name
        for name, left, right in zip(_COLUMNS[:-1], kept_fields, sealed_fields, strict=True)
        if left != right and _plain(name, left, width) != _plain(name, right, width)
    ]


def _fields(columns: bytes) -> list[bytes | None]:
    """The fields of a row: bytes, None for null."""
    fields: list[bytes | None] = []
    at = 2
    while at < len(columns):
        (length,) = _LENGTH.unpack_from(columns, at)
        at += 4
        fields.append(None if length == _NULL_LENGTH else columns[at : at + length])
        at += max(0, length)
    return fields


def _width(array: bytes | None) -> int:
    return 0 if array is None or len(array) < 20 else int(struct.unpack_from(">i", array, 12)[0])


# What null stands for, a value each.
_DEFAULTS: dict[str, Callable[[int], Sequence[int]]] = {
    "decimals": lambda width: [128] * width,
    "validity": lambda width: [0] * width,
    "verdict": lambda width: [0] * width,
}


def _plain(name: str, field: bytes | None, width: int) -> object:
    """What a column says, whichever way it is written."""
    if name not in _DEFAULTS:
        return field
    if field is None:
        return list(_DEFAULTS[name](width))
    return list(field) if name == "decimals" else _int2_array(field)


def _int2_array(field: bytes) -> list[int | None]:
    values: list[int | None] = []
    at = 20
    while at < len(field):
        (length,) = _LENGTH.unpack_from(field, at)
        at += 4
        values.append(None if length == _NULL_LENGTH else int.from_bytes(field[at : at + length], signed=True))
        at += max(0, length)
    return values


def _texts(texts: bytes | None) -> object:
    """`texts` as JSON says it; the byte before it is the version of jsonb's binary form."""
    return None if texts is None else json.loads(texts[1:])


def taken_by_retention(conn: psycopg.Connection) -> dict[str, list[tuple[int, int, int]]]:
    """What retention took of each table: from and until (microseconds), and the newest batch at that time."""
    taken: dict[str, list[tuple[int, int, int]]] = {}
    for what, since_us, until_us, last_batch in conn.execute(_DROPPED_SQL, (NUMBER_MIN, NUMBER_MAX)):
        taken.setdefault(what, []).append((since_us, until_us, last_batch))
    return taken


_DROPPED_SQL = """
SELECT what, CASE WHEN isfinite(since) THEN (extract(epoch FROM since) * 1000000)::int8 ELSE %s END,
    CASE WHEN isfinite(until) THEN (extract(epoch FROM until) * 1000000)::int8 ELSE %s END, last_batch FROM dropped
"""


def may_be_gone(spans: Sequence[tuple[int, int, int]], batch: _Array, at_us: _Array) -> _Array:
    """Whether each report's rows lay in a partition that retention took, when it took it."""
    gone = np.zeros(len(at_us), bool)
    for since_us, until_us, last_batch in spans:
        gone |= (batch <= last_batch) & (at_us >= since_us) & (at_us < until_us)
    return gone
