import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.seal import open_sealed
from schemas import batch, layout
from schemas.batch import as_sent_of, encode_report, read_header
from schemas.errors import LayoutError
from schemas.layout import RECORD, REPORT_ROW, TailKind
from schemas.report import (
    AsSent,
    ClockQuality,
    Kind,
    Lane,
    Record,
    RecordKind,
    Report,
    Samples,
    Validity,
    decimal_parts,
)
from tests.making import T0_US, Key, leaves, report, sealed

KEY = Key()
_text = st.text(st.characters(codec="utf-8"), max_size=20)
_records = st.one_of(
    st.builds(
        Record,
        code=st.integers(0, 2**32 - 1),
        unit=st.integers(0, 2**32 - 1),
        instance=st.integers(0, 2**16 - 1),
        validity=st.sampled_from(Validity),
        mantissa=st.integers(-(2**63), 2**63 - 1),
        exponent=st.integers(-128, 127),
        as_sent=st.none() | st.builds(AsSent, _text, _text, _text),
    ),
    st.builds(Record, kind=st.just(RecordKind.TEXT), text=_text, as_sent=st.none() | st.builds(AsSent, _text, _text)),
    st.builds(
        Record,
        code=st.just(150452),
        kind=st.just(RecordKind.SAMPLES),
        samples=st.builds(
            Samples,
            period_us=st.integers(1, 2**32 - 1),
            scale_mantissa=st.integers(-(2**31), 2**31 - 1),
            offset_mantissa=st.integers(-(2**31), 2**31 - 1),
            exponent=st.integers(-128, 127),
            raw=st.lists(st.integers(-(2**15), 2**15 - 1), max_size=20).map(tuple),
        ),
    ),
)
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


@settings(max_examples=60, deadline=None)
@given(st.lists(_reports, min_size=1, max_size=6))
def test_what_an_edge_says_is_what_the_hospital_reads(reports: list[Report]) -> None:
    message = sealed(reports, KEY)
    header, table = open_sealed(message)
    assert header.encode() == message[: layout.HEADER_BYTES]
    assert [table.leaf(i) for i in range(len(table))] == leaves(reports)
    assert table.sequence.tolist() == list(range(1, len(reports) + 1))
    record = 0
    for i, said in enumerate(reports):
        assert table.device[i].tobytes() == said.device.bytes
        assert table.observed_at_us[i] == said.observed_at_us
        absent = layout.ABSENT_TIME if said.device_at_us is None else said.device_at_us
        assert table.device_at_us[i] == absent
        tail = {(index, kind): data for index, kind, data in table.tail(i)}
        for j, r in enumerate(said.records):
            numeric = r.kind == RecordKind.NUMERIC and r.validity != Validity.NOT_AVAILABLE
            assert (table.mantissa[record], table.exponent[record]) == ((r.mantissa, r.exponent) if numeric else (0, 0))
            if r.text is not None:
                assert tail[j, TailKind.TEXT].decode() == r.text
            if r.as_sent is not None and "\x1f" not in "".join((r.as_sent.system, r.as_sent.code, r.as_sent.unit)):
                assert as_sent_of(tail[j, TailKind.AS_SENT]) == r.as_sent
            if r.samples is not None:
                data = tail[j, TailKind.SAMPLES]
                head, raw = layout.SAMPLES_HEAD.unpack_from(data), np.frombuffer(data, "<i2", offset=16)
                assert Samples(*head, tuple(raw.tolist())) == r.samples
            record += 1


def test_every_one_byte_change_of_header_or_body_is_refused() -> None:
    message = sealed([report(), report(at_us=T0_US + 1)], KEY)
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


ENUMS = {
    "lane": Lane, "clock quality": ClockQuality, "kind of a report": Kind, "kind of a record": RecordKind,
    "validity": Validity,
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
    for name, kind in ENUMS.items():
        values = re.search(rf"^\| {name} \| (.*) \|$", page, re.M)
        assert values is not None
        said = [value.partition(":")[0].strip() for value in values[1].split("·")]
        assert said == [f"{int(k)} {k.name.lower().replace('_', ' ')}" for k in kind]
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
