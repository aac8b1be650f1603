"""Waveforms of an S/5 monitor (DRI): subrecords of samples, and how many were lost before one.

"S/5 System Interface, Datex-Ohmeda Record Specification" 8005313 (12th edition, 2020), pages 65-69:

    | 0       | 2      | 4     | 6                              |
    | act_len | status | label | act_len samples, 16 bits each  |

Status bit 0: a gap before the first sample, as there is after each request; bit 2 pacer, bit 3 lead off; the others are
not zero in practice, and no document says what they are. A sample of -32000 or less is no measurement. How long a gap
was is not said: it is counted by the time that has passed since the last samples were received.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from adapters.driver import Source
from adapters.formats.dri_groups import (
    ECG_WAVE_CODE_OF_OTHERS,
    ECG_WAVE_CODES,
    NO_PRESSURE_CODES,
    PRESSURE_CODES,
    WAVES,
    Wave,
)
from adapters.formats.dri_record import Subrecord
from adapters.formats.dri_values import SYSTEM, channel_number
from schemas.errors import FrameError
from schemas.report import AsSent, Record, RecordKind, Samples, Validity

INVALID_MAX = -32000
GAP_BIT, PACER_BIT, LEAD_OFF_BIT = 0, 2, 3
DAMAGED = "damaged"  # in a source's memory: how many frames could not be read so far
_HEAD_BYTES = 6


@dataclass(frozen=True)
class _Place:
    """Where a wave stands: its next sample's number, when its last samples came, and frames that were damaged then."""

    next_sample: int
    received_at_us: int
    damaged: int


@dataclass(frozen=True)
class WaveReading:
    """A stretch of one wave; `began_us` is how long before its reception it began."""

    record: Record
    began_us: int


def read_wave(subrecord: Subrecord, labels: dict[str, str], source: Source[Any]) -> WaveReading | None:
    """The samples of one subrecord, None where there are none or its type is not read here (counted).

    `labels` has the words for pressures ("P1") and ECG channels ("ECG1") as far as they are known.
    """
    wave = WAVES.get(subrecord.kind)
    if wave is None:
        source.counts[f"wave:{subrecord.kind}"] += 1
        return None
    if len(subrecord.data) < _HEAD_BYTES:
        raise FrameError("length", wave.name)
    count, status, _ = struct.unpack_from("<hHH", subrecord.data)
    if not 0 <= count <= (len(subrecord.data) - _HEAD_BYTES) // 2:
        raise FrameError("length", wave.name)
    if count == 0:
        return None
    raw = subrecord.data[_HEAD_BYTES : _HEAD_BYTES + 2 * count]
    is_off = bool(status >> LEAD_OFF_BIT & 1)
    invalid = ((0, count),) if is_off else _invalid(struct.unpack(f"<{count}h", raw))
    samples = Samples(
        rate_numerator=wave.rate_hz,
        rate_denominator=1,
        scale_mantissa=1,
        offset_mantissa=0,
        exponent=wave.exponent,
        raw=raw,
        first_sample=_first_sample(wave, count, source, has_gap=bool(status >> GAP_BIT & 1)),
        invalid=invalid,
    )
    code, label = _code(wave, labels)
    name = f"{label or wave.channel or wave.name} wave"
    record = Record(
        code,
        wave.unit,
        channel_number(wave.channel),
        RecordKind.SAMPLES,
        Validity.INVALID if invalid == ((0, count),) else Validity.VALID,
        note=_note(status),
        as_sent=None if code else AsSent(SYSTEM, name, wave.sent_unit),
        samples=samples,
    )
    return WaveReading(record, count * 1_000_000 // wave.rate_hz)


def _code(wave: Wave, labels: dict[str, str]) -> tuple[int, str]:
    """The wave's code by what the values say of its place, and its label there; before the first values type."""
    if wave.ecg:
        label = labels.get(f"ECG{wave.ecg}", "")
        return ECG_WAVE_CODES.get(label, ECG_WAVE_CODE_OF_OTHERS), label
    if wave.pressure:
        label = labels.get(wave.pressure, "")
        return PRESSURE_CODES.get(label, NO_PRESSURE_CODES)[3], label
    return wave.code, ""


def _note(status: int) -> str | None:
    words = [word for bit, word in ((PACER_BIT, "pacer"), (LEAD_OFF_BIT, "lead off")) if status >> bit & 1]
    return ", ".join(words) or None


def _invalid(samples: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """The stretches that are no measurement."""
    if min(samples) > INVALID_MAX:
        return ()
    stretches = []
    begin = None
    for at, sample in enumerate((*samples, 0)):
        if sample <= INVALID_MAX and begin is None:
            begin = at
        elif sample > INVALID_MAX and begin is not None:
            stretches.append((begin, at))
            begin = None
    return tuple(stretches)


def _first_sample(wave: Wave, count: int, source: Source[Any], *, has_gap: bool) -> int:
    """The number of its first sample since the connection began, with those that were lost before it.

    They were lost where the monitor says so, and where a frame could not be read since: a whole number of stretches.
    """
    key = f"wave {wave.name}"
    damaged = source.memory.get(DAMAGED, 0)
    last: _Place | None = source.memory.get(key)
    first = 0
    if last is not None:
        elapsed = (source.received_at_us - last.received_at_us) * wave.rate_hz // 1_000_000
        lost = max(0, elapsed - count)
        if has_gap:
            lost = max(1, lost)
        elif damaged != last.damaged:
            lost = (lost + count // 2) // count * count
        else:
            lost = 0
        first = last.next_sample + lost
    source.memory[key] = _Place(first + count, source.received_at_us, damaged)
    return first
