"""Waves of Philips IntelliVue's Data Export ("Programming Guide" rev G.0, chapter 5 and pages 286 to 287).

    096E observed samples     physio id u16, state u16, bytes u16, samples; 0967 a list of these
    096D specification        samples of an array u16, bits of a sample u8, significant bits u8, flags u16
    098D sample period        relative time
    096F scale                FLOAT lower, FLOAT upper value, u16 lower, u16 upper sample; it may change at any time
    0A16 fixed values         list of meaning u16 (1 invalid, 2 pacer, 3 defibrillator, 4 saturation, 5 QRS), mask u16

A message holds 256 ms of each wave. value = lower + (sample - lower sample) x (upper - lower) / (upper sample - lower
sample), where a sample is its significant bits. The unit of a wave is not among the attributes that are known here:
values stand in the unit of the monitor's scale, without its name, but for the pleth, which has none. Without a scale
the samples themselves are the values.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from adapters.formats.intellivue import TICKS_PER_S, Attributes, Bytes
from adapters.formats.intellivue_values import INVALID, UNAVAILABLE, Float, float_of
from schemas.errors import FrameError
from schemas.report import Samples

SA_OBSERVED, SA_COMPOUND = 0x096E, 0x0967
_SPECIFICATION, _PERIOD, _SCALE, _FIXED_VALUES = 0x096D, 0x098D, 0x096F, 0x0A16
RESULTS_PER_S = Fraction(1000, 256)
_MEANINGS = {2: "pacer", 3: "defibrillator", 4: "saturation", 5: "QRS"}
_MEANS_INVALID = 1
_INT32_MAX = 2**31 - 1
_EXPONENTS = range(-40, 31)
_BYTES_OF_SAMPLE = {8: 1, 16: 2}
STRETCHES_MAX = 1000
NOTE_CHARS_MAX = 200


@dataclass(frozen=True)
class ObservedSamples:
    """What one array holds."""

    physio: int
    state: int
    data: bytes


@dataclass(frozen=True)
class WaveContext:
    """How a wave's samples are read; None is what has not been said yet.

    `scale` is two values and the two samples that mean them. `fixed` are pairs of a meaning and the bits that say it.
    """

    sample_bits: int | None = None
    significant_bits: int = 16
    period_ticks: int | None = None
    scale: tuple[Float, Float, int, int] | None = None
    fixed: tuple[tuple[int, int], ...] = ()

    def updated(self, found: Attributes) -> WaveContext:
        """With what an object's attributes say of it."""
        context = self
        if _SPECIFICATION in found:
            data = Bytes(found[_SPECIFICATION])
            data.u16()  # samples of an array: there are as many as there are
            context = replace(context, sample_bits=data.u8(), significant_bits=data.u8())
        if _PERIOD in found:
            context = replace(context, period_ticks=Bytes(found[_PERIOD]).u32())
        if _SCALE in found:
            data = Bytes(found[_SCALE])
            context = replace(context, scale=(float_of(data), float_of(data), data.u16(), data.u16()))
        if _FIXED_VALUES in found:
            pairs = tuple((each.u16(), each.u16()) for each in Bytes(found[_FIXED_VALUES]).entries())
            context = replace(context, fixed=pairs)
        return context


@dataclass(frozen=True)
class Stretch:
    """One array as samples, but for their running count; `note` tells pacer pulses and what else it marks."""

    samples: Samples
    has_scale: bool
    note: str | None = None


@dataclass(frozen=True)
class Position:
    """Where a wave stands: the ticks of its last array, its first sample's number, and how many it held."""

    ticks: int
    first_sample: int
    count: int

    def first_of(self, ticks: int, rate: Fraction) -> int:
        """The number of the first sample of an array at these ticks: a stretch that was lost is counted in whole
        arrays, for the monitor's stamps jitter; one that comes late gets the number it would have had."""
        apart = (ticks - self.ticks + 2**31) % 2**32 - 2**31
        elapsed = apart * rate / TICKS_PER_S
        return max(0, self.first_sample + round(elapsed / self.count) * self.count)


def samples_of(found: Attributes) -> Iterator[ObservedSamples]:
    """The arrays among an object's attributes, those of a compound ECG one by one."""
    if SA_OBSERVED in found:
        yield _observed(Bytes(found[SA_OBSERVED]))
    if SA_COMPOUND in found:
        for each in Bytes(found[SA_COMPOUND]).entries():
            yield _observed(each)


def _observed(data: Bytes) -> ObservedSamples:
    return ObservedSamples(data.u16(), data.u16(), data.sized().rest())


