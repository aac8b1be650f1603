"""The bytes of MEDIBUS: commands, responses and their fields, and the cutting of frames.

"RS 232 MEDIBUS Protocol Definition" 9028258, revision 4.03 (P): frames P 7, 10-11, 28, 37-38; fields P 12-15.

    command   1B code [argument] CS CS 0D      response  01 echo [data] CS CS 0D
    CS        the sum of all bytes before it modulo 256, two hexadecimal digits
"""

from __future__ import annotations

from datetime import datetime

from simulators.medibus_values import Curve, ShownAlarm

ESC, SOH, CR, ETX, NAK = 0x1B, 0x01, 0x0D, 0x03, 0x15
SUSPEND, RESUME, ABORT = 0x11, 0x13, 0x18  # outside of frames; suspend is DC1, the opposite of XON
(
    DATA, LOW, HIGH, ALARMS, CLOCK, SETTINGS, TEXTS, DATA_2, LOW_2, HIGH_2, ALARMS_2
) = range(0x24, 0x2F)  # fmt: skip
NOP, CLOCK_CHANGED, CONFIGURE, ICC, IDENTIFY = 0x30, 0x49, 0x4A, 0x51, 0x52
CURVES, CONFIGURE_CURVES, STOP, CURVES_CHANGED, SPECIFIC = 0x53, 0x54, 0x55, 0x56, 0x6A
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAI", "JUN", "JUL", "AUG", "SEP", "OKT", "NOV", "DEZ")


def checksum(data: bytes) -> bytes:
    """Two upper-case hexadecimal digits."""
    return b"%02X" % (sum(data) & 0xFF)


def command(code: int, argument: bytes = b"") -> bytes:
    """A command, of either side."""
    body = bytes([ESC, code]) + argument
    return body + checksum(body) + bytes([CR])


def response(code: int, data: bytes = b"") -> bytes:
    """The answer to a command."""
    body = bytes([SOH, code]) + data
    return body + checksum(body) + bytes([CR])


def clock_text(at: datetime) -> bytes:
    """HH:MM:SSDD-MMM-YY, the month in German."""
    return f"{at:%H:%M:%S}{at:%d}-{MONTHS[at.month - 1]}-{at:%y}".encode("ascii")


def alarm_text(alarm: ShownAlarm) -> bytes:
    """Priority, code, phrase."""
    return bytes([0x30 + alarm.priority]) + f"{alarm.code}{alarm.phrase:12}".encode("ascii")


def text_field(code: str, text: str) -> bytes:
    """Code, length, text, ETX."""
    return code.encode("ascii") + bytes([0x30 + len(text)]) + text.encode("ascii") + bytes([ETX])


def curve_field(curve: Curve) -> bytes:
    """Code, interval in µs, least and greatest value, greatest bin."""
    return f"{curve.code}{curve.interval_us:8}{curve.low:5}{curve.high:5}{curve.bins:03X}".encode("ascii")


class Frames:
    """Cuts the slow bytes of one side into frames; a command may stand anywhere within a response."""

    def __init__(self) -> None:
        self._open: list[bytearray] = []

    def take(self, byte: int) -> bytes | None:
        """A frame without its CR as soon as it is whole."""
        if byte in (ESC, SOH):
            if byte == ESC and self._open and self._open[-1][0] == ESC:
                self._open.pop()  # cut off
            self._open.append(bytearray([byte]))
        elif not self._open:
            return None
        elif byte == CR:
            return bytes(self._open.pop())
        else:
            self._open[-1].append(byte)
        return None
