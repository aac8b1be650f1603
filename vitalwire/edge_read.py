"""`vitalwire edge read`: what stored frames would say, and what their sender would get. Nothing is sent or kept.

The same session, driver, mapping and validation as on the wire: the way to try a mapping before it goes live.
"""

from __future__ import annotations

import re
import sqlite3
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import typer

from adapters.devices.hl7_adt import CLAIM_PREFIX
from adapters.devices.registry import DRIVER_BY_NAME
from adapters.driver import DeviceDriver, Source
from adapters.session import Moment, Outcome, Piece, Session
from adapters.sessions.mllp import wrap
from edge_agent import duplicates
from edge_agent.agent import read_frame
from edge_agent.config import Link, MqttLink, SerialLink, SourceConfig, TcpLink, UdpLink
from edge_agent.delivery import Delivery
from edge_agent.duplicates import Duplicates, Sending
from edge_agent.sources import SourcePlan, load_edge, plan_source, site_mappings
from schemas.batch import encode_report, table_of
from schemas.block import ValidationResult
from schemas.errors import ConfigError
from schemas.nomenclature import METRIC_BY_CODE, UNIT_BY_CODE
from schemas.report import (
    COMPARATOR_BITS,
    COMPARATORS,
    ChannelWords,
    ClockQuality,
    Kind,
    Mark,
    Record,
    RecordKind,
    Report,
    Validity,
)
from stream_processors.validation import validate_table
from vitalwire.adt_read import adt_rows
from vitalwire.output import as_json, console, table
from vitalwire.record import Json

NAME = "read"  # of the source, where none is named: claims of devices begin with it
_CLOCKS = {ClockQuality.DEVICE: "device", ClockQuality.RECEIVED: "received", ClockQuality.DOUBTFUL: "doubtful"}
_BOUNDS = {int(marks): sign for sign, marks in COMPARATORS.items()}
_MSA_1 = re.compile(rb"MSA.([A-Z]{2})")
_CONTROLS = {b"\x06": "ACK", b"\x15": "NAK"}


class ReadRecord(msgspec.Struct, frozen=True):
    """One value as it would be read; `value` and `unit` are as sent, null where there is none."""

    metric: str | None
    code: str
    channel: int
    value: int | float | None
    bound: str | None
    unit: str | None
    validity: str
    verdict: str
    text: str | None
    marks: tuple[str, ...] = ()


class ReadReport(msgspec.Struct, frozen=True):
    """One report; `observed_at` is null where the frame gives no time that can be read."""

    kind: str
    device: str
    observed_at: str | None
    clock: str
    duplicate: bool
    records: tuple[ReadRecord, ...]


class ReadFrame(msgspec.Struct, frozen=True):
    """One frame: what its sender would be answered ("" for nothing), and why it would be rejected ("" if it is not)."""

    frame: str
    answer: str
    reason: str
    reports: tuple[ReadReport, ...]


@dataclass
class Reader:
    """One connection: its session, what its driver remembers, and the frames that came before."""

    plan: SourcePlan

    def __post_init__(self) -> None:
        """Nothing is kept: what tells a repeat lies in memory."""
        make_session = self.plan.driver.session
        self.source: Source[Any] = self.plan.source("file")
        self.session: Session | None = make_session(self.plan.settings) if make_session else None
        db = sqlite3.connect(":memory:", isolation_level=None)
        db.executescript(duplicates.SCHEMA)
        self._duplicates = Duplicates(db)
        self._count = 0
        if self.session is not None:
            self.session.opened(_now())

    def frames(self, name: str, data: bytes) -> Iterator[ReadFrame]:
        """The frames that a file holds: a stream as the session cuts it, or one frame."""
        for piece in self._pieces(data):
            yield self._frame(name, piece)

    def _pieces(self, data: bytes) -> Sequence[Piece]:
        if self.session is None:
            self._count += 1
            return [Piece(data, token=self._count)]
        if self.plan.driver.name.startswith("hl7") and b"\x0b" not in data:
            data = wrap(data.rstrip(b"\x1c\r\n"))
        step = self.session.feed(data, _now())
        if any(not piece.reason for piece in step.pieces):
            return step.pieces
        left = self.session.closed(True, _now())
        self.session.opened(_now())
        return [piece for piece in (*step.pieces, *left.pieces) if not piece.reason] or [Piece(data)]

    def _frame(self, name: str, piece: Piece) -> ReadFrame:
        now_us = _now().utc_us
        delivery = Delivery(
            piece.data, self.source, now_us, piece.reason,
            sender=self.source.name, connection=1, token=piece.token, answered=piece.answered,
        )  # fmt: skip
        outcome, reason, reports = read_frame(self.plan, delivery)
        duplicate = not reason and bool(reports) and self._is_duplicate(Sending.of(delivery, reports), now_us)
        self.source.take_emitted()
        labels: Labels = self.source.lasting.setdefault("read labels", {})
        found = () if reason else tuple(reports_as_read(reports, labels, duplicate=duplicate))
        return ReadFrame(name, self._answer(piece, outcome, reason), reason, found)

    def _is_duplicate(self, sending: Sending, now_us: int) -> bool:
        self._duplicates.begin([sending], now_us)
        found = self._duplicates.is_duplicate(sending, now_us)
        self._duplicates.remember(sending, now_us)
        self._duplicates.write(now_us)
        return found

    def _answer(self, piece: Piece, outcome: Outcome, reason: str) -> str:
        if self.session is None or piece.token is None:
            return "PUBACK" if self.session is None else ""
        sent = self.session.kept(piece.token, outcome, reason, _now()).send
        codes = [code.decode() for code in _MSA_1.findall(sent)]
        return " ".join(codes) or _CONTROLS.get(sent, sent.hex(" "))


