"""The report: what one device said at one moment; the vocabulary of every driver.

Edge objects only. From the spool on a report is bytes in the layout of `schemas/layout.py`.
Terms are IEEE 11073's (metric report, validity), instants are microseconds since 1970 UTC.
"""

from __future__ import annotations

import re
import uuid
from enum import IntEnum, IntFlag
from functools import lru_cache
from hashlib import md5, sha256

import msgspec

DEVICE_NAMESPACE = uuid.UUID("8f3f4f7c-3f0e-5d0c-9d0a-7669746c7765")
MANTISSA_MAX = 2**63 - 1
# A numeral of HL7's NM or of JSON, and no other that Python would take ("1_000", full-width digits, "inf"); of bounded
# length, for Python refuses to read thousands of digits.
_NUMERAL = re.compile(r" *([+-]?(?=\.?[0-9])[0-9]{0,40})(?:\.([0-9]{0,40}))?(?:[eE]([+-]?[0-9]{1,3}))? *")


# A text of a CONTEXT report: its message came after a later one, and what it says holds for itself alone.
LATE_CONTEXT = "late-context"


class Kind(IntEnum):
    """What a report is about."""

    METRIC = 1
    WAVEFORM = 2
    ALARM = 3  # the device's own alarm
    DESCRIPTION = 4  # the sender's own words for its channels: once, and again when they change
    SETTING = 5  # what a person set on the device: limits, rates, modes
    EVENT = 6  # connected, silent, gap, clock step, buffer, the edge's own counts
    CONTEXT = 7  # patient, encounter, bed as the sender claims them; kept, not yet believed
    REJECTED = 8  # a frame that could not be read, with its reason and bytes


class Lane(IntEnum):
    """A queue of its own from spool to store."""

    LIVE = 1
    BACKFILL = 2
    WAVEFORM = 3
    ADT = 4  # who is where; with a retention of its own


class RecordKind(IntEnum):
    """What a record holds."""

    NUMERIC = 1
    BOUND = 2  # the device says "below" or "above" this number; which of them stands in its marks
    CODE = 3  # an enumeration: the mantissa is its code, the text its words
    TEXT = 4
    SAMPLES = 5  # one stretch of a waveform; the samples are in the tail
    ALARM = 6  # an alarm of the device; the mantissa is the condition's code, 0 where none is known


class Validity(IntEnum):
    """What the device says of a measured value (IEEE 11073-10201 MeasurementStatus, BICEPS MeasurementValidity)."""

    VALID = 0
    QUESTIONABLE = 1
    CALIBRATING = 2
    INVALID = 3
    OVERFLOW = 4
    UNDERFLOW = 5
    NOT_AVAILABLE = 6  # no reading: mantissa is 0 and means nothing


class Mark(IntFlag):
    """What else is to be known of a record. A bound has LESS or GREATER, with OR_EQUAL where the number is included."""

    LESS = 1
    GREATER = 2
    OR_EQUAL = 4
    AMBIGUOUS = 8  # nobody can tell which of the device's like channels this is
    CORRECTION = 16  # replaces what was sent of this moment (HL7 table 0085: C)
    WITHDRAWAL = 32  # takes back what was sent of this moment (HL7 table 0085: D)
    TRAINING = 64  # a training or test system said it (HL7 table 0103: T, D)
    UNDECODED = 128  # the text is bytes that could not be decoded


COMPARATORS: dict[str, Mark] = {
    "<": Mark.LESS,
    "<=": Mark.LESS | Mark.OR_EQUAL,
    ">": Mark.GREATER,
    ">=": Mark.GREATER | Mark.OR_EQUAL,
}
COMPARATOR_BITS = Mark.LESS | Mark.GREATER | Mark.OR_EQUAL


class ClockQuality(IntEnum):
    """Where `observed_at` comes from."""

    RECEIVED = 1  # the message carries no time: observed_at = received_at
    DEVICE = 2  # the device's own clock, with its zone known
    DOUBTFUL = 3  # a time is there and cannot be read or cannot be: observed_at is the next readable one


class AsSent(msgspec.Struct, frozen=True, gc=False):
    """What the sender called a thing that has no standard code: code system, code and unit in its own words."""

    system: str
    code: str
    unit: str = ""


class Samples(msgspec.Struct, frozen=True, gc=False):
    """A stretch of a waveform: (raw x scale_mantissa + offset_mantissa) x 10^exponent, in the record's unit.

    The rate is `rate_numerator / rate_denominator` samples a second, so that 256 Hz and 62.5 Hz are exact. `raw` is
    int16, little-endian. `first_sample` counts the samples of its channel since the connection began: a lost stretch
    shows. `invalid` holds the stretches [begin, end) that are no measurement, by their place in `raw`, in order.
    """

    rate_numerator: int
    rate_denominator: int
    scale_mantissa: int
    offset_mantissa: int
    exponent: int
    raw: bytes
    first_sample: int = 0
    invalid: tuple[tuple[int, int], ...] = ()

    @property
    def count(self) -> int:
        """How many samples there are."""
        return len(self.raw) // 2