def stretch_of(observed: ObservedSamples, context: WaveContext) -> Stretch | None:
    """The samples of an array; None where it is empty, or its context is not known yet.

    FrameError where array and context cannot be together.
    """
    if context.sample_bits is None or not observed.data:
        return None
    size = _BYTES_OF_SAMPLE.get(context.sample_bits)
    significant = context.significant_bits
    if size is None or len(observed.data) % size or not 0 < significant <= context.sample_bits:
        raise FrameError("samples", f"{len(observed.data)} bytes of {context.sample_bits} bits, {significant} of them")
    sent = observed.data if size == 1 else _words(observed.data)
    mask = (1 << significant) - 1
    lowered = 1 << 15 if significant == 16 else 0  # so that it fits 16 bits with a sign
    raw = array("h", [(each & mask) - lowered for each in sent])
    invalid, note = _marked(list(sent), context, mask)
    if observed.state & (INVALID | UNAVAILABLE):
        invalid = ((0, len(raw)),)
    worth = _worth(context.scale, lowered)
    if sys.byteorder == "big":
        raw.byteswap()
    rate = rate_of(len(raw), context)
    samples = Samples(
        rate_numerator=rate.numerator,
        rate_denominator=rate.denominator,
        scale_mantissa=worth.scale,
        offset_mantissa=worth.offset,
        exponent=worth.exponent,
        raw=raw.tobytes(),
        invalid=invalid,
    )
    return Stretch(samples, worth.is_stated, note)


def rate_of(count: int, context: WaveContext) -> Fraction:
    """Samples a second: by the period that the monitor states, else by what 256 ms hold."""
    if context.period_ticks:
        return Fraction(TICKS_PER_S, context.period_ticks)
    return count * RESULTS_PER_S


def _words(data: bytes) -> array[int]:
    found = array("H", data)
    if sys.byteorder == "little":
        found.byteswap()
    return found


def _marked(sent: list[int], context: WaveContext, mask: int) -> tuple[tuple[tuple[int, int], ...], str | None]:
    """The stretches that are no measurement, and a note of what else is marked.

    Bits beyond the significant ones are marks; a fixed value within them is that very sample.
    """
    invalid: list[tuple[int, int]] = []
    noted: list[str] = []
    for meaning, bits in context.fixed:
        if not bits or (meaning != _MEANS_INVALID and meaning not in _MEANINGS):
            continue
        beyond = bits & ~mask
        places = [place for place, each in enumerate(sent) if (each & bits == bits if beyond else each == bits)]
        if meaning != _MEANS_INVALID:
            noted += [f"{_MEANINGS[meaning]} at {place}" for place in places]
            continue
        for place in places:
            if invalid and invalid[-1][1] == place:
                invalid[-1] = (invalid[-1][0], place + 1)
            elif not invalid or place > invalid[-1][1]:
                invalid.append((place, place + 1))
    return tuple(invalid[:STRETCHES_MAX]), "; ".join(noted)[:NOTE_CHARS_MAX] or None


@dataclass(frozen=True)
class _Worth:
    """value = (count x scale + offset) x 10^exponent; `is_stated`: by the monitor's scale."""

    scale: int
    offset: int
    exponent: int
    is_stated: bool = True


def _worth(scale: tuple[Float, Float, int, int] | None, lowered: int) -> _Worth:
    """What a count is worth that was lowered by so much; exact where the scale's quotient is a short decimal, and
    else far nearer than one count."""
    counts = _Worth(1, lowered, 0, is_stated=False)
    if scale is None:
        return counts
    low, high, low_sample, high_sample = scale
    if low.no_number or high.no_number or low_sample == high_sample:
        return counts
    if low.exponent not in _EXPONENTS or high.exponent not in _EXPONENTS:
        raise FrameError("scale", "it cannot be")
    bottom, top = _exact(low), _exact(high)
    worth = (top - bottom) / (high_sample - low_sample)
    offset = bottom - (low_sample - lowered) * worth
    if not worth:
        return counts
    largest = max(abs(worth), abs(offset))
    exponent = _EXPONENTS.start
    while largest > _INT32_MAX * Fraction(10) ** exponent:
        exponent += 1
    unit = Fraction(10) ** exponent
    counted, moved = round(worth / unit), round(offset / unit)
    while counted and counted % 10 == 0 and moved % 10 == 0:
        counted, moved, exponent = counted // 10, moved // 10, exponent + 1
    if not counted:
        raise FrameError("scale", "a count is worth nothing beside its offset")
    return _Worth(counted, moved, exponent)


def _exact(value: Float) -> Fraction:
    return value.mantissa * Fraction(10) ** value.exponent


def contexts_of(known: Mapping[tuple[int, int, int], WaveContext], key: tuple[int, int, int]) -> WaveContext:
    """What is known of a wave by context, handle and physio id, else what was said of its handle (physio id 0)."""
    return known.get(key) or known.get((*key[:2], 0)) or WaveContext()
