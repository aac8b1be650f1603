"""Real-time curves of MEDIBUS: the records of a stream, as samples.

"RS 232 MEDIBUS Protocol Definition", revision 4.03, 9028258, pages 16 to 23.

    1101ssss                 a record begins; s: which of curves 1 to 4 have a value in it
    1100cccc 1100aaaa  ...   at most 16 commands. C4, C5: which of curves 5 to 8, 9 to 12 have a value, from now on;
                             CF: the record is corrupt; C6: a breath's phase begins; C0 C0: no more
    10dddddd 10dddddd  ...   the values in the order of the configuration, low six bits first

Which record a lost byte belonged to shows in the number of its values: they are invalid then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from adapters.formats.medibus_frames import HALF_VALUE, SYNC, SYNC_COMMAND, Curve
from schemas.report import Samples

_NOW_5_TO_8, _NOW_9_TO_12, _CORRUPT = 0xC4, 0xC5, 0xCF
_SCALE_EXPONENT_MIN = -9
_MANTISSA_MAX = 2**31 - 1  # of scale and offset of samples


@dataclass
class CurveSamples:
    """What a stretch of the stream has of one curve; None: a value that is none."""

    values: list[int | None] = field(default_factory=list)


@dataclass
class Stream:
    """The state of a stream from record to record: which of curves 5 to 12 have a value."""

    curves: tuple[Curve, ...]
    mask_5_to_8: int = 0
    mask_9_to_12: int = 0

    def read(self, data: bytes) -> list[CurveSamples]:
        """The samples of records that begin in these bytes, by the place of their curve."""
        found = [CurveSamples() for _ in self.curves]
        record = bytearray()
        for byte in data:
            if byte & 0xF0 == SYNC and record:
                self._take(record, found)
                record.clear()
            record.append(byte)
        if record:
            self._take(record, found)
        return found

    def _take(self, record: bytes | bytearray, found: Sequence[CurveSamples]) -> None:
        at, is_corrupt = 1, record[0] & 0xF0 != SYNC
        while at + 1 < len(record) and record[at] & 0xF0 == SYNC_COMMAND:
            command, argument = record[at], record[at + 1] & 0xF
            at += 2
            if command == _NOW_5_TO_8:
                self.mask_5_to_8 = argument
            elif command == _NOW_9_TO_12:
                self.mask_9_to_12 = argument
            elif command == _CORRUPT:
                is_corrupt = True
        mask = record[0] & 0xF | self.mask_5_to_8 << 4 | self.mask_9_to_12 << 8
        present = [place for place in range(len(self.curves)) if mask >> place & 1]
        halves = record[at:]
        if len(halves) != 2 * len(present) or any(half & 0xC0 != HALF_VALUE for half in halves):
            is_corrupt = True
        for number, place in enumerate(present):
            bins = None if is_corrupt else halves[2 * number] & 0x3F | (halves[2 * number + 1] & 0x3F) << 6
            if bins is not None and bins > self.curves[place].bins:
                bins = None
            found[place].values.append(bins)


def samples_of(curve: Curve, found: CurveSamples, first_sample: int) -> Samples:
    """One curve's samples: bins as they came, 0 and marked invalid where there was none."""
    invalid: list[tuple[int, int]] = []
    for at, value in enumerate(found.values):
        if value is None:
            if invalid and invalid[-1][1] == at:
                invalid[-1] = invalid[-1][0], at + 1
            else:
                invalid.append((at, at + 1))
    step = (Fraction(curve.high) - Fraction(curve.low)) / curve.bins
    exponent = _exponent_of(step, Fraction(curve.low))
    rate = Fraction(1_000_000, curve.sample_us)
    return Samples(
        rate_numerator=rate.numerator,
        rate_denominator=rate.denominator,
        scale_mantissa=round(step / Fraction(10) ** exponent),
        offset_mantissa=round(Fraction(curve.low) / Fraction(10) ** exponent),
        exponent=exponent,
        raw=b"".join((value or 0).to_bytes(2, "little") for value in found.values),
        first_sample=first_sample,
        invalid=tuple(invalid),
    )


def _exponent_of(*numbers: Fraction) -> int:
    """The largest power of ten of which all are multiples; where there is none, the finest that a record can hold."""
    finest = 0
    for exponent in range(0, _SCALE_EXPONENT_MIN - 1, -1):
        scaled = [number / Fraction(10) ** exponent for number in numbers]
        if any(abs(each) > _MANTISSA_MAX for each in scaled):
            break
        finest = exponent
        if all(each.denominator == 1 for each in scaled):
            break
    return finest
