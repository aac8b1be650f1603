"""What a device driver is: rows, settings, and one pure `read`.

It stands outside `devices/`, so that the contract "drivers never import each other" can name that folder whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from adapters.formats.redaction import Redactor
from adapters.formats.values import scaled, text_record
from adapters.quality import Quality, Request
from adapters.session import Session
from adapters.site import Rows, SiteMapping
from schemas.batch import encode_report
from schemas.errors import FrameError, LayoutError
from schemas.report import ClockQuality, Kind, Lane, Record, RecordKind, Report, Validity

LARGE_FRAME_BYTES = 64 * 1024  # what a smaller frame says fits a batch, whatever it says
_LANE_OF_KIND = {Kind.WAVEFORM: Lane.WAVEFORM}
_ABSENT = object()
_ONCE = "emitted once"  # in `lasting`: the connection's memory in which a key stands
EMITTED_ONCE_MAX = 20_000  # things of a source; beyond it the oldest are told once more

S = TypeVar("S", bound=msgspec.Struct)


@dataclass(frozen=True)
class Channel:
    """One thing a device says: its own name for it, and ours (MDC codes of metric and unit)."""

    name: str
    code: int
    unit: int

    def record(self, value: str | int | None, validity: Validity = Validity.VALID) -> Record:
        """The value as the device writes it, None where it has no reading; FrameError where it is no number."""
        if value is None:
            return Record(self.code, self.unit, validity=Validity.NOT_AVAILABLE)
        if (parts := scaled(str(value))) is None:
            raise FrameError("not-a-number", self.name)
        return Record(self.code, self.unit, 0, RecordKind.NUMERIC, validity, *parts)


@dataclass(frozen=True)
class Emitted:
    """What a driver remembers of what it emitted with one frame: key, the value before, the value now."""

    changes: Sequence[tuple[str, Any, Any]] = ()


_NOTHING = Emitted()


@dataclass
class Source(Generic[S]):
    """Where a frame came from, as its driver sees it: the source's settings, and what is remembered of it.

    `time_zone` is None where the configuration names none. `received_at_us` is set for each frame. `memory` lives as
    long as the connection (some monitors name patient and bed in an earlier message), `lasting` as long as the agent,
    for all connections of the source. `counts` holds what the driver counts by name ("segment:ZXX"); the agent adds
    them up and empties it.
    """

    name: str
    settings: S
    site: SiteMapping = field(default_factory=SiteMapping)
    time_zone: ZoneInfo | None = None
    peer: str = ""  # "10.0.0.7" on TCP, the topic on MQTT, the path on a serial port
    received_at_us: int = 0
    memory: dict[str, Any] = field(default_factory=dict)
    lasting: dict[str, Any] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    _emitted: list[tuple[str, Any, Any]] = field(default_factory=list)

    def claim(self, declared: str | None = None, rule: str = "connection") -> str:
        """The identity of the device where nothing in the bytes gives one: as declared, else by the peer."""
        return declared or f"{self.name}/{rule}={self.peer}"

    def report(
        self, kind: Kind, records: Sequence[Record], *, claim: str, began_us: int = 0, own_time: bool = False
    ) -> Report:
        """What a device without a clock says, once a second: as received, or where it began `began_us` before that."""
        at = self.received_at_us
        lane = _LANE_OF_KIND.get(kind, Lane.LIVE)
        return Report(
            kind, claim, at - began_us, at, ClockQuality.RECEIVED, tuple(records),
            uncertainty_ms=1000, own_time=own_time, lane=lane,
        )  # fmt: skip

    @property
    def rows(self) -> Rows:
        """The site's rows as they are applied to this source, on all its connections."""
        found: Rows | None = self.lasting.get("rows")
        if found is None or found.site is not self.site:
            found = self.lasting["rows"] = Rows(self.site)
        return found

    def ambiguous_rows(self, claim: str) -> list[Report]:
        """An event `mapping-ambiguous` for each of the site's rows that is not applied any more, once."""
        reports = []
        for row, (first, second) in self.rows.ambiguous.items():
            key = f"ambiguous {row}"
            if self.emitted_once(key) is None:
                self.remember_emitted(key, row, once=True)
                text = f"{row} is not applied: it came as {first!r} and as {second!r}; give each a row with its text"
                record = text_record("vitalwire", "mapping-ambiguous", text)
                at_us = self.received_at_us
                reports.append(Report(Kind.EVENT, claim, at_us, at_us, ClockQuality.RECEIVED, (record,)))
        return reports

    def emitted_once(self, key: str) -> Any:
        """What was remembered under the key with `once`, on whatever connection, and not taken back."""
        memories = self.lasting.get(_ONCE)
        memory = memories.get(key) if memories else None
        return memory.get(key) if memory else None

    def remember_emitted(self, key: str, value: object, *, once: bool = False) -> None:
        """Keep in `memory` what a report of this frame tells; it is taken back where the frame could not be kept.

        `once`: it holds for all connections of the source (`emitted_once`).
        """
        if once:
            memories = self.lasting.setdefault(_ONCE, {})
            if key not in memories and len(memories) >= EMITTED_ONCE_MAX:
                del memories[next(iter(memories))]
            memories[key] = self.memory
        self._emitted.append((key, self.memory.get(key, _ABSENT), value))
        self.memory[key] = value

    def take_emitted(self) -> Emitted:
        """What the frame just read changed in `memory`; the agent keeps it until the frame is kept."""
        if not self._emitted:  # most frames emit nothing that is remembered
            return _NOTHING
        emitted, self._emitted = Emitted(self._emitted), []
        return emitted

    def retract(self, emitted: Emitted) -> None:
        """The frame could not be kept: what it told is told again, unless a later frame has changed it since."""
        for key, before, now in reversed(emitted.changes):
            if self.memory.get(key, _ABSENT) is not now:
                continue
            if before is _ABSENT:
                del self.memory[key]
            else:
                self.memory[key] = before


