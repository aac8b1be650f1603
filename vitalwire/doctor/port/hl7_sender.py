"""What one sender of HL7 sends: its framing, its messages, the dialect that reads most of them, the codes in them.

Nothing is answered: what is looked at here stays with its sender, who sends it again when the agent listens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from adapters.devices.registry import DRIVER_BY_NAME
from adapters.driver import DeviceDriver, Source
from adapters.formats.hl7_dialects import DIALECTS
from adapters.formats.hl7v2 import header
from adapters.session import Moment, Piece
from adapters.sessions.mllp import MllpSession
from runtime.config import convert
from schemas.errors import FrameError
from schemas.nomenclature import METRIC_BY_CODE
from schemas.report import ClockQuality, Kind, Mark, Record, RecordKind, Validity
from vitalwire.doctor.port.tls_offer import is_hello, offered_version

ORU = DRIVER_BY_NAME["hl7_oru"]
PLAIN = "plain"
HEAD_BYTES = 64
NAMES_MAX = 200  # different codes that are listed


@dataclass
class DialectReading:
    """What a dialect makes of the messages."""

    read: int = 0
    values: int = 0  # with a reading
    ambiguous: int = 0
    doubtful_times: int = 0  # reports
    device_times: int = 0
    clockless: int = 0  # messages without MSH-7, as the dialect has it
    codes: Counter[str] = field(default_factory=Counter)  # as screens call them
    unmapped: Counter[str] = field(default_factory=Counter)  # those without a code of ours, as sent
    unreadable: Counter[str] = field(default_factory=Counter)  # messages, by reason
    source: Source[Any] | None = None

    @property
    def rank(self) -> tuple[int, ...]:
        """The more, the better."""
        return (
            self.read, -self.doubtful_times, self.device_times, self.clockless, -self.ambiguous, self.values,
        )  # fmt: skip


@dataclass
class HL7Sender:
    """All that came from one address. `tls_problem`: why no TLS came to stand, "" where none was tried or it stands."""

    peer: str
    clock: Callable[[], Moment]
    connections: int = 0
    bytes_heard: int = 0
    head: bytes = b""
    tls_offered: str = ""
    tls_problem: str = ""
    messages: int = 0
    unframed: Counter[str] = field(default_factory=Counter)
    senders: Counter[str] = field(default_factory=Counter)  # MSH-3 and MSH-4
    types: Counter[str] = field(default_factory=Counter)  # MSH-9
    versions: Counter[str] = field(default_factory=Counter)  # MSH-12
    dialects: dict[str, DialectReading] = field(default_factory=lambda: {name: DialectReading() for name in DIALECTS})
    _session: MllpSession = field(default_factory=MllpSession)
    _phase: str = ""

    def connected(self) -> None:
        """Once more, or for the first time."""
        self.connections += 1
        self._session = MllpSession()
        self._session.opened(self.clock())

    def feed(self, data: bytes) -> None:
        """Bytes came; those within TLS are given without it."""
        self.bytes_heard += len(data)
        self.head = (self.head + data[:HEAD_BYTES])[:HEAD_BYTES]
        step = self._session.feed(data, self.clock())
        self._phase = step.phase
        self._take(step.pieces)

    def offered(self, hello: bytes, problem: str) -> None:
        """A TLS handshake began that comes to nothing."""
        self.tls_offered = offered_version(hello) or self.tls_offered
        self.tls_problem = problem

    def disconnected(self, *, orderly: bool) -> None:
        """What is left of a frame never ends."""
        self._phase = ""
        self._take(self._session.closed(orderly, self.clock()).pieces)

    @property
    def is_in_frame(self) -> bool:
        """A message has begun and not ended."""
        return self._phase == "receiving"

    @property
    def best_dialect(self) -> str:
        """The one that reads most; the plain one where no other reads more."""
        best = max(self.dialects, key=lambda name: self.dialects[name].rank)
        return best if self.dialects[best].rank > self.dialects[PLAIN].rank else PLAIN

    @property
    def speaks_tls(self) -> bool:
        """Its first bytes are a TLS handshake."""
        return bool(self.tls_problem) or is_hello(self.head)

    def _take(self, pieces: tuple[Piece, ...]) -> None:
        for piece in pieces:
            if piece.reason:
                self.unframed[piece.reason] += 1
            else:
                self._read(piece.data)

    def _read(self, frame: bytes) -> None:
        self.messages += 1
        head = header(frame)
        if head is not None:
            fields = [*head.fields, *[""] * 13]
            self.senders["^".join(filter(None, (fields[3], fields[4])))] += 1
            self.types[fields[9]] += 1
            self.versions[fields[12]] += 1
        has_time = head is not None and len(head.fields) > 7 and head.fields[7] != ""
        for dialect, reading in self.dialects.items():
            reading.clockless += DIALECTS[dialect].clockless and not has_time
            self._read_in(dialect, reading, frame)

    def _read_in(self, dialect: str, reading: DialectReading, frame: bytes) -> None:
        """Count what the dialect makes of a message."""
        if reading.source is None:
            reading.source = _source(ORU, dialect)
        reading.source.received_at_us = self.clock().utc_us
        try:
            reports = ORU.read(frame, reading.source)
        except FrameError as error:
            reading.unreadable[error.reason] += 1
            return
        reading.source.take_emitted()
        reading.read += 1
        for report in reports:
            if report.kind is Kind.METRIC:
                reading.doubtful_times += report.clock_quality is ClockQuality.DOUBTFUL
                reading.device_times += report.clock_quality is ClockQuality.DEVICE
                _count(reading, report.records)


def _count(reading: DialectReading, records: Sequence[Record]) -> None:
    for record in records:
        if record.kind is RecordKind.TEXT:
            continue
        reading.values += record.validity is not Validity.NOT_AVAILABLE
        reading.ambiguous += bool(record.marks & Mark.AMBIGUOUS)
        metric = METRIC_BY_CODE.get(record.code)
        if record.code:
            counted, name = reading.codes, (metric.short if metric else "") or str(record.code)
        else:
            counted, name = reading.unmapped, record.as_sent.code if record.as_sent else "?"
        if name in counted or len(counted) < NAMES_MAX:
            counted[name] += 1


def _source(driver: DeviceDriver[Any], dialect: str) -> Source[Any]:
    """No time is kept here: one without its zone is read as UTC."""
    return Source("doctor", convert({"dialect": dialect}, driver.settings), time_zone=ZoneInfo("UTC"), peer="doctor")
