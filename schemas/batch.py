"""A batch of reports as bytes and as arrays: the only module that indexes numpy fields by name.

Encoding happens at the edge, one report at a time; reading happens at the hospital, a whole table at a time, without
an object a value. Canonical: two byte strings never mean the same batch. Layout: docs/batch.md.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import zstandard
from msgspec.structs import astuple
from numpy.typing import NDArray

from schemas import layout
from schemas.errors import LayoutError, LayoutReason
from schemas.identity import BatchId, BatchKey, EdgeId, SpoolId, StreamKey
from schemas.layout import RECORD, REPORT_ROW, TailKind
from schemas.report import (
    COMPARATOR_BITS,
    COMPARATORS,
    ClockQuality,
    Kind,
    Lane,
    RecordKind,
    Report,
    Validity,
)
from schemas.tail import WITH_CLAIM, alarm_of, encoded_entries, samples_of, tail_entries

_Array = NDArray[Any]
_WITH_MANTISSA = (RecordKind.NUMERIC, RecordKind.BOUND, RecordKind.CODE, RecordKind.ALARM)
_SEQUENCE = struct.Struct("<Q")
# Kind, validity, exponent and marks of a record as one word: of a valid number without marks, whatever its exponent.
_STATE_WORD = 3
_CHANNEL_AND_REST = np.dtype(
    [("channel", f"V{layout.CHANNEL_BYTES}"), ("rest", f"V{RECORD.itemsize - layout.CHANNEL_BYTES}")]
)
_STATE_BUT_EXPONENT = 0xFF00FFFF
_PLAIN_STATE = int(RecordKind.NUMERIC)
# As plain numbers: compared for every record that an edge keeps.
_BOUND, _NOT_AVAILABLE = int(RecordKind.BOUND), int(Validity.NOT_AVAILABLE)


# --- edge: one report to bytes --------------------------------------------------------------------------------------


def encode_report(report: Report, salt: bytes, frame_hash: bytes) -> bytearray:
    """The report's row, records and tail, one after another, with sequence 0 (see `set_sequence`): the leaf's bytes.

    Raises LayoutError where the report is larger than the layout allows.
    """
    records = report.records
    if len(records) > layout.RECORDS_PER_REPORT_MAX:
        raise LayoutError(LayoutReason.TOO_MANY_RECORDS, str(len(records)))
    fields: list[int] = []
    with_tail = report.frame is not None or report.kind in WITH_CLAIM
    # `astuple` and one `pack` for all records: half the time of a field and a record at a time.
    for (
        code, unit, channel, kind, validity, mantissa, exponent, marks, text, note, as_sent, samples, alarm
    ) in map(astuple, records):  # fmt: skip
        if validity == _NOT_AVAILABLE or kind > _BOUND:
            exponent = 0
            if validity == _NOT_AVAILABLE or kind not in _WITH_MANTISSA:
                mantissa = 0
        fields += (code, unit, channel, kind, validity, exponent, marks, mantissa)
        if text is not None or note is not None or as_sent is not None or samples is not None or alarm is not None:
            with_tail = True
    tail = b"".join(encoded_entries(report)) if with_tail else b""
    device_at = layout.ABSENT_TIME if report.device_at_us is None else report.device_at_us
    row = layout.REPORT_STRUCT.pack(
        report.device.bytes, salt, frame_hash, report.observed_at_us, device_at, report.received_at_us, 0,
        min(report.uncertainty_ms, 0xFFFFFFFF), report.clock_quality, report.kind, len(records), len(tail),
    )  # fmt: skip
    out = bytearray(row + _records_struct(len(records)).pack(*fields) + tail)
    if len(out) > layout.FRAME_BYTES_MAX + layout.CUT_BYTES // 2:
        raise LayoutError(LayoutReason.REPORT_TOO_LARGE, f"{len(out)} bytes")
    return out


@lru_cache(256)
def _records_struct(count: int) -> struct.Struct:
    return struct.Struct("<" + layout.RECORD_STRUCT.format.removeprefix("<") * count)


def set_sequence(encoded: bytearray, sequence: int) -> None:
    """Write the report's number in its device and spool; the spool assigns it as it commits."""
    _SEQUENCE.pack_into(encoded, layout.SEQUENCE_OFFSET, sequence)


def plain_body(encoded_reports: Sequence[bytes]) -> tuple[bytes, int, int]:
    """The body of a batch of these leaves before compression; its record count; the bytes of its tails."""
    rows, records, tails = [], [], []
    size = REPORT_ROW.itemsize
    for encoded in encoded_reports:
        (count,) = struct.unpack_from("<H", encoded, size - 6)
        end = size + count * RECORD.itemsize
        rows.append(encoded[:size])
        records.append(encoded[size:end])
        tails.append(encoded[end:])
    body = b"".join(rows + records + tails)
    return body, sum(map(len, records)) // RECORD.itemsize, sum(map(len, tails))