def _now() -> Moment:
    return Moment(time.monotonic(), time.time_ns() // 1000)


Labels = dict[tuple[int, int], str]  # by code and channel, what a sender calls it


def reports_as_read(reports: Sequence[Report], labels: Labels, *, duplicate: bool = False) -> Iterator[ReadReport]:
    """As `validate` would see them; `labels` is kept up to date."""
    if not reports:
        return
    validated = validate_table(
        table_of([bytes(encode_report(r, bytes(16), bytes(32))) for r in reports]), np.zeros(len(reports))
    )
    validation_results = iter(validated.validation_results.tolist())
    for report in reports:
        if report.kind is Kind.DESCRIPTION:
            labels |= {
                (r.code, r.channel): msgspec.json.decode(r.text, type=ChannelWords).label
                for r in report.records
                if isinstance(r.text, str)
            }
    for report in reports:
        timed = report.clock_quality is ClockQuality.DEVICE or report.observed_at_us != report.received_at_us
        at = datetime.fromtimestamp(report.observed_at_us / 1e6, UTC).isoformat() if timed else None
        records = tuple(_record(r, ValidationResult(next(validation_results)), labels) for r in report.records)
        yield ReadReport(report.kind.name.lower(), report.claim, at, _CLOCKS[report.clock_quality], duplicate, records)


def _record(r: Record, verdict: ValidationResult, labels: dict[tuple[int, int], str]) -> ReadRecord:
    metric, unit = METRIC_BY_CODE.get(r.code), UNIT_BY_CODE.get(r.unit)
    there = r.kind in (RecordKind.NUMERIC, RecordKind.BOUND) and r.validity is not Validity.NOT_AVAILABLE
    if isinstance(r.text, bytes):
        text: str | None = r.text.decode("utf-8", "backslashreplace")
    elif r.alarm is not None:
        text = f"{r.alarm.condition} {r.alarm.state.name.lower()} {r.alarm.text}".strip()
    elif r.samples is not None:
        text = f"{r.samples.count} samples at {r.samples.rate_numerator / r.samples.rate_denominator:g} Hz"
    else:
        text = r.text if r.note is None else "; ".join(filter(None, (r.text, r.note)))
    return ReadRecord(
        metric=metric.reference_id if metric else None,
        code=r.as_sent.code if r.as_sent else labels.get((r.code, r.channel), "") or (str(r.code) if r.code else ""),
        channel=r.channel,
        value=_number(r.mantissa, r.exponent) if there else None,
        bound=_BOUNDS.get(int(r.marks & COMPARATOR_BITS)),
        unit=unit.ucum if unit else None,
        validity=r.validity.name.lower().replace("_", "-"),
        verdict=verdict.slug,
        text=text,
        marks=tuple(mark.name.lower() for mark in Mark if mark & r.marks & ~COMPARATOR_BITS and mark.name),
    )


def _number(mantissa: int, exponent: int) -> int | float:
    """As JSON writes it; exact where the number has no fraction."""
    return mantissa * 10**exponent if 0 <= exponent < 19 else float(Decimal(mantissa).scaleb(exponent))


Files = Annotated[list[Path], typer.Argument(help="stored frames, in the order in which they came")]
Driver = Annotated[str, typer.Option(help="one of " + ", ".join(DRIVER_BY_NAME))]
Mapping = Annotated[Path | None, typer.Option(help="the site's mapping file, also one that is not in use yet")]
Settings = Annotated[
    list[str] | None, typer.Option(help="the driver's settings as TOML, one or more: 'dialect = \"mindray-pds\"'")
]
Config = Annotated[Path | None, typer.Option(help="an edge's configuration, with --source")]
SourceName = Annotated[str, typer.Option("--source", help="a source in it; alone: the sender that the rows name")]
Zone = Annotated[str, typer.Option(help="zone of times that state none: Asia/Shanghai")]
JsonLines = Annotated[bool, typer.Option("--json", help="one object a frame, a line each")]


def read(
    files: Files,
    driver: Driver = "",
    mapping: Mapping = None,
    settings: Settings = None,
    config: Config = None,
    source: SourceName = "",
    time_zone: Zone = "",
    json: JsonLines = False,
) -> None:
    """What stored frames would say: vitalwire edge read *.hl7 --driver hl7_oru --mapping site.toml.

    Shows device, channel, value, unit, verdict, and the answer that the sender would get. Nothing is sent or kept; the
    frames of one call are one connection, in order.
    """
    reader = Reader(described_plan(driver, mapping, settings or [], config, source, time_zone))
    for path in files:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
        for frame in reader.frames(str(path), data):
            if json:
                sys.stdout.write(f"{msgspec.json.encode(frame).decode()}\n")
            else:
                _show(frame)


def drivers(json: Json = False) -> None:
    """What can be read, over which links, and each driver's settings: vitalwire edge drivers."""
    if json:
        as_json([
            {"name": d.name, "title": d.title, "links": d.links, "manual": d.manual, "settings": _settings_of(d)}
            for d in DRIVER_BY_NAME.values()
        ])  # fmt: skip
        return
    rows = [(d.name, ", ".join(d.links), d.title, ", ".join(_settings_of(d))) for d in DRIVER_BY_NAME.values()]
    table("Drivers", ("driver", "links", "reads", "settings"), rows)


def _settings_of(driver: DeviceDriver[Any]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(driver.settings)]


def described_plan(
    driver: str, mapping: Path | None, settings: list[str], config: Path | None, source: str, time_zone: str
) -> SourcePlan:
    """The source that the options describe; raises ConfigError."""
    base = _configured(config, source)
    if base is not None:
        configured, mapping = base[0], mapping or base[1]
        driver = driver or configured.driver
    found = DRIVER_BY_NAME.get(driver)
    if found is None:
        raise ConfigError(f"--driver {driver!r} is none of {', '.join(DRIVER_BY_NAME)}; or name --config and --source")
    sites = site_mappings(mapping)
    senders = [name for name in sites if name]
    name = source or (senders[0] if len(senders) == 1 else NAME)
    own = _toml(settings)
    if base is None:
        return plan_source(SourceConfig(name, driver, _LINKS[found.links[0]], own, time_zone or None), sites)
    merged = {**(configured.settings if configured.driver == driver else {}), **own}
    return plan_source(
        msgspec.structs.replace(
            configured, driver=driver, settings=merged, time_zone=time_zone or configured.time_zone
        ),
        sites,
    )  # fmt: skip


def _toml(settings: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads("\n".join(settings))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"--settings is not TOML ({error}): write it like 'dialect = \"mindray-pds\"'") from None


# Nothing is opened: a link that the driver can come over.
_LINKS: dict[str, Link] = {"serial": SerialLink("/dev/null"), "tcp": TcpLink(), "mqtt": MqttLink(), "udp": UdpLink()}


def _configured(config: Path | None, name: str) -> tuple[SourceConfig, Path | None] | None:
    """A source of a configuration and the mapping in use there; None without a configuration."""
    if config is None:
        return None
    edge = load_edge(config)
    for each in edge.source:
        if each.name == name:
            return each, edge.mapping
    known = ", ".join(repr(each.name) for each in edge.source) or "no sources"
    raise ConfigError(f"--source {name!r} is none of {known} in {config}")


def _show(frame: ReadFrame) -> None:
    answer = f"answered {frame.answer}" if frame.answer else "not answered"
    why = f"; rejected: {frame.reason}" if frame.reason else ""
    console.print(f"\n{frame.frame}: {answer}{why}", markup=False, style="bold")
    for report in frame.reports:
        at = report.observed_at or "no time of its own"
        duplicate = ", a repeat: dropped" if report.duplicate else ""
        title = f"{report.kind} of {report.device} at {at} ({report.clock} clock{duplicate})"
        adt = adt_rows({r.code: r.text or "" for r in report.records}) if report.device.startswith(CLAIM_PREFIX) else []
        if adt:
            marks = sorted({mark for r in report.records for mark in r.marks})
            table(title, ("field", "value"), [*adt, *(("mark", mark) for mark in marks)])
            continue
        rows = [
            (r.metric or f"? {r.code}", f"{r.channel:08x}" if r.channel else "-", _shown(r), r.unit or "-", r.verdict,
             ", ".join(filter(None, (*r.marks, r.text if r.value is not None else "")))) for r in report.records
        ]  # fmt: skip
        table(title, ("metric", "channel", "value", "unit", "verdict", ""), rows)


def _shown(r: ReadRecord) -> str:
    return f"{r.bound or ''}{r.value}" if r.value is not None else r.text or "--"
