"""Waves of an IntelliVue monitor: scale, rate, marks, and where a stretch stands."""

from __future__ import annotations

from array import array
from fractions import Fraction

import pytest

from adapters.formats.intellivue_waves import ObservedSamples, Position, WaveContext, samples_of, stretch_of
from schemas.errors import FrameError
from schemas.report import Samples
from tests.adapters.intellivue_bytes import listed, real, sized, u16, u32

SPECIFICATION = u16(4) + bytes([16, 14]) + u16(0x3000)
SCALE = real(0) + real(300) + u16(1000, 7000)
CONTEXT = WaveContext().updated({0x096D: SPECIFICATION, 0x098D: u32(16), 0x096F: SCALE})


def values(samples: Samples) -> list[Fraction]:
    return [
        (raw * samples.scale_mantissa + samples.offset_mantissa) * Fraction(10) ** samples.exponent
        for raw in array("h", samples.raw)
    ]


def read(*sent: int, context: WaveContext = CONTEXT, state: int = 0) -> Samples:
    stretch = stretch_of(ObservedSamples(0x4A14, state, u16(*sent)), context)
    assert stretch is not None
    return stretch.samples


def test_the_guides_scale() -> None:
    found = read(1000, 3400, 7000)
    assert values(found) == [0, 120, 300]
    assert (found.scale_mantissa, found.offset_mantissa, found.exponent) == (5, -5000, -2)
    assert (found.rate_numerator, found.rate_denominator) == (500, 1)


@pytest.mark.parametrize(
    ("low", "high", "low_sample", "high_sample", "sent", "expected"),
    [
        (real(-5, 0), real(5, 0), 0, 16383, 16383, 5),
        (real(0), real(1), 0, 3, 2, Fraction(2, 3)),
        (real(100), real(-100), 0, 4000, 1000, 50),
        (real(7, -3), real(9, -3), 8000, 8200, 8100, Fraction(8, 1000)),
    ],
)
def test_a_value_is_far_nearer_than_one_count(
    low: bytes, high: bytes, low_sample: int, high_sample: int, sent: int, expected: Fraction | int
) -> None:
    context = CONTEXT.updated({0x096F: low + high + u16(low_sample, high_sample)})
    (found,) = values(read(sent, context=context))
    count = abs(values(read(1, context=context))[0] - values(read(0, context=context))[0])
    assert abs(found - expected) < count / 10


def test_bits_beyond_the_significant_ones_are_no_value() -> None:
    assert values(read(0x8000 | 3400)) == [120]


def test_samples_of_sixteen_bits_without_a_sign_fit() -> None:
    context = WaveContext().updated({0x096D: u16(2) + bytes([16, 16]) + u16(0)})
    assert values(read(0, 65535, context=context)) == [0, 65535]


def test_samples_of_eight_bits() -> None:
    context = WaveContext().updated({0x096D: u16(2) + bytes([8, 8]) + u16(0)})
    stretch = stretch_of(ObservedSamples(1, 0, b"\x00\xff"), context)
    assert stretch is not None
    assert values(stretch.samples) == [0, 255]


@pytest.mark.parametrize("scale", [None, real(0x7FFFFF) + real(300) + u16(0, 9), real(1) + real(1) + u16(0, 9)])
def test_without_a_scale_the_samples_are_the_values(scale: bytes | None) -> None:
    context = WaveContext().updated({0x096D: SPECIFICATION} | ({} if scale is None else {0x096F: scale}))
    stretch = stretch_of(ObservedSamples(0x4BB4, 0, u16(7)), context)
    assert stretch is not None
    assert not stretch.has_scale
    assert values(stretch.samples) == [7]


def test_without_a_period_the_rate_is_that_of_256_ms() -> None:
    context = WaveContext().updated({0x096D: SPECIFICATION})
    for count, rate in ((128, Fraction(500)), (64, Fraction(250)), (32, Fraction(125)), (16, Fraction(125, 2))):
        found = read(*[0] * count, context=context)
        assert Fraction(found.rate_numerator, found.rate_denominator) == rate


def test_what_fixed_values_mark() -> None:
    marks = listed(u16(1, 0x8000), u16(2, 0x4000), u16(4, 4095))
    context = CONTEXT.updated({0x0A16: marks})
    stretch = stretch_of(ObservedSamples(1, 0, u16(5, 0x8005, 0x8006, 0x4007, 4095, 0x8000)), context)
    assert stretch is not None
    assert stretch.samples.invalid == ((1, 3), (5, 6))
    assert stretch.note == "pacer at 3; saturation at 4"


@pytest.mark.parametrize("state", [0x8000, 0x2000])
def test_a_wave_that_is_not_there_is_invalid_as_a_whole(state: int) -> None:
    assert read(1, 2, 3, state=state).invalid == ((0, 3),)


def test_samples_without_their_specification_are_not_read() -> None:
    assert stretch_of(ObservedSamples(1, 0, b"\0\1"), WaveContext()) is None
    assert stretch_of(ObservedSamples(1, 0, b""), CONTEXT) is None


@pytest.mark.parametrize("bits", [(12, 12), (16, 0), (8, 16)])
def test_a_specification_that_cannot_be_is_refused(bits: tuple[int, int]) -> None:
    context = WaveContext(sample_bits=bits[0], significant_bits=bits[1])
    with pytest.raises(FrameError, match="samples"):
        stretch_of(ObservedSamples(1, 0, b"\0\1"), context)


def test_a_compound_ecg_is_its_leads() -> None:
    compound = listed(u16(0x0101, 0) + sized(u16(1, 2)), u16(0x0102, 0) + sized(u16(3)))
    assert [(each.physio, each.data) for each in samples_of({0x0967: compound})] == [
        (0x0101, u16(1, 2)), (0x0102, u16(3)),
    ]  # fmt: skip


def test_a_lost_stretch_is_counted_in_whole_arrays() -> None:
    rate = Fraction(500)
    before = Position(ticks=2**32 - 2048, first_sample=1280, count=128)
    assert before.first_of(0, rate) == 1408
    assert before.first_of(90, rate) == 1408  # its stamp jitters
    assert before.first_of(2048 * 3, rate) == 1280 + 4 * 128
    assert before.first_of(2**32 - 4096, rate) == 1152  # late
