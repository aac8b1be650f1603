"""Frames of B. Braun's BCC protocol.

"Technical Interface Specification BCC", I0022_000030, version 4.0, pages 8 to 11:

    SOH LLLLL STX bedId/1/1> information T CCCCC EOT

LLLLL is the length of all, CCCCC the sum modulo 256 of everything from SOH to T; T is ETX for the last block of an
answer, ETB where more follow. The information is `time,address,parameter,value`, one behind the other with RS between.
Then, unless it is switched off, the whole frame is stuffed: D, E, d, e become EX, EE, ex, ee.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from schemas.errors import FrameError

SOH, STX, ETX, EOT, ACK, NAK, ETB = 0x01, 0x02, 0x03, 0x04, 0x06, 0x15, 0x17
RECORD_SEPARATOR = b"\x1e"
ANY_BED = "1"  # of ADMIN:ALIVE: whoever is there
BED_CHARS_MAX = 15
_STUFFED = {b"D": b"EX", b"E": b"EE", b"d": b"ex", b"e": b"ee"}
_PLAIN = {stuffed: plain for plain, stuffed in _STUFFED.items()}
_TO_STUFF = re.compile(b"[DEde]")
_STUFFED_PAIR = re.compile(rb"[Ee](?s:.)?")
_FRAME = re.compile(
    rb"\x01(\d{5})\x02([/-9A-z]{1,15})/1/1>([^\x01-\x04\x17]*)([\x03\x17])(\d{5})\x04"
)  # fmt: skip


class Value(NamedTuple):
    """A parameter of the pump at an address, 50100 being the ComDevice; `time_s` counts since that was switched on."""

    time_s: int
    address: str
    parameter: str
    value: str


class Block(NamedTuple):
    """A frame: one block of an answer."""

    bed_id: str
    is_last: bool
    values: tuple[Value, ...]


def stuffed(frame: bytes) -> bytes:
    """As it goes over the line."""
    return _TO_STUFF.sub(lambda match: _STUFFED[match[0]], frame)


def unstuffed(frame: bytes) -> bytes:
    """As it was before, from left to right; FrameError where an E is followed by what never follows it."""

    def plain(match: re.Match[bytes]) -> bytes:
        found = _PLAIN.get(match[0])
        if found is None:
            raise FrameError("stuffing", f"at {match.start()}")
        return found

    return _STUFFED_PAIR.sub(plain, frame)


def request(bed_id: str, text: str, *, is_stuffed: bool) -> bytes:
    """A request of the host, whole."""
    information = f"{bed_id}/1/1>{text}".encode("ascii")
    length = 1 + 5 + 1 + len(information) + 1 + 5 + 1
    begin = b"\x01%05d\x02" % length + information + b"\x03"
    frame = begin + b"%05d\x04" % (sum(begin) % 256)
    return stuffed(frame) if is_stuffed else frame


def read_block(frame: bytes, *, is_stuffed: bool) -> Block:
    """A frame that is whole; FrameError for anything else."""
    plain = unstuffed(frame) if is_stuffed else frame
    match = _FRAME.fullmatch(plain)
    if match is None:
        raise FrameError("framing", f"{len(frame)} bytes")
    length, bed_id, information, end, check = match.groups()
    if int(length) != len(plain):
        raise FrameError("length", f"{int(length)} stated, {len(plain)} bytes")
    if sum(plain[:-6]) % 256 != int(check):
        raise FrameError("checksum")
    values = tuple(_value(part) for part in information.split(RECORD_SEPARATOR) if part)
    return Block(bed_id.decode("ascii"), end[0] == ETX, values)


def _value(part: bytes) -> Value:
    """One quadruple; the version has its value where others have their name."""
    time_s, address, parameter, value = (*part.split(b",", 3), b"", b"", b"")[:4]
    if not re.fullmatch(rb"\d{1,10}", time_s) or not re.fullmatch(rb"501[0-9][0-9A-O]", address) or not parameter:
        raise FrameError("quadruple", f"{len(part)} bytes")
    text = value.decode("utf-8", "surrogateescape").removesuffix("\r")
    return Value(int(time_s), address.decode("ascii"), parameter.decode("utf-8", "backslashreplace"), text)
