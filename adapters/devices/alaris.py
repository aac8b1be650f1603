"""Alaris and Asena syringe pumps (GH, CC, TIVA) on their serial port: what the pump answers to queries.

No document of the maker was seen. What is here is what two public readers have alike: mdpnp (Asena.java, and the
simulator SingleSimAlaris.java) and infupy (alaris.py).

    INF     serial ^ alarm, "-" none ^ mode ^ rate ^ unit ^ (empty) ^ volume infused ^ unit ^ pressure ^ unit ^
            time left, "24+" more than a day ^ type of log entry ^ its number
    ALARM   AL_NOALM or the alarm ^ ^           INF_RATE, INF_VI, INF_VTBI   value ^ unit
    SYRINGE_STATUS   maker ^ size ^ CONF        others: words

There is no time on the line. Which words alarms and modes have, their priorities, and how an error is answered is not
told by either: words are kept as they come, and an answer that is not known is refused (and kept). A time left is read
as hours and minutes, since more than a day is "24+". A value that is empty or "-" is no reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from adapters.driver import Channel, DeviceDriver, SerialSettings, Source
from adapters.formats.alaris_frames import read_reply
from adapters.formats.alarm_changes import changed_alarms
from adapters.formats.redaction import nothing_to_redact
from adapters.formats.site_rows import mapped_records
from adapters.formats.values import printable, scaled, text_record
from adapters.quality import Quality, done, exempt
from adapters.sessions.alaris import REQUESTS, AlarisSession
from schemas.errors import FrameError
from schemas.report import Alarm, AsSent, Kind, Mark, Record, RecordKind, Report, Validity

SYSTEM = "Alaris"
CLAIM_CHARS_MAX = 250
RATE = Channel("rate", 157784, 265266)  # MDC_FLOW_FLUID_PUMP, MDC_DIM_MILLI_L_PER_HR
VOLUME_INFUSED = Channel("volume infused", 157864, 263762)  # MDC_VOL_FLUID_DELIV, MDC_DIM_MILLI_L
VOLUME_TO_BE_INFUSED = Channel("volume to be infused", 157884, 263762)  # MDC_VOL_FLUID_TBI
TIME_LEFT = Channel("time left", 157916, 264352)  # MDC_TIME_PD_REMAIN, MDC_DIM_MIN
_PRESSURE = "pressure"  # has no standard code
_UNIT_OF_CHANNEL = {265266: "ml/h", 263762: "ml"}
_VALUES = {"INF_RATE": RATE, "INF_VI": VOLUME_INFUSED, "INF_VTBI": VOLUME_TO_BE_INFUSED}
_WORDS = ("COMMS_PROTOCOL", "COMMS_RESPONSE_MAX", "INF_RATE_MAX_SYRINGE", "INST_SERIALNO")
_NO_READINGS = ("", "-")
_NO_ALARMS = ("", "-", "AL_NOALM")
_MINUTES_A_DAY = 24 * 60
_TIME_LEFT = re.compile(r"([0-9]{1,3}):([0-5][0-9])")
_INF_FIELDS = 13
_SERIAL, _HAS_ALARM_REPLY = "serial", "has ALARM"  # in the connection's memory


class AlarisSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one pump."""

    device: Annotated[
        str | None, Meta(description="its identity, site:alaris:serial; its serial number stands for it when left out")
    ] = None
    poll_s: Annotated[float, Meta(ge=0.5, le=60, description="how often it is asked")] = 2.0


AlarisSource = Source[AlarisSettings]


@dataclass(frozen=True)
class _Infusion:
    """The fields of INF in their order."""

    serial: str
    alarm: str
    mode: str
    rate: str
    rate_unit: str
    unnamed: str
    volume: str
    volume_unit: str
    pressure: str
    pressure_unit: str
    time_left: str
    log_type: str
    log_number: str


def read(frame: bytes, source: AlarisSource) -> Sequence[Report]:
    """One answer."""
    name, fields = read_reply(frame)
    if name == "INF":
        return _infusion(fields, source)
    if name == "ALARM" and fields:
        source.memory[_HAS_ALARM_REPLY] = True
        return _alarms(fields[0].strip(), " ".join(filter(None, (each.strip() for each in fields[1:]))), source)
    if name in _VALUES and fields:
        record = _value(_VALUES[name], fields[0], fields[1] if len(fields) > 1 else "")
        return (source.report(Kind.METRIC, mapped_records((record,), source), claim=_claim(source)),)
    if name == "SYRINGE_STATUS" and fields:
        words = zip(("maker", "size", "state"), fields, strict=False)
        return _once(name, Kind.SETTING, [text_record(SYSTEM, f"{name} {each}", word) for each, word in words], source)
    if name in _WORDS and fields:
        if name == "INST_SERIALNO":
            _remember_serial(fields[0], source)
        return _once(name, Kind.SETTING, [text_record(SYSTEM, name, " ".join(fields))], source)
    raise FrameError("unsupported-type", printable(name)[:20])


def _remember_serial(sent: str, source: AlarisSource) -> None:
    serial = printable(sent.strip())[:CLAIM_CHARS_MAX]
    if serial not in _NO_READINGS:
        source.memory[_SERIAL] = serial