class AlarmState(IntEnum):
    """Whether the alarm condition is present (IEC 60601-1-8)."""

    INACTIVE = 0
    ACTIVE = 1


class AlarmPriority(IntEnum):
    """IEC 60601-1-8, 6.1.2."""

    UNKNOWN = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3


class AlarmKind(IntEnum):
    """Whether the patient or the equipment is meant (IEC 60601-1-8, 3.31 and 3.36)."""

    UNKNOWN = 0
    PHYSIOLOGICAL = 1
    TECHNICAL = 2
    ADVISORY = 3


class Alarm(msgspec.Struct, frozen=True, gc=False):
    """An alarm condition as the device states it; the record's code and channel say what it is about.

    `condition` is the sender's own word or reference id. `since_us` is None where the device does not say. `low` and
    `high` are the limits (mantissa, exponent) in the record's unit, None where there is none.
    """

    condition: str
    state: AlarmState = AlarmState.ACTIVE
    priority: AlarmPriority = AlarmPriority.UNKNOWN
    kind: AlarmKind = AlarmKind.UNKNOWN
    since_us: int | None = None
    low: tuple[int, int] | None = None
    high: tuple[int, int] | None = None
    latched: bool = False
    audio_paused: bool = False
    text: str = ""


class ChannelWords(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The sender's own words for a channel, from which its number follows; the text of a `description` record is this
    as JSON.

    `path` are the codes of the nodes above it (MDS, VMD, channel), `ordinals` its place among siblings that are
    otherwise alike, "" where it needs none.
    """

    path: tuple[str, ...] = ()
    label: str = ""
    body_site: str = ""
    handle: str = ""
    ordinals: str = ""

    @property
    def number(self) -> int:
        """The channel's number, a hash of these words; 0 where there are none."""
        words = (*self.path, "", self.label, self.body_site, self.handle, self.ordinals)
        if not any(words):
            return 0
        digest = sha256("\x1f".join(words).encode("utf-8", "backslashreplace")).digest()
        return int.from_bytes(digest[:4], "little") or 1


class Record(msgspec.Struct, frozen=True, gc=False):
    """One value of a report: mantissa x 10^exponent as sent (37.0 is not 37); code 0 is "no standard code known".

    `text` is bytes where it could not be decoded. `note` is a remark beside the value (HL7 NTE).
    """

    code: int = 0  # IEEE 11073 CF_CODE10
    unit: int = 0  # MDC_DIM_* CF_CODE10; 0 is "none known"
    channel: int = 0  # which of the device's like values: ChannelWords.number
    kind: RecordKind = RecordKind.NUMERIC
    validity: Validity = Validity.VALID
    mantissa: int = 0
    exponent: int = 0
    marks: Mark = Mark(0)
    text: str | bytes | None = None
    note: str | None = None
    as_sent: AsSent | None = None
    samples: Samples | None = None
    alarm: Alarm | None = None


class Report(msgspec.Struct, frozen=True, gc=False):
    """What one device said at one moment.

    `claim` is the identity as the sender states it; `device` is derived from it and from nothing else.
    `device_at_us` is the device's own time before any correction, None where the message carries none.
    `own_time` says that the frame's bytes carry a time of their own: only then may a repeat be dropped (rule 2).
    `frame` is set on `rejected` reports: the bytes kept for inspection.
    `lane` is LIVE (which the spool cuts as BACKFILL once it is old), WAVEFORM or ADT.
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
    lane: Lane = Lane.LIVE

    @property
    def device(self) -> uuid.UUID:
        """The device's id: UUIDv5 of its claim."""
        return device_id(self.claim)


@lru_cache(16_384)  # a ward's devices speak again and again
def device_id(claim: str) -> uuid.UUID:
    """The id of the device that claims to be `claim` (`eui64:…`, `site:vendor:serial`, `sender/field=value`)."""
    return uuid.uuid5(DEVICE_NAMESPACE, claim)


def heard_as(device: uuid.UUID, edge: uuid.UUID) -> uuid.UUID:
    """The id by which screens and alarms tell apart what an edge says of a device that is not its own.

    The view `device_shown` (emr_store/migrations/0003_record.sql) computes the same.
    """
    return uuid.UUID(bytes=md5(f"{device}{edge}".encode(), usedforsecurity=False).digest())


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
