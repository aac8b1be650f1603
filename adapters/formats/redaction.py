"""Taking identifiers out of recorded bytes: what a driver says of its format (`DeviceDriver.redact`).

A redactor gets the bytes of one direction of one connection and gives as many: each letter and digit of an identifier
is another one of its kind, and all else stays in its place. So the pieces of a recording keep their lengths, and the
bytes can be read as before. Equal texts become equal ones under one key: two patients stay two.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from adapters.formats.recording import Direction, Entry

_UPPER, _LOWER, _DIGITS = (text.encode() for text in (string.ascii_uppercase, string.ascii_lowercase, string.digits))
_BLOCK_BYTES = 64
_BINARY_MAX = 0x7C  # nothing above it: a serial line would escape it


@dataclass
class Redaction:
    """Replaces texts, and counts by field ("PID-5") how many were replaced; `key` is to be random and to be lost."""

    key: bytes
    removed: Counter[str] = field(default_factory=Counter)

    def replace(self, text: bytes, name: str) -> bytes:
        """As many bytes: letters and digits are others, bytes above 7F are X; the rest stays as it is."""
        replaced = self._replaced(text)
        if replaced != text:
            self.removed[name] += 1
        return replaced

    def replace_binary(self, data: bytes, name: str) -> bytes:
        """As many bytes of an identifier that is no text, all from 01 to 7C; what is all 00 or all FF says nothing."""
        if not data.strip(b"\0") or not data.strip(b"\xff"):
            return data
        self.removed[name] += 1
        return bytes(byte % _BINARY_MAX + 1 for byte in self._stream(data)[: len(data)])

    def _stream(self, text: bytes) -> bytes:
        """At least as many bytes, which the text and the key determine."""
        return b"".join(
            blake2b(text + block.to_bytes(4), key=self.key).digest() for block in range(len(text) // _BLOCK_BYTES + 1)
        )

    def _replaced(self, text: bytes) -> bytes:
        stream = self._stream(text)
        out = bytearray(text)
        for i, byte in enumerate(text):
            if byte in _UPPER:
                out[i] = _UPPER[stream[i] % len(_UPPER)]
            elif byte in _LOWER:
                out[i] = _LOWER[stream[i] % len(_LOWER)]
            elif byte in _DIGITS:
                out[i] = _DIGITS[stream[i] % len(_DIGITS)]
            elif byte >= 0x80:
                out[i] = ord("X")
        return bytes(out)


Redactor = Callable[[bytes, Redaction], bytes]


def redacted(entries: Iterable[Entry], redactor: Redactor, redaction: Redaction) -> list[Entry]:
    """The entries of a recording with the bytes of each connection and direction as the redactor leaves them."""
    kept = list(entries)
    of_stream: dict[tuple[int, Direction], list[int]] = {}
    for index, entry in enumerate(kept):
        if entry.direction is not Direction.NOTE:
            of_stream.setdefault((entry.connection, entry.direction), []).append(index)
    for indices in of_stream.values():
        stream = redactor(b"".join(kept[index].data for index in indices), redaction)
        at = 0
        for index in indices:
            end = at + len(kept[index].data)
            kept[index] = replace(kept[index], data=stream[at:end])
            at = end
    return kept


def nothing_to_redact(stream: bytes, redaction: Redaction) -> bytes:
    """Of a format that has no place for an identifier of a person."""
    return stream
