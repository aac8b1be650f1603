"""Frames between a host and Fresenius' Orchestra Base or a Module DPS, as infupy (fresenius.py) has them:

    02 [address] body CC 03     CC: FF less the sum modulo 256 of address and body, in upper-case hex

The address is a digit: 0 the base, 1 and on its modules; a pump that stands alone has none. The body of an answer is
its status (C done, I error, E and M by itself), then `;` and a field each. Beside frames there are single bytes: ACK,
NAK with one character that says why, ENQ of the pump, which the host answers with DC4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from schemas.errors import FrameError

STX, ETX, ENQ, ACK, DC4, NAK = 0x02, 0x03, 0x05, 0x06, 0x14, 0x15
BAD_CHECKSUM = b"2"  # behind NAK
BASE = "0"
DONE, ERROR, SPONTANEOUS, ADJUSTED = "C", "I", "E", "M"
_ANSWER = re.compile(rb"\x02(([0-9]?)([CIEM])((?:;[ -:<-~]*)*))([0-9A-F]{2})\x03")


@dataclass(frozen=True)
class Answer:
    """What a base, a module or a pump says. `origin` is its address, "" for a pump that stands alone."""

    origin: str
    status: str
    fields: tuple[str, ...]


def framed(address: str, body: str) -> bytes:
    """A frame of the host."""
    checked = (address + body).encode("ascii")
    return bytes([STX]) + checked + check_of(checked) + bytes([ETX])


def check_of(checked: bytes) -> bytes:
    """FF less the sum, in hex."""
    return b"%02X" % (0xFF - sum(checked) % 256)


def read_answer(frame: bytes) -> Answer:
    """A frame of the other side; FrameError for anything else."""
    match = _ANSWER.fullmatch(frame)
    if match is None:
        raise FrameError("framing", f"{len(frame)} bytes")
    checked, origin, status, fields, check = match.groups()
    if check_of(checked) != check:
        raise FrameError("checksum")
    return Answer(origin.decode(), status.decode(), tuple(fields.decode("ascii").split(";")[1:]))
