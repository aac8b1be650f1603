import math
import re
import struct
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.seal import open_sealed
from schemas import batch, layout
from schemas import tail as report_tail
from schemas.batch import encode_report, layout_number, read_any_header, read_header
from schemas.errors import LayoutError
from schemas.identity import BatchKey, EdgeId, SpoolId, StreamKey
from schemas.layout import RECORD, REPORT_ROW, TailKind
from schemas.report import (
    COMPARATOR_BITS,
    COMPARATORS,
    Alarm,
    AlarmKind,
    AlarmPriority,
    AlarmState,
    AsSent,
    ClockQuality,
    Kind,
    Lane,
    Mark,
    Record,
    RecordKind,
    Report,
    Samples,
    Validity,
    decimal_parts,
)
from schemas.tail import alarm_of, as_sent_of, samples_of
from tests.making import T0_US, Key, encoded_reports, of_newer_layout, report, sealed

KEY = Key()
_text = st.text(st.characters(codec="utf-8", exclude_characters="\x1f"), max_size=20)
_i64 = st.integers(-(2**63) + 1, 2**63 - 1)
_i8 = st.integers(-128, 127)
_limit = st.none() | st.tuples(_i64, _i8)
_any_record: dict[str, Any] = {
    "code": st.integers(0, 2**32 - 1),
    "unit": st.integers(0, 2**32 - 1),
    "channel": st.integers(0, 2**32 - 1),
    "validity": st.sampled_from(Validity),
    "marks": st.integers(0, 255).map(lambda marks: Mark(marks & ~COMPARATOR_BITS)),
    "text": st.none() | _text | st.binary(max_size=10),
    "note": st.none() | _text,
    "as_sent": st.none() | st.builds(AsSent, _text, _text, _text),
}


@st.composite
def _samples(draw: st.DrawFn) -> Samples:
    count = draw(st.integers(0, 20))
    edges = sorted(draw(st.sets(st.integers(0, count), max_size=6)))
    return Samples(
        rate_numerator=draw(st.integers(1, 2**32 - 1)),
        rate_denominator=draw(st.integers(1, 2**32 - 1)),
        scale_mantissa=draw(st.integers(-(2**31), 2**31 - 1)),
        offset_mantissa=draw(st.integers(-(2**31), 2**31 - 1)),
        exponent=draw(_i8),
        raw=draw(st.binary(min_size=2 * count, max_size=2 * count)),
        first_sample=draw(st.integers(0, 2**63 - 1)),
        invalid=tuple(zip(edges[::2], edges[1::2], strict=False)),
    )


_alarms = st.builds(
    Alarm,
    condition=_text,
    state=st.sampled_from(AlarmState),
    priority=st.sampled_from(AlarmPriority),
    kind=st.sampled_from(AlarmKind),
    since_us=st.none() | _i64,
    low=_limit,
    high=_limit,
    latched=st.booleans(),
    audio_paused=st.booleans(),
    text=_text,
)
_records = st.one_of(
    st.builds(Record, **_any_record, kind=st.just(RecordKind.NUMERIC), mantissa=_i64, exponent=_i8),
    st.builds(
        Record, **_any_record | {"marks": st.sampled_from([*COMPARATORS.values()])}, kind=st.just(RecordKind.BOUND),
        mantissa=_i64, exponent=_i8,
    ),
    st.builds(Record, **_any_record, kind=st.just(RecordKind.CODE), mantissa=_i64),
    st.builds(Record, **_any_record, kind=st.just(RecordKind.TEXT)),
    st.builds(Record, **_any_record, kind=st.just(RecordKind.SAMPLES), samples=st.none() | _samples()),
    st.builds(Record, **_any_record, kind=st.just(RecordKind.ALARM), mantissa=_i64, alarm=_alarms),
)  # fmt: skip
_reports = st.builds(
    Report,
    kind=st.sampled_from(Kind),
    claim=_text,
    observed_at_us=st.integers(0, 2**62),
    received_at_us=st.integers(0, 2**62),
    clock_quality=st.sampled_from(ClockQuality),
    records=st.lists(_records, max_size=5).map(tuple),
    device_at_us=st.none() | st.integers(0, 2**62),
    uncertainty_ms=st.integers(0, 2**32 - 1),
    frame=st.none() | st.binary(max_size=50),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(_reports, min_size=1, max_size=6))
