"""Numbers, texts and times as an IntelliVue monitor writes them."""

from __future__ import annotations

import pytest

from adapters.formats.instants import Instant
from adapters.formats.intellivue import Bytes
from adapters.formats.intellivue_values import (
    ClockReference,
    Float,
    ObservedEnum,
    digits_of,
    enum_of,
    float_of,
    marks_of,
    numbers_of,
    reference_at,
    text_of,
    validity_of,
)
from schemas.report import Mark, Validity
from tests.adapters.intellivue_bytes import listed, number, real, sized, text, u16


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("FF00016D", Float(365, -1)),  # the guide's 36.5
        ("FFFFFFF4", Float(-12, -1)),  # -1.2
        ("FE0004B5", Float(1205, -2)),  # 12.05
        ("00000000", Float(0, 0)),
        ("007FFFFF", Float(no_number="NaN")),
        ("00800000", Float(no_number="NRes")),
        ("007FFFFE", Float(no_number="+INF")),
        ("00800002", Float(no_number="-INF")),
    ],
)
def test_a_float_keeps_its_digits(sent: str, expected: Float) -> None:
    assert float_of(Bytes(bytes.fromhex(sent))) == expected


def test_a_compound_number_is_its_parts() -> None:
    compound = listed(number(0x4A05, real(120), 0x0F20), number(0x4A06, real(80), 0x0F20))
    found = list(numbers_of({0x0950: number(0x4182, real(60), 0x0AA0), 0x094B: compound}))
    assert [(each.physio, each.value.mantissa, each.unit) for each in found] == [
        (0x4182, 60, 0x0AA0), (0x4A05, 120, 0x0F20), (0x4A06, 80, 0x0F20),
    ]  # fmt: skip


def test_a_state_by_its_id() -> None:
    assert enum_of({0x099E: u16(0xF0E5, 0, 1) + sized(u16(7))}) == ObservedEnum(0xF0E5, 0, 7, b"")
    assert enum_of({0x099E: u16(0xF0E5, 0, 4) + sized(u16(7, 9))}) == ObservedEnum(0xF0E5, 0, 7, b"\0\x09")
    assert enum_of({}) is None
    assert enum_of({0x099E: u16(0xF0E5, 0, 2) + sized(u16(7))}) == ObservedEnum(0xF0E5, 0, None, b"\0\x07")


@pytest.mark.parametrize(
    ("state", "validity", "marks"),
    [
        (0x0000, Validity.VALID, 0),
        (0x00C3, Validity.VALID, 0),
        (0x8000, Validity.INVALID, 0),
        (0x4000, Validity.QUESTIONABLE, 0),
        (0x2000, Validity.NOT_AVAILABLE, 0),
        (0xE000, Validity.NOT_AVAILABLE, 0),
        (0x1000, Validity.CALIBRATING, 0),
        (0x0400, Validity.VALID, Mark.TRAINING),
        (0x0800, Validity.VALID, Mark.TRAINING),
    ],
)
def test_what_a_state_says_of_its_value(state: int, validity: Validity, marks: int) -> None:
    assert (validity_of(state), marks_of(state)) == (validity, Mark(marks))


def test_texts_are_of_two_kinds() -> None:
    assert text_of(text("Bett 7 ÄÖ")) == "Bett 7 ÄÖ"
    assert text_of(sized(b"M8010A\0\0")) == "M8010A"
    assert text_of(text("病床")) != ""
    assert text_of(sized(b"")) == ""


def test_ticks_are_placed_by_the_local_time_beside_them() -> None:
    clock = ClockReference(1_000_000, Instant(5_000_000))
    assert clock.at_us(1_008_000) == 6_000_000
    assert clock.at_us(999_999) == 5_000_000 - 125
    assert ClockReference(2**32 - 8000, Instant(0)).at_us(8000) == 2_000_000  # over the wrap


def test_the_clock_goes_on_until_somebody_sets_it() -> None:
    clock = reference_at(None, 0, Instant(0))
    # The local time is exact to the second: a stamp behind it by less is the same clock.
    later = reference_at(clock, 12_000, Instant(1_000_000))
    assert (later.ticks, later.instant.us) == (12_000, 1_500_000)
    assert reference_at(later, 20_000, Instant(3_600_000_000)).instant.us == 3_600_000_000


def test_a_local_time_is_two_digits_a_byte() -> None:
    assert digits_of(bytes.fromhex("2026030914050900")) == "20260309140509"