@dataclass(frozen=True)
class SerialSettings:
    """How a family's port is set unless the configuration says otherwise."""

    baud: int = 9600
    data_bits: int = 8
    parity: str = "N"
    stop_bits: float = 1
    flow_control: str = "none"  # or "rts-cts", "xon-xoff", "dsr-dtr"


class NoSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a driver that needs none."""


@dataclass(frozen=True)
class DeviceDriver(Generic[S]):
    """A device family: its rows and its one function.

    `read` gives the reports of one frame, none where the frame says nothing that is kept apart from being received,
    or raises FrameError. It never raises anything else, whatever the bytes; what a large frame says is `fitting`.
    `session` makes the protocol of one connection (None: its messages come whole, over MQTT). `settings` is the struct
    that `[source.settings]` is decoded into. `channels` is empty where the sender or the site says what comes.
    """

    name: str
    title: str
    manual: str
    settings: type[S]
    read: Callable[[bytes, Source[S]], Sequence[Report]]
    session: Callable[[S], Session] | None = None
    channels: tuple[Channel, ...] = ()
    serial: SerialSettings | None = None  # set where the family speaks on a serial port
    datagrams: bool = False  # over UDP alone: each message is a datagram, which its session is fed by itself
    # Whether its messages may carry times without their zone: then the source has to name one.
    has_local_times: Callable[[S], bool] = lambda _: False
    # False: it speaks when something happens, so that its silence says nothing.
    speaks_regularly: bool = True
    # Of frames that it could not read.
    rejected_lane: Lane = Lane.LIVE
    # Everything that its session sends beside acknowledgements; empty: it only listens.
    requests: tuple[Request, ...] = ()
    # What it carries of the device, aspect by aspect (`vitalwire devices --quality`).
    quality: Quality | None = None
    # Takes identifiers of persons out of recorded bytes; None: nobody has said where they stand, so nothing is guessed.
    redact: Redactor | None = None

    @property
    def links(self) -> tuple[str, ...]:
        """The links that can carry it."""
        if self.session is None:
            return ("mqtt",)
        if self.datagrams:
            return ("udp",)
        return ("serial", "tcp") if self.serial else ("tcp",)


def fitting(
    reports: Sequence[Report], frame: bytes, source: Source[Any], *, outgrows_frame: bool = False
) -> Sequence[Report]:
    """The reports of a frame that may be a large one; FrameError where one is larger than a batch takes.

    Then nothing of the frame was emitted. `outgrows_frame`: those of a small frame may be too large as well.
    """
    if outgrows_frame or len(frame) > LARGE_FRAME_BYTES:
        try:
            for report in reports:
                encode_report(report, bytes(16), bytes(32))
        except LayoutError as error:
            source.retract(source.take_emitted())
            raise FrameError(error.reason, error.detail) from None
    return reports