def test_what_an_edge_says_is_what_the_hospital_reads(reports: list[Report]) -> None:
    message = sealed(reports, KEY)
    header, table = open_sealed(message)
    assert header.encode() == message[: layout.HEADER_BYTES]
    assert [table.encoded_report(i) for i in range(len(table))] == encoded_reports(reports)
    assert table.sequence.tolist() == list(range(1, len(reports) + 1))
    record = 0
    for i, stated in enumerate(reports):
        assert table.device[i].tobytes() == stated.device.bytes
        assert table.observed_at_us[i] == stated.observed_at_us
        absent = layout.ABSENT_TIME if stated.device_at_us is None else stated.device_at_us
        assert table.device_at_us[i] == absent
        tail = {(index, kind): data for index, kind, data in table.tail(i)}
        for j, r in enumerate(stated.records):
            _is_stated(table, record, r)
            assert _tail_of(tail, j) == (r.text, r.note, r.as_sent, r.samples, r.alarm)
            record += 1
        assert tail.get((layout.REPORT_LEVEL, TailKind.FRAME)) == stated.frame
        claim = tail.get((layout.REPORT_LEVEL, TailKind.CLAIM))
        assert claim == (stated.claim.encode() if stated.kind in (Kind.EVENT, Kind.REJECTED) else None)
    assert record == len(table.records)


def _is_stated(table: batch.Table, at: int, r: Record) -> None:
    assert (table.code[at], table.unit[at], table.channel[at]) == (r.code, r.unit, r.channel)
    assert (table.record_kind[at], table.validity[at], table.marks[at]) == (r.kind, r.validity, r.marks)
    there = r.validity != Validity.NOT_AVAILABLE
    whole = there and r.kind in (RecordKind.NUMERIC, RecordKind.BOUND, RecordKind.CODE, RecordKind.ALARM)
    assert table.mantissa[at] == (r.mantissa if whole else 0)
    assert table.exponent[at] == (r.exponent if there and r.kind in (RecordKind.NUMERIC, RecordKind.BOUND) else 0)


def _tail_of(tail: dict[tuple[int, TailKind], bytes], record: int) -> tuple[object, ...]:
    def read(kind: TailKind, decode: Any) -> Any:
        data = tail.get((record, kind))
        return None if data is None else decode(data)

    text, undecoded = read(TailKind.TEXT, bytes.decode), read(TailKind.BYTES, bytes)
    return (
        undecoded if text is None else text, read(TailKind.NOTE, bytes.decode), read(TailKind.AS_SENT, as_sent_of),
        read(TailKind.SAMPLES, samples_of), read(TailKind.ALARM, alarm_of),
    )  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.data(), st.one_of(_samples(), _alarms))
def test_no_two_tails_mean_the_same_samples_or_alarm(data: st.DataObject, stated: Samples | Alarm) -> None:
    """One byte changed: refused, or read as something else that is written back as these bytes."""
    encode: Any = report_tail._samples_bytes if isinstance(stated, Samples) else report_tail._alarm_bytes
    decode: Any = samples_of if isinstance(stated, Samples) else alarm_of
    written = encode(stated)
    at, change = data.draw(st.integers(0, len(written) - 1)), data.draw(st.integers(1, 255))
    changed = written[:at] + bytes([written[at] ^ change]) + written[at + 1 :]
    try:
        found = decode(changed)
    except LayoutError:
        return
    assert found != stated
    assert encode(found) == changed


