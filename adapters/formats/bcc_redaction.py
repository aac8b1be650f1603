"""Identifiers in B. Braun's BCC: parameters of patients, nurses and orders, with the check of the frames around them.

Of the parameters that `adapters/formats/bcc_parameters.py` names, those of use "patient" are replaced, and so is each
that it does not name. A letter that is stuffed becomes another one of those, so that the frame keeps its length on the
line. What stands outside of frames, or was cut from one, is replaced as a whole.
"""

from __future__ import annotations

import re

from adapters.formats.bcc_frames import RECORD_SEPARATOR, stuffed, unstuffed
from adapters.formats.bcc_parameters import BIT_ALARMS, BIT_STATES, FLAG_ALARMS, FLAG_STATES, PARAMETERS, Use
from adapters.formats.redaction import Redaction
from schemas.errors import FrameError

_KEPT = frozenset(
    {name for name, what in PARAMETERS.items() if what.use is not Use.PATIENT}
    | {"GNACK", "GNERR", "GNMODEL", "GNNEW"}
    | {*FLAG_ALARMS, *FLAG_STATES, *BIT_ALARMS, *BIT_STATES}
)
_NO_VALUES = (b"", b"_NV", b"_NA")
_FRAME = re.compile(rb"\x01(\d{5})\x02([^\x01-\x04\x17>]*>)([^\x01-\x04\x17]*)([\x03\x17])(\d{5})\x04")
_REQUEST = re.compile(rb"(?:MEM:GET|ADMIN:[A-Z]{1,10})")


def redact_bcc(stream: bytes, redaction: Redaction) -> bytes:
    """The frames of a stream without who they are about, stuffed or not."""
    out: list[bytes] = []
    at = 0
    for match in _FRAME.finditer(stream):
        out += (redaction.replace(stream[at : match.start()], "outside of frames"), _frame(match, redaction))
        at = match.end()
    out.append(redaction.replace(stream[at:], "outside of frames"))
    return b"".join(out)


def _frame(match: re.Match[bytes], redaction: Redaction) -> bytes:
    """A frame with its check made anew, if it was right before."""
    frame = match[0]
    is_stuffed = len(frame) != int(match[1])
    try:
        plain = unstuffed(frame) if is_stuffed else frame
    except FrameError:  # nobody can read it
        return (
            frame[: match.start(3) - match.start()]
            + redaction.replace(match[3], "a frame that cannot be read")
            + (frame[match.end(3) - match.start() :])
        )
    found = _FRAME.fullmatch(plain)
    if found is None:
        return redaction.replace(frame, "a frame that cannot be read")
    information = RECORD_SEPARATOR.join(_quadruple(part, redaction) for part in found[3].split(RECORD_SEPARATOR))
    begin = plain[: found.start(3)] + information + found[4]
    is_right = sum(plain[:-6]) % 256 == int(found[5])
    check = b"%05d" % (sum(begin) % 256) if is_right else found[5]
    clean = begin + check + plain[-1:]
    return stuffed(clean) if is_stuffed else clean


def _quadruple(part: bytes, redaction: Redaction) -> bytes:
    """Time, address and parameter stay; a part that has no value (the version, a request of ours) stays whole."""
    fields = part.split(b",", 3)
    if len(fields) < 3:
        return part if _REQUEST.fullmatch(part) else redaction.replace(part, "a parameter that cannot be read")
    name = fields[2].decode("latin-1")
    if len(fields) == 4 and name not in _KEPT and fields[3].rstrip(b"\r") not in _NO_VALUES:
        fields[3] = _as_long_on_the_line(fields[3], redaction.replace(fields[3], name))
    return b",".join(fields)


def _as_long_on_the_line(before: bytes, after: bytes) -> bytes:
    """Of the letters that are stuffed, as many as before and in the same places."""
    out = bytearray(after)
    for at, (old, new) in enumerate(zip(before, after, strict=True)):
        letters = b"DE" if old in b"DE" else b"de"
        if old in b"DEde" and new not in b"DEde":
            out[at] = letters[new % 2]
        elif old not in b"DEde" and new in b"DEde":
            out[at] = new + 2  # F, G, f or g
    return bytes(out)
