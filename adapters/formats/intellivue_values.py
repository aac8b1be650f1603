"""Numbers, texts and times of Philips IntelliVue's Data Export ("Programming Guide" rev G.0, chapter 5).

    FLOAT             exponent i8, mantissa i24: mantissa x 10^exponent; mantissa 7FFFFF NaN, 800000 NRes, 7FFFFE and
                      800002 the infinities
    observed number   physio id u16, state u16, unit u16, FLOAT
    observed enum     physio id u16, state u16, choice u16 (1 an id, 4 an id with a value), length u16, id u16
    absolute time     century, year, month, day, hour, minute, second, fraction: two BCD digits each, local, no zone
    0990              absolute time at which a value was measured, where that was earlier (a cuff's)
    string            length u16, UTF-16; a label: length u16, bytes of 8-bit characters

A value's state: 8000 invalid, 4000 questionable, 2000 unavailable, 1000 calibrating, 0800 test, 0400 demonstration;
what the low byte says (validated, early, alarms) changes nothing of the value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from adapters.formats.instants import Instant
from adapters.formats.intellivue import TICKS_PER_S, Attributes, Bytes
from adapters.formats.moments import StatedMoment, received
from schemas.report import ClockQuality, Mark, Validity

NU_OBSERVED, NU_COMPOUND, ENUM_OBSERVED, TIME_STAMP = 0x0950, 0x094B, 0x099E, 0x0990
INVALID, QUESTIONABLE, UNAVAILABLE, CALIBRATING, TEST, DEMO = 0x8000, 0x4000, 0x2000, 0x1000, 0x0800, 0x0400
# The worst first: a value may be several of these.
_VALIDITIES = (
    (UNAVAILABLE, Validity.NOT_AVAILABLE),
    (INVALID, Validity.INVALID),
    (CALIBRATING, Validity.CALIBRATING),
    (QUESTIONABLE, Validity.QUESTIONABLE),
)
_NO_NUMBERS = {0x7FFFFF: "NaN", 0x800000: "NRes", 0x7FFFFE: "+INF", 0x800002: "-INF"}
_ENUM_ID, _ENUM_ID_AND_VALUE = 1, 4
_CLOCK_STEP_US = 2_000_000  # the absolute time is exact to the second, and two clocks run apart
_TICKS = 1 << 32


@dataclass(frozen=True)
class Float:
    """A FLOAT as sent: a mantissa and an exponent, or with `no_number` the word for what it is instead."""

    mantissa: int = 0
    exponent: int = 0
    no_number: str = ""


@dataclass(frozen=True)
class ObservedNumber:
    """One number that is measured or set."""

    physio: int
    state: int
    unit: int
    value: Float


@dataclass(frozen=True)
class ObservedEnum:
    """One of a list of states; `more` are the bytes behind its id, which is None where its layout is not known."""

    physio: int
    state: int
    id: int | None
    more: bytes


def float_of(data: Bytes) -> Float:
    """A FLOAT."""
    exponent, mantissa = data.take(1), int.from_bytes(data.take(3), "big")
    if mantissa in _NO_NUMBERS:
        return Float(no_number=_NO_NUMBERS[mantissa])
    signed = mantissa - (1 << 24) if mantissa & 0x800000 else mantissa
    return Float(signed, int.from_bytes(exponent, "big", signed=True))


def numbers_of(found: Attributes) -> Iterator[ObservedNumber]:
    """The numbers among an object's attributes, those of a compound one (a pressure's three) one by one."""
    if NU_OBSERVED in found:
        yield _number(Bytes(found[NU_OBSERVED]))
    if NU_COMPOUND in found:
        for each in Bytes(found[NU_COMPOUND]).entries():
            yield _number(each)


def _number(data: Bytes) -> ObservedNumber:
    return ObservedNumber(data.u16(), data.u16(), data.u16(), float_of(data))


def enum_of(found: Attributes) -> ObservedEnum | None:
    """The state among an object's attributes, None where there is none."""
    if ENUM_OBSERVED not in found:
        return None
    data = Bytes(found[ENUM_OBSERVED])
    physio, state, choice = data.u16(), data.u16(), data.u16()
    value = data.sized()
    if choice not in (_ENUM_ID, _ENUM_ID_AND_VALUE):
        return ObservedEnum(physio, state, None, value.rest())
    return ObservedEnum(physio, state, value.u16(), value.rest())


def validity_of(state: int) -> Validity:
    """What a state says of its value."""
    for bit, validity in _VALIDITIES:
        if state & bit:
            return validity
    return Validity.VALID


def marks_of(state: int) -> Mark:
    """TRAINING where a test or a demonstration says it."""
    return Mark.TRAINING if state & (TEST | DEMO) else Mark(0)


# --- texts ------------------------------------------------------------------------------------------------------------


def string_of(data: Bytes) -> str:
    """A string, its padding and what else does not print left out; bytes that are no UTF-16 stand as U+FFFD."""
    return _printed(data.sized().rest().decode("utf-16-be", "replace"))


def text_of(value: bytes) -> str:
    """A whole attribute that is one string, or one label where its bytes are no string."""
    data = Bytes(value).sized().rest()
    is_wide = len(data) % 2 == 0 and (not data or not any(data[0:2:2]))
    return _printed(data.decode("utf-16-be", "replace") if is_wide else data.decode("latin-1"))


def _printed(text: str) -> str:
    return "".join(character for character in text if character >= " ").strip()


# --- times ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClockReference:
    """A moment of the monitor's two clocks: ticks, and the instant that its local time says then."""

    ticks: int
    instant: Instant

    def at_us(self, ticks: int) -> int:
        """The instant of other ticks, less than three days away."""
        apart = (ticks - self.ticks + _TICKS // 2) % _TICKS - _TICKS // 2
        return self.instant.us + apart * 1_000_000 // TICKS_PER_S

    def moved(self, ticks: int) -> ClockReference:
        """The same clock at other ticks, so that these never wrap unseen."""
        return ClockReference(ticks, self.instant._replace(us=self.at_us(ticks)))


def digits_of(absolute: bytes) -> str:
    """The fourteen digits of an absolute time, YYYYMMDDHHMMSS; what is no BCD stands as it is and is no time."""
    return absolute[:7].hex()


def reference_at(before: ClockReference | None, ticks: int, instant: Instant) -> ClockReference:
    """The clock as both times say it now; the one before goes on unless somebody has set the monitor's clock."""
    if before is not None and abs(before.at_us(ticks) - instant.us) < _CLOCK_STEP_US:
        return before.moved(ticks)
    return ClockReference(ticks, instant)


def stated_moment(reference: ClockReference | None, ticks: int, received_at_us: int, unread: str) -> StatedMoment:
    """When the monitor said something; `unread` notes a local time that cannot be read."""
    if reference is None:
        return received(received_at_us, unread)
    at_us = reference.at_us(ticks)
    uncertainty_ms = max(reference.instant.uncertainty_ms, 1000)
    return StatedMoment(at_us, received_at_us, at_us, uncertainty_ms, ClockQuality.DEVICE, own_time=True)
