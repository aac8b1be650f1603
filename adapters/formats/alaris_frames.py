"""Frames of the serial protocol of Alaris/Asena syringe pumps, as mdpnp (Asena.java) and infupy (alaris.py) have them:

    ! name ^ field ^ ... | CCCC CR        CCCC: CRC-CCITT (false) of what stands between ! and |, in upper-case hex

ESC breaks a frame off. A frame is taken to end with its check, for not every answer has the CR.
"""

from __future__ import annotations

import re

from schemas.errors import FrameError

BEGIN, SEPARATOR, END, CR, ESC = b"!", "^", b"|", b"\r", 0x1B
CHECK_CHARS = 4
_FRAME = re.compile(rb"!([^!|\r\x1b]+)\|([0-9A-F]{4})\r?")


def crc_ccitt_false(data: bytes) -> int:
    """Polynomial 1021, begun with FFFF, neither reflected nor inverted."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def query(name: str) -> bytes:
    """A query whole: a name without any argument, which reads."""
    checked = name.encode("ascii")
    return BEGIN + checked + END + b"%04X" % crc_ccitt_false(checked) + CR


def read_reply(frame: bytes) -> tuple[str, list[str]]:
    """The name that an answer repeats, and its fields; FrameError for anything else."""
    match = _FRAME.fullmatch(frame)
    if match is None:
        raise FrameError("framing", f"{len(frame)} bytes")
    if crc_ccitt_false(match[1]) != int(match[2], 16):
        raise FrameError("checksum")
    name, *fields = match[1].decode("utf-8", "surrogateescape").split(SEPARATOR)
    return name, fields