# --- hospital: tables of reports ------------------------------------------------------------------------------------


class _Column:
    """A field of the rows (a report each) or of the records as an array of its own."""

    def __init__(self, array: str, field: str) -> None:
        self._array, self._field = array, field

    def __get__(self, table: Table, owner: object) -> _Array:
        column: _Array = getattr(table, self._array)[self._field]
        return column


@dataclass(frozen=True)
class Table:
    """Reports and their records as arrays, in the order of their leaves; also of several batches, one after another."""

    rows: _Array
    records: _Array
    tails: bytes

    # A report each.
    device = _Column("rows", "device")  # V16
    observed_at_us = _Column("rows", "observed_at")  # i64
    device_at_us = _Column("rows", "device_at")  # i64; ABSENT_TIME where the message carries none
    received_at_us = _Column("rows", "received_at")  # i64
    sequence = _Column("rows", "sequence")  # u64
    uncertainty_ms = _Column("rows", "uncertainty_ms")  # u32
    clock_quality = _Column("rows", "clock_quality")  # u8, ClockQuality
    kind = _Column("rows", "kind")  # u8, Kind
    tail_bytes = _Column("rows", "tail_len")  # u32
    # A record each.
    code = _Column("records", "code")  # u32
    unit = _Column("records", "unit")  # u32
    channel = _Column("records", "channel")  # u32
    record_kind = _Column("records", "kind")  # u8, RecordKind
    validity = _Column("records", "validity")  # u8, Validity
    exponent = _Column("records", "exponent")  # i8
    marks = _Column("records", "marks")  # u8, Mark
    mantissa = _Column("records", "mantissa")  # i64

    @staticmethod
    def join(tables: Sequence[Table]) -> Table:
        """One table of all, in order. Joined as bytes: numpy compares the fields of each pair of tables otherwise."""
        if len(tables) == 1:
            return tables[0]
        rows = [t.rows.view(np.uint8) for t in tables]
        records = [t.records.view(np.uint8) for t in tables]
        nothing = np.empty(0, np.uint8)
        return Table(
            np.concatenate([nothing, *rows]).view(REPORT_ROW),
            np.concatenate([nothing, *records]).view(RECORD),
            b"".join(t.tails for t in tables),
        )

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def record_count(self) -> _Array:
        """i64, a report each."""
        return self.rows["record_count"].astype(np.int64)

    @cached_property
    def record_start(self) -> _Array:
        """i64, n + 1: records of report i are [start[i], start[i + 1])."""
        return np.concatenate([[0], np.cumsum(self.record_count)])

    @cached_property
    def tail_start(self) -> _Array:
        """i64, n + 1: the tail of report i is tails[start[i] : start[i + 1]]."""
        return np.concatenate([[0], np.cumsum(self.tail_bytes, dtype=np.int64)])

    @cached_property
    def report_of_record(self) -> _Array:
        """i64, a record each: the index of its report."""
        return np.repeat(np.arange(len(self)), self.record_count)

    @property
    def plain(self) -> _Array:
        """bool, a record each: a valid number without marks, as most are."""
        words = self.records.view("<u4").reshape(-1, RECORD.itemsize // 4)[:, _STATE_WORD]
        is_plain: _Array = (words & _STATE_BUT_EXPONENT) == _PLAIN_STATE
        return is_plain

    @property
    def channel_bytes(self) -> _Array:
        """(records, CHANNEL_BYTES) u8: code, unit, channel as sent; equal bytes are the same channel."""
        return self.records.view(np.uint8).reshape(-1, RECORD.itemsize)[:, : layout.CHANNEL_BYTES]

    @property
    def channel_items(self) -> _Array:
        """The same as an item a record (V12), copied: faster than rows of bytes where many are taken or compared."""
        return np.ascontiguousarray(self.records.view(_CHANNEL_AND_REST)["channel"])

    def tail(self, report: int) -> list[tuple[int, TailKind, bytes]]:
        """The tail entries of a report: record index (REPORT_LEVEL for the report itself), kind, data."""
        return list(tail_entries(self.tails[self.tail_start[report] : self.tail_start[report + 1]]))

    def encoded_report(self, report: int) -> bytes:
        """The bytes that the report's leaf is the hash of."""
        first, last = self.record_start[report], self.record_start[report + 1]
        tail = self.tails[self.tail_start[report] : self.tail_start[report + 1]]
        return bytes(self.rows[report].tobytes() + self.records[first:last].tobytes() + tail)


def table_of(encoded_reports: Sequence[bytes]) -> Table:
    """The table of reports that `encode_report` made, without a batch around them."""
    body, record_count, _ = plain_body(encoded_reports)
    rows_end = len(encoded_reports) * REPORT_ROW.itemsize
    rows = np.frombuffer(body, REPORT_ROW, len(encoded_reports))
    records = np.frombuffer(body, RECORD, record_count, rows_end)
    return Table(rows, records, body[rows_end + record_count * RECORD.itemsize :])


@dataclass(frozen=True)
class Header:
    """A batch's header, read; instants in microseconds."""

    lane: Lane
    edge: EdgeId
    spool: SpoolId
    batch_no: int
    previous: BatchId  # 32 zeros in a stream's first
    created_at_us: int
    report_count: int
    record_count: int
    tail_bytes: int
    key_id: bytes
    config_hash: bytes
    root: bytes
    body_hash: bytes

    @property
    def stream(self) -> StreamKey:
        """The stream that the batch belongs to."""
        return StreamKey(self.spool, int(self.lane), self.edge)

    @property
    def batch_key(self) -> BatchKey:
        """The number that the batch has in its stream."""
        return BatchKey(self.stream, self.batch_no)

    @property
    def plain_bytes(self) -> int:
        """The size of the body before compression."""
        return self.report_count * REPORT_ROW.itemsize + self.record_count * RECORD.itemsize + self.tail_bytes

    def encode(self) -> bytes:
        """The 256 bytes that are hashed to the batch's id and signed."""
        return layout.HEADER.pack(
            layout.BATCH_MAGIC, layout.SUITE_P256_SHA256, self.lane, layout.CODEC_ZSTD, self.edge, self.spool,
            self.batch_no, self.previous, self.created_at_us, self.report_count, self.record_count, self.tail_bytes,
            self.key_id, self.config_hash, self.root, self.body_hash, bytes(24),
        )  # fmt: skip


def read_header(sealed: bytes) -> Header:
    """The header of a sealed batch; raises LayoutError for anything that is not canonical or over a limit."""
    if not layout.BODY_START < len(sealed) <= layout.SEALED_BYTES_MAX:
        raise LayoutError(LayoutReason.SIZE, f"{len(sealed)} bytes")
    return _read_header(bytes(sealed[: layout.HEADER_BYTES]))


def layout_number(message: bytes) -> int:
    """The layout that a message says it has; 0 where it does not begin as a batch."""
    head = len(layout.MAGIC_HEAD)
    return message[head] if message.startswith(layout.MAGIC_HEAD) and len(message) > head else 0


def read_any_header(sealed: bytes) -> Header:
    """As `read_header`; of a layout that is newer than this version what every layout keeps of it, the rest as it lies.

    Enough to know whose the batch is and to tell its edge that it is not read here.
    """
    if layout_number(sealed) <= layout.LAYOUT:
        return read_header(sealed)
    if not layout.BODY_START < len(sealed) <= layout.SEALED_BYTES_MAX:
        raise LayoutError(LayoutReason.SIZE, f"{len(sealed)} bytes")
    _, _, lane, _, *fields, _ = layout.HEADER.unpack(sealed[: layout.HEADER_BYTES])
    if lane not in _LANES:
        raise LayoutError(LayoutReason.UNKNOWN_ENUM, f"lane {lane}")
    header = Header(Lane(lane), *fields)
    if header.batch_no > layout.BATCH_NO_MAX:
        raise LayoutError(LayoutReason.BATCH_NO, "a number that no range can hold")
    return header


@lru_cache(1024)  # one stage reads a batch's header three times
def _read_header(encoded: bytes) -> Header:
    magic, suite, lane, codec, *fields, zeros = layout.HEADER.unpack(encoded)
    if magic != layout.BATCH_MAGIC:
        raise LayoutError(LayoutReason.MAGIC)
    if suite != layout.SUITE_P256_SHA256 or codec != layout.CODEC_ZSTD or lane not in _LANES:
        raise LayoutError(LayoutReason.UNKNOWN_ENUM, f"suite {suite}, codec {codec}, lane {lane}")
    if any(zeros):
        raise LayoutError(LayoutReason.PADDING)
    header = Header(Lane(lane), *fields)
    if header.batch_no > layout.BATCH_NO_MAX:
        raise LayoutError(LayoutReason.BATCH_NO, "a number that no range can hold")
    if not 0 < header.report_count <= layout.REPORTS_MAX or header.plain_bytes > layout.PLAIN_BYTES_MAX:
        raise LayoutError(LayoutReason.COUNTS, f"{header.report_count} reports, {header.plain_bytes} bytes")
    return header


def compress(body: bytes) -> bytes:
    """The body as it travels: one zstd frame that states its content size."""
    compressed: bytes = zstandard.ZstdCompressor(level=1, write_checksum=False).compress(body)
    return compressed


def read_body(header: Header, sealed: bytes | memoryview, *, checked: bool = False) -> Table:
    """The tables of a sealed batch whose header was read; sizes are checked before anything is allocated.

    `checked` leaves the look at what they hold (`check`) to the caller: for hundreds it costs what it does for one.
    """
    compressed = bytes(sealed[layout.BODY_START :])
    try:
        if zstandard.get_frame_parameters(compressed).content_size != header.plain_bytes:
            raise LayoutError(LayoutReason.BODY_SIZE)
        body = zstandard.ZstdDecompressor().decompress(compressed, header.plain_bytes, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise LayoutError(LayoutReason.ZSTD, str(error)) from None
    rows_end = header.report_count * REPORT_ROW.itemsize
    rows = np.frombuffer(body, REPORT_ROW, header.report_count)
    records = np.frombuffer(body, RECORD, header.record_count, rows_end)
    table = Table(rows, records, body[rows_end + header.record_count * RECORD.itemsize :])
    # As Python's numbers, which do not overflow, and in a small batch cost a fifth of numpy's sum.
    record_count, tail_bytes = sum(rows["record_count"].tolist()), sum(rows["tail_len"].tolist())
    if record_count != len(table.records) or tail_bytes != len(table.tails):
        raise LayoutError(LayoutReason.COUNTS, "records or tails do not add up")
    if not checked:
        check(table)
    return table


_LANES = frozenset(Lane)
_COMPARATORS = [int(marks) for marks in COMPARATORS.values()]
_TAIL_BYTES_REMEMBERED = 4096  # a longer tail is samples or a frame, of which no two are equal
# Members are runs without gaps (a test holds that), so two comparisons say whether all bytes are members.
_BOUNDS = {kind: (int(min(kind)), int(max(kind))) for kind in (Kind, ClockQuality, RecordKind, Validity)}


def check(table: Table) -> None:
    """Raise LayoutError where a table, also a joined one, holds anything that is not canonical."""
    columns = (table.kind, table.clock_quality, table.record_kind, table.validity)
    for column, (enum, (low, high)) in zip(columns, _BOUNDS.items(), strict=True):
        if len(column) and (column.min() < low or column.max() > high):
            raise LayoutError(LayoutReason.UNKNOWN_ENUM, enum.__name__)
    kind, marks, missing = table.record_kind, table.marks, table.validity == Validity.NOT_AVAILABLE
    empty = missing | np.isin(kind, (RecordKind.TEXT, RecordKind.SAMPLES))
    if empty.any() and table.mantissa[empty].any():
        raise LayoutError(LayoutReason.NOT_CANONICAL, "a value where there is none")
    whole = missing | (kind > RecordKind.BOUND)
    if whole.any() and table.exponent[whole].any():
        raise LayoutError(LayoutReason.NOT_CANONICAL, "a power of ten where there is none")
    comparator, bound = marks & COMPARATOR_BITS, kind == RecordKind.BOUND
    if (comparator[~bound] != 0).any() or (bound.any() and not np.isin(comparator[bound], _COMPARATORS).all()):
        raise LayoutError(LayoutReason.NOT_CANONICAL, "comparator")
    if len(table.tails):
        _check_tails(table)


def _check_tails(table: Table) -> None:
    """Look once at each distinct tail: what a device cannot map it says in the same words in every report."""
    reports = np.flatnonzero(table.tail_bytes)
    counts = table.record_count[reports].tolist()
    begins, ends = table.tail_start[reports].tolist(), table.tail_start[reports + 1].tolist()
    distinct = dict.fromkeys(
        (table.tails[begin:end], count) for begin, end, count in zip(begins, ends, counts, strict=True)
    )
    for tail, count in distinct:
        if len(tail) <= _TAIL_BYTES_REMEMBERED:
            _check_remembered_tail(tail, count)
        else:
            _check_tail(tail, count)


def _check_tail(tail: bytes, count: int) -> None:
    """Raise LayoutError where the tail of a report of so many records is not canonical."""
    for index, kind, data in tail_entries(tail):
        if index >= count and index != layout.REPORT_LEVEL:
            raise LayoutError(LayoutReason.TAIL, "record index")
        if kind == TailKind.SAMPLES:
            samples_of(data)
        elif kind == TailKind.ALARM:
            alarm_of(data)
        elif kind not in (TailKind.FRAME, TailKind.BYTES):
            try:
                text = data.decode()
            except UnicodeDecodeError:
                raise LayoutError(LayoutReason.TAIL, "not UTF-8") from None
            if kind == TailKind.AS_SENT and text.count("\x1f") != 2:
                raise LayoutError(LayoutReason.TAIL, "as sent")


# What raises is not remembered, and is looked at again.
_check_remembered_tail = lru_cache(4096)(_check_tail)
