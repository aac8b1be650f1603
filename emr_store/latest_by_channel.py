"""The newest value of each channel of devices that send only what changed: table `latest_by_channel`.

A row a device. What is new is merged into what is there, channel by channel: a value that was not sent again keeps its
moment and its report.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
import psycopg
from numpy.typing import NDArray

from emr_store.channel_index import channel_index_of_list
from emr_store.rows import COPY_END, COPY_HEAD, POSTGRES_EPOCH_US, CopyRows, Lot, append_with_texts, chartable, copy
from emr_store.rows import transaction_at_us as now_us
from emr_store.texts import texts_json_of, words_of
from schemas.layout import CHANNEL_BYTES

_Array = NDArray[Any]
_ARRAY_HEAD_BYTES = 20
NO_VALUE_YET = -1  # of `leaf`


@dataclass(frozen=True)
class _Column:
    name: str
    dtype: str
    oid: int
    empty: float  # of a channel without a value
    empty_sql: str
    is_moment: bool = False  # microseconds since 1970 here, PostgreSQL's since 2000 there


_TIMESTAMPTZ, _INT2, _INT4, _INT8, _FLOAT8 = 1184, 21, 23, 20, 701
# In the table's order; all but the first three and the last are arrays.
_COLUMNS = (
    _Column("observed_at", ">i8", _TIMESTAMPTZ, POSTGRES_EPOCH_US, "timestamptz '2000-01-01Z'", is_moment=True),
    _Column("received_at", ">i8", _TIMESTAMPTZ, POSTGRES_EPOCH_US, "timestamptz '2000-01-01Z'", is_moment=True),
    _Column("stored_at", ">i8", _TIMESTAMPTZ, POSTGRES_EPOCH_US, "timestamptz '2000-01-01Z'", is_moment=True),
    _Column("flags", ">i2", _INT2, 0, "0::int2"),
    _Column("batch", ">i8", _INT8, 0, "0::int8"),
    _Column("leaf", ">i4", _INT4, NO_VALUE_YET, "-1::int4"),
    _Column("value", ">f8", _FLOAT8, np.nan, "float8 'NaN'"),
    _Column("decimals", ">i2", _INT2, 0, "0::int2"),
    _Column("validity", ">i2", _INT2, 0, "0::int2"),
    _Column("verdict", ">i2", _INT2, 0, "0::int2"),
)
_OBSERVED, _STORED, _BATCH, _LEAF = 0, 2, 4, 5


@dataclass
class _Rows:
    """Rows of one channel set: `cells` has a (devices, channels) matrix for each of _COLUMNS."""

    device: _Array
    cells: list[_Array]
    words: list[dict[int, str]]  # by index of the channel, from 1

    @property
    def moment_us(self) -> _Array:
        """Nothing is newer than the moment at which it was stored; the least number where there is no value."""
        moment = np.minimum(self.cells[_OBSERVED], self.cells[_STORED])
        return np.where(self.cells[_LEAF] == NO_VALUE_YET, np.iinfo(np.int64).min, moment)


def prepare(conn: psycopg.Connection) -> None:
    """What a connection has of its own to write rows with."""
    conn.execute("CREATE TEMPORARY TABLE latest_by_channel_in (LIKE latest_by_channel) ON COMMIT DELETE ROWS")


def make_rows(conn: psycopg.Connection, devices: Sequence[int]) -> None:
    """A row without values for each of these devices that has none, so that there is something to lock."""
    conn.execute(_MAKE_SQL.encode(), [devices])


def put(conn: psycopg.Connection, lot: Lot) -> None:
    """Merge what these reports say into the rows of their devices; inside the caller's transaction."""
    reports = chartable(lot)
    if lot.in_superset[reports].any():
        put_reports(conn, lot, reports, now_us(conn))