_LIMITED = Alarm("high", low=(36, 0), high=(385, -1), since_us=T0_US)
_EVERY_TAIL = (
    Record(150364, 268192, 7, RecordKind.BOUND, mantissa=34, marks=Mark.LESS, text="<34", note="probe off?"),
    Record(kind=RecordKind.CODE, mantissa=3, text=b"\xb0C", marks=Mark.UNDECODED, as_sent=AsSent("99L", "mode", "")),
    Record(150452, kind=RecordKind.SAMPLES, samples=Samples(256, 1, 1, 0, -3, bytes(range(8)), 512, ((1, 3),))),
    Record(150364, kind=RecordKind.ALARM, mantissa=196616, alarm=_LIMITED),
)


def test_every_one_byte_change_of_header_or_body_is_refused() -> None:
    message = sealed([report(), report(at_us=T0_US + 1, records=_EVERY_TAIL, kind=Kind.EVENT)], KEY)
    for at in range(len(message)):
        if layout.HEADER_BYTES <= at < layout.BODY_START:
            continue  # the signature is held by evidence's test
        for change in (0x01, 0x80):
            broken = message[:at] + bytes([message[at] ^ change]) + message[at + 1 :]
            refused = _refused(broken) or broken[: layout.HEADER_BYTES] != message[: layout.HEADER_BYTES]
            assert refused, f"byte {at}"  # a header that still reads names another batch: its signature fails


def _refused(message: bytes) -> bool:
    try:
        open_sealed(message)
    except LayoutError:
        return True
    return False


@pytest.mark.parametrize("cut", [1, 100])
def test_truncated_or_longer_is_refused(cut: int) -> None:
    message = sealed([report()], KEY)
    assert _refused(message[:-cut])
    assert _refused(message + bytes(cut))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=600))
def test_any_bytes_are_refused_with_a_reason(data: bytes) -> None:
    with pytest.raises(LayoutError) as caught:
        open_sealed(data)
    assert caught.value.reason


def test_of_a_newer_layout_is_read_what_every_layout_keeps() -> None:
    message = sealed([report()], KEY, edge=b"F" * 16, spool=b"T" * 16, lane=Lane.BACKFILL, batch_no=7)
    newer = of_newer_layout(message, KEY)
    with pytest.raises(LayoutError, match="magic"):
        read_header(newer)
    header = read_any_header(newer)
    assert (header.batch_key, header.lane, header.key_id) == (
        read_header(message).batch_key, Lane.BACKFILL, KEY.key_id
    )  # fmt: skip
    assert [layout_number(each) for each in (message, newer, b"VWBATCH", b"")] == [2, 3, 0, 0]
    assert read_any_header(message) == read_header(message)


@pytest.mark.parametrize(
    ("at", "value"),
    [(10, b"\x09"), (44, (2**63).to_bytes(8, "little")), (layout.BODY_START, b"")],
    ids=["lane", "number", "size"],
)
def test_of_a_newer_layout_what_nobody_could_keep_is_refused(at: int, value: bytes) -> None:
    newer = of_newer_layout(sealed([report()], KEY), KEY)
    with pytest.raises(LayoutError):
        read_any_header(newer[:at] + value + newer[at + len(value) :] if value else newer[:at])


def test_a_header_names_its_stream_and_its_number_there() -> None:
    header = read_header(sealed([report()], KEY, edge=b"F" * 16, spool=b"T" * 16, lane=Lane.BACKFILL, batch_no=7))
    stream = StreamKey(spool=SpoolId(b"T" * 16), lane=int(Lane.BACKFILL), edge=EdgeId(b"F" * 16))
    assert header.batch_key == BatchKey(stream, 7)
    first = BatchKey(StreamKey(SpoolId(b"S" * 16), 9, EdgeId(b"Z" * 16)), 9)
    assert sorted([header.batch_key, first]) == [first, header.batch_key]  # as the ledger locks: by the spool


