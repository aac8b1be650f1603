"""What a TLS client offers, read out of its first message (RFC 8446 sections 4.1.2, 4.2.1, 5.1; RFC 5246 7.4.1.2)."""

from __future__ import annotations

from schemas.errors import FrameError

HANDSHAKE, CLIENT_HELLO, SUPPORTED_VERSIONS = 22, 1, 43
VERSIONS = {0x0300: "SSL 3.0", 0x0301: "1.0", 0x0302: "1.1", 0x0303: "1.2", 0x0304: "1.3"}
RECORD_HEAD, RANDOM_BYTES = 5, 32


def is_hello(data: bytes) -> bool:
    """Whether a stream begins with a TLS handshake."""
    return len(data) >= 3 and data[0] == HANDSHAKE and data[1] == 3


def offered_version(data: bytes) -> str:
    """The newest version that is offered ("1.2"), "" where that cannot be read (yet)."""
    try:
        found = _versions(_Reader(data))
    except FrameError:
        return ""
    return VERSIONS[max(found)] if found else ""


class _Reader:
    """Numbers and vectors, one after the other; raises FrameError at the end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, size: int) -> bytes:
        if self._at + size > len(self._data):
            raise FrameError("cut-off", f"{len(self._data)} bytes")
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def vector(self, size_bytes: int) -> bytes:
        return self.take(self.number(size_bytes))

    @property
    def is_at_end(self) -> bool:
        return self._at >= len(self._data)


def _versions(record: _Reader) -> set[int]:
    record.take(RECORD_HEAD)
    if record.number(1) != CLIENT_HELLO:
        return set()
    hello = _Reader(record.vector(3))
    newest_before_1_3 = hello.number(2)
    hello.take(RANDOM_BYTES)
    hello.vector(1)  # session
    hello.vector(2)  # cipher suites
    hello.vector(1)  # compression
    found = {newest_before_1_3}
    if not hello.is_at_end:
        extensions = _Reader(hello.vector(2))
        while not extensions.is_at_end:
            kind, body = extensions.number(2), extensions.vector(2)
            if kind == SUPPORTED_VERSIONS:
                listed = _Reader(body).vector(1)
                found = {int.from_bytes(listed[at : at + 2]) for at in range(0, len(listed), 2)}
    return found & VERSIONS.keys()
