"""Waves in HL7 v2: an OBX of type NA whose samples stand as components, and the OBX below it that say how to read them.

IHE PCD Waveform Content Module; Mindray gateway messages: `MDC_ATTR_SAMP_RATE` (or the period, in a unit of time),
`MDC_ATTR_NU_MSMT_RES` (the worth of one count), `MDC_EVT_INOP` (the value that stands for "no sample"). A wave is known
by its place, OBR and OBX; what tells how to read it is the level below it in OBX-4, or follows it where OBX-4 is empty.
A wave that samples of 16 bits would not hold exactly, or without a rate, stays the text that it is.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.formats.hl7_observation import NOTHING, Observation
from adapters.formats.values import scaled
from schemas.nomenclature import unit_from_text
from schemas.report import Samples

SAMPLES_MAX = 100_000  # of a wave in one message
STRETCHES_MAX = 10_000
RATE_MAX_HZ = 1_000_000
CACHED_CHARS_MAX = 200  # of a rate and its unit: bounds the cache's memory
RATE, PERIOD, RESOLUTION, NO_SAMPLE = (
    "MDC_ATTR_SAMP_RATE", "MDC_ATTR_TIME_PD_SAMP", "MDC_ATTR_NU_MSMT_RES", "MDC_EVT_INOP",
)  # fmt: skip
FACETS = frozenset({RATE, PERIOD, RESOLUTION, NO_SAMPLE})
_PER_SECOND = frozenset({"264608", "MDC_DIM_PER_SEC", "/s", "1/s", "hz", "sps"})
_INT16 = range(-(2**15), 2**15)
_UINT32_MAX = 2**32 - 1


@dataclass(frozen=True)
class Wave:
    """A wave's samples as read, but for their running count; `unit_field` is OBX-6 as it, or its resolution, states."""

    samples: Samples
    unit_field: str


class Sent(NamedTuple):
    """One OBX of a wave or of its facets, and its value as sent."""

    what: Observation
    value: str


def waves_of(rows: Sequence[Sent]) -> tuple[dict[int, Wave], set[int]]:
    """The waves of one OBR by their place among its OBX, and the places of what was said with them."""
    facets: dict[int, dict[str, tuple[int, Sent]]] = {}
    for place, row in enumerate(rows):
        if row.what.is_wave:
            facets[place] = {}
        elif row.what.facet in FACETS:
            wave = _wave_above(rows, facets, row)
            if wave is not None:
                facets[wave].setdefault(row.what.facet, (place, row))
    waves, used = {}, set()
    for place, found in facets.items():
        wave_read = read_wave(rows[place], {name: row for name, (_, row) in found.items()})
        if wave_read is not None:
            waves[place] = wave_read
            used |= {facet_place for facet_place, _ in found.values()}
    return waves, used


def _wave_above(rows: Sequence[Sent], waves: dict[int, dict[str, tuple[int, Sent]]], facet: Sent) -> int | None:
    """The place of the wave that a facet belongs to: the last before it of those whose OBX-4 it stands below."""
    above = facet.what.sub_id.rpartition(".")[0]
    for place in reversed(waves):
        if not facet.what.sub_id or rows[place].what.sub_id == above:
            return place
    return None


def read_wave(wave: Sent, facets: dict[str, Sent]) -> Wave | None:
    """Count x resolution, or without a resolution each sample as it is written; None where that is not exact."""
    rate = _rate(facets.get(RATE) or facets.get(PERIOD), wave.what.syntax.component)
    if rate is None:
        return None
    resolution = facets.get(RESOLUTION)
    worth = scaled(resolution.value.strip()) if resolution is not None and resolution.value not in NOTHING else (1, 0)
    if worth is None or not 0 < worth[0] < 2**31:
        return None
    component = wave.what.syntax.component
    marks = {text.strip() for text in facets[NO_SAMPLE].value.split(component)} if NO_SAMPLE in facets else set()
    counts = _integers(wave.value, component, marks)
    shift = 0
    if counts is None:
        if resolution is not None and resolution.value not in NOTHING:
            return None  # a resolution is that of counts
        written = _decimals(wave.value, component, marks)
        if written is None:
            return None
        counts, shift = written
    raw, invalid = counts
    exponent = worth[1] + shift + wave.what.exponent_shift
    if not -128 <= exponent <= 127 or len(invalid) > STRETCHES_MAX:
        return None
    unit_field = wave.what.unit_field if wave.what.unit_field.strip() not in NOTHING else ""
    if resolution is not None and resolution.what.unit_field.strip() not in (*NOTHING, unit_field.strip()):
        # Two that contradict each other are none, as the repetitions of one field.
        unit_field = wave.what.syntax.repetition.join(filter(None, (unit_field, resolution.what.unit_field)))
    samples = Samples(
        rate_numerator=rate.numerator,
        rate_denominator=rate.denominator,
        scale_mantissa=worth[0],
        offset_mantissa=0,
        exponent=exponent,
        raw=raw,
        invalid=invalid,
    )
    return Wave(samples, unit_field)


