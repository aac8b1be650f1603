"""The newest value of each channel of devices that send only what changed: table `latest_by_channel`.

A row a device. What is new is merged into what is there, channel by channel: a value that was not sent again keeps its
moment and its report.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
import psycopg
from numpy.typing import NDArray

from emr_store.channel_index import channel_index_of_list
from emr_store.rows import (
    COPY_END,
    COPY_HEAD,
    POSTGRES_EPOCH_US,
    Chunk,
    CopyRows,
    append_with_texts,
    copy,
    shown_in_latest,
)
from emr_store.rows import transaction_at_us as now_us
from emr_store.texts import texts_json_of, words_of
from schemas.layout import CHANNEL_BYTES

_Array = NDArray[Any]
_ARRAY_HEAD_BYTES = 20
_NO_ROW = -1
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
# In the table's order; all but the first four and the last are arrays.
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
    _Column("validation_result", ">i2", _INT2, 0, "0::int2"),
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


@dataclass(frozen=True)
class _KeptRow:
    """A row that is there: its channel set, this one's channels, and its columns as `_cells_bytes` has them."""

    channel_set: int
    channels: bytes
    words: dict[int, str]
    cells: bytes


class Retracted(NamedTuple):
    """A channel of a device that has no value any more; of equal ones of its list the how-manieth, from 0."""

    device: int
    channel: bytes
    earlier_equal: int


