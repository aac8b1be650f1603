"""GE / Datex-Ohmeda S/5, CARESCAPE B450/B650/B850 and B40 monitors on their serial port: Datex Record Interface (DRI).

"S/5 System Interface, Datex-Ohmeda Record Specification" 8005313 (12th edition, 2020) and "S/5 Computer Interface
Specification" M1017617 (12th edition, 2020). Displayed values of the basic and the first extended class, waveforms, and
on CARESCAPE monitors alarms. 19200 bit/s, 8 data bits, even parity, RTS/CTS (M1017617, page 3).

What no document says, and how it is taken here:

- The zone of the monitor's clock: values have the time of their reception unless the source's `clock` says which it is.
- Alarms have no codes: an alarm is known by its text. There are five at most, the most urgent first; one that leaves
  the five is over here. Their charset is the source's `charset`.
- NIBP, cardiac output and wedge pressure are repeated with each record: a measurement is told once, when it is new. One
  that is older than a minute as the connection begins is told once, doubtful.
- Which status bits make a value doubtful: those whose words say so; the words themselves are told when they change.
- Trends, classes ext2 and ext3, 12-lead ECG (type 22) and network records are not asked for; if they come, they are
  counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from adapters.driver import Channel, DeviceDriver, SerialSettings, Source
from adapters.formats.alarm_changes import changed_alarms
from adapters.formats.dri_groups import CLASSES, WAVE_TYPES, WAVES
from adapters.formats.dri_record import ALARM, PHDB, WAVE, DriRecord, Subrecord, read_record
from adapters.formats.dri_values import SYSTEM, GroupReading, read_class
from adapters.formats.dri_waves import DAMAGED, read_wave
from adapters.formats.moments import StatedMoment, moment_of, received
from adapters.formats.redaction import nothing_to_redact
from adapters.formats.site_rows import mapped_records
from adapters.formats.values import printable
from adapters.quality import Quality, done, exempt
from adapters.sessions.datex_dri import INTERVAL_MIN_S, REQUESTS, WAVES_MAX, DatexDriSession
from schemas.errors import FrameError
from schemas.report import (
    Alarm,
    AlarmPriority,
    AsSent,
    ChannelWords,
    Kind,
    Record,
    RecordKind,
    Report,
    Validity,
)

DISPLAYED, TREND_10_S, TREND_60_S, AUXILIARY = 1, 2, 3, 4  # subrecord types of values
VALUES_BYTES, CLASS_AT, CLASS_SHIFT = 278, 276, 8
DATA_AT, DATA_BYTES = 4, 270
ALARM_BYTES, ALARMS_AT, ALARM_STEP, ALARMS, TEXT_BYTES, COLOUR_AT = 510, 10, 98, 5, 80, 82
_PRIORITIES = {1: AlarmPriority.LOW, 2: AlarmPriority.MEDIUM, 3: AlarmPriority.HIGH}  # white, yellow, red
_SILENCES = ("none", "apnea", "asystole", "apnea and asystole", "all", "2 min", "5 min", "20 s")
_ALL_SILENT = range(4, 8)
_UNCERTAINTY_MS = 1000
WaveName = Literal[
    "ecg1", "ecg2", "ecg3", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "pleth", "pleth2", "co2", "o2", "n2o", "aa",
    "awp", "flow", "resp", "volume", "tono", "entropy", "bis",
]  # fmt: skip


class DatexDriSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one monitor."""

    device: Annotated[
        str | None, Meta(description="its identity, site:ge:serial; the port stands for it when left out")
    ] = None
    interval_s: Annotated[int, Meta(ge=INTERVAL_MIN_S, le=3600, description="displayed values every so many s")] = 5
    waves: Annotated[
        tuple[WaveName, ...],
        Meta(max_length=WAVES_MAX, description="waveforms; S/5 sends 600 samples/s at most and leaves out the last"),
    ] = ("ecg1", "pleth", "p1")
    alarms: Annotated[bool, Meta(description="ask for alarms; only CARESCAPE monitors have them")] = True
    clock: Annotated[
        Literal["none", "utc", "local"],
        Meta(description="what the monitor's clock shows; none: values have the time of their reception"),
    ] = "none"
    charset: Annotated[
        Literal["ascii", "latin-1", "utf-8", "gb18030"],
        Meta(description="of alarm texts, which the manual leaves open"),
    ] = "ascii"


def read(frame: bytes, source: Source[DatexDriSettings]) -> Sequence[Report]:
    """One frame without its flags."""
    try:
        record = read_record(frame)
    except FrameError:
        # Whatever it was, the waves behind it may have lost a stretch.
        source.memory[DAMAGED] = source.memory.get(DAMAGED, 0) + 1
        raise
    try:
        return _read_record(record, source)
    except FrameError:
        source.retract(source.take_emitted())
        raise


def _read_record(record: DriRecord, source: Source[DatexDriSettings]) -> Sequence[Report]:
    if record.main_type == PHDB:
        return _values(record, source)
    if record.main_type == WAVE:
        return _waves(record, source)
    if record.main_type == ALARM:
        return _alarms(record, source)
    raise FrameError("record-type", str(record.main_type))