def put_reports(conn: psycopg.Connection, lot: Lot, reports: _Array, stored_at_us: int) -> None:
    """The same of these reports (`chartable`) alone, whose batches were stored at that moment; once a transaction, or
    with `clear` between."""
    reports = reports[lot.in_superset[reports]]
    if not len(reports) or lot.superset is None:
        return
    kept = _Kept(conn, np.unique(lot.device[reports]))
    out: list[bytes] = [COPY_HEAD]
    for number in np.unique(lot.superset[reports]).tolist():
        new = _newest(lot, reports[lot.superset[reports] == number], lot.superset_channels[number], stored_at_us)
        for channel_set, rows in kept.merged(new, number, lot.superset_channels[number]):
            _append(out, channel_set, rows)
    out.append(COPY_END)
    copy(conn, "latest_by_channel_in", b"".join(out))
    conn.execute(_PUT_SQL.encode())


class Retracted(NamedTuple):
    """A channel of a device that has no value here any more; of equal ones of its list the how-manieth, from 0."""

    device: int
    channel: bytes
    earlier_equal: int


def retract(conn: psycopg.Connection, devices: Sequence[int], batch: int, leaves: Sequence[int]) -> list[Retracted]:
    """Take the values away that these reports gave; of which channels. The devices' rows are locked until the end of
    the transaction; with `clear` afterwards."""
    retracted: list[Retracted] = []
    out: list[bytes] = [COPY_HEAD]
    for number, channels, kept in _Kept(conn, np.array(devices, np.int64)).rows():
        gone = (kept.cells[_BATCH] == batch) & np.isin(kept.cells[_LEAF], leaves)
        changed = np.flatnonzero(gone.any(axis=1))
        if not len(changed):
            continue
        for column, matrix in zip(_COLUMNS, kept.cells, strict=True):
            matrix[gone] = column.empty
        for row in changed.tolist():
            for index in np.flatnonzero(gone[row]).tolist():
                listed = [channels[i : i + CHANNEL_BYTES] for i in range(0, len(channels), CHANNEL_BYTES)]
                earlier_equal = listed[:index].count(listed[index])
                retracted.append(Retracted(int(kept.device[row]), listed[index], earlier_equal))
                kept.words[row].pop(index + 1, None)
        _append(out, number, _some(kept, changed))
    out.append(COPY_END)
    copy(conn, "latest_by_channel_in", b"".join(out))
    conn.execute(_PUT_SQL.encode())
    return retracted


def clear(conn: psycopg.Connection) -> None:
    """Forget what was put or retracted in this transaction."""
    conn.execute("DELETE FROM latest_by_channel_in")


def _newest(lot: Lot, reports: _Array, channels: bytes, stored_at_us: int) -> _Rows:
    """The newest value of each channel in these reports, which have one superset."""
    device, row_of_report = np.unique(lot.device[reports], return_inverse=True)
    shape = len(device), len(channels) // CHANNEL_BYTES
    # By moment, and of one moment in the order in which they came: the last of a cell is the newest.
    order = np.argsort(np.minimum(lot.observed_at_us[reports], stored_at_us), kind="stable")
    chosen = reports[order]
    counts = lot.table.record_count[chosen]
    begins = np.cumsum(counts) - counts
    record = np.arange(int(counts.sum())) + np.repeat(lot.table.record_start[chosen] - begins, counts)
    report = np.repeat(chosen, counts)
    cell = np.repeat(row_of_report[order], counts) * shape[1] + lot.channel_index[record] - 1
    last = np.full(shape[0] * shape[1], -1)
    np.maximum.at(last, cell, np.arange(len(cell)))
    filled = np.flatnonzero(last >= 0)
    record, report = record[last[filled]], report[last[filled]]
    values = (
        lot.observed_at_us[report], lot.table.received_at_us[report], stored_at_us, lot.flags[report],
        lot.batch[report], lot.leaf[report], lot.values[record], lot.table.exponent[record], lot.validity[record],
        lot.verdicts[record],
    )  # fmt: skip
    cells = []
    for column, value in zip(_COLUMNS, values, strict=True):
        matrix = np.full(shape[0] * shape[1], column.empty, np.dtype(column.dtype[1:]))
        matrix[filled] = value
        cells.append(matrix.reshape(shape))
    return _Rows(device, cells, _words(lot, shape, filled, record, report))