class LatestByChannel:
    """Writes the rows over one connection, and remembers what it wrote: nobody else changes most of them."""

    def __init__(self, conn: psycopg.Connection) -> None:
        self._conn = conn
        self._writer = secrets.randbits(63)
        self._written: dict[int, _Rows] = {}  # by channel set; devices in order

    def prepare(self) -> None:
        """What a connection has of its own to write rows with."""
        self._conn.execute("CREATE TEMPORARY TABLE latest_by_channel_in (LIKE latest_by_channel) ON COMMIT DELETE ROWS")

    def rolled_back(self) -> None:
        """What was written is not there."""
        self._written.clear()

    def put(self, chunk: Chunk) -> None:
        """Merge what these reports say into the rows of their devices; inside the caller's transaction."""
        reports = shown_in_latest(chunk)
        if chunk.in_superset[reports].any():
            self.put_reports(chunk, reports, now_us(self._conn))

    def put_reports(self, chunk: Chunk, reports: _Array, stored_at_us: int) -> None:
        """The same of these reports (`shown_in_latest`) alone, whose batches were stored at that moment; once a
        transaction, or with `clear` between."""
        reports = reports[chunk.in_superset[reports]]
        if not len(reports) or chunk.superset is None:
            return
        of = chunk.superset[reports]
        new = {
            number: _newest(chunk, reports[of == number], chunk.superset_channels[number], stored_at_us)
            for number in np.unique(of).tolist()
        }
        if all(self._wrote(number, rows.device) for number, rows in new.items()):
            merged = [
                (
                    number,
                    _merge(_some(known := self._written[number], np.searchsorted(known.device, rows.device)), rows),
                )
                for number, rows in new.items()
            ]
            if self._write(merged, _PUT_OWN_SQL) == sum(len(rows.device) for _, rows in merged):
                return
            # Another connection has written some of them. All are locked now, and what is new is merged again.
            self._conn.execute("DELETE FROM latest_by_channel_in")
        kept = self._locked(np.unique(chunk.device[reports]).tolist())
        self._write(
            [each for n, rows in new.items() for each in _merged(kept, rows, n, chunk.superset_channels[n])], _PUT_SQL
        )

    def retract(self, devices: Sequence[int], batch: int, leaves: Sequence[int]) -> list[Retracted]:
        """Take the values away that these reports gave; of which channels. The devices' rows are locked until the end
        of the transaction; with `clear` afterwards."""
        by_set: dict[int, list[int]] = {}
        kept = self._locked(sorted(devices))
        for device, row in kept.items():
            by_set.setdefault(row.channel_set, []).append(device)
        retracted: list[Retracted] = []
        changed = []
        for number, of_set in by_set.items():
            channels = kept[of_set[0]].channels
            rows = _decoded(np.array(of_set), [kept[device] for device in of_set], len(channels) // CHANNEL_BYTES)
            found = _emptied(rows, channels, batch, leaves)
            if found:
                retracted += found
                changed.append((number, rows))
        if changed:
            self._write(changed, _PUT_SQL)
        return retracted

    def clear(self) -> None:
        """Forget what was put or retracted in this transaction."""
        self._conn.execute("DELETE FROM latest_by_channel_in")

    def _wrote(self, channel_set: int, device: _Array) -> bool:
        """Whether it wrote the rows of all these devices, under this channel set."""
        known = self._written.get(channel_set)
        return known is not None and bool(np.isin(device, known.device).all())

    def _locked(self, devices: list[int]) -> dict[int, _KeptRow]:
        """The rows of these devices, locked until the transaction ends."""
        found = {}
        for device, number, channels, texts, cells in self._conn.execute(_LOCK_SQL.encode(), [devices], binary=True):
            if len(cells) == _cells_bytes(len(channels) // CHANNEL_BYTES):  # no writer made another
                words = {int(i): text for i, text in msgspec.json.decode(texts).items()} if texts else {}
                found[device] = _KeptRow(number, bytes(channels), words, bytes(cells))
        return found

    def _write(self, merged: list[tuple[int, _Rows]], sql: str) -> int:
        """Write these rows, each with its channel set; how many were written."""
        out: list[bytes | memoryview] = [COPY_HEAD]
        for channel_set, rows in merged:
            _append(out, channel_set, rows, self._writer)
            self._remember(channel_set, rows)
        out.append(COPY_END)
        copy(self._conn, "latest_by_channel_in", b"".join(out))
        return self._conn.execute(sql.encode()).rowcount

    def _remember(self, channel_set: int, rows: _Rows) -> None:
        if self._wrote(channel_set, rows.device):
            known = self._written[channel_set]
            places = np.searchsorted(known.device, rows.device)
            for ours, theirs in zip(known.cells, rows.cells, strict=True):
                ours[places] = theirs
            for place, words in zip(places.tolist(), rows.words, strict=True):
                known.words[place] = words
            return
        for number, known in list(self._written.items()):
            others = np.flatnonzero(~np.isin(known.device, rows.device))
            if len(others) < len(known.device):
                self._written[number] = _some(known, others)
        others_of_set = self._written.get(channel_set)
        self._written[channel_set] = rows if others_of_set is None else _joined(others_of_set, rows)


def make_rows(conn: psycopg.Connection, devices: Sequence[int]) -> None:
    """A row without values for each of these devices that has none, so that there is something to lock."""
    conn.execute(_MAKE_SQL.encode(), [devices])


def _emptied(rows: _Rows, channels: bytes, batch: int, leaves: Sequence[int]) -> list[Retracted]:
    """Empty the cells that these reports filled; of which channels they were."""
    gone = (rows.cells[_BATCH] == batch) & np.isin(rows.cells[_LEAF], leaves)
    for column, matrix in zip(_COLUMNS, rows.cells, strict=True):
        matrix[gone] = column.empty
    listed = [channels[i : i + CHANNEL_BYTES] for i in range(0, len(channels), CHANNEL_BYTES)]
    retracted = []
    for row, index in np.argwhere(gone).tolist():
        rows.words[row].pop(index + 1, None)
        retracted.append(Retracted(int(rows.device[row]), listed[index], listed[:index].count(listed[index])))
    return retracted


def _newest(chunk: Chunk, reports: _Array, channels: bytes, stored_at_us: int) -> _Rows:
    """The newest value of each channel in these reports, which have one superset."""
    device, row_of_report = np.unique(chunk.device[reports], return_inverse=True)
    shape = len(device), len(channels) // CHANNEL_BYTES
    # By moment, and of one moment in the order in which they came: the last of a cell is the newest.
    order = np.argsort(np.minimum(chunk.observed_at_us[reports], stored_at_us), kind="stable")
    chosen = reports[order]
    counts = chunk.table.record_count[chosen]
    begins = np.cumsum(counts) - counts
    record = np.arange(int(counts.sum())) + np.repeat(chunk.table.record_start[chosen] - begins, counts)
    report = np.repeat(chosen, counts)
    cell = np.repeat(row_of_report[order], counts) * shape[1] + chunk.channel_index[record] - 1
    last = np.full(shape[0] * shape[1], -1)
    np.maximum.at(last, cell, np.arange(len(cell)))
    filled = np.flatnonzero(last >= 0)
    record, report = record[last[filled]], report[last[filled]]
    values = (
        chunk.observed_at_us[report], chunk.table.received_at_us[report], stored_at_us, chunk.flags[report],
        chunk.batch[report], chunk.leaf[report], chunk.values[record], chunk.table.exponent[record],
        chunk.validity[record], chunk.validation_results[record],
    )  # fmt: skip
    cells = []
    for column, value in zip(_COLUMNS, values, strict=True):
        matrix = np.full(shape[0] * shape[1], column.empty, np.dtype(column.dtype[1:]))
        matrix[filled] = value
        cells.append(matrix.reshape(shape))
    return _Rows(device, cells, _words(chunk, shape, filled, record, report))


def _words(
    chunk: Chunk, shape: tuple[int, int], filled: _Array, record: _Array, report: _Array
) -> list[dict[int, str]]:
    """The words of codes and texts among these cells."""
    words: list[dict[int, str]] = [{} for _ in range(shape[0])]
    worded = np.flatnonzero(chunk.worded[report])
    reports, of = np.unique(report[worded], return_inverse=True)
    stated = [words_of(text) for text in texts_json_of(chunk.table, reports)]
    for i, of_report in zip(worded.tolist(), of.tolist(), strict=True):
        place = int(record[i] - chunk.table.record_start[report[i]])
        if place in stated[of_report]:
            row, column = divmod(int(filled[i]), shape[1])
            words[row][column + 1] = stated[of_report][place]
    return words


def _merged(
    kept: dict[int, _KeptRow], new: _Rows, number: int, channels: bytes
) -> Iterator[tuple[int, _Rows]]:  # fmt: skip
    """What is new of one superset with what is there, by channel set: the longer one of both."""
    by_set: dict[int, list[int]] = {}
    for i, device in enumerate(new.device.tolist()):
        by_set.setdefault(kept[device].channel_set if device in kept else _NO_ROW, []).append(i)
    for kept_set, chosen in by_set.items():
        of_new = _some(new, np.array(chosen))
        rows = [kept[device] for device in of_new.device.tolist() if kept_set != _NO_ROW]
        kept_channels = rows[0].channels if rows else b""
        if (index := channel_index_of_list(kept_channels, channels)) is not None:
            old = _decoded(of_new.device, rows, len(kept_channels) // CHANNEL_BYTES) if rows else None
            if old is not None and kept_set != number:
                old = _moved(old, index, channels)
            yield number, of_new if old is None else _merge(old, of_new)
        elif (index := channel_index_of_list(channels, kept_channels)) is not None:
            # Another writer has made a longer one already.
            old = _decoded(of_new.device, rows, len(kept_channels) // CHANNEL_BYTES)
            yield kept_set, _merge(old, _moved(of_new, index, kept_channels))
        else:  # of two supersets of one device one has all channels of the other: no writer made this row
            yield number, of_new


def _some(rows: _Rows, chosen: _Array) -> _Rows:
    words = [rows.words[i] for i in chosen.tolist()]
    return _Rows(rows.device[chosen], [matrix[chosen] for matrix in rows.cells], words)


def _joined(one: _Rows, other: _Rows) -> _Rows:
    """The rows of both, devices in order."""
    device = np.concatenate([one.device, other.device])
    cells = [np.concatenate(both) for both in zip(one.cells, other.cells, strict=True)]
    return _some(_Rows(device, cells, one.words + other.words), np.argsort(device))


def _moved(rows: _Rows, index: list[int], longer: bytes) -> _Rows:
    """The same under a longer list of channels, in which each has this index."""
    cells = []
    for column, matrix in zip(_COLUMNS, rows.cells, strict=True):
        wide = np.full((len(rows.device), len(longer) // CHANNEL_BYTES), column.empty, matrix.dtype)
        wide[:, np.array(index) - 1] = matrix
        cells.append(wide)
    words = [{index[place - 1]: text for place, text in stated.items()} for stated in rows.words]
    return _Rows(rows.device, cells, words)


def _merge(kept: _Rows, new: _Rows) -> _Rows:
    """The newer value of each channel; of one moment that which comes now."""
    takes = (new.cells[_LEAF] != NO_VALUE_YET) & (new.moment_us >= kept.moment_us)
    cells = [np.where(takes, ours, theirs) for ours, theirs in zip(new.cells, kept.cells, strict=True)]
    words = kept.words
    if any(kept.words) or any(new.words):
        words = [
            {index: text for index, text in old.items() if not taken[index - 1]}
            | {index: text for index, text in stated.items() if taken[index - 1]}
            for old, stated, taken in zip(kept.words, new.words, takes.tolist(), strict=True)
        ]
    return _Rows(kept.device, cells, words)


@lru_cache
def _cells_bytes(width: int) -> int:
    """How long _COLUMNS are together, each as array_send writes it."""
    return sum(_ARRAY_HEAD_BYTES + width * (4 + np.dtype(column.dtype).itemsize) for column in _COLUMNS)


def _decoded(device: _Array, rows: list[_KeptRow], width: int) -> _Rows:
    matrix = np.frombuffer(b"".join(row.cells for row in rows), np.uint8).reshape(len(rows), -1)
    cells, at = [], 0
    for column in _COLUMNS:
        size = 4 + np.dtype(column.dtype).itemsize
        at += _ARRAY_HEAD_BYTES
        elements = matrix[:, at : at + width * size].reshape(len(rows), width, size)[:, :, 4:]
        values = np.ascontiguousarray(elements).view(column.dtype)[:, :, 0].astype(column.dtype[1:])
        cells.append(values + POSTGRES_EPOCH_US if column.is_moment else values)
        at += width * size
    return _Rows(device, cells, [row.words for row in rows])


def _append(out: list[bytes | memoryview], channel_set: int, found: _Rows, writer: int) -> None:
    """Append these rows as binary COPY."""
    rows = CopyRows(len(found.device), len(_COLUMNS) + 5)
    rows.number(found.device, ">i4")
    rows.number(channel_set, ">i4")
    rows.number(writer, ">i8")
    rows.instant(found.cells[_STORED].max(axis=1))
    no_nulls = np.zeros(found.cells[0].shape[1], bool)
    for column, matrix in zip(_COLUMNS, found.cells, strict=True):
        rows.array(matrix - POSTGRES_EPOCH_US if column.is_moment else matrix, column.dtype, column.oid, no_nulls)
    worded = np.array([bool(words) for words in found.words])
    texts = [msgspec.json.encode({str(i): text for i, text in words.items()}) for words in found.words if words]
    append_with_texts(out, rows, worded, texts)


_NAMES = [column.name for column in _COLUMNS]
_SCALARS = ["channel_set", "writer", "changed_at", "texts"]
_CELLS = " || ".join(f"array_send(l.{name})" for name in _NAMES)
_LOCK_SQL = f"""
SELECT l.device, l.channel_set, s.channels, l.texts::text, {_CELLS}
FROM latest_by_channel l JOIN channel_set s USING (channel_set)
WHERE l.device = ANY(%s) ORDER BY l.device FOR UPDATE OF l
"""
_EMPTY_ARRAYS = ", ".join(f"array_fill({column.empty_sql}, ARRAY[cardinality(s.code)])" for column in _COLUMNS)
_MAKE_SQL = f"""
INSERT INTO latest_by_channel (device, channel_set, writer, changed_at, {", ".join(_NAMES)})
SELECT device, channel_set, 0, timestamptz '2000-01-01Z', {_EMPTY_ARRAYS}
FROM superset JOIN channel_set s USING (channel_set) WHERE device = ANY(%s) ORDER BY device
ON CONFLICT (device) DO NOTHING
"""
_PUT_SQL = f"""
INSERT INTO latest_by_channel AS l SELECT * FROM latest_by_channel_in ORDER BY device
ON CONFLICT (device) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _SCALARS + _NAMES)}
"""
# What another connection has written since is locked too, but stays as it is.
_PUT_OWN_SQL = f"{_PUT_SQL} WHERE l.writer = excluded.writer"
