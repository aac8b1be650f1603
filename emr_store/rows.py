"""Rows of `report`, `latest` and `waveform` as PostgreSQL's binary COPY, built by numpy for a whole chunk at once.

Reports with equally many channels, nulls at the same places and the same kept columns form a group, and a group's rows
have one width: they are written as a byte matrix, column by column. Format: PostgreSQL documentation, COPY, "Binary
Format"; arrays as array_send writes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from emr_store.channel_index import channel_index
from emr_store.equal_rows import distinct_of_runs, group_equal
from emr_store.texts import texts_json_of
from schemas.batch import Table
from schemas.block import ReportFlag
from schemas.layout import CHANNEL_BYTES, TailKind
from schemas.report import Kind, RecordKind, Samples
from schemas.tail import samples_of

_Array = NDArray[Any]
COPY_HEAD = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
COPY_END = b"\xff\xff"
POSTGRES_EPOCH_US = 946_684_800_000_000  # 2000-01-01 in microseconds since 1970
MINUTE_US = 60_000_000
_FLOAT8_OID, _INT2_OID, INT4_OID, INT8_OID = 701, 21, 23, 20
_NULL = b"\xff\xff\xff\xff"
_JSONB_HEAD = struct.Struct(">iB")  # length, version of jsonb's binary form (jsonb_recv)
_JSONB_VERSION = 1


@dataclass(frozen=True)
class Chunk:
    """All the reports of one transaction: the joined tables, their validation, and the numbers that the store gave
    them.

    `device`, `batch`, `leaf`, `observed_at_us` have one element a report; `channel_set_of` gives the id of a channel
    list (12 bytes a channel). `superset`, a report each, is the channel set that it is stored under where this is not
    its exact list, else 0; `superset_channels` has their lists. None: all are stored under their exact lists.
    """

    table: Table
    flags: _Array
    validation_results: _Array
    values: _Array
    device: _Array
    batch: _Array
    leaf: _Array
    observed_at_us: _Array
    channel_set_of: Callable[[bytes], int]
    superset: _Array | None = None
    superset_channels: Mapping[int, bytes] = field(default_factory=dict)

    @cached_property
    def in_superset(self) -> _Array:
        """bool, a report each: whether it is stored under a superset."""
        return np.zeros(len(self.table), bool) if self.superset is None else self.superset != 0

    @cached_property
    def channel_index(self) -> _Array:
        """i16, a record each: which channel of the report's superset it has, from 1; 0 where it is not in it."""
        if self.superset is None:
            return np.zeros(len(self.values), np.int16)
        return channel_index(self.table, self.superset, self.superset_channels)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """All reports, grouped into those that are written alike."""
        return tuple(groups(self.table, self.values, self.validation_results, self.validity, self.in_superset))

    @cached_property
    def channel_lists(self) -> ChannelLists:
        """The distinct channel lists of the reports that are stored under their exact lists."""
        return channel_lists(self.table, ~self.in_superset)

    @cached_property
    def validity(self) -> _Array:
        """What rows say of each record: 16 x marks + validity."""
        return self.table.marks.astype(np.int16) << 4 | self.table.validity

    @cached_property
    def texted(self) -> _Array:
        """bool, a report each: whether it says anything that is no number."""
        return self._have(self.table.record_kind == RecordKind.CODE) | (np.diff(self.table.tail_start) > 0)

    @cached_property
    def worded(self) -> _Array:
        """bool, a report each: whether it has a text or a code under a known code, whose words people read."""
        kind = self.table.record_kind
        return self._have(((kind == RecordKind.TEXT) | (kind == RecordKind.CODE)) & (self.table.code != 0))

    def _have(self, records: _Array) -> _Array:
        found = np.zeros(len(self.table), bool)
        found[self.table.report_of_record[records]] = True
        return found

    @cached_property
    def channel_set(self) -> _Array:
        """The id of the channel list that each report is stored under."""
        ids = [self.channel_set_of(channels) for channels in self.channel_lists.channels]
        numbers: _Array = np.array([*ids, 0], np.int64)[self.channel_lists.which]
        return numbers if self.superset is None else np.where(self.in_superset, self.superset, numbers)