def _moment(time_s: int, source: Source[DatexDriSettings]) -> StatedMoment:
    """By the monitor's clock where the source says what that shows; 0 says nothing."""
    clock = source.settings.clock
    if clock == "none":
        return received(source.received_at_us)._replace(uncertainty_ms=_UNCERTAINTY_MS)
    shown = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time_s)
    offset = "+0000" if clock == "utc" else ""
    text = f"{shown:%Y%m%d%H%M%S}{offset}" if time_s else ""
    return moment_of((("r_time", text),), source.time_zone, source.received_at_us)


# --- values -----------------------------------------------------------------------------------------------------------


def _values(record: DriRecord, source: Source[DatexDriSettings]) -> list[Report]:
    reports = _about_monitor(record, source)
    for subrecord in record.subrecords:
        if subrecord.kind != DISPLAYED:
            source.counts[f"values:{subrecord.kind}"] += 1
            continue
        reports += _displayed(subrecord, record, source)
    return reports


def _about_monitor(record: DriRecord, source: Source[DatexDriSettings]) -> list[Report]:
    """The interface's level and the monitor's id, once a connection."""
    text = f"level {record.level}, monitor {record.plug_id}"
    if source.memory.get("monitor") == text:
        return []
    source.remember_emitted("monitor", text)
    return [_moment(record.time_s, source).report(Kind.EVENT, _claim(source), (_text("monitor", text),))]


def _displayed(subrecord: Subrecord, record: DriRecord, source: Source[DatexDriSettings]) -> list[Report]:
    if len(subrecord.data) < VALUES_BYTES:
        raise FrameError("length", "displayed values")
    number = int.from_bytes(subrecord.data[CLASS_AT : CLASS_AT + 2], "little") >> CLASS_SHIFT & 0xF
    if number not in CLASSES:
        source.counts[f"class:{number}"] += 1
        return []
    groups = read_class(number, subrecord.data[DATA_AT : DATA_AT + DATA_BYTES], record.level)
    moment = _moment(int.from_bytes(subrecord.data[:4], "little"), source)
    _remember_labels(groups, source)
    records = mapped_records((each for group in groups for each in _told_once(group, source)), source)
    claim = _claim(source)
    reports = []
    words = _new_words(groups, source)
    if words:
        reports.append(moment.report(Kind.EVENT, claim, words))
    described = _described(records, source)
    if described:
        reports.append(moment.report(Kind.DESCRIPTION, claim, described))
    if records:
        reports.append(moment.report(Kind.METRIC, claim, moment.noted(records)))
    return reports


def _remember_labels(groups: Iterable[GroupReading], source: Source[DatexDriSettings]) -> None:
    """What pressures and ECG channels are of, for their waves."""
    labels: dict[str, str] = source.memory.setdefault("labels", {})
    for group in groups:
        labels[group.name] = group.label
        for channel, lead in enumerate(group.leads, 1):
            labels[f"ECG{channel}"] = lead


def _told_once(group: GroupReading, source: Source[DatexDriSettings]) -> tuple[Record, ...]:
    """The records of a group; of a single measurement, which is repeated, only where it is a new one."""
    if group.is_old is None:
        return group.records
    key = f"measurement {group.name}"
    before = source.memory.get(key)
    now = (group.is_old, tuple((r.validity, r.mantissa) for r in group.records))
    if now == before or (group.is_old and before is not None):
        if now != before:
            source.remember_emitted(key, now)
        return ()
    source.remember_emitted(key, now)
    if not group.is_old:
        return group.records
    return tuple(
        r if r.validity is Validity.NOT_AVAILABLE
        else replace(r, validity=Validity.QUESTIONABLE, note="measured more than 60 s before")
        for r in group.records
    )  # fmt: skip


def _new_words(groups: Iterable[GroupReading], source: Source[DatexDriSettings]) -> tuple[Record, ...]:
    """Status and label of each group where they have changed; at first, where they say something."""
    records = []
    for group in groups:
        key = f"status {group.name}"
        if source.memory.get(key, "") != group.words:
            source.remember_emitted(key, group.words)
            records.append(_text(f"{group.name} status", group.words or "none"))
    return tuple(records)


def _described(records: Iterable[Record], source: Source[DatexDriSettings]) -> tuple[Record, ...]:
    """The words of channels that this connection has not told."""
    known: frozenset[object] = source.memory.get("channels", frozenset())
    new: dict[object, Record] = {}
    for record in records:
        key = record.code or record.as_sent, record.channel
        if record.channel and key not in known:
            text = msgspec.json.encode(ChannelWords(label=_CHANNELS[record.channel])).decode()
            new[key] = Record(
                record.code, record.unit, record.channel, RecordKind.TEXT, text=text, as_sent=record.as_sent
            )
    if new:
        source.remember_emitted("channels", known | new.keys())
    return tuple(new.values())


# --- waveforms --------------------------------------------------------------------------------------------------------


