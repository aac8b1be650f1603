"""Frames of Dräger's MEDIBUS and its configuration of real-time curves, for the session and the driver.

"RS 232 MEDIBUS Protocol Definition", revision 4.03, 9028258: frames and checksum pages 7, 10 and 28, real-time pages
16 to 23.

    command    ESC code [argument] checksum CR        response    SOH echo [data] checksum CR

The checksum is the low byte of the sum of everything before it, as two hexadecimal digits in capitals.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import NamedTuple

from schemas.errors import FrameError

ESC, SOH, CR, ETX, NAK = 0x1B, 0x01, 0x0D, 0x03, 0x15
FRAME_BYTES_MAX = 3845
CHECKSUM_BYTES = 2

DATA_1, LOW_1, HIGH_1, ALARMS_1 = 0x24, 0x25, 0x26, 0x27
TIME, SETTINGS, TEXTS = 0x28, 0x29, 0x2A
DATA_2, LOW_2, HIGH_2, ALARMS_2 = 0x2B, 0x2C, 0x2D, 0x2E
NOP, TIME_CHANGED, ICC, IDENTIFICATION = 0x30, 0x49, 0x51, 0x52
CURVES, CONFIGURE_CURVES, STOP, CURVES_CHANGED = 0x53, 0x54, 0x55, 0x56
DEVICE_SPECIFIC = 0x6A
KEYS, PATIENT = b"2", b"4"  # what may be asked for by it (9028329, pages 13 and 35)

CURVES_MAX = 12
CURVE_BYTES = 23  # of a curve in the answer to 53
MULTIPLIER_MAX = 0xFF
# Real-time bytes: 1101ssss begins a record, 1100cccc is a command or its argument, 10dddddd half a value.
SYNC, SYNC_COMMAND, HALF_VALUE = 0xD0, 0xC0, 0x80
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]*)?")
_BODY = re.compile(rb"[\x03\x15\x20-\x7f]+")


class Response(NamedTuple):
    """A response: the command that it answers, and its data."""

    code: int
    data: bytes


class Curve(NamedTuple):
    """A real-time curve as the device offers it: value = low + bin x (high - low) / bins.

    `multiplier` of its interval is what is asked for, 1 where nothing was.
    """

    code: str
    interval_us: int
    low: Decimal
    high: Decimal
    bins: int
    multiplier: int = 1

    @property
    def sample_us(self) -> int:
        """From sample to sample as transmitted."""
        return self.interval_us * self.multiplier


def checksum(data: bytes) -> bytes:
    """Of a frame up to here, from its ESC or SOH on."""
    return b"%02X" % (sum(data) & 0xFF)


def command(code: int, argument: bytes = b"") -> bytes:
    """A command, whole."""
    begin = bytes((ESC, code)) + argument
    return begin + checksum(begin) + bytes((CR,))


def response(code: int, data: bytes = b"") -> bytes:
    """An answer to a command, whole; without data an echo."""
    begin = bytes((SOH, code)) + data
    return begin + checksum(begin) + bytes((CR,))


def frame_problem(frame: bytes) -> str:
    """Why this is no frame, "" where it is one."""
    if len(frame) < 2 + CHECKSUM_BYTES + 1 or frame[0] not in (SOH, ESC) or frame[-1] != CR:
        return "framing"
    if len(frame) > FRAME_BYTES_MAX:
        return "too-long"
    summed, check = frame[: -CHECKSUM_BYTES - 1], frame[-CHECKSUM_BYTES - 1 : -1]
    if checksum(summed) != check:
        return "checksum"
    return "" if _BODY.fullmatch(frame[1:-1]) else "framing"


def read_response(frame: bytes) -> Response:
    """A response that is whole; FrameError for anything else."""
    problem = frame_problem(frame) or ("" if frame[0] == SOH else "framing")
    if problem:
        raise FrameError(problem, f"{len(frame)} bytes")
    return Response(frame[1], frame[2 : -CHECKSUM_BYTES - 1])


def offered_curves(data: bytes) -> list[Curve]:
    """The data of an answer to 53; FrameError where it is none."""
    if len(data) % CURVE_BYTES:
        raise FrameError("length", f"{len(data)} bytes of curves")
    found = []
    for at in range(0, len(data), CURVE_BYTES):
        text = data[at : at + CURVE_BYTES].decode("ascii")
        interval, low, high = (_number(text[begin:end]) for begin, end in ((2, 10), (10, 15), (15, 20)))
        bins = int(text[20:], 16) if re.fullmatch("[0-9A-F]{3}", text[20:]) else 0
        if interval is None or low is None or high is None or interval < 1 or interval % 1 or not bins or low >= high:
            raise FrameError("curve", text[:2])
        found.append(Curve(text[:2], int(interval), low, high, bins))
    return found


def _number(text: str) -> Decimal | None:
    plain = text.replace(" ", "")
    return Decimal(plain) if _NUMBER.fullmatch(plain) else None


def chosen_curves(
    offered: Sequence[Curve], wanted: Collection[str], interval_us: int, curves_max: int = CURVES_MAX
) -> tuple[Curve, ...]:
    """What is asked for of what is offered, in the order asked for: no sample sooner than after `interval_us`."""
    by_code = {curve.code: curve for curve in offered}
    chosen: list[Curve] = []
    for code in wanted:
        curve = by_code.get(code)
        if curve is not None and len(chosen) < curves_max:
            multiplier = min(max(1, -(-interval_us // curve.interval_us)), MULTIPLIER_MAX)
            chosen.append(curve._replace(multiplier=multiplier))
    return tuple(chosen)


def configuration(curves: Sequence[Curve]) -> bytes:
    """The argument of 54."""
    return b"".join(b"%s%02X" % (curve.code.encode("ascii"), curve.multiplier) for curve in curves)


def enabling(count: int, configured: int) -> bytes:
    """The sync commands that enable the first `count` of the configured curves and disable the others (page 20)."""
    mask, commands = (1 << count) - 1, b""
    for group in range(-(-configured // 4)):
        commands += bytes((SYNC_COMMAND | (group + 1), SYNC_COMMAND | (mask >> (4 * group) & 0xF)))
    return bytes((SYNC,)) + commands + bytes((SYNC_COMMAND, SYNC_COMMAND))


def records_a_second(curves: Sequence[Curve]) -> int:
    """How many real-time records a second has, at least 1."""
    return max(1, round(1_000_000 / min(curve.sample_us for curve in curves)))
