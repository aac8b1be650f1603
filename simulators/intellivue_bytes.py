"""The bytes of Philips' Data Export: types, headers, association messages and the frame of its serial port (MIB).

Data Export Interface Programming Guide rev. G.0 (4535 642 59271), pages as noted; the association's headers and the
serial frame as the public readers mdpnp (Intellivue.java, FCSOutputStream) and VSCaptureMP write them. All integers are
big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import datetime

NOT_A_NUMBER = 0x7FFFFF  # mantissa, p. 40
ROIV, RORS, ROER, ROLRS = 1, 2, 3, 5
CONFIRMED_EVENT, GET, CONFIRMED_SET, CONFIRMED_ACTION = 1, 3, 5, 7
REQUEST, ACCEPT, REFUSE, RELEASE_REQUEST, RELEASE_RESPONSE, ABORT = 0x0D, 0x0E, 0x0C, 0x09, 0x0A, 0x19
TRAILER = bytes(16)

_SESSION_DATA = bytes.fromhex("0508130100160102800014020002")
_ACCEPT_HEADER = bytes.fromhex(
    "3180A0808001010000A280A003000001A58030808001008102510100003080800100810C2A8648CE14020100000002010000000061803080"
    "020101A0806180A180060C2A8648CE14020100000003010000A203020100A305A103020100BE80288002010281"
)
_USER_INFO_MARKS = (  # what stands before it in a request; in an answer, as it is here and as others have it
    bytes.fromhex("BE802880060C2A8648CE140201000000010102010281"), bytes.fromhex("BE80288002010281"),
    bytes.fromhex("BE80288081"),
)  # fmt: skip
RELEASE_RESPONSE_BYTES = bytes.fromhex("0A18C11661803080020101A0806380800100") + bytes(8)
ABORT_BYTES = bytes.fromhex("192E110103C129A080A0803080020101060251010000000061803080020101A0806480800101") + bytes(10)
# The guide's reasons were not seen: only the parameter 32 01 00 is.
REFUSE_BYTES = bytes.fromhex("0C03320100")


class ShortError(Exception):
    """A message ends before what it announces."""


class Reader:
    """Takes integers and bytes from the front; ShortError where there are too few."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def left(self) -> int:
        """Bytes not taken yet."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if count > self.left:
            raise ShortError
        self._at += count
        return self._data[self._at - count : self._at]

    def u16(self) -> int:
        """The next two bytes."""
        return int.from_bytes(self.take(2), "big")

    def u32(self) -> int:
        """The next four bytes."""
        return int.from_bytes(self.take(4), "big")

    def li(self) -> int:
        """A length of session and presentation: one byte, or FF and two."""
        first = self.take(1)[0]
        return self.u16() if first == 0xFF else first

    def asn_length(self) -> int:
        """ASN.1's: one byte below 80, else 80 + how many follow."""
        first = self.take(1)[0]
        return int.from_bytes(self.take(first & 0x7F), "big") if first & 0x80 else first

    def attributes(self) -> dict[int, bytes]:
        """An AttributeList."""
        count, inner = self.u16(), Reader(self.take(self.u16()))
        found = {}
        for _ in range(count):
            attribute = inner.u16()
            found[attribute] = inner.take(inner.u16())
        return found


def u16(*values: int) -> bytes:
    """Two bytes each."""
    return struct.pack(f">{len(values)}H", *values)


def u32(*values: int) -> bytes:
    """Four bytes each."""
    return struct.pack(f">{len(values)}I", *values)


def float_type(text: str | None) -> bytes:
    """FLOAT (p. 40): exponent in one byte, mantissa in three; NaN for None. "36.5" is FF 00 01 6D."""
    if text is None:
        return u32(NOT_A_NUMBER)
    whole, _, decimals = text.partition(".")
    return struct.pack(">b", -len(decimals)) + int(whole + decimals).to_bytes(3, "big", signed=True)


def absolute_time(at: datetime | None) -> bytes:
    """Eight BCD bytes from the century down, the fraction zero; all FF where there is none."""
    return bytes.fromhex(f"{at:%Y%m%d%H%M%S}00") if at else b"\xff" * 8


def string(text: str) -> bytes:
    """String: UTF-16 with a zero at its end, behind its length in bytes."""
    return variable(f"{text}\0".encode("utf-16-be"))


