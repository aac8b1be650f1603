"""What devices say of themselves beside values: alarms, settings, words for channels; and the edges' clocks.

Such reports are few. A transaction that has none pays for three comparisons.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
import psycopg
from numpy.typing import NDArray

from emr_store.rows import COPY_END, COPY_HEAD, POSTGRES_EPOCH_US, Chunk, copy
from emr_store.texts import escaped, number, storable
from schemas.batch import Table
from schemas.identity import EdgeId
from schemas.layout import TailKind
from schemas.report import Alarm, ChannelWords, Kind, RecordKind, Validity
from schemas.tail import alarm_of, as_sent_of

_T = TypeVar("_T")
# The years 1 to 9999: what every reader's calendar has.
_INSTANTS_US = range(-62_135_596_800_000_000, 253_402_300_800_000_000)


class ReportedAlarm(NamedTuple):
    """An alarm record of a report, as `device_alarm` holds it: `alarm.since_us` None where no instant is said."""

    report: int
    record: int
    code: int
    unit: int
    channel: int
    validity: int
    sent_code: str | None
    condition_code: int
    alarm: Alarm


class ReportedSetting(NamedTuple):
    """A record of a setting report, as `device_setting` holds it."""

    report: int
    record: int
    code: int
    unit: int
    channel: int
    validity: int
    sent_code: str | None
    value: float | None
    text: str | None


class ReportedChannel(NamedTuple):
    """A channel's words in a description report, as `channel` holds them: JSON, and its digest as sent."""

    report: int
    code: int
    channel: int
    words: bytes
    digest: bytes


def alarms(table: Table) -> list[ReportedAlarm]:
    """Every alarm that these reports speak of."""
    found = []
    for report in _reports_with(table, table.record_kind == RecordKind.ALARM):
        first, tail = int(table.record_start[report]), _tail(table, report)
        for record in range(int(table.record_count[report])):
            if (data := tail.get((record, TailKind.ALARM))) is None:
                continue
            index = first + record
            found.append(ReportedAlarm(
                report, record, *_channel(table, index), _sent_code(tail, record), int(table.mantissa[index]),
                _storable_alarm(alarm_of(data)),
            ))  # fmt: skip
    return found


def _storable_alarm(a: Alarm) -> Alarm:
    since_us = a.since_us if a.since_us is not None and a.since_us in _INSTANTS_US else None
    return msgspec.structs.replace(a, condition=storable(a.condition), text=storable(a.text), since_us=since_us)


def settings(table: Table, values: NDArray[Any]) -> list[ReportedSetting]:
    """Every setting that these reports speak of; `values` are the validated ones, a record each.

    The value of an enumeration (a mode) is its code.
    """
    found = []
    for report in np.flatnonzero(table.kind == Kind.SETTING).tolist():
        first, tail = int(table.record_start[report]), _tail(table, report)
        for record in range(int(table.record_count[report])):
            index = first + record
            code = table.record_kind[index] == RecordKind.CODE and table.validity[index] != Validity.NOT_AVAILABLE
            value = float(table.mantissa[index] if code else values[index])
            found.append(ReportedSetting(
                report, record, *_channel(table, index), _sent_code(tail, record),
                None if np.isnan(value) else value, _text(tail, record),
            ))  # fmt: skip
    return found


def channels(table: Table) -> list[ReportedChannel]:
    """The words of every channel that is described; what is no list of words stays in the report's texts alone."""
    found = []
    for report in np.flatnonzero(table.kind == Kind.DESCRIPTION).tolist():
        first = int(table.record_start[report])
        for record, kind, data in table.tail(report):
            if kind != TailKind.TEXT or record >= int(table.record_count[report]):
                continue
            try:
                words = msgspec.json.decode(data, type=ChannelWords)
            except msgspec.MsgspecError:
                continue
            code, _, channel, _ = _channel(table, first + record)
            found.append(ReportedChannel(report, code, channel, _storable_words(words), sha256(data).digest()))
    return found


def _storable_words(words: ChannelWords) -> bytes:
    fields = {
        name: [storable(w) for w in value] if isinstance(value, tuple) else storable(value)
        for name, value in msgspec.structs.asdict(words).items()
        if value
    }
    return msgspec.json.encode(fields)


def _reports_with(table: Table, records: NDArray[Any]) -> list[int]:
    chosen: list[int] = np.unique(table.report_of_record[records]).tolist() if records.any() else []
    return chosen


def _tail(table: Table, report: int) -> dict[tuple[int, TailKind], bytes]:
    return {(index, kind): data for index, kind, data in table.tail(report)}


def _channel(table: Table, index: int) -> tuple[int, int, int, int]:
    """code, unit, channel, 16 x marks + validity."""
    validity = int(table.marks[index]) << 4 | int(table.validity[index])
    return int(table.code[index]), int(table.unit[index]), int(table.channel[index]), validity


def _sent_code(tail: dict[tuple[int, TailKind], bytes], record: int) -> str | None:
    data = tail.get((record, TailKind.AS_SENT))
    return None if data is None else storable(as_sent_of(data).code)


def _text(tail: dict[tuple[int, TailKind], bytes], record: int) -> str | None:
    if (text := tail.get((record, TailKind.TEXT))) is not None:
        return storable(text.decode())
    undecoded = tail.get((record, TailKind.BYTES))
    return None if undecoded is None else escaped(undecoded)


# --- into the tables -------------------------------------------------------------------------------------------------


