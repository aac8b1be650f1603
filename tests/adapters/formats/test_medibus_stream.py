"""Real-time records, byte by byte."""

from __future__ import annotations

from decimal import Decimal

from adapters.formats.medibus_frames import Curve
from adapters.formats.medibus_stream import Stream, samples_of

PAW = Curve("00", 8000, Decimal(-20), Decimal(100), 0x3C0, 2)
FLOW = Curve("01", 8000, Decimal(-200), Decimal(200), 0xFFF, 2)


def value(bins: int) -> bytes:
    return bytes((0x80 | bins & 0x3F, 0x80 | bins >> 6))


def read(curves: tuple[Curve, ...], data: bytes) -> list[list[int | None]]:
    return [found.values for found in Stream(curves).read(data)]


def test_the_worked_example_is_15_mbar() -> None:
    (found,) = Stream((PAW,)).read(bytes.fromhex("d19884"))
    assert found.values == [280]
    samples = samples_of(PAW, found, 7)
    assert (280 * samples.scale_mantissa + samples.offset_mantissa) * Decimal(10) ** samples.exponent == 15
    assert (samples.rate_numerator, samples.rate_denominator, samples.first_sample) == (125, 2, 7)
    assert samples.raw == (280).to_bytes(2, "little")


def test_commands_stand_before_the_values() -> None:
    data = b"\xd3" + b"\xc6\xc0" + b"\xc0\xc0" + value(1) + value(2) + b"\xd0\xc6\xc1\xc0\xc0" + b"\xd2" + value(3)
    assert read((PAW, FLOW), data) == [[1], [2, 3]]


def test_curves_from_the_fifth_on_are_stated_once_and_hold() -> None:
    five = (PAW,) * 5
    data = b"\xd1\xc4\xc1\xc0\xc0" + value(1) + value(5) + b"\xd0" + value(6) + b"\xd1\xc4\xc0" + value(2)
    assert read(five, data) == [[1, 2], [], [], [], [5, 6]]


def test_lost_bytes_and_corrupt_records_give_values_that_are_none() -> None:
    both = b"\xd3" + value(1) + value(2)
    assert read((PAW, FLOW), both[:-1] + both) == [[None, 1], [None, 2]]
    assert read((PAW, FLOW), both + b"\x80" + both) == [[None, 1], [None, 2]]
    assert read((PAW, FLOW), b"\xd3\xcf\xc0" + value(1) + value(2)) == [[None], [None]]
    assert read((PAW, FLOW), b"\xd1" + value(0x3C1)) == [[None], []]
    assert read((PAW, FLOW), b"\xd1\xe0\x81") == [[None], []]


def test_stretches_without_a_value_are_invalid() -> None:
    (found,) = Stream((PAW,)).read(b"\xd1\xd1" + b"\xd1" + value(4) + b"\xd1")
    samples = samples_of(PAW, found, 0)
    assert samples.invalid == ((0, 2), (3, 4))
    assert samples.raw == b"\0\0\0\0\4\0\0\0"


def test_a_step_that_is_no_decimal_is_as_near_as_a_record_holds() -> None:
    (found,) = Stream((FLOW,)).read(b"\xd1" + value(0xFFF))
    samples = samples_of(FLOW, found, 0)
    top = (0xFFF * samples.scale_mantissa + samples.offset_mantissa) * Decimal(10) ** samples.exponent
    assert abs(top - 200) < Decimal("0.001")
    assert max(abs(samples.scale_mantissa), abs(samples.offset_mantissa)) < 2**31
