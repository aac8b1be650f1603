"""What a device driver is: rows, and one pure `read`.

It stands outside `devices/`, so that the contract "drivers never import each other" can name that folder whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from zoneinfo import ZoneInfo

from adapters.site import SiteMapping, scaled
from schemas.batch import encode_report
from schemas.errors import FrameError, LayoutError
from schemas.report import ClockQuality, Kind, Record, RecordKind, Report, Validity

LARGE_FRAME_BYTES = 64 * 1024  # what a smaller frame says fits a batch, whatever it says


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


@dataclass
class Source:
    """Where a frame came from, as its driver sees it: the source's settings, and the memory of one connection.

    `time_zone` is None where the config names none. `received_at_us` is set for each frame. `memory` lives as long as
    the connection: some monitors name the patient and the bed in an earlier message.
    """

    name: str
    site: SiteMapping = field(default_factory=SiteMapping)
    time_zone: ZoneInfo | None = None
    charset: str | None = None
    device_claim: str | None = None  # "site:vendor:serial", where the source is one device and declared as such
    device_field: str | None = None  # which field names the device: "OBX-18", "PV1-3", "topic", "connection", a path
    time_field: str | None = None  # MQTT JSON: path of the time, ISO 8601 or epoch milliseconds
    peer: str = ""  # "10.0.0.7" on MLLP, the topic on MQTT, the path on serial
    received_at_us: int = 0
    memory: dict[str, Any] = field(default_factory=dict)

    def claim(self, rule: str = "connection") -> str:
        """The identity of the device where nothing in the bytes gives one: as declared, else by the peer."""
        return self.device_claim or f"{self.name}/{rule}={self.peer}"

    def report(self, kind: Kind, records: Sequence[Record], *, began_us: int = 0, own_time: bool = False) -> Report:
        """What a device without a clock says, once a second: as received, or where it began `began_us` before that."""
        at = self.received_at_us
        received = ClockQuality.RECEIVED
        return Report(kind, self.claim(), at - began_us, at, received, tuple(records), None, 1000, own_time)


@dataclass(frozen=True)
class SerialSettings:
    """How a family's port is set unless the config says otherwise."""

    baud: int = 9600
    byte_size: int = 8
    parity: str = "N"
    stop_bits: float = 1


@dataclass(frozen=True)
class Piece:
    """What a framer cut from a stream: a frame, or with `reason` set bytes that are none (kept all the same)."""

    data: bytes
    reason: str = ""


class SerialFramer(Protocol):
    """Cuts a serial stream into frames; without I/O and without a clock. Any chunking gives the same pieces."""

    def feed(self, data: bytes) -> list[Piece]:
        """Pieces that are complete with these bytes."""
        ...


@dataclass(frozen=True)
class DeviceDriver:
    """A device family: its rows and its one function.

    `read` gives the reports of one frame, none where the frame says nothing that is kept apart from being received,
    or raises FrameError. It never raises anything else, whatever the bytes; what a large frame says is `fitting`.
    `framer` makes the state machine that cuts a serial stream (None: the transport frames by itself, as MLLP and MQTT
    do). `channels` is empty where the sender or the site says what comes.
    """

    name: str
    title: str
    manual: str
    transport: Literal["serial", "mllp", "mqtt"]
    channels: tuple[Channel, ...]
    read: Callable[[bytes, Source], Sequence[Report]]
    framer: Callable[[], SerialFramer] | None = None
    serial: SerialSettings | None = None


def fitting(reports: Sequence[Report], frame: bytes) -> Sequence[Report]:
    """The reports of a frame that may be a large one; FrameError where one is larger than a batch takes."""
    if len(frame) > LARGE_FRAME_BYTES:
        try:
            for report in reports:
                encode_report(report, bytes(16), bytes(32))
        except LayoutError as error:
            raise FrameError(error.reason, error.detail) from None
    return reports