def _rate(facet: Sent | None, component: str) -> Fraction | None:
    """Samples a second, from a rate or a period; None where neither is stated in a unit that is known."""
    if facet is None or len(facet.value) + len(facet.what.unit_field) > CACHED_CHARS_MAX:
        return None
    return _rate_of(facet.value.strip(), facet.what.unit_field, component, facet.what.facet == PERIOD)


@lru_cache(256)
def _rate_of(value: str, unit_field: str, component: str, is_period: bool) -> Fraction | None:
    parts = scaled(value)
    if parts is None or parts[0] <= 0 or not -12 <= parts[1] <= 12:
        return None
    number = Fraction(Decimal(parts[0]).scaleb(parts[1]))
    words = [word for part in unit_field.split(component) if (word := part.strip()) not in NOTHING]
    unit = next((found for word in words if (found := unit_from_text(word))), None)
    if unit is not None and unit.dimension == "time":
        rate = 1 / (number * Fraction(str(unit.factor)))
    elif is_period:
        return None
    elif not words or any(word.casefold() in _PER_SECOND or word in _PER_SECOND for word in words):
        rate = number
    elif unit is not None and unit.dimension == "frequency":
        rate = number * Fraction(unit.factor).limit_denominator(86_400) / 60
    else:
        return None
    within = 0 < rate <= RATE_MAX_HZ and rate.numerator <= _UINT32_MAX and rate.denominator <= _UINT32_MAX
    return rate if within else None


_Counts = tuple[bytes, tuple[tuple[int, int], ...]]


def _integers(text: str, component: str, marks: set[str]) -> _Counts | None:
    """Samples that are whole numbers of 16 bits, and the stretches that are none; None where one is neither."""
    numbers = _plain_integers(text, component)
    if numbers is not None:
        return numbers.astype("<i2").tobytes(), _stretches_of(numbers, marks)
    sent = text.split(component)
    if len(sent) > SAMPLES_MAX:
        return None
    raw = array("h")
    for sample in sent:
        if sample.strip() in NOTHING:
            raw.append(0)
            continue
        parts = scaled(sample)
        if parts is None or parts[1] or parts[0] not in _INT16:
            if sample.strip() not in marks:
                return None
            parts = (0, 0)
        raw.append(parts[0])
    return _little_endian(raw), _stretches(sent, marks | set(NOTHING))


def _plain_integers(text: str, component: str) -> NDArray[np.int64] | None:
    """Samples that are digits and signs alone, as numpy reads them; None for all others, which it would misread."""
    if not text.isascii() or text.encode("ascii").translate(None, b"0123456789+-" + component.encode("ascii")):
        return None
    if text[:1] == component or text[-1:] in ("", component, "+", "-") or component * 2 in text:
        return None
    for sign in "+-":  # each stands before a number, and no number without a digit
        if text.count(sign) != text.count(component + sign) + text.startswith(sign) or sign + component in text:
            return None
    count = text.count(component) + 1
    if count > SAMPLES_MAX:
        return None
    numbers: NDArray[np.int64] = np.fromstring(text, np.int64, sep=component)
    fits = len(numbers) == count and (numbers == numbers.astype(np.int16)).all()
    return numbers if fits else None


def _stretches_of(numbers: NDArray[np.int64], marks: set[str]) -> tuple[tuple[int, int], ...]:
    """The stretches [begin, end) of samples that equal one of the marks."""
    if not marks:
        return ()
    is_none = np.zeros(len(numbers) + 2, np.int8)
    for mark in marks:
        parts = scaled(mark)
        if parts is not None and not parts[1]:
            is_none[1:-1] |= numbers == parts[0]
    edges = np.flatnonzero(np.diff(is_none)).tolist()
    return tuple(zip(edges[::2], edges[1::2], strict=True))


def _decimals(text: str, component: str, marks: set[str]) -> tuple[_Counts, int] | None:
    """Samples with decimals as whole numbers x 10^exponent."""
    sent = text.split(component)
    if len(sent) > SAMPLES_MAX:
        return None
    parts = [(0, 0) if sample.strip() in NOTHING else scaled(sample.strip()) for sample in sent]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    lowest, highest = min(exponent for _, exponent in known), max(exponent for _, exponent in known)
    if not -9 <= lowest <= highest <= 9:
        return None
    counts = [mantissa * 10 ** (exponent - lowest) for mantissa, exponent in known]
    if min(counts) not in _INT16 or max(counts) not in _INT16:
        return None
    return (_little_endian(array("h", counts)), _stretches(sent, marks | set(NOTHING))), lowest


def _little_endian(raw: array[int]) -> bytes:
    if sys.byteorder == "big":
        raw.byteswap()
    return raw.tobytes()


def _stretches(sent: list[str], marks: set[str]) -> tuple[tuple[int, int], ...]:
    """The stretches [begin, end) of samples that stand for none."""
    found: list[list[int]] = []
    for place, sample in enumerate(sent):
        if sample.strip() in marks:
            if found and found[-1][1] == place:
                found[-1][1] = place + 1
            else:
                found.append([place, place + 1])
    return tuple((begin, end) for begin, end in found)