def variable(data: bytes) -> bytes:
    """Bytes behind their length (VariableLabel)."""
    return u16(len(data)) + data


def counted(items: Sequence[bytes]) -> bytes:
    """A list: how many, how many bytes, and they."""
    joined = b"".join(items)
    return u16(len(items), len(joined)) + joined


def ava(attribute: int, value: bytes) -> bytes:
    """An attribute in a list."""
    return u16(attribute, len(value)) + value


def managed_object(cls: int, context: int = 0, handle: int = 0) -> bytes:
    """ManagedObjectId."""
    return u16(cls, context, handle)


def operation(invoke: int, command: int, body: bytes) -> bytes:
    """What follows the header of a remote operation."""
    return u16(invoke, command, len(body)) + body


def message(kind: int, body: bytes) -> bytes:
    """A data message: session and presentation, the operation's kind, its length."""
    return u16(0xE100, 2, kind, len(body)) + body


def linked(state: int, count: int, body: bytes) -> bytes:
    """A linked result (p. 58): `state` 1 first, 2 between, 3 last; a RORS follows."""
    return message(ROLRS, bytes((state, count & 0xFF)) + body)


def error(invoke: int, code: int) -> bytes:
    """A ROER without a parameter."""
    return message(ROER, u16(invoke, code, 0))


def _li(length: int) -> bytes:
    return bytes([length]) if length < 0xFF else b"\xff" + u16(length)


def _asn_length(length: int) -> bytes:
    return bytes([length]) if length < 0x80 else b"\x82" + u16(length)


def accept(user_info: bytes) -> bytes:
    """The association's answer (p. 67-73). Its session data is taken to be the request's, as no source shows it."""
    body = _ACCEPT_HEADER + _asn_length(len(user_info)) + user_info + TRAILER
    session = _SESSION_DATA + b"\xc1" + _li(len(body)) + body
    return bytes([ACCEPT]) + _li(len(session)) + session


def user_info_of(request: bytes) -> bytes:
    """MDSEUserInfoStd of a request or an answer; ShortError where it has none."""
    for mark in _USER_INFO_MARKS:
        _, found, rest = request.partition(mark)
        if found:
            reader = Reader(rest)
            return reader.take(reader.asn_length())
    raise ShortError


def fcs(data: bytes) -> int:
    """CRC-16/X.25, sent with its low byte first."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x8408 if crc & 1 else crc >> 1
    return crc ^ 0xFFFF


_BOF, _EOF, _ESCAPE, _ESCAPED_XOR = 0xC0, 0xC1, 0x7D, 0x20


def mib_frame(payload: bytes) -> bytes:
    """The frame of the serial port: C0, header 11 01 and length, payload, FCS, C1; escaped between them."""
    inner = b"\x11\x01" + u16(len(payload)) + payload
    inner += fcs(inner).to_bytes(2, "little")
    escaped = bytearray([_BOF])
    for byte in inner:
        escaped += bytes((_ESCAPE, byte ^ _ESCAPED_XOR)) if byte in (_BOF, _EOF, _ESCAPE) else bytes((byte,))
    return bytes(escaped) + bytes([_EOF])


class MibReader:
    """Payloads from the bytes of a serial line; a frame that is cut, aborted or wrong is none."""

    def __init__(self) -> None:
        self._frame: bytearray | None = None
        self._escaped = False

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that these bytes complete."""
        payloads = []
        for byte in data:
            if byte == _BOF:
                self._frame, self._escaped = bytearray(), False
            elif self._frame is None:
                continue
            elif byte == _EOF:  # after an escape it aborts the frame
                if not self._escaped and (payload := _payload(bytes(self._frame))) is not None:
                    payloads.append(payload)
                self._frame = None
            elif byte == _ESCAPE:
                self._escaped = True
            else:
                self._frame.append(byte ^ _ESCAPED_XOR if self._escaped else byte)
                self._escaped = False
        return payloads


def _payload(inner: bytes) -> bytes | None:
    head, payload, sent = inner[:4], inner[4:-2], inner[-2:]
    right = head == b"\x11\x01" + u16(len(payload) & 0xFFFF) and fcs(inner[:-2]) == int.from_bytes(sent, "little")
    return payload if right else None