def _words(lot: Lot, shape: tuple[int, int], filled: _Array, record: _Array, report: _Array) -> list[dict[int, str]]:
    """The words of codes and texts among these cells."""
    words: list[dict[int, str]] = [{} for _ in range(shape[0])]
    worded = np.flatnonzero(lot.worded[report])
    reports, of = np.unique(report[worded], return_inverse=True)
    said = [words_of(text) for text in texts_json_of(lot.table, reports)]
    for i, of_report in zip(worded.tolist(), of.tolist(), strict=True):
        place = int(record[i] - lot.table.record_start[report[i]])
        if place in said[of_report]:
            row, column = divmod(int(filled[i]), shape[1])
            words[row][column + 1] = said[of_report][place]
    return words


class _Kept:
    """The rows that are there of some devices, locked until the transaction ends."""

    def __init__(self, conn: psycopg.Connection, devices: _Array) -> None:
        self._sets: dict[int, tuple[bytes, list[Any]]] = {}
        for device, number, channels, texts, cells in conn.execute(_LOCK_SQL.encode(), [devices.tolist()], binary=True):
            if len(cells) == _cells_bytes(len(channels) // CHANNEL_BYTES):  # no writer made another
                self._sets.setdefault(number, (bytes(channels), []))[1].append((device, texts, cells))

    def rows(self) -> Iterator[tuple[int, bytes, _Rows]]:
        """The rows of each channel set, with its channels."""
        for number, (channels, rows) in self._sets.items():
            yield number, channels, _decoded(rows, len(channels) // CHANNEL_BYTES)

    def merged(self, new: _Rows, number: int, channels: bytes) -> list[tuple[int, _Rows]]:
        """What is new of one superset with what is there, by channel set: the longer one of both."""
        out = []
        fresh, devices = np.ones(len(new.device), bool), set(new.device.tolist())
        for kept_number, (kept_channels, rows) in self._sets.items():
            mine = [row for row in rows if row[0] in devices]
            if not mine:
                continue
            kept = _decoded(mine, len(kept_channels) // CHANNEL_BYTES)
            chosen = np.searchsorted(new.device, kept.device)
            of_new = _some(new, chosen)
            if (index := channel_index_of_list(kept_channels, channels)) is not None:
                if kept_number != number:
                    kept = _moved(kept, index, channels)
                out.append((number, _merge(kept, of_new)))
            elif (index := channel_index_of_list(channels, kept_channels)) is not None:
                # Another writer has made a longer one already.
                out.append((kept_number, _merge(kept, _moved(of_new, index, kept_channels))))
            else:  # of two supersets of one device one has all channels of the other: no writer made this row
                continue
            fresh[chosen] = False
        if fresh.any():
            out.append((number, _some(new, np.flatnonzero(fresh))))
        return out


def _some(rows: _Rows, chosen: _Array) -> _Rows:
    words = [rows.words[i] for i in chosen.tolist()]
    return _Rows(rows.device[chosen], [matrix[chosen] for matrix in rows.cells], words)


def _moved(rows: _Rows, index: list[int], longer: bytes) -> _Rows:
    """The same under a longer list of channels, in which each has this index."""
    cells = []
    for column, matrix in zip(_COLUMNS, rows.cells, strict=True):
        wide = np.full((len(rows.device), len(longer) // CHANNEL_BYTES), column.empty, matrix.dtype)
        wide[:, np.array(index) - 1] = matrix
        cells.append(wide)
    words = [{index[place - 1]: text for place, text in said.items()} for said in rows.words]
    return _Rows(rows.device, cells, words)


def _merge(kept: _Rows, new: _Rows) -> _Rows:
    """The newer value of each channel; of one moment that which comes now."""
    takes = (new.cells[_LEAF] != NO_VALUE_YET) & (new.moment_us >= kept.moment_us)
    cells = [np.where(takes, ours, theirs) for ours, theirs in zip(new.cells, kept.cells, strict=True)]
    words = kept.words
    if any(kept.words) or any(new.words):
        words = [
            {index: text for index, text in old.items() if not taken[index - 1]}
            | {index: text for index, text in said.items() if taken[index - 1]}
            for old, said, taken in zip(kept.words, new.words, takes.tolist(), strict=True)
        ]
    return _Rows(kept.device, cells, words)


@lru_cache
def _cells_bytes(width: int) -> int:
    """How long _COLUMNS are together, each as array_send writes it."""
    return sum(_ARRAY_HEAD_BYTES + width * (4 + np.dtype(column.dtype).itemsize) for column in _COLUMNS)


def _decoded(rows: list[Any], width: int) -> _Rows:
    matrix = np.frombuffer(b"".join(cells for _, _, cells in rows), np.uint8).reshape(len(rows), -1)
    cells, at = [], 0
    for column in _COLUMNS:
        size = 4 + np.dtype(column.dtype).itemsize
        at += _ARRAY_HEAD_BYTES
        elements = matrix[:, at : at + width * size].reshape(len(rows), width, size)[:, :, 4:]
        values = np.ascontiguousarray(elements).view(column.dtype)[:, :, 0].astype(column.dtype[1:])
        cells.append(values + POSTGRES_EPOCH_US if column.is_moment else values)
        at += width * size
    device = np.array([device for device, _, _ in rows], np.int64)
    words = [{int(i): text for i, text in msgspec.json.decode(texts).items()} if texts else {} for _, texts, _ in rows]
    return _Rows(device, cells, words)


def _append(out: list[bytes], channel_set: int, found: _Rows) -> None:
    """Append these rows as binary COPY."""
    rows = CopyRows(len(found.device), len(_COLUMNS) + 4)
    rows.number(found.device, ">i4")
    rows.number(channel_set, ">i4")
    rows.instant(found.cells[_STORED].max(axis=1))
    no_nulls = np.zeros(found.cells[0].shape[1], bool)
    for column, matrix in zip(_COLUMNS, found.cells, strict=True):
        rows.array(matrix - POSTGRES_EPOCH_US if column.is_moment else matrix, column.dtype, column.oid, no_nulls)
    worded = np.array([bool(words) for words in found.words])
    texts = [msgspec.json.encode({str(i): text for i, text in words.items()}) for words in found.words if words]
    append_with_texts(out, rows, worded, texts)


_NAMES = [column.name for column in _COLUMNS]
_LOCK_SQL = f"""
SELECT l.device, l.channel_set, s.channels, l.texts::text, {" || ".join(f"array_send(l.{name})" for name in _NAMES)}
FROM latest_by_channel l JOIN channel_set s USING (channel_set)
WHERE l.device = ANY(%s) ORDER BY l.device FOR UPDATE OF l
"""
_EMPTY_ARRAYS = ", ".join(f"array_fill({column.empty_sql}, ARRAY[cardinality(s.code)])" for column in _COLUMNS)
_MAKE_SQL = f"""
INSERT INTO latest_by_channel (device, channel_set, changed_at, {", ".join(_NAMES)})
SELECT device, channel_set, timestamptz '2000-01-01Z', {_EMPTY_ARRAYS}
FROM superset JOIN channel_set s USING (channel_set) WHERE device = ANY(%s) ORDER BY device
ON CONFLICT (device) DO NOTHING
"""
_PUT_SQL = f"""
INSERT INTO latest_by_channel SELECT * FROM latest_by_channel_in ORDER BY device
ON CONFLICT (device) DO UPDATE SET channel_set = excluded.channel_set, changed_at = excluded.changed_at,
    texts = excluded.texts, {", ".join(f"{name} = excluded.{name}" for name in _NAMES)}
"""
