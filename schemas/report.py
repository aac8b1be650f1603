"""The report: what one device said at one moment; the vocabulary of every driver.

Edge objects only. From the spool on a report is bytes in the layout of `schemas/layout.py`.
Terms are IEEE 11073's (metric report, validity), instants are microseconds since 1970 UTC.
"""

from __future__ import annotations

import re
import uuid
from enum import IntEnum

import msgspec

DEVICE_NAMESPACE = uuid.UUID("8f3f4f7c-3f0e-5d0c-9d0a-7669746c7765")
MANTISSA_MAX = 2**63 - 1
# A numeral of HL7's NM or of JSON, and no other that Python would take ("1_000", full-width digits, "inf"); of bounded
# length, for Python refuses to read thousands of digits.
_NUMERAL = re.compile(r" *([+-]?(?=\.?[0-9])[0-9]{0,40})(?:\.([0-9]{0,40}))?(?:[eE]([+-]?[0-9]{1,3}))? *")


class Kind(IntEnum):
    """What a report is about."""

    METRIC = 1
    WAVEFORM = 2
    ALERT = 3  # the device's own alarm
    EVENT = 4  # connected, silent, gap, clock step, buffer, the edge's own counts
    CONTEXT = 5  # patient, encounter, bed as the sender claims them; kept, not yet believed
    REJECTED = 6  # a frame that could not be read, with its reason and bytes


class Lane(IntEnum):
    """A queue of its own from spool to store."""

    LIVE = 1
    BACKFILL = 2
    WAVEFORM = 3


class RecordKind(IntEnum):
    """What a record holds."""

    NUMERIC = 1
    TEXT = 2  # enumeration or note; the text is in the tail
    SAMPLES = 3  # one stretch of a waveform; the samples are in the tail


class Validity(IntEnum):
    """What the device says of a measured value (IEEE 11073-10201 MeasurementStatus, BICEPS MeasurementValidity)."""

    VALID = 0
    QUESTIONABLE = 1
    CALIBRATING = 2
    INVALID = 3
    OVERFLOW = 4
    UNDERFLOW = 5
    NOT_AVAILABLE = 6  # no reading: mantissa is 0 and means nothing


class ClockQuality(IntEnum):
    """Where `observed_at` comes from."""

    RECEIVED = 1  # the message carries no time: observed_at = received_at
    DEVICE = 2  # the device's own clock, with its zone known


class AsSent(msgspec.Struct, frozen=True):
    """What the sender called a thing that has no standard code: code system, code and unit in its own words."""

    system: str
    code: str
    unit: str = ""


class Samples(msgspec.Struct, frozen=True):
    """A stretch of a waveform: (raw x scale_mantissa + offset_mantissa) x 10^exponent, in the record's unit.

    `period_us` is rounded (75 Hz, 256 Hz): a stretch is short, and the next has a time of its own.
    """

    period_us: int
    scale_mantissa: int
    offset_mantissa: int
    exponent: int
    raw: tuple[int, ...]  # int16


class Record(msgspec.Struct, frozen=True):
    """One value of a report: mantissa x 10^exponent as sent (37.0 is not 37); code 0 is "no standard code known"."""

    code: int = 0  # IEEE 11073 CF_CODE10
    unit: int = 0  # MDC_DIM_* CF_CODE10; 0 is "none known"
    instance: int = 0  # OBX-4 containment: which of two pressures
    kind: RecordKind = RecordKind.NUMERIC
    validity: Validity = Validity.VALID
    mantissa: int = 0
    exponent: int = 0
    text: str | None = None
    as_sent: AsSent | None = None
    samples: Samples | None = None


class Report(msgspec.Struct, frozen=True):
    """What one device said at one moment.

    `claim` is the identity as the sender states it; `device` is derived from it and from nothing else.
    `device_at_us` is the device's own time before any correction, None where the message carries none.
    `own_time` says that the frame's bytes carry a time of their own: only then may a repeat be dropped (rule 2).
    `frame` is set on `rejected` reports: the bytes kept for inspection.
    """

    kind: Kind
    claim: str
    observed_at_us: int
    received_at_us: int
    clock_quality: ClockQuality
    records: tuple[Record, ...]
    device_at_us: int | None = None
    uncertainty_ms: int = 0
    own_time: bool = False
    frame: bytes | None = None

    @property
    def device(self) -> uuid.UUID:
        """The device's id: UUIDv5 of its claim."""
        return device_id(self.claim)


def device_id(claim: str) -> uuid.UUID:
    """The id of the device that claims to be `claim` (`eui64:…`, `site:vendor:serial`, `sender/field=value`)."""
    return uuid.uuid5(DEVICE_NAMESPACE, claim)


def decimal_parts(text: str) -> tuple[int, int] | None:
    """Mantissa and exponent of a decimal numeral exactly as written; None if it is none or does not fit a record.

    >>> decimal_parts("37.0")
    (370, -1)
    """
    match = _NUMERAL.fullmatch(text)
    if match is None:
        return None
    whole, fraction, power = match.groups("")
    mantissa, exponent = int(whole + fraction), int(power or 0) - len(fraction)
    return (mantissa, exponent) if abs(mantissa) <= MANTISSA_MAX and -128 <= exponent <= 127 else None
