"""Frames and records of the GE / Datex-Ohmeda S/5 serial interface (DRI).

Documents: "S/5 Computer Interface Specification" M1017617 (12th edition, 2020), pages 3-4 for the frame; "S/5 System
Interface, Datex-Ohmeda Record Specification" 8005313 (12th edition, 2020), pages 4-6 for the header.

    7E  escaped(record, checksum)  7E     7E is sent as 7D 5E, 7D as 7D 5D; the checksum is the sum modulo 256 of the
                                          record's bytes before they are escaped

    | 0     | 2     | 3     | 4       | 6      | 10 - 13  | 14        | 16                          | 40    |
    | r_len | r_nbr | level | plug_id | r_time | reserved | main type | 8 x (offset 2, type 1)      | data  |

All integers are little-endian. The list of subrecords ends with type FF, or with its eighth entry. What the monitor
does with more than eight, and with a damaged frame, no document says.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.errors import FrameError

FLAG, ESCAPE = 0x7E, 0x7D
ESCAPED_BIT = 0x20
HEADER_BYTES = 40
DATA_BYTES_MAX = 1450
FRAME_BYTES_MAX = 2 * (HEADER_BYTES + DATA_BYTES_MAX + 1)  # where each byte is escaped
PHDB, WAVE, ALARM = 0, 1, 4  # main types
_MAIN_TYPE_AT = 14
_SUBRECORDS_AT, _SUBRECORD_BYTES, _SUBRECORDS_MAX = 16, 3, 8
_END_OF_LIST = 0xFF


@dataclass(frozen=True)
class Subrecord:
    """One part of a record's data."""

    kind: int
    data: bytes


@dataclass(frozen=True)
class DriRecord:
    """A record of the monitor; `time_s` is its own clock in seconds since 1970, of which no document says the zone."""

    number: int
    level: int
    plug_id: int
    time_s: int
    main_type: int
    subrecords: tuple[Subrecord, ...]


def framed(record: bytes) -> bytes:
    """A record with its checksum, escaped, between its flags."""
    escaped = bytearray([FLAG])
    for byte in record + bytes([sum(record) % 256]):
        if byte in (FLAG, ESCAPE):
            escaped += bytes([ESCAPE, byte & ~ESCAPED_BIT])
        else:
            escaped.append(byte)
    escaped.append(FLAG)
    return bytes(escaped)


def record_of(main_type: int, data: bytes) -> bytes:
    """A host's request: one subrecord of type 0; what is reserved is 0, and so is the level."""
    header = bytearray(HEADER_BYTES)
    header[0:2] = (HEADER_BYTES + len(data)).to_bytes(2, "little")
    header[_MAIN_TYPE_AT : _MAIN_TYPE_AT + 2] = main_type.to_bytes(2, "little")
    header[_SUBRECORDS_AT + _SUBRECORD_BYTES + 2] = _END_OF_LIST
    return bytes(header) + data


def code_of(main_type: int, begin: bytes) -> bytes:
    """What tells a request from others: main type, list of subrecords, and the begin of its data."""
    return record_of(main_type, begin)[_MAIN_TYPE_AT:]


def unescaped(frame: bytes) -> bytes:
    """The record of a frame without its flags, whose checksum holds; raises FrameError."""
    if FLAG in frame:
        raise FrameError("framing", "a flag within")
    first, *rest = frame.split(bytes([ESCAPE]))
    plain = bytearray(first)
    for part in rest:
        if not part:
            raise FrameError("escape", "an escape without its byte")
        plain.append(part[0] | ESCAPED_BIT)
        plain += part[1:]
    if len(plain) < HEADER_BYTES + 1:
        raise FrameError("length", f"{len(plain)} bytes")
    record, checksum = bytes(plain[:-1]), plain[-1]
    if sum(record) % 256 != checksum:
        raise FrameError("checksum")
    return record


def read_record(frame: bytes) -> DriRecord:
    """A frame without its flags; raises FrameError."""
    record = unescaped(frame)
    if int.from_bytes(record[0:2], "little") != len(record):
        raise FrameError("length", f"{len(record)} bytes")
    return DriRecord(
        number=record[2],
        level=record[3],
        plug_id=int.from_bytes(record[4:6], "little"),
        time_s=int.from_bytes(record[6:10], "little"),
        main_type=int.from_bytes(record[_MAIN_TYPE_AT : _MAIN_TYPE_AT + 2], "little"),
        subrecords=_subrecords(record),
    )


def _subrecords(record: bytes) -> tuple[Subrecord, ...]:
    data = record[HEADER_BYTES:]
    kinds: list[int] = []
    starts: list[int] = []
    for number in range(_SUBRECORDS_MAX):
        at = _SUBRECORDS_AT + number * _SUBRECORD_BYTES
        kind = record[at + 2]
        if kind == _END_OF_LIST:
            break
        kinds.append(kind)
        starts.append(int.from_bytes(record[at : at + 2], "little"))
    ends = [*starts[1:], len(data)] if starts else []
    if any(start > end for start, end in zip(starts, ends, strict=True)):
        raise FrameError("offsets")
    return tuple(Subrecord(k, data[a:b]) for k, a, b in zip(kinds, starts, ends, strict=True))
