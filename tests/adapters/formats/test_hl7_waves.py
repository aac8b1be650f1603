"""Waves of type NA: exact samples and rates, by their place, or the text that they are."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.batch import encode_report
from schemas.layout import RECORD, REPORT_ROW, TailKind
from schemas.nomenclature import unit_from_text
from schemas.report import Kind, Lane, RecordKind, Report, Samples, Validity
from schemas.tail import samples_of, tail_entries
from tests.hl7 import OBR, PV1, frame, measured, obx, records, reports, source

ECG, PLETH = "131330^MDC_ECG_ELEC_POTL_II^MDC", "150452^MDC_PULS_OXIM_PLETH^MDC"
HZ, MV = "264640^MDC_DIM_HZ^MDC", "266418^MDC_DIM_MILLI_VOLT^MDC"


def wave(samples: str, sub_id: str = "1.1.1.1", names: str = ECG, unit: str = "", time: str = "") -> str:
    return obx(samples, names, unit, kind="NA", sub_id=sub_id, status="", time=time)


def facet(name: str, value: str, unit: str = "", sub_id: str = "1.1.1.1.1") -> str:
    return obx(value, f"0^{name}^MDC", unit, sub_id=sub_id, status="")


def rate(value: str = "250", unit: str = HZ, sub_id: str = "1.1.1.1.1") -> str:
    return facet("MDC_ATTR_SAMP_RATE", value, unit, sub_id)


def samples(*segments: str, mapping: str = "") -> Samples:
    (record,) = records(measured(*segments), source(mapping), Kind.WAVEFORM)
    assert (record.kind, record.validity) == (RecordKind.SAMPLES, Validity.VALID)
    assert record.samples is not None
    return record.samples


def raw(of: Samples) -> list[int]:
    return [int.from_bytes(of.raw[n : n + 2], "little", signed=True) for n in range(0, len(of.raw), 2)]


def value_of(of: Samples, sample: int) -> Decimal:
    return (Decimal(sample) * of.scale_mantissa + of.offset_mantissa).scaleb(of.exponent)


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [("250", HZ, Fraction(250)), ("62.5", HZ, Fraction(125, 2)), ("256", "264608^MDC_DIM_PER_SEC", Fraction(256)),
     ("500", "", Fraction(500)), ("128", "Hz", Fraction(128)), ("4", "264338^MDC_DIM_MILLI_SEC^MDC", Fraction(250)),
     ("3.90625", "ms", Fraction(256)), ("7680", "/min", Fraction(128)), ("0.5", "264640", Fraction(1, 2)),
     ("4000", "us", Fraction(250)), ("0.004", "s", Fraction(250))],
)  # fmt: skip
def test_a_rate_is_an_exact_fraction(value: str, unit: str, expected: Fraction) -> None:
    found = samples(wave("1^2"), rate(value, unit))
    assert Fraction(found.rate_numerator, found.rate_denominator) == expected


def test_a_period_is_a_rate_too() -> None:
    found = samples(wave("1^2"), facet("MDC_ATTR_TIME_PD_SAMP", "8", "ms"))
    assert (found.rate_numerator, found.rate_denominator) == (125, 1)


@pytest.mark.parametrize(
    ("value", "unit"),
    [("0", HZ), ("-5", HZ), ("", HZ), ("fast", HZ), ("1e12", HZ), ("250", "mmHg"), ("250", "furlong"), ("1e-30", HZ),
     ("0.00000000001", HZ)],
)  # fmt: skip
def test_without_a_rate_that_can_be_read_it_stays_a_text(value: str, unit: str) -> None:
    found = records(measured(wave("1^2"), rate(value, unit)))
    assert [(r.kind, r.text) for r in found if r.code] == [(RecordKind.TEXT, "1^2")]
    assert records(measured(wave("1^2"), rate(value, unit)), kind=Kind.WAVEFORM) == []


def test_a_period_without_a_unit_of_time_is_none() -> None:
    assert records(measured(wave("1^2"), facet("MDC_ATTR_TIME_PD_SAMP", "8")), kind=Kind.WAVEFORM) == []


@given(st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=40))
def test_counts_are_kept_as_they_are(counts: list[int]) -> None:
    found = samples(wave("^".join(map(str, counts))), rate())
    assert raw(found) == counts
    assert (found.count, found.exponent, found.scale_mantissa) == (len(counts), 0, 1)


def as_python_reads(text: str) -> list[int | None] | None:
    """Samples, None for one that is none; None where it is no list of whole numbers."""
    found: list[int | None] = []
    for part in text.split("^"):
        if re.fullmatch(r" *[+-]?[0-9]+ *", part):
            found.append(int(part))
        elif part.strip():
            return None
        else:
            found.append(None)
    return found if all(n is None or -(2**15) <= n < 2**15 for n in found) else None


@given(st.text("0127^+- x", max_size=14).filter(str.strip))
def test_any_text_is_read_as_it_stands_or_not_at_all(text: str) -> None:
    expected = as_python_reads(text)
    found = records(measured(wave(text), rate()), None, Kind.WAVEFORM)
    if expected is None:
        assert found == []
        return
    (record,) = found
    assert record.samples is not None
    invalid = {n for begin, end in record.samples.invalid for n in range(begin, end)}
    assert [None if n in invalid else sample for n, sample in enumerate(raw(record.samples))] == expected


@given(st.lists(st.decimals(-3, 3, places=4), min_size=1, max_size=20))
def test_decimals_are_kept_exactly(values: list[Decimal]) -> None:
    found = samples(wave("^".join(map(str, values)), unit=MV), rate())
    assert [value_of(found, sample) for sample in raw(found)] == values


def test_a_resolution_is_the_worth_of_a_count() -> None:
    (record,) = records(
        measured(wave("80^-88"), rate(), facet("MDC_ATTR_NU_MSMT_RES", "0.001221", MV, "1.1.1.1.2")),
        None,
        Kind.WAVEFORM,
    )
    assert record.samples is not None
    assert [value_of(record.samples, n) for n in raw(record.samples)] == [Decimal("0.097680"), Decimal("-0.107448")]
    assert record.unit == 266418


@pytest.mark.parametrize(
    "sent", ["0.5^1", "1^x", "32768", "1^-32769", "1_0^2", "٥", "1^2~3", "0.53714565^100", "0x10", "1e40"]
)
def test_what_16_bits_do_not_hold_exactly_stays_a_text(sent: str) -> None:
    found = measured(wave(sent), rate(), facet("MDC_ATTR_NU_MSMT_RES", "2", MV, "1.1.1.1.2"))
    assert records(found, None, Kind.WAVEFORM) == []
    assert [r.text for r in records(found) if r.code == 131330] == [sent]


@pytest.mark.parametrize(
    ("sent", "mark", "expected", "invalid"),
    [
        ("1^32767^32767^4", "32767", [1, 32767, 32767, 4], ((1, 3),)), ("1^^3^", None, [1, 0, 3, 0], ((1, 2), (3, 4))),
        ('""^2', None, [0, 2], ((0, 1),)), ("1^2", "32767", [1, 2], ()), ("-1^+5^ 7 ", "7", [-1, 5, 7], ((2, 3),)),
        ("5^2^5", "5^2", [5, 2, 5], ((0, 3),)), ("0.5^9^0.25", "9", [50, 900, 25], ((1, 2),)),
    ],
)  # fmt: skip
def test_samples_that_are_none_are_stretches(
    sent: str, mark: str | None, expected: list[int], invalid: tuple[tuple[int, int], ...]
) -> None:
    marks = [facet("MDC_EVT_INOP", mark, "", "1.1.1.1.3")] if mark else []
    found = samples(wave(sent), rate(), *marks)
    assert (raw(found), found.invalid) == (expected, invalid)


def both(*segments: str) -> list[tuple[list[int], int]]:
    found = records(measured(*segments), None, Kind.WAVEFORM)
    return [(raw(r.samples), r.samples.rate_numerator) for r in found if r.samples is not None]


def test_two_waves_never_share_their_samples() -> None:
    assert both(wave("1^2", ""), rate("100", sub_id=""), wave("3^4", "", PLETH), rate("200", sub_id="")) == [
        ([1, 2], 100), ([3, 4], 200)
    ]  # fmt: skip
    assert both(wave("1", "5"), rate("100", sub_id="5.1"), wave("3", "5"), rate("200", sub_id="5.1")) == [
        ([1], 100), ([3], 200)
    ]  # fmt: skip
    assert both(wave("1", "5"), wave("3", "6"), rate("100", sub_id="5.1"), rate("200", sub_id="6.1")) == [
        ([1], 100), ([3], 200)
    ]  # fmt: skip
    data = frame(PV1, OBR, wave("1", "5"), OBR, wave("3", "5"), rate("200", sub_id="5.1"))
    assert [raw(r.samples) for r in records(data, None, Kind.WAVEFORM) if r.samples] == [[3]]


def test_a_facet_of_no_wave_is_a_value() -> None:
    found = records(measured(obx("97"), rate("100", sub_id="7.1")))
    assert [r.mantissa for r in found] == [97, 100]


def test_a_stretch_says_where_it_begins_and_a_lost_frame_takes_nothing() -> None:
    of = source()

    def firsts(*segments: str) -> list[int]:
        found = records(measured(*segments), of, Kind.WAVEFORM)
        return [r.samples.first_sample for r in found if r.samples is not None]

    both_waves = (wave("1^2^3"), rate(), wave("4", "2.1.1.1", PLETH), rate(sub_id="2.1.1.1.1"))
    assert firsts(*both_waves) == [0, 0]
    of.take_emitted()
    assert firsts(wave("1^2"), rate()) == [3]
    of.retract(of.take_emitted())
    assert firsts(*both_waves) == [3, 1]
    assert firsts(*both_waves) == [6, 2]


def test_a_wave_goes_its_own_way_and_its_number_beside_it_not() -> None:
    found = reports(measured(wave("1^2", time="20260921141318.500+0000"), rate(), obx("97")), None, None)
    lanes = {(r.kind, r.lane) for r in found}
    assert (Kind.WAVEFORM, Lane.WAVEFORM) in lanes
    assert (Kind.METRIC, Lane.LIVE) in lanes
    (of_wave,) = [r for r in found if r.kind is Kind.WAVEFORM]
    assert of_wave.observed_at_us % 1_000_000 == 500_000


def test_a_row_shifts_a_wave() -> None:
    row = '[[mapping]]\ncode = "E2"\nmetric = "MDC_ECG_ELEC_POTL_II"\nunit = "mV"\npower_of_ten = -3\n'
    found = samples(wave("980^-5", names="E2^ECG II^99X", unit="uV"), rate(), mapping=row)
    assert [value_of(found, n) for n in raw(found)] == [Decimal("0.980"), Decimal("-0.005")]


def samples_in_tail(report: Report) -> Samples:
    leaf = bytes(encode_report(report, bytes(16), bytes(32)))
    tail = leaf[REPORT_ROW.itemsize + RECORD.itemsize :]
    (entry,) = [data for _, kind, data in tail_entries(tail) if kind is TailKind.SAMPLES]
    return samples_of(entry)


def test_a_batch_holds_it() -> None:
    (report,) = reports(measured(wave("1^^3"), rate("62.5")), None, Kind.WAVEFORM)
    assert samples_in_tail(report) == report.records[0].samples


@pytest.mark.parametrize(
    ("unit", "resolution_unit", "expected"),
    [("mV", "uV", ""), ("mV", "mV", "mV"), ("", "uV", "uV"), ("mV", "", "mV"), ("mV", '""', "mV"),
     ("266418^MDC_DIM_MILLI_VOLT^MDC", "mV", "mV")],
)  # fmt: skip
def test_a_unit_that_the_resolutions_contradicts_is_none(unit: str, resolution_unit: str, expected: str) -> None:
    resolution = facet("MDC_ATTR_NU_MSMT_RES", "2.5", resolution_unit)
    (record,) = records(measured(wave("1^2", unit=unit), rate(), resolution), None, Kind.WAVEFORM)
    found = unit_from_text(expected)
    assert record.unit == (found.code if found else 0)


def test_the_value_of_no_sample_may_be_beyond_16_bits() -> None:
    found = samples(wave("1^8388607^8388607^4"), rate(), facet("MDC_EVT_INOP", "8388607"))
    assert (raw(found), found.invalid) == ([1, 0, 0, 4], ((1, 3),))