def _waves(record: DriRecord, source: Source[DatexDriSettings]) -> list[Report]:
    """A report for each wave, as received: the record's clock counts whole seconds."""
    claim = _claim(source)
    labels: dict[str, str] = source.memory.get("labels", {})
    reports = []
    for subrecord in record.subrecords:
        found = read_wave(subrecord, labels, source)
        if found is None:
            continue
        records = mapped_records((found.record,), source)
        described = _described(records, source)
        if described:
            reports.append(source.report(Kind.DESCRIPTION, described, claim=claim))
        reports.append(source.report(Kind.WAVEFORM, records, claim=claim, began_us=found.began_us))
    return reports


# --- alarms -----------------------------------------------------------------------------------------------------------


def _alarms(record: DriRecord, source: Source[DatexDriSettings]) -> list[Report]:
    """The alarms that have begun, changed or ended since the last record, on whatever connection."""
    reports: list[Report] = []
    for subrecord in record.subrecords:
        if subrecord.kind != 1:
            source.counts[f"alarms:{subrecord.kind}"] += 1
            continue
        if len(subrecord.data) < ALARM_BYTES:
            raise FrameError("length", "alarms")
        moment = _moment(record.time_s, source)
        silence = int.from_bytes(subrecord.data[8:10], "little")
        changed = changed_alarms(_shown(subrecord.data, silence, source), source, _claim(source))
        if changed:
            records = [
                Record(kind=RecordKind.ALARM, as_sent=AsSent(SYSTEM, "alarm"), alarm=alarm) for _, alarm in changed
            ]
            reports.append(moment.report(Kind.ALARM, _claim(source), records))
        sound = _sound(subrecord.data, silence, source)
        if sound:
            reports.append(moment.report(Kind.EVENT, _claim(source), sound))
    return reports


def _shown(data: bytes, silence: int, source: Source[DatexDriSettings]) -> dict[str, Alarm]:
    """The alarms that are shown, by their text."""
    found: dict[str, Alarm] = {}
    for at in range(ALARMS_AT, ALARMS_AT + ALARMS * ALARM_STEP, ALARM_STEP):
        colour = int.from_bytes(data[at + COLOUR_AT : at + COLOUR_AT + 2], "little")
        shown = data[at : at + TEXT_BYTES].partition(b"\0")[0]
        text = printable(shown.decode(source.settings.charset, "surrogateescape").strip())
        if text and colour:
            priority = _PRIORITIES.get(colour, AlarmPriority.UNKNOWN)
            alarm = Alarm(text, priority=priority, audio_paused=silence in _ALL_SILENT, text=text)
            found.setdefault(text, alarm)
    return found


def _sound(data: bytes, silence: int, source: Source[DatexDriSettings]) -> tuple[Record, ...]:
    """Whether alarms sound, and what is silenced, where it has changed."""
    word = _SILENCES[silence] if silence < len(_SILENCES) else str(silence)
    text = f"sound {'on' if any(data[2:4]) else 'off'}, silenced: {word}"
    if source.memory.get("sound") == text:
        return ()
    source.remember_emitted("sound", text)
    return (_text("alarm sound", text),)


# ----------------------------------------------------------------------------------------------------------------------


def _claim(source: Source[DatexDriSettings]) -> str:
    return source.claim(source.settings.device)


def _text(name: str, text: str) -> Record:
    return Record(kind=RecordKind.TEXT, text=text, as_sent=AsSent(SYSTEM, name))


def _session(settings: DatexDriSettings) -> DatexDriSession:
    types = bytes(WAVE_TYPES[name] for name in settings.waves)
    return DatexDriSession(settings.interval_s, types, alarms=settings.alarms)


_VALUES = [value for groups in CLASSES.values() for group in groups for value in group.values]
_CHANNELS = {
    ChannelWords(label=label).number: label
    for label in {value.channel for value in _VALUES} | {wave.channel for wave in WAVES.values()}
    if label
}
_CODED = (
    *(Channel(value.name, value.code, value.unit) for value in _VALUES if value.code),
    *(Channel(wave.name, wave.code, wave.unit) for wave in WAVES.values() if wave.code),
)

DRIVER = DeviceDriver(
    name="datex_dri",
    title="GE / Datex-Ohmeda S/5 and CARESCAPE monitor, serial interface (DRI)",
    manual="S/5 Record Specification 8005313 and Computer Interface Specification M1017617, 12th editions",
    settings=DatexDriSettings,
    read=read,
    session=_session,
    channels=_CODED,
    serial=SerialSettings(19200, parity="E", flow_control="rts-cts"),
    has_local_times=lambda settings: settings.clock == "local",
    requests=REQUESTS,
    quality=Quality(
        numerics=done("basic and ext1; ext2 and ext3 are not asked for"),
        waves=done("24 types of one rate; 12-lead ECG is not asked for"),
        alarms=done(
            "text, priority, silence; CARESCAPE alone, five at most; status bits (asystole, arrhythmia) are events"
        ),
        settings=exempt("the interface tells no settings"),
        clock=done("where the source says what it shows: no document states its zone"),
        no_reading=done("special values and inactive modules"),
        disconnect=done("silence: everything is asked for again"),
    ),
    redact=nothing_to_redact,
)
