"""The file of the last 24 hours: a fixed slot for each channel, so that it never grows and nothing is rewritten whole.

Slot 0 holds the state of the agent, each other one a channel: a text of JSON with its length and checksum (where its
form changes MAGIC does), and after it a ring of the lowest and highest value of each five minutes. It is written
without waiting for the disk: after a power cut the last seconds may be missing, and a torn text fails its checksum.
"""

from __future__ import annotations

import os
import struct
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from schemas.errors import VitalwireError

FILE_NAME = "downtime.history"  # in the spool's folder
MAGIC = b"VWDOWN01"
SLOT_BYTES, TEXT_BYTES = 4096, 640
BUCKET_S, BUCKETS = 300, 288
DAY_S = BUCKET_S * BUCKETS
READ_TRIES, RETRY_S = 5, 0.002  # the agent may be writing the text that is read
_HEAD = struct.Struct("<II")  # length and CRC-32 of a text
_BUCKET = struct.Struct("<Iff")  # number of the five minutes since 1970, lowest, highest
_RING_BYTES = _BUCKET.size * BUCKETS
assert TEXT_BYTES + _RING_BYTES == SLOT_BYTES

Band = tuple[float, float]


class SourceNote(msgspec.Struct, frozen=True):
    """A source that does not stand."""

    name: str
    why: str


class HistoryState(msgspec.Struct, frozen=True):
    """How the agent stood when it wrote last. Moments are microseconds since 1970; None: not known, or never.

    `broker_away_since_us` is None while a broker is reached. `omitted` counts values of channels that found no slot.
    """

    written_at_us: int = 0
    edge: str = ""
    broker_away_since_us: int | None = None
    last_receipt_at_us: int | None = None
    omitted: int = 0
    troubled: tuple[SourceNote, ...] = ()


class Series(msgspec.Struct, array_like=True):
    """One channel of a device, and its last value: mantissa x 10^exponent as sent.

    `bed` is what the sender claims, "" for nothing. `name` is the sender's own word where `code` is 0.
    """

    claim: str
    source: str
    code: int
    unit: int
    channel: int
    name: str = ""
    unit_as_sent: str = ""
    label: str = ""
    bed: str = ""
    at_us: int = 0
    received_at_us: int = 0
    validity: int = 0
    marks: int = 0
    mantissa: int = 0
    exponent: int = 0


@dataclass(frozen=True)
class SlotChange:
    """What is new of a slot: its text, and the bands by the number of their five minutes; `is_new`: another channel."""

    slot: int
    series: Series
    bands: Mapping[int, Band]
    is_new: bool


class RingFile:
    """Opened by the one who writes; what is no such file begins anew. Raises OSError."""

    def __init__(self, path: Path, slots: int) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.pread(self._file, len(MAGIC), 0) != MAGIC:
                os.ftruncate(self._file, 0)
            os.ftruncate(self._file, SLOT_BYTES * (slots + 1))  # a hole until something is written there
        except OSError:
            os.close(self._file)
            raise

    def close(self) -> None:
        """Let go of it."""
        os.close(self._file)

    def series(self) -> Iterator[tuple[int, Series]]:
        """What is in it, by slot; torn ones are not."""
        return _series_of(self._file)

    def state(self) -> HistoryState:
        """What was written last; that of the very beginning where there is none."""
        return _read_state(self._file) or HistoryState()

    def write(self, erased: list[int], changes: list[SlotChange], state: HistoryState) -> None:
        """Erase slots, and write others. Raises OSError; it can be tried again.

        The state last: whoever reads it knows that the rest was there.
        """
        for slot in erased:
            os.pwrite(self._file, bytes(SLOT_BYTES), slot * SLOT_BYTES)
        for change in changes:
            self._write_change(change)
        content = _encoded(state, SLOT_BYTES - len(MAGIC))
        if content is None:
            content = _encoded(msgspec.structs.replace(state, troubled=()), SLOT_BYTES - len(MAGIC))
        if content is not None:
            os.pwrite(self._file, MAGIC + content, 0)

    def _write_change(self, change: SlotChange) -> None:
        begin = change.slot * SLOT_BYTES
        text = _encoded(change.series, TEXT_BYTES)
        if text is None:
            return
        if change.is_new:  # nothing of the channel before may be taken for this one's
            os.pwrite(self._file, bytes(SLOT_BYTES), begin)
        for number, (low, high) in change.bands.items():
            place = begin + TEXT_BYTES + number % BUCKETS * _BUCKET.size
            kept = os.pread(self._file, _BUCKET.size, place)
            if len(kept) == _BUCKET.size:
                kept_number, kept_low, kept_high = _BUCKET.unpack(kept)
                if kept_number == number:
                    low, high = min(low, kept_low), max(high, kept_high)
            os.pwrite(self._file, _BUCKET.pack(number, low, high), place)
        os.pwrite(self._file, text, begin)


class HistoryReader:
    """Reads beside the agent that writes. Raises VitalwireError where there is nothing to read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise VitalwireError(
                f"{path} cannot be read ({error.strerror}): the agent makes it, if it ran with [downtime] enabled"
            ) from None

    def __enter__(self) -> HistoryReader:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def state(self) -> HistoryState:
        """How the agent stood when it wrote last."""
        found = _read_state(self._file)
        if found is not None:
            return found
        raise VitalwireError(f"{self._path} holds nothing yet, or is damaged: the agent writes it anew within seconds")

    def series(self) -> list[tuple[int, Series]]:
        """Each channel with its slot."""
        return list(_series_of(self._file))

    def bands(self, slot: int) -> dict[int, Band]:
        """The bands of a channel, by the number of their five minutes; older ones may be among them."""
        ring = os.pread(self._file, _RING_BYTES, slot * SLOT_BYTES + TEXT_BYTES)
        whole = ring[: len(ring) // _BUCKET.size * _BUCKET.size]
        return {number: (low, high) for number, low, high in _BUCKET.iter_unpack(whole) if number}


def _read_state(file: int) -> HistoryState | None:
    for _ in range(READ_TRIES):
        content = os.pread(file, SLOT_BYTES, 0)
        text = _text(content[len(MAGIC) :]) if content[: len(MAGIC)] == MAGIC else None
        if text is not None:
            try:
                return msgspec.json.decode(text, type=HistoryState)
            except msgspec.MsgspecError:
                return None
        time.sleep(RETRY_S)
    return None


def _series_of(file: int) -> Iterator[tuple[int, Series]]:
    for slot in range(1, os.fstat(file).st_size // SLOT_BYTES):
        found = _read_series(file, slot)
        if found is not None:
            yield slot, found


def _read_series(file: int, slot: int) -> Series | None:
    for _ in range(READ_TRIES):
        content = os.pread(file, TEXT_BYTES, slot * SLOT_BYTES)
        if not any(content[: _HEAD.size]):
            return None
        text = _text(content)
        if text is not None:
            try:
                return msgspec.json.decode(text, type=Series)
            except msgspec.MsgspecError:
                return None
        time.sleep(RETRY_S)
    return None


def _encoded(what: msgspec.Struct, bytes_max: int) -> bytes | None:
    """None: it does not fit."""
    text = msgspec.json.encode(what)
    return None if _HEAD.size + len(text) > bytes_max else _HEAD.pack(len(text), zlib.crc32(text)) + text


def _text(content: bytes) -> bytes | None:
    """None: it is torn."""
    if len(content) < _HEAD.size:
        return None
    length, checksum = _HEAD.unpack_from(content)
    text = content[_HEAD.size : _HEAD.size + length]
    return text if len(text) == length and zlib.crc32(text) == checksum else None