def _claim(source: AlarisSource) -> str:
    serial = source.memory.get(_SERIAL)
    if source.settings.device or not serial:
        return source.claim(source.settings.device)
    return f"{source.name}/serial={serial}"


def _once(key: str, kind: Kind, records: Iterable[Record], source: AlarisSource) -> list[Report]:
    """What holds until it changes is told when it does, and at a connection's start."""
    now = tuple(records)
    claim = _claim(source)
    if source.memory.get(f"{key} {claim}") == now:
        return []
    source.remember_emitted(f"{key} {claim}", now)
    return [source.report(kind, now, claim=claim)]


def _infusion(fields: list[str], source: AlarisSource) -> list[Report]:
    if len(fields) != _INF_FIELDS:
        raise FrameError("length", f"{len(fields)} fields of INF")
    infusion = _Infusion(*(each.strip() for each in fields))
    _remember_serial(infusion.serial, source)
    records = [
        _value(RATE, infusion.rate, infusion.rate_unit),
        _value(VOLUME_INFUSED, infusion.volume, infusion.volume_unit),
        _own(_PRESSURE, infusion.pressure, infusion.pressure_unit),
        _time_left(infusion.time_left),
    ]
    log = f"{infusion.log_type} {infusion.log_number}".strip()
    if log:
        records.append(text_record(SYSTEM, "log", log))
    reports = [source.report(Kind.METRIC, mapped_records(records, source), claim=_claim(source))]
    for name, word in (("mode", infusion.mode), ("INF field 6", infusion.unnamed)):
        if word:
            reports += _once(name, Kind.EVENT, [text_record(SYSTEM, name, word)], source)
    if not source.memory.get(_HAS_ALARM_REPLY):
        reports += _alarms(infusion.alarm, "", source)
    return reports


def _alarms(word: str, more: str, source: AlarisSource) -> list[Report]:
    """The alarm that is present; what was present before and is no more has ended."""
    condition = printable(word)
    present = {} if condition in _NO_ALARMS else {condition: Alarm(condition=condition, text=printable(more))}
    claim = _claim(source)
    changed = changed_alarms(present, source, f"alarms {claim}")
    records = [
        Record(kind=RecordKind.ALARM, as_sent=AsSent(SYSTEM, name[:CLAIM_CHARS_MAX]), alarm=alarm)
        for name, alarm in changed
    ]
    return [source.report(Kind.ALARM, records, claim=claim)] if records else []


# --- values -----------------------------------------------------------------------------------------------------------


def _value(channel: Channel, sent: str, unit: str) -> Record:
    """Under the standard code where its unit is the usual one, else under the pump's own name and unit."""
    if unit.strip().lower() != _UNIT_OF_CHANNEL[channel.unit] and sent.strip() not in _NO_READINGS:
        return _own(channel.name, sent, unit)
    return _number(Record(channel.code, channel.unit), channel.name, sent)


def _own(name: str, sent: str, unit: str) -> Record:
    return _number(Record(as_sent=AsSent(SYSTEM, name, printable(unit.strip()))), name, sent)


def _number(record: Record, name: str, sent: str) -> Record:
    if sent.strip() in _NO_READINGS:
        return msgspec.structs.replace(record, validity=Validity.NOT_AVAILABLE)
    parts = scaled(sent.strip())
    if parts is None:
        return text_record(SYSTEM, name, sent)
    return msgspec.structs.replace(record, mantissa=parts[0], exponent=parts[1])


def _time_left(sent: str) -> Record:
    if sent == "24+":
        return Record(
            TIME_LEFT.code, TIME_LEFT.unit, kind=RecordKind.BOUND, mantissa=_MINUTES_A_DAY, marks=Mark.GREATER
        )
    match = _TIME_LEFT.fullmatch(sent)
    if match is None:
        return TIME_LEFT.record(None) if sent in _NO_READINGS else text_record(SYSTEM, TIME_LEFT.name, sent)
    return TIME_LEFT.record(60 * int(match[1]) + int(match[2]))


DRIVER = DeviceDriver(
    name="alaris",
    title="Alaris and Asena syringe pumps (GH, CC, TIVA), reads alone",
    manual="no maker's document was seen; mdpnp (Asena.java) and infupy (alaris.py), where they agree",
    settings=AlarisSettings,
    read=read,
    session=lambda settings: AlarisSession(poll_s=settings.poll_s),
    channels=(RATE, VOLUME_INFUSED, VOLUME_TO_BE_INFUSED, TIME_LEFT),
    serial=SerialSettings(38400),
    requests=REQUESTS,
    quality=Quality(
        numerics=done("rate, volumes, pressure, time left"),
        waves=exempt("pumps have none"),
        alarms=done("the pump's own word, begin and end; no priority is sent"),
        settings=done("syringe, serial number, highest rate"),
        clock=exempt("no time is on the line"),
        no_reading=done("an empty field or a dash"),
        disconnect=done("a query without an answer is repeated, and then the next one is asked; counted"),
    ),
    redact=nothing_to_redact,
)