def _with_header(message: bytes, **changed: object) -> bytes:
    header = read_header(message)
    fields = {name: changed.get(name, getattr(header, name)) for name in header.__dataclass_fields__}
    return batch.Header(**fields).encode() + message[layout.HEADER_BYTES :]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"report_count": 0}, "counts"),
        ({"report_count": layout.REPORTS_MAX + 1}, "counts"),
        ({"record_count": 2**32 - 1}, "counts"),  # checked before anything is allocated
        ({"tail_bytes": 2**32 - 1}, "counts"),
        ({"record_count": 3}, "body-size"),
        ({"root": bytes(32)}, "root"),
        ({"body_hash": bytes(32)}, "body-hash"),
    ],
)
def test_wrong_counts_are_refused_by_name(changed: dict[str, object], reason: str) -> None:
    with pytest.raises(LayoutError) as caught:
        open_sealed(_with_header(sealed([report()], KEY), **changed))
    assert caught.value.reason == reason


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = batch.compress(bytes(64 * 1024 * 1024))
    message = sealed([report()], KEY)
    with pytest.raises(LayoutError) as caught:
        batch.read_body(read_header(message), message[: layout.BODY_START] + bomb)
    assert caught.value.reason == "body-size"


def test_missing_is_not_zero_and_zero_is_not_missing() -> None:
    records = [Record(150456, 262688, mantissa=0), Record(150456, 262688, validity=Validity.NOT_AVAILABLE, mantissa=9)]
    _, table = open_sealed(sealed([report(records=records)], KEY))
    assert table.mantissa.tolist() == [0, 0]
    assert table.validity.tolist() == [Validity.VALID, Validity.NOT_AVAILABLE]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (Record(150364, kind=RecordKind.BOUND, mantissa=1), "comparator"),
        (Record(150364, kind=RecordKind.BOUND, mantissa=1, marks=Mark.LESS | Mark.GREATER), "comparator"),
        (Record(150364, kind=RecordKind.BOUND, mantissa=1, marks=Mark.OR_EQUAL), "comparator"),
        (Record(150364, mantissa=1, marks=Mark.LESS), "comparator"),
        (Record(kind=RecordKind.SAMPLES, samples=Samples(0, 1, 1, 0, 0, b"")), "samples"),
        (Record(kind=RecordKind.SAMPLES, samples=Samples(1, 0, 1, 0, 0, b"")), "samples"),
        (Record(kind=RecordKind.SAMPLES, samples=Samples(1, 1, 1, 0, 0, b"x")), "samples"),
        (Record(kind=RecordKind.SAMPLES, samples=Samples(1, 1, 1, 0, 0, b"", 2**63)), "samples"),
        (Record(kind=RecordKind.SAMPLES, samples=Samples(1, 1, 1, 0, 0, b"abcd", 0, ((1, 1),))), "stretch"),
        (Record(kind=RecordKind.SAMPLES, samples=Samples(1, 1, 1, 0, 0, b"abcd", 0, ((0, 3),))), "stretch"),
        (Record(kind=RecordKind.SAMPLES, samples=Samples(1, 1, 1, 0, 0, b"abcd", 0, ((1, 2), (0, 1)))), "stretch"),
    ],
)
def test_what_means_nothing_is_refused_by_name(record: Record, reason: str) -> None:
    with pytest.raises(LayoutError, match=reason):
        open_sealed(sealed([report(records=[record])], KEY))


def test_one_tail_under_two_record_counts_is_looked_at_for_each() -> None:
    fine = report(records=[Record(), Record(as_sent=AsSent("99L", "x"))])
    short = bytearray(encoded_reports([fine])[0])
    struct.pack_into("<H", short, REPORT_ROW.itemsize - 6, 1)  # its tail speaks of a second record
    del short[REPORT_ROW.itemsize : REPORT_ROW.itemsize + RECORD.itemsize]
    table = batch.table_of(encoded_reports([fine, fine]))
    batch.check(table)
    with pytest.raises(LayoutError, match="record index"):
        batch.check(batch.table_of([*encoded_reports([fine, fine]), bytes(short)]))