def write(conn: psycopg.Connection, chunk: Chunk) -> None:
    """Store what these reports say of alarms, settings and channels; inside the caller's transaction."""
    if reported := alarms(chunk.table):
        _copy(conn, "device_alarm", (_alarm_row(chunk, a) for a in reported))
    if changed := settings(chunk.table, chunk.values):
        _copy(conn, "device_setting", (_setting_row(chunk, s) for s in changed))
    if described := channels(chunk.table):
        _describe(conn, chunk, described)


def _alarm_row(chunk: Chunk, reported: ReportedAlarm) -> list[bytes | None]:
    a = reported.alarm
    return [
        *_head(chunk, reported.report), _i8(reported.code), _i8(reported.unit), _i8(reported.channel),
        _i2(reported.validity),
        _maybe(_text_of, reported.sent_code), _i8(reported.condition_code), _text_of(a.condition), _i2(a.state),
        _i2(a.priority), _i2(a.kind), _maybe(_instant, a.since_us), _maybe(_f8, number(a.low)),
        _maybe(_f8, number(a.high)), _bool(a.latched), _bool(a.audio_paused), _text_of(a.text),
        *_report_key(chunk, reported.report, reported.record),
    ]  # fmt: skip


def _setting_row(chunk: Chunk, s: ReportedSetting) -> list[bytes | None]:
    return [
        *_head(chunk, s.report), _i8(s.code), _i8(s.unit), _i8(s.channel), _i2(s.validity),
        _maybe(_text_of, s.sent_code),
        _maybe(_f8, s.value), _maybe(_text_of, s.text), *_report_key(chunk, s.report, s.record),
    ]  # fmt: skip


def _head(chunk: Chunk, report: int) -> tuple[bytes, bytes, bytes]:
    """device, observed_at, received_at."""
    return (
        struct.pack(">i", int(chunk.device[report])),
        _instant(int(chunk.observed_at_us[report])),
        _instant(int(chunk.table.received_at_us[report])),
    )


def _report_key(chunk: Chunk, report: int, record: int) -> tuple[bytes, bytes, bytes]:
    """batch, leaf, record."""
    return _i8(int(chunk.batch[report])), struct.pack(">i", int(chunk.leaf[report])), struct.pack(">i", record)


def _i2(value: int) -> bytes:
    return struct.pack(">h", value)


def _i8(value: int) -> bytes:
    return struct.pack(">q", value)


def _f8(value: float) -> bytes:
    return struct.pack(">d", value)


def _bool(value: bool) -> bytes:
    return b"\x01" if value else b"\x00"


def _instant(us: int) -> bytes:
    return _i8(us - POSTGRES_EPOCH_US)


def _text_of(text: str) -> bytes:
    return text.encode()


def _maybe(encode: Callable[[_T], bytes], value: _T | None) -> bytes | None:
    return None if value is None else encode(value)


def _copy(conn: psycopg.Connection, table: str, rows: Iterable[list[bytes | None]]) -> None:
    out = [COPY_HEAD]
    for row in rows:
        out.append(struct.pack(">h", len(row)))
        out += [b"\xff\xff\xff\xff" if field is None else struct.pack(">i", len(field)) + field for field in row]
    copy(conn, table, b"".join([*out, COPY_END]))


_CHANNEL_SQL = """
INSERT INTO channel AS known (device, channel, code, words, digest, since, batch, leaf)
SELECT DISTINCT ON (d, n, c, g) d, n, c, w::jsonb, g, timestamptz '2000-01-01Z' + s * interval '1 microsecond', b, l
FROM unnest(%b::int4[], %b::int8[], %b::int8[], %b::text[], %b::bytea[], %b::int8[], %b::int8[], %b::int4[])
    AS u(d, n, c, w, g, s, b, l)
ORDER BY d, n, c, g, s
ON CONFLICT (device, channel, code, digest) DO UPDATE SET
    since = excluded.since, batch = excluded.batch, leaf = excluded.leaf
WHERE excluded.since < known.since
"""


def _describe(conn: psycopg.Connection, chunk: Chunk, described: Sequence[ReportedChannel]) -> None:
    reports = [c.report for c in described]
    conn.execute(_CHANNEL_SQL, [
        chunk.device[reports].tolist(), [c.channel for c in described], [c.code for c in described],
        [c.words.decode() for c in described], [c.digest for c in described],
        (chunk.observed_at_us[reports] - POSTGRES_EPOCH_US).tolist(), chunk.batch[reports].tolist(),
        chunk.leaf[reports].tolist(),
    ])  # fmt: skip


class _EdgeCounts(msgspec.Struct):
    clock_offset_ms: float | None = None


def clock_offset_ms(counts: str) -> float | None:
    """How far the edge says that its clock is ahead of the broker's; None where it does not say."""
    try:
        return msgspec.json.decode(counts, type=_EdgeCounts).clock_offset_ms
    except msgspec.MsgspecError:
        return None


def note_clock(conn: psycopg.Connection, edge: EdgeId, at_us: int, offset_ms: float) -> None:
    """Keep the newest that this edge said; nothing is newer than now, or a clock put right would go on being wrong."""
    if at_us in _INSTANTS_US:
        conn.execute(_CLOCK_SQL, [edge, at_us - POSTGRES_EPOCH_US, offset_ms])


_CLOCK_SQL = """
INSERT INTO edge_clock AS known
VALUES (encode(%b, 'hex')::uuid, least(timestamptz '2000-01-01Z' + %b::int8 * interval '1 microsecond', now()),
    %b::float8)
ON CONFLICT (edge) DO UPDATE SET at = excluded.at, offset_ms = excluded.offset_ms WHERE excluded.at >= known.at
"""