@dataclass(frozen=True)
class ChannelLists:
    """Distinct channel lists (12 bytes a channel), and which of them each report has; -1: it was not asked for."""

    channels: list[bytes]
    which: _Array


def channel_lists(table: Table, asked_for: _Array) -> ChannelLists:
    """Of these reports (bool, a report each). A list costs no more than a slice: there may be hundreds."""
    channels: list[bytes] = []
    which = np.full(len(table), -1, np.int64)
    of_record = table.channel_items
    for chosen, records in _by_count(table, asked_for):
        listed = CHANNEL_BYTES * records.shape[1]
        key = np.zeros((len(chosen), -(-listed // 8) * 8), np.uint8)
        key[:, :listed] = _of_records(of_record, records).view(np.uint8).reshape(len(chosen), -1)
        first, of = distinct_of_runs(key)
        which[chosen] = len(channels) + of
        channels += [key[i, :listed].tobytes() for i in first.tolist()]
    return ChannelLists(channels, which)


def _by_count(table: Table, asked_for: _Array) -> Iterator[tuple[_Array, _Array]]:
    """The reports with equally many records, and a (reports, records) index of these."""
    counts = np.where(asked_for, table.record_count, -1)
    if len(counts) and (counts == counts[0]).all():  # as where all devices are of one model
        present = counts[:1][counts[:1] >= 0]
    else:
        present = np.unique(counts[asked_for])
    for count in present.tolist():
        chosen = np.flatnonzero(counts == count)
        yield chosen, table.record_start[chosen][:, None] + np.arange(count)


def _of_records(column: _Array, records: _Array) -> _Array:
    """`column[records]` of a (reports, records) index; of records that lie one behind another without a search."""
    if not records.size:
        return column[records]
    first, end = int(records[0, 0]), int(records[-1, -1]) + 1
    if end - first != records.size:
        return column[records]
    return np.ascontiguousarray(column[first:end]).reshape(records.shape)


@dataclass(frozen=True)
class Group:
    """Reports that are written alike: their indices, and a (reports, channels) index of records."""

    reports: _Array
    records: _Array
    nulls: _Array  # bool, a channel each
    decimals: bool
    validity: bool
    validation_result: bool
    channel_index: bool

    def without(self, left_out: _Array) -> Group:
        """The same without those reports of the chunk."""
        stays = ~left_out[self.reports]
        return self if stays.all() else replace(self, reports=self.reports[stays], records=self.records[stays])


def groups(
    table: Table, values: _Array, validation_results: _Array, validity: _Array, in_superset: _Array
) -> Iterator[Group]:  # fmt: skip
    """Split all reports into groups."""
    nulls = np.isnan(values)
    columns = [
        _any_of_report(table, has) for has in (nulls, table.exponent != 0, validity != 0, validation_results != 0)
    ]
    columns.append(in_superset)
    shape = np.zeros(len(table), np.uint8)  # a bit for each of these that a report has
    for bit, column in enumerate(columns):
        shape |= column.astype(np.uint8) << np.uint8(bit)
    for chosen, records in _by_count(table, np.ones(len(table), bool)):
        for code in np.unique(shape[chosen]).tolist():
            with_nulls, *kept = (bool(code >> bit & 1) for bit in range(len(columns)))
            members = np.flatnonzero(shape[chosen] == code)
            for same in _by_nulls(nulls[records[members]]) if with_nulls else (np.arange(len(members)),):
                at = members[same]
                null_of_channel = nulls[records[at[0]]]
                yield Group(chosen[at], records[at], null_of_channel, *kept)


def _any_of_report(table: Table, has: _Array) -> _Array:
    """bool, a report each: whether any of its records has it."""
    of_report = np.zeros(len(table), bool)
    of_report[table.report_of_record[np.flatnonzero(has)]] = True
    return of_report


def _by_nulls(nulls: _Array) -> Iterator[_Array]:
    """Indices of the reports with nulls at the same places, of a (reports, channels) table."""
    key = np.zeros((len(nulls), -(-nulls.shape[1] // 8) * 8), np.uint8)
    key[:, : nulls.shape[1]] = nulls
    return group_equal(key)


class CopyRows:
    """Rows of one width; each call appends a column, and `matrix` writes them all, a value once."""

    def __init__(self, count: int, fields: int) -> None:
        self.count = count
        self._columns: list[tuple[np.dtype[Any], tuple[int, ...], Any]] = []
        self._raw(struct.pack(">h", fields))

    def _raw(self, data: bytes) -> None:
        kind = np.dtype(f"V{len(data)}")
        self._columns.append((kind, (), np.frombuffer(data, kind)))

    def number(self, values: Any, dtype: str, shape: tuple[int, ...] = ()) -> None:
        self._columns.append((np.dtype([("size", ">i4"), ("value", dtype)]), shape, values))

    def instant(self, us: _Array) -> None:
        self.number(us - POSTGRES_EPOCH_US, ">i8")

    def octets(self, values: _Array) -> None:
        width = values.shape[1]
        self.number(np.ascontiguousarray(values).view(f"V{width}")[:, 0], f"V{width}")

    def null(self) -> None:
        self._raw(_NULL)

    def array(self, values: _Array, dtype: str, oid: int, nulls: _Array) -> None:
        size, channels = np.dtype(dtype).itemsize, values.shape[1]
        if channels == 0:
            self._raw(struct.pack(">iiii", 12, 0, 0, oid))
            return
        length = 20 + 4 * channels + size * int((~nulls).sum())
        self._raw(struct.pack(">iiiiii", length, 1, int(nulls.any()), oid, channels, 1))
        if not nulls.any():
            self.number(values, dtype, (channels,))
            return
        for i in range(channels):
            if nulls[i]:
                self.null()
            else:
                self.number(values[:, i], dtype)

    def matrix(self) -> _Array:
        """(count, width) u8."""
        of_row = np.dtype([(f"{i}", kind, shape) for i, (kind, shape, _) in enumerate(self._columns)])
        out, pattern = np.empty(self.count, of_row), np.zeros(1, of_row)  # the pattern: what all rows have alike
        for i, (kind, _, values) in enumerate(self._columns):
            if kind.names:
                pattern[f"{i}"]["size"] = kind["value"].itemsize
            else:
                pattern[f"{i}"] = values
        octets = out.view(np.uint8).reshape(self.count, of_row.itemsize)
        octets[...] = pattern.view(np.uint8)
        for i, (kind, _, values) in enumerate(self._columns):
            if kind.names:
                out[f"{i}"]["value"] = values
        return octets


def _values(rows: CopyRows, chunk: Chunk, group: Group) -> None:
    """value, decimals, validity, validation result: the columns that `report` and `latest` share."""
    no_nulls = np.zeros(len(group.nulls), bool)
    rows.array(_of_records(chunk.values, group.records), ">f8", _FLOAT8_OID, group.nulls)
    if group.decimals:
        # 128 + exponent, of an i8 as a u8: the uppermost bit is the other one.
        rows.octets(_of_records(chunk.table.exponent, group.records).view(np.uint8) ^ np.uint8(128))
    else:
        rows.null()
    for kept, column in ((group.validity, chunk.validity), (group.validation_result, chunk.validation_results)):
        if kept:
            rows.array(_of_records(column, group.records), ">i2", _INT2_OID, no_nulls)
        else:
            rows.null()


def report_rows(chunk: Chunk, reports: _Array | None = None, text_numbers: _Array | None = None) -> bytes:
    """Binary COPY of these reports (None: all), but the waveforms, into `report`, columns in the table's order.

    `text_numbers` (a report of the chunk each) stand in the last column instead of the texts.
    """
    out: list[bytes | memoryview] = [COPY_HEAD]
    left_out = chunk.table.kind == Kind.WAVEFORM
    if reports is not None:
        others = np.ones(len(chunk.table), bool)
        others[reports] = False
        left_out |= others
    for whole in chunk.groups:
        group = whole.without(left_out)
        i = group.reports
        if not len(i):
            continue
        rows = CopyRows(len(i), 15)
        rows.instant(chunk.observed_at_us[i])
        rows.instant(chunk.table.received_at_us[i])
        rows.number(chunk.device[i], ">i4")
        rows.number(chunk.channel_set[i], ">i4")
        rows.number(chunk.table.kind[i], ">i2")
        rows.number(chunk.flags[i], ">i2")
        rows.number(chunk.table.sequence[i], ">i8")
        rows.number(chunk.batch[i], ">i8")
        rows.number(chunk.leaf[i], ">i4")
        _values(rows, chunk, group)
        if group.channel_index:
            rows.array(chunk.channel_index[group.records], ">i2", _INT2_OID, np.zeros(len(group.nulls), bool))
        else:
            rows.null()
        if text_numbers is not None:
            rows.number(text_numbers[i], ">i4")
            out.append(rows.matrix().data)
            continue
        texted = chunk.texted[i]
        append_with_texts(out, rows, texted, texts_json_of(chunk.table, i[texted]))
    out.append(COPY_END)
    return b"".join(out)


def append_with_texts(out: list[bytes | memoryview], rows: CopyRows, texted: _Array, texts: Sequence[bytes]) -> None:
    """Append these rows and their last column: null, or of those that are texted (bool, a row each) this JSON."""
    rows.null()
    matrix = rows.matrix()
    if not texted.any():
        out.append(matrix.data)
        return
    out.append(matrix[~texted].tobytes())
    width = matrix.shape[1] - len(_NULL)
    rows_of_texted = matrix[texted, :width].tobytes()
    for i, text in enumerate(texts):
        out += (
            rows_of_texted[i * width : (i + 1) * width], _JSONB_HEAD.pack(1 + len(text), _JSONB_VERSION), text
        )  # fmt: skip


def latest_rows(chunk: Chunk, reports: _Array, stored_at_us: int) -> bytes:
    """Binary COPY of these reports in the shape of `latest`."""
    out: list[bytes | memoryview] = [COPY_HEAD]
    others = np.ones(len(chunk.table), bool)
    others[reports] = False
    for whole in chunk.groups:
        group = whole.without(others)
        i = group.reports
        rows = CopyRows(len(i), 13)
        rows.number(chunk.device[i], ">i4")
        rows.number(chunk.channel_set[i], ">i4")
        rows.instant(chunk.observed_at_us[i])
        rows.instant(chunk.table.received_at_us[i])
        rows.number(stored_at_us - POSTGRES_EPOCH_US, ">i8")
        rows.number(chunk.flags[i], ">i2")
        rows.number(chunk.batch[i], ">i8")
        rows.number(chunk.leaf[i], ">i4")
        _values(rows, chunk, group)
        worded = chunk.worded[i]
        append_with_texts(out, rows, worded, texts_json_of(chunk.table, i[worded]))
    out.append(COPY_END)
    return b"".join(out)


def stretches(table: Table, reports: _Array) -> Iterator[tuple[int, int, Samples]]:
    """The stretches of samples in these reports: report, record, samples."""
    for report in reports.tolist():
        for index, kind, data in table.tail(report):
            if kind == TailKind.SAMPLES:
                yield report, index, samples_of(data)


def waveform_rows(chunk: Chunk, reports: _Array) -> bytes:
    """Binary COPY of the stretches of samples in these reports into `waveform`."""
    found = list(stretches(chunk.table, reports))
    of = np.array([report for report, _, _ in found], np.int64)
    index = np.array([record for _, record, _ in found], np.int64)
    records, samples = chunk.table.record_start[of] + index, [s for _, _, s in found]
    rows = CopyRows(len(found), 11)
    rows.number(chunk.device[of], ">i4")
    rows.instant(chunk.observed_at_us[of])
    rows.number(chunk.table.code[records], ">i8")
    rows.number(chunk.batch[of], ">i8")
    rows.number(chunk.leaf[of], ">i4")
    rows.number(index, ">i4")
    rows.number(chunk.table.channel[records], ">i8")
    rows.number([s.rate_numerator for s in samples], ">i8")
    rows.number([s.rate_denominator for s in samples], ">i8")
    rows.number([s.first_sample for s in samples], ">i8")
    rows.number([s.count for s in samples], ">i4")
    return COPY_HEAD + rows.matrix().tobytes() + COPY_END


def touched_rows(chunk: Chunk, reports: _Array | None = None) -> bytes:
    """Binary COPY into `minute_touched`: the minutes that these reports (None: all that measure) change, each with its
    devices."""
    metric = np.flatnonzero(chunk.table.kind == Kind.METRIC) if reports is None else reports
    pairs = np.unique(chunk.observed_at_us[metric] // MINUTE_US << 32 | chunk.device[metric])
    minutes, first = np.unique(pairs >> 32, return_index=True)
    out: list[bytes] = [COPY_HEAD]
    for minute, devices in zip(minutes, np.split(pairs & 0xFFFFFFFF, first[1:]), strict=False):
        row = CopyRows(1, 2)
        row.instant(minute[None] * MINUTE_US)
        row.array(devices[None], ">i4", INT4_OID, np.zeros(len(devices), bool))
        out.append(row.matrix().tobytes())
    out.append(COPY_END)
    return b"".join(out)


def shown_in_latest(chunk: Chunk) -> _Array:
    """Indices of the reports that `latest` may show: measurements whose moment is believed."""
    believed = ((chunk.flags & ReportFlag.FUTURE) == 0) & (chunk.observed_at_us == chunk.table.observed_at_us)
    return np.flatnonzero((chunk.table.kind == Kind.METRIC) & believed & (chunk.table.record_count > 0))


def newest(chunk: Chunk, reports: _Array, stored_at_us: int) -> _Array:
    """Of these reports the newest for each device and channel list: what can move `latest` forward.

    Nothing is newer than the moment at which it is stored: what an edge says whose clock is ahead does not hold its
    place against what comes later.
    """
    ids, device = chunk.channel_set[reports], chunk.device[reports]
    moment = np.minimum(chunk.observed_at_us[reports], stored_at_us)
    order = np.lexsort((moment, ids, device))
    ordered = np.stack([device[order], ids[order]])
    last = np.flatnonzero(np.append((np.diff(ordered) != 0).any(axis=0), True)) if len(order) else order
    return np.sort(reports[order[last]])


# --- into the tables -------------------------------------------------------------------------------------------------


def prepare(conn: psycopg.Connection) -> None:
    """What a connection has of its own to write rows with."""
    conn.execute("CREATE TEMPORARY TABLE latest_in (LIKE latest) ON COMMIT DELETE ROWS")


def put(conn: psycopg.Connection, chunk: Chunk) -> None:
    """Store what is an index over these reports but `report` (reports.py); inside the caller's transaction."""
    waveform = chunk.table.kind == Kind.WAVEFORM
    if waveform.any():
        copy(conn, "waveform", waveform_rows(chunk, np.flatnonzero(waveform)))
    exact = shown_in_latest(chunk)
    exact = exact[~chunk.in_superset[exact]]
    if len(exact):
        put_latest(conn, chunk, exact, transaction_at_us(conn))
    copy(conn, "minute_touched", touched_rows(chunk))


def put_latest(conn: psycopg.Connection, chunk: Chunk, reports: _Array, stored_at_us: int) -> None:
    """Move `latest` forward by these reports (`shown_in_latest`), whose batches were stored at that moment; once a
    transaction, or with `clear_latest` between."""
    copy(conn, "latest_in", latest_rows(chunk, newest(chunk, reports, stored_at_us), stored_at_us))
    conn.execute(_LATEST_SQL)


def clear_latest(conn: psycopg.Connection) -> None:
    """Forget what `put_latest` was given in this transaction."""
    conn.execute("DELETE FROM latest_in")


def transaction_at_us(conn: psycopg.Connection) -> int:
    """The database's now(), which is batch.stored_at of what this transaction stores."""
    row = conn.execute("SELECT (extract(epoch FROM now()) * 1000000)::int8").fetchone()
    assert row is not None
    return int(row[0])


def copy(conn: psycopg.Connection, table: str, data: bytes) -> None:
    """COPY these rows, binary, into a table."""
    with conn.cursor().copy(f"COPY {table} FROM STDIN (FORMAT BINARY)".encode()) as copying:
        copying.write(data)


_LATEST_SQL = """
INSERT INTO latest AS l SELECT * FROM latest_in ORDER BY device, channel_set
ON CONFLICT (device, channel_set) DO UPDATE SET
    observed_at = excluded.observed_at, received_at = excluded.received_at, stored_at = excluded.stored_at,
    flags = excluded.flags, batch = excluded.batch, leaf = excluded.leaf, value = excluded.value,
    decimals = excluded.decimals, validity = excluded.validity, validation_result = excluded.validation_result,
    texts = excluded.texts
WHERE least(excluded.observed_at, excluded.stored_at) >= least(l.observed_at, l.stored_at)
"""