def test_a_tail_that_was_refused_is_refused_again() -> None:
    bad = table_with_tail(b"\x00\x00\x01\x01" + bytes(4))
    for _ in range(2):
        with pytest.raises(LayoutError, match="entry of kind"):
            batch.check(bad)


def table_with_tail(tail: bytes) -> batch.Table:
    leaf = bytearray(encoded_reports([report()])[0])
    struct.pack_into("<I", leaf, REPORT_ROW.itemsize - 4, len(tail))
    return batch.table_of([bytes(leaf) + tail])


ENUMS: dict[str, type[IntEnum]] = {
    "lane": Lane, "clock quality": ClockQuality, "kind of a report": Kind, "kind of a record": RecordKind,
    "validity": Validity, "alarm state": AlarmState, "alarm priority": AlarmPriority, "alarm kind": AlarmKind,
}  # fmt: skip


def test_enums_are_runs_without_gaps() -> None:
    for kind in ENUMS.values():
        assert [int(k) for k in kind] == list(range(min(kind), max(kind) + 1))


def test_the_page_says_the_same_to_the_byte() -> None:
    page = (Path(__file__).parents[2] / "docs/batch.md").read_text("utf-8")
    at = 0
    for start, size in re.findall(r"^\| (\d+) \| ([\d ×]+) \|", page, re.M):
        assert int(start) == at
        at += math.prod(map(int, size.split("×")))
    assert at == layout.HEADER_BYTES
    tables: dict[str, Any] = {**ENUMS, "marks": Mark, "kind of a tail entry": TailKind}
    for name, kind in tables.items():
        values = re.search(rf"^\| {name} \| (.*) \|$", page, re.M)
        assert values is not None
        stated = [value.partition(":")[0].strip() for value in values[1].split("·")]
        assert stated == [f"{int(k)} {k.name.lower().replace('_', ' ')}" for k in kind]
    for row in (REPORT_ROW, RECORD):
        assert f"{row.itemsize} bytes" in page


def test_a_report_that_is_too_large_is_refused() -> None:
    with pytest.raises(LayoutError):
        encode_report(report(records=[Record()] * (layout.RECORDS_PER_REPORT_MAX + 1)), bytes(16), bytes(32))


def test_tables_join_in_order() -> None:
    first, second = (open_sealed(sealed([report(at_us=T0_US + i)], KEY))[1] for i in range(2))
    joined = batch.Table.join([first, second])
    assert joined.observed_at_us.tolist() == [T0_US, T0_US + 1]
    assert joined.report_of_record.tolist() == [0, 0, 1, 1]
    assert np.array_equal(joined.code, np.concatenate([first.code, second.code]))


@pytest.mark.parametrize(
    ("text", "parts"),
    [("37.0", (370, -1)), ("37", (37, 0)), ("-0.5", (-5, -1)), ("0", (0, 0)), ("1E3", (1, 3)), ("nan", None),
     (" 5. ", (5, 0)), ("+.50", (50, -2)), ("0.00", (0, -2)), ("1e127", (1, 127)), ("1e128", None),
     (str(2**63 - 1), (2**63 - 1, 0)), (str(2**63), None), ("1" + "0" * 5000, None), ("0" * 5000, None)],
)  # fmt: skip
def test_decimals_keep_what_was_sent(text: str, parts: tuple[int, int] | None) -> None:
    assert decimal_parts(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-",
        ".",
        "---",
        "+-5",
        "1 2",
        "1_000",
        "0x10",
        "5,2",
        "12 mmHg",
        "1e999",
        "-inf",
        "９８",
        "٥",
        "−5",
        "5\n",
    ],
)
def test_what_is_no_numeral_is_none(text: str) -> None:
    assert decimal_parts(text) is None
