"""Masimo pulse oximeters on a serial port: ASCII 1, a line a second (Radical-7, Rad-8, Rad-87, Rad-57).

Operator's manuals Rad-87 (7-4) and Rad-8 (4-24: exceptions), and lines that public receivers recorded of a Rad-8 and of
two Radical-7; 9600 8N1. A line has a time, then names with values, and ends in one of two ways:

    MM/dd/yy HH:mm:ss SN=0000093112 SPO2=097% BPM=072 PI=02.10% ... ALARM=0000 EXC=000800
    MM/dd/yy HH:mm:ss SN=---------- SPO2=098% BPM=123 PI=00.55 ... ALARM=000000 EXC=0000C00 EXC1=00000000

Dashes are no reading; of saturation and pulse rate 0 is none either. Ten bits of the exceptions are told; what the
others and those of ALARM and EXC1 mean is told nowhere: they are alarms named by their bit. There is no checksum.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from adapters.driver import Channel, DeviceDriver, SerialSettings, Source
from adapters.formats.alarm_changes import changed_alarms
from adapters.formats.moments import moment_of
from adapters.formats.redaction import nothing_to_redact
from adapters.formats.site_rows import mapped_records
from adapters.formats.values import scaled
from adapters.quality import Quality, done, exempt
from adapters.sessions.lines import LineSession
from schemas.errors import FrameError
from schemas.report import Alarm, AlarmKind, AsSent, Kind, Record, RecordKind, Report, Validity

SYSTEM = "Masimo"
SPO2 = Channel("SPO2", 150456, 262688)  # MDC_PULS_OXIM_SAT_O2, MDC_DIM_PERCENT
PULSE_RATE = Channel("BPM", 149530, 264864)  # MDC_PULS_OXIM_PULS_RATE, MDC_DIM_BEAT_PER_MIN
PERFUSION = Channel("PI", 150488, 262688)  # MDC_BLD_PERF_INDEX, MDC_DIM_PERCENT
CHANNELS = {channel.name: channel for channel in (SPO2, PULSE_RATE, PERFUSION)}
# Units of values without a standard code: code and the device's own word.
_UNITS = {"SPCO": (262688, "%"), "SPMET": (262688, "%"), "PVI": (262688, "%"), "SPHB": (264256, "g/dL")}
_NEVER_ZERO = ("SPO2", "BPM")

_LINE = re.compile(
    rb"(\d\d)/(\d\d)/(\d\d) (\d\d):(\d\d):(\d\d) SN=([0-9A-Za-z-]{1,20}) ((?:[A-Z][A-Z0-9]{1,9}= *[^ =]{0,12} +)+)"
    rb"(?:ALARM=([0-9A-F]{4}) EXC=([0-9A-F]{6})|ALARM=([0-9A-F]{6}) EXC=([0-9A-F]{7}) EXC1=([0-9A-F]{8})) *"
)
_PAIR = re.compile(rb"([A-Z][A-Z0-9]*)= *([^ =]*)(?= |$)")
_DASHES = re.compile(r"[+-]?[-.]*%?")
_SET_ACTIVE = 0x800  # "Masimo SET": normal
_EXCEPTIONS = {
    0x001: "no sensor", 0x002: "defective sensor", 0x004: "low perfusion", 0x008: "pulse search",
    0x010: "interference", 0x020: "sensor off", 0x040: "ambient light", 0x080: "unrecognized sensor",
    0x400: "low signal IQ",
}  # fmt: skip
_NO_SIGNAL = 0x001 | 0x002 | 0x020 | 0x080
_DOUBTFUL = 0x004 | 0x008 | 0x010 | 0x040 | 0x400


class MasimoSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one oximeter."""

    device: Annotated[
        str | None,
        Meta(description="its identity, site:masimo:serial; when left out its serial number, else the port"),
    ] = None


