"""Identifiers in ASTM E1394 records (CLSI LIS02-A2), and the checksums of the frames that carry them (LIS01-A2).

Which fields of a record stay; every other one is replaced, and so is every field of a record that is not listed.
"""

from __future__ import annotations

import re

from adapters.formats.redaction import Redaction

_ALL = frozenset(range(1, 100))
_KEPT: dict[str, frozenset[int]] = {
    "H": _ALL, "L": _ALL,
    "P": frozenset({1, 2, 9}),  # sex
    "O": frozenset({1, 2, 5, 6, 7, 8, 12, 15, 16, 23, 26}),
    "R": frozenset({*range(1, 11), 12, 13, 14}),
    "C": frozenset({1, 2, 3, 5}),
}  # fmt: skip
_SEX_BYTES_MAX = 1
# STX, frame number, text, ETX or ETB, two digits of the checksum, CR, LF.
_FRAME = re.compile(rb"\x02([0-7])([^\x02\x03\x17]*)([\x03\x17])([0-9A-Fa-f]{2})(?=\r)")
_FRAME_TEXT_AT = 2


def redact_astm(stream: bytes, redaction: Redaction) -> bytes:
    """The messages of a stream without who they are about; records without frames around them too."""
    frames = list(_FRAME.finditer(stream))
    out = bytearray(stream)
    if not frames:
        return _records(stream, redaction)
    # A record may go on in the next frame: the texts are looked at together, and put back to where they were.
    text = _records(b"".join(match[2] for match in frames), redaction)
    at = 0
    for match in frames:
        begin, end = match.span(2)
        out[begin:end] = text[at : at + end - begin]
        at += end - begin
        if _checksum(match[1] + match[2] + match[3]) == match[4].upper():
            out[match.start(4) : match.end(4)] = _checksum(match[1] + bytes(out[begin:end]) + match[3])
    return bytes(out)


def _checksum(text: bytes) -> bytes:
    return b"%02X" % (sum(text) & 0xFF)


def _records(text: bytes, redaction: Redaction) -> bytes:
    separator = b"|"
    records = re.split(rb"([\r\n]+)", text)
    for i in range(0, len(records), 2):
        record = records[i]
        if re.match(rb"H[^A-Za-z0-9\s]", record):
            separator = record[1:2]
        if record:
            records[i] = _record(record, separator, redaction)
    return b"".join(records)


def _record(record: bytes, separator: bytes, redaction: Redaction) -> bytes:
    fields = record.split(separator)
    letter = fields[0].decode("latin-1")
    kept = _KEPT.get(letter, frozenset({1, 2}))
    for number in range(2, len(fields) + 1):
        is_moved = letter == "P" and number == 9 and len(fields[8]) > _SEX_BYTES_MAX
        if number not in kept or is_moved:
            fields[number - 1] = redaction.replace(fields[number - 1], f"{letter}-{number}")
    return separator.join(fields)