def read(frame: bytes, source: Source[MasimoSettings]) -> Sequence[Report]:
    """One line, without its end."""
    match = _LINE.fullmatch(frame)
    if match is None:
        raise FrameError("not-a-reading", f"{len(frame)} bytes")
    month, day, year, hour, minute, second, serial, pairs, alarm_4, exc_6, alarm_6, exc_7, exc1 = match.groups()
    stated = b"20" + year + month + day + hour + minute + second
    moment = moment_of((("time", stated.decode("ascii")),), source.time_zone, source.received_at_us)
    exceptions = int(exc_6 or exc_7, 16)
    sent = {name.decode("ascii"): value.decode("ascii", "surrogateescape") for name, value in _PAIR.findall(pairs)}
    records = mapped_records((_record(name, text, exceptions) for name, text in sent.items()), source)
    claim = _claim(serial.decode("ascii"), source)
    reports = [moment.report(Kind.METRIC, claim, moment.noted(records))]
    present = _present(int(alarm_4 or alarm_6, 16), exceptions, int(exc1 or b"0", 16))
    alarms = [
        Record(SPO2.code, SPO2.unit, kind=RecordKind.ALARM, alarm=each)
        for _, each in changed_alarms(present, source, claim)
    ]
    if alarms:
        reports.append(moment.report(Kind.ALARM, claim, alarms))
    return reports


def _claim(serial: str, source: Source[MasimoSettings]) -> str:
    if source.settings.device or not serial.strip("-0"):
        return source.claim(source.settings.device)
    return f"{source.name}/SN={serial}"


def _record(name: str, sent: str, exceptions: int) -> Record:
    """A value by its name; a number, no reading, or what else stands there."""
    channel = CHANNELS.get(name)
    unit, word = _UNITS.get(name, (0, "%" if sent.endswith("%") else ""))
    code, unit = (channel.code, channel.unit) if channel else (0, unit)
    as_sent = None if channel else AsSent(SYSTEM, name, word)
    parts = scaled(sent.removesuffix("%"))
    if parts is None and not _DASHES.fullmatch(sent):
        text = sent.encode("ascii", "surrogateescape").decode("ascii", "backslashreplace")
        return Record(code, unit, kind=RecordKind.TEXT, text=text, as_sent=as_sent)
    is_zero = parts is not None and parts[0] == 0
    if parts is None or (is_zero and (name in _NEVER_ZERO or exceptions & _NO_SIGNAL)):
        return Record(code, unit, validity=Validity.NOT_AVAILABLE, as_sent=as_sent)
    mantissa, exponent = parts
    return Record(code, unit, validity=_validity(exceptions), mantissa=mantissa, exponent=exponent, as_sent=as_sent)


def _validity(exceptions: int) -> Validity:
    if exceptions & _NO_SIGNAL:
        return Validity.INVALID
    return Validity.QUESTIONABLE if exceptions & _DOUBTFUL else Validity.VALID


def _present(alarm: int, exceptions: int, more: int) -> dict[str, Alarm]:
    """An alarm for each bit that is set."""
    present: dict[str, Alarm] = {}
    for field, bits in (("ALARM", alarm), ("EXC", exceptions & ~_SET_ACTIVE), ("EXC1", more)):
        for place in range(bits.bit_length()):
            bit = 1 << place
            if bits & bit:
                words = _EXCEPTIONS.get(bit, "") if field == "EXC" else ""
                condition = f"{field} {bit:X}"
                kind = AlarmKind.TECHNICAL if words else AlarmKind.UNKNOWN
                present[condition] = Alarm(condition, kind=kind, text=words)
    return present


DRIVER = DeviceDriver(
    name="masimo",
    title="Masimo pulse oximeter, ASCII 1, a line a second",
    manual="Operator's manuals Rad-87 (7-4) and Rad-8 (4-24)",
    settings=MasimoSettings,
    read=read,
    session=lambda settings: LineSession(),
    channels=(SPO2, PULSE_RATE, PERFUSION),
    serial=SerialSettings(9600),
    has_local_times=lambda _: True,
    quality=Quality(
        numerics=done("whatever a line names; what has no standard code under its own name"),
        waves=exempt("ASCII 1 has none"),
        alarms=done("exceptions in words, alarm bits by their number: no document tells their meaning"),
        settings=exempt("ASCII 1 has none"),
        clock=done("local, two digits of the year"),
        no_reading=done("dashes, and zero of saturation and pulse rate"),
        disconnect=done("a port that is gone is told and opened again"),
    ),
    redact=nothing_to_redact,
)
