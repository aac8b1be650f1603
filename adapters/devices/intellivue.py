"""Philips IntelliVue patient monitors over their Data Export, on a LAN (UDP) and on the MIB/RS-232 port.

"Data Export Interface Programming Guide" rev G.0; messages are drawn in `adapters/formats/intellivue.py`, numbers,
waves and alarms in the files beside it, the dialogue in `adapters/sessions/intellivue.py`. A frame is one message, as a
datagram holds it; of the serial port, without its frame.

- A physio id below F000 is the term of a metric in partition 2, a unit's that of one in partition 4. The pulse rate of
  the pleth (4822) has another number than MDC_PULS_OXIM_PULS_RATE, which it is. What has no row in the nomenclature,
  and Philips' private ids, are code 0 with the id in hexadecimal, which a site's row may map (system "Philips").
- A value's time is that of the monitor's ticks, placed by the local time that it states beside them after an
  association and with each single poll. Without a time zone for that clock, it is that of reception.
- The patient that the monitor names is a claim: identifiers alone are kept, names never. They count while its state is
  "admitted". What was entered of height, weight, age and body surface is a setting.
- The unit of a wave is not among the attributes known here (see `adapters/formats/intellivue_waves.py`).
- Not read: the attributes for which no layout is known here (area, product specification, grid and calibration).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from adapters.driver import Channel, DeviceDriver, SerialSettings, Source, fitting
from adapters.formats import intellivue_alarms as alarms
from adapters.formats import intellivue_patient as patient
from adapters.formats.instants import Instant, parse_dtm
from adapters.formats.intellivue import (
    CLASS_MDS,
    CLASS_PATIENT,
    CONNECT_INDICATION,
    NO_TIME,
    SESSION,
    Attributes,
    MdsCreated,
    OtherMessage,
    Polled,
    PollResult,
    RequestFailed,
    data_message,
)
from adapters.formats.intellivue_association import Association, association_message
from adapters.formats.intellivue_values import (
    TIME_STAMP,
    ClockReference,
    ObservedEnum,
    ObservedNumber,
    digits_of,
    enum_of,
    marks_of,
    numbers_of,
    reference_at,
    stated_moment,
    validity_of,
)
from adapters.formats.intellivue_waves import Position, WaveContext, contexts_of, rate_of, samples_of, stretch_of
from adapters.formats.moments import StatedMoment, received, unread_time
from adapters.formats.values import text_record
from adapters.quality import Quality, done
from adapters.sessions.intellivue import REQUESTS, IntellivueSession
from adapters.sessions.intellivue_mib import MibSession
from adapters.site import unit_of
from schemas.nomenclature import METRIC_BY_CODE, UNIT_BY_CODE
from schemas.report import (
    AsSent,
    ChannelWords,
    ClockQuality,
    Kind,
    Lane,
    Mark,
    Record,
    RecordKind,
    Report,
    Validity,
)

SYSTEM = "Philips"
_NO_MARK = Mark(0)
_PRIVATE = 0xF000
_METRICS, _UNITS = 2 << 16, 4 << 16
_DIMLESS = 0x0200
# Where the number of a physio id is not that of the metric which it is.
_OTHER_NUMBERS = {0x4822: 149530}  # NOM_PLETH_PULS_RATE: MDC_PULS_OXIM_PULS_RATE
_PLETH = 0x4BB4
_CLOCK, _TIME_UNREAD, _DEVICE, _DEMO, _ALARMS = "clock", "time unread", "device", "demo", "alarms"
_CONTEXTS = "wave contexts"
_REMEMBERED_MAX = 2000  # waves and channels of a connection
_ASSOCIATION_EVENTS = {
    Association.REFUSE: ("association-refused", "the monitor is associated with another client, or refuses this one"),
    Association.ABORT: ("association-aborted", "the monitor ended the association at once"),
    Association.RELEASE_REQUEST: ("association-released", "the monitor ended the association"),
}


class IntellivueSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one monitor."""

    device: Annotated[
        str | None, Meta(description="its identity, site:philips:serial; its system id stands for it when left out")
    ] = None
    waves: Annotated[bool, Meta(description="ask for waves too")] = True


class Meaning(NamedTuple):
    """A physio id and a unit in standard words; `as_sent` is set where these do not say everything."""

    code: int
    unit: int
    exponent_shift: int
    as_sent: AsSent | None


def meaning_of(physio: int, unit: int, source: Source[IntellivueSettings]) -> Meaning:
    """What a physio id means; by the site's row where there is none in the nomenclature."""
    code = _OTHER_NUMBERS.get(physio, _METRICS | physio if physio < _PRIVATE else 0)
    known_unit = _UNITS | unit if _UNITS | unit in UNIT_BY_CODE else 0
    sent = AsSent(SYSTEM, f"{physio:04X}", "" if known_unit else f"{unit:04X}")
    if code in METRIC_BY_CODE:
        is_whole = known_unit and physio not in _OTHER_NUMBERS
        return Meaning(code, known_unit, 0, None if is_whole else sent)
    row = source.rows.find(SYSTEM, f"{physio:04X}", "")
    if row is None:
        return Meaning(0, known_unit, 0, sent)
    return Meaning(row.code, unit_of([str(known_unit)] if known_unit else [], row), row.exponent_shift, sent)


@dataclass
class _Result:
    """The reports of one message, in the making."""

    source: Source[IntellivueSettings]
    claim: str
    moment: StatedMoment
    base: Mark = _NO_MARK  # of every record
    values: list[Record] = field(default_factory=list)
    stamped: dict[bytes, list[Record]] = field(default_factory=dict)  # values with a time of their own, by that
    waves: list[Record] = field(default_factory=list)
    alarms: list[Record] = field(default_factory=list)
    events: list[Record] = field(default_factory=list)
    settings: list[Record] = field(default_factory=list)
    context: list[Record] = field(default_factory=list)
    described: list[Record] = field(default_factory=list)

    def event(self, code: str, text: str) -> None:
        """Something to be told of the dialogue."""
        self.events.append(text_record(SYSTEM, code, text))

    def reports(self) -> list[Report]:
        """Those that hold something; contexts and descriptions first, for what follows is read by them."""
        kinds = (
            (Kind.CONTEXT, self.context),
            (Kind.DESCRIPTION, self.described),
            (Kind.EVENT, self.events),
            (Kind.SETTING, self.settings),
            (Kind.METRIC, self.values),
            (Kind.ALARM, self.alarms),
            (Kind.WAVEFORM, self.waves),
        )
        reports = [self._report(kind, records, self.moment) for kind, records in kinds if records]
        for stamp, records in self.stamped.items():
            reports.append(self._report(Kind.METRIC, records, _stamped_moment(stamp, self)))
        return reports

    def _report(self, kind: Kind, records: Sequence[Record], moment: StatedMoment) -> Report:
        lane = Lane.WAVEFORM if kind is Kind.WAVEFORM else Lane.LIVE
        return moment.report(kind, self.claim, self._marked(moment.noted(records)), lane)

    def _marked(self, records: Sequence[Record]) -> Sequence[Record]:
        return [replace(each, marks=each.marks | self.base) for each in records] if self.base else records


def read(frame: bytes, source: Source[IntellivueSettings]) -> Sequence[Report]:
    """One message of the monitor."""
    if frame[:4] == CONNECT_INDICATION:
        return ()  # it presents itself with its create event too
    if frame[:2] != SESSION[:2]:
        return _association(frame, source)
    message = data_message(frame)
    match message:
        case MdsCreated():
            found = _created(message, source)
        case PollResult():
            found = _polled(message, source)
        case RequestFailed():
            found = _Result(source, _claim(source), received(source.received_at_us))
            found.event("request-failed", f"the monitor refuses a request: error {message.error}")
        case OtherMessage():
            source.counts[f"not-read:{message.what}"] += 1
            return ()
    found.base = Mark.TRAINING if source.memory.get(_DEMO) else _NO_MARK
    reports = [*source.ambiguous_rows(found.claim), *found.reports()]
    return fitting(reports, frame, source, outgrows_frame=True)


def _claim(source: Source[IntellivueSettings]) -> str:
    """As declared, else the system id that the monitor stated on this connection, else the connection."""
    stated = source.memory.get(_DEVICE)
    if source.settings.device or not stated:
        return source.claim(source.settings.device)
    return f"{source.name}/system-id={stated}"


def _association(frame: bytes, source: Source[IntellivueSettings]) -> Sequence[Report]:
    """What ends an association is told when it changes; a monitor that is in use refuses again and again."""
    kind = association_message(frame)
    if kind in (Association.RELEASE_RESPONSE, Association.REQUEST):
        return ()
    before = source.memory.get("association")
    if kind is not before:
        source.remember_emitted("association", kind)
    if kind not in _ASSOCIATION_EVENTS or kind is before:
        return ()
    found = _Result(source, _claim(source), received(source.received_at_us))
    found.event(*_ASSOCIATION_EVENTS[kind])
    return found.reports()


# --- when -------------------------------------------------------------------------------------------------------------


def _moment(ticks: int, absolute: bytes | None, source: Source[IntellivueSettings]) -> StatedMoment:
    """When it was said; a local time beside the ticks says which instant they are."""
    if source.time_zone is None:
        return received(source.received_at_us)
    reference: ClockReference | None = source.memory.get(_CLOCK)
    if absolute is not None:
        digits = digits_of(absolute)
        instant: Instant | None = parse_dtm(digits, source.time_zone)
        if instant is None:
            reference = None
            source.memory[_TIME_UNREAD] = unread_time("absolute time", digits)
        else:
            reference = reference_at(reference, ticks, instant)
            source.memory[_TIME_UNREAD] = ""
        source.memory[_CLOCK] = reference
    return stated_moment(reference, ticks, source.received_at_us, source.memory.get(_TIME_UNREAD, ""))


def _stamped_moment(stamp: bytes, found: _Result) -> StatedMoment:
    """When a value was measured that states it."""
    zone, digits = found.source.time_zone, digits_of(stamp)
    if zone is None:
        return found.moment
    instant = parse_dtm(digits, zone)
    if instant is None:
        return received(found.source.received_at_us, unread_time("time stamp", digits))
    uncertainty_ms = max(instant.uncertainty_ms, 1000)
    return StatedMoment(
        instant.us, found.source.received_at_us, instant.us, uncertainty_ms, ClockQuality.DEVICE, own_time=True
    )


# --- the monitor itself -----------------------------------------------------------------------------------------------


def _created(message: MdsCreated, source: Source[IntellivueSettings]) -> _Result:
    """A new association: what is known of the monitor is what it says now."""
    stated = patient.monitor_of(message.attributes)
    if stated.system_id:
        source.memory[_DEVICE] = stated.system_id
    source.memory[_CLOCK] = None
    for key in [key for key in source.memory if key.startswith(("sequence ", "handle "))]:
        del source.memory[key]
    ticks = message.moment if stated.ticks is None else stated.ticks
    moment = _moment(ticks, stated.absolute, source)
    if source.memory.get(_CLOCK) is not None:
        moment = _moment(message.moment, None, source)
    found = _Result(source, _claim(source), moment)
    text = "; ".join(f"{name} {value}" for name, value in stated.words if value)
    found.event("connected", text or "the monitor is associated")
    _monitor(message.attributes, found)
    return found


def _monitor(attributes: Attributes, found: _Result) -> None:
    """Mode, status and bed, where they are others than before."""
    source, stated = found.source, patient.monitor_of(attributes)
    if stated.is_demo is not None:
        source.memory[_DEMO] = stated.is_demo
    for name, value in (("operating-mode", stated.mode), ("status", stated.status)):
        if value and source.memory.get(name) != value:
            source.remember_emitted(name, value)
            found.event(name, value)
    if stated.bed is not None and source.memory.get("bed") != stated.bed:
        source.remember_emitted("bed", stated.bed)
        found.context += _claims(source)


def _patient(attributes: Attributes, found: _Result) -> None:
    """Who the monitor says lies there, where that is something else than before."""
    stated = patient.patient_of(attributes)
    if stated is None:
        return
    source = found.source
    if source.memory.get("patient") != stated.claims:
        source.remember_emitted("patient", stated.claims)
        found.context[:] = _claims(source)
    if stated.settings and source.memory.get("body") != stated.settings:
        source.remember_emitted("body", stated.settings)
        found.settings += [_setting(each) for each in stated.settings]


def _claims(source: Source[IntellivueSettings]) -> list[Record]:
    """Patient and bed, both whole: a context replaces the one before."""
    named: tuple[tuple[str, str, str], ...] = source.memory.get("patient", ())
    records = [text_record(system, name, value) for system, name, value in named]
    if source.memory.get("bed"):
        records.append(text_record(SYSTEM, "bed", source.memory["bed"]))
    return records


def _setting(stated: patient.BodySetting) -> Record:
    unit = _UNITS | stated.unit if _UNITS | stated.unit in UNIT_BY_CODE else 0
    code = (1 << 16) | stated.attribute  # attributes are terms of partition 1
    as_sent = AsSent(SYSTEM, f"{stated.attribute:04X} {stated.name}", "" if unit else f"{stated.unit:04X}")
    if stated.value.no_number:
        record = Record(unit=unit, validity=Validity.NOT_AVAILABLE, as_sent=as_sent)
    else:
        record = Record(unit=unit, mantissa=stated.value.mantissa, exponent=stated.value.exponent, as_sent=as_sent)
    return replace(record, code=code) if code in METRIC_BY_CODE else record


# --- what is measured -------------------------------------------------------------------------------------------------


def _polled(message: PollResult, source: Source[IntellivueSettings]) -> _Result:
    moment = _moment(message.ticks, message.absolute, source)
    found = _Result(source, _claim(source), moment)
    if message.sequence is not None:
        _sequence(message, message.sequence, found)
    for each in message.objects:
        if message.class_id == CLASS_MDS:
            _monitor(each.attributes, found)
        elif message.class_id == CLASS_PATIENT:
            _patient(each.attributes, found)
        _numbers(each, found)
        state = enum_of(each.attributes)
        if state is not None:
            found.values.append(_enumeration(state, found))
        _wave_context(each, found)
        if message.sequence is not None:  # a single poll repeats what the extended one brings
            _waves(each, message.ticks, found)
        _alarms(each.attributes, found)
    return found


def _sequence(message: PollResult, sequence: int, found: _Result) -> None:
    """Results of the extended poll that were lost; the first, numbered 0, says that it was accepted."""
    memory = found.source.memory
    key = f"sequence {message.poll_number}"
    before: int | None = memory.get(key)
    memory[key] = sequence
    lost = 0 if before is None or sequence == 0 else (sequence - before - 1) % (1 << 16)
    if 0 < lost < 1 << 15:
        found.source.counts["results-lost"] += lost
        found.event("gap", f"{lost} results of class {message.class_id:04X} were lost")


def _numbers(polled: Polled, found: _Result) -> None:
    """The numbers of an object; those with a time of their own (a cuff's) once, for they come again and again."""
    records = [_number(number, polled, found) for number in numbers_of(polled.attributes)]
    stamp = polled.attributes.get(TIME_STAMP)
    if stamp is None or stamp == NO_TIME or not records:
        found.values += records
        return
    key, said = f"stamped {polled.context}.{polled.handle}", (stamp, tuple(records))
    if found.source.memory.get(key) != said:
        found.source.remember_emitted(key, said)
        found.stamped.setdefault(stamp, []).extend(records)


def _number(number: ObservedNumber, polled: Polled, found: _Result) -> Record:
    meaning = meaning_of(number.physio, number.unit, found.source)
    channel = _channel(number.physio, polled, meaning, found)
    record = Record(meaning.code, meaning.unit, channel, marks=marks_of(number.state), as_sent=meaning.as_sent)
    if number.value.no_number:
        note = None if number.value.no_number == "NaN" else number.value.no_number
        return replace(record, validity=Validity.NOT_AVAILABLE, note=note)
    validity = validity_of(number.state)
    exponent = number.value.exponent + meaning.exponent_shift
    if validity is Validity.NOT_AVAILABLE or not -128 <= exponent <= 127:
        return replace(record, validity=Validity.NOT_AVAILABLE)
    return replace(record, validity=validity, mantissa=number.value.mantissa, exponent=exponent)


def _channel(physio: int, polled: Polled, meaning: Meaning, found: _Result) -> int:
    """0 of the first object that has a physio id in an association, of further ones that of their handle, described."""
    memory = found.source.memory
    key, place = f"handle {physio:04X}", (polled.context, polled.handle)
    if memory.setdefault(key, place) == place:
        return 0
    words = ChannelWords(label=f"{physio:04X}", handle=f"{polled.context}.{polled.handle}")
    described = f"described {physio:04X} {words.handle}"
    if described not in memory and len(memory) < _REMEMBERED_MAX:
        found.source.remember_emitted(described, words)
        text = msgspec.json.encode(words).decode()
        found.described.append(
            Record(meaning.code, meaning.unit, words.number, RecordKind.TEXT, text=text, as_sent=meaning.as_sent)
        )
    return words.number


def _enumeration(state: ObservedEnum, found: _Result) -> Record:
    meaning = meaning_of(state.physio, _DIMLESS, found.source)
    validity = validity_of(state.state)
    return Record(
        meaning.code, 0, 0, RecordKind.CODE, validity, 0 if validity is Validity.NOT_AVAILABLE else state.id,
        marks=marks_of(state.state), text=state.more.hex() or None, as_sent=AsSent(SYSTEM, f"{state.physio:04X}"),
    )  # fmt: skip


def _wave_context(polled: Polled, found: _Result) -> None:
    """What an object says of how to read its arrays: of those that come with it, or without any of its handle."""
    contexts: dict[tuple[int, int, int], WaveContext] = found.source.memory.setdefault(_CONTEXTS, {})
    for physio in [each.physio for each in samples_of(polled.attributes)] or [0]:
        key = (polled.context, polled.handle, physio)
        before = contexts_of(contexts, key)
        context = before.updated(polled.attributes)
        if context != before and (key in contexts or len(contexts) < _REMEMBERED_MAX):
            contexts[key] = context


def _waves(polled: Polled, ticks: int, found: _Result) -> None:
    """The arrays of one object, each with the number of its first sample."""
    contexts: dict[tuple[int, int, int], WaveContext] = found.source.memory[_CONTEXTS]
    for each in samples_of(polled.attributes):
        key = (polled.context, polled.handle, each.physio)
        context = contexts_of(contexts, key)
        stretch = stretch_of(each, context)
        if stretch is None:
            _without_context(each.physio, found)
            continue
        samples, meaning = stretch.samples, meaning_of(each.physio, _DIMLESS, found.source)
        first = _first_sample(f"position {key}", ticks, samples.count, context, found.source)
        unit = meaning.unit if each.physio == _PLETH else 0
        found.waves.append(
            Record(
                meaning.code, unit, _channel(each.physio, polled, meaning, found), RecordKind.SAMPLES,
                validity_of(each.state), marks=marks_of(each.state), note=stretch.note,
                as_sent=AsSent(SYSTEM, f"{each.physio:04X}", "" if stretch.has_scale else "raw"),
                samples=replace(samples, first_sample=first),
            )
        )  # fmt: skip


def _first_sample(
    key: str, ticks: int, count: int, context: WaveContext, source: Source[IntellivueSettings]
) -> int:  # fmt: skip
    """The number of an array's first sample; one that came late moves nothing."""
    before: Position | None = source.memory.get(key)
    first = 0 if before is None else before.first_of(ticks, rate_of(count, context))
    if before is None or first >= before.first_sample:
        source.remember_emitted(key, Position(ticks, first, count))
    return first


def _without_context(physio: int, found: _Result) -> None:
    """An array that nobody can read yet: told once, and counted."""
    found.source.counts["waves-without-context"] += 1
    if found.source.memory.get(f"unread wave {physio}") is None:
        found.source.remember_emitted(f"unread wave {physio}", value=True)
        found.event("wave-without-context", f"wave {physio:04X} came before the monitor said how to read it")


def _alarms(attributes: Attributes, found: _Result) -> None:
    """What began, changed or ended; what was open outlives the connection, so that its end is told."""
    source = found.source
    for attribute, listed in alarms.alarms_of(attributes):
        key = f"{_ALARMS} {attribute:04X} {found.claim}"
        before: alarms.Alarms = source.emitted_once(key) or {}
        changed = alarms.changes(before, listed)
        if changed or source.emitted_once(key) is None:
            source.remember_emitted(key, listed, once=True)
        for each in changed:
            meaning = meaning_of(each.physio, _DIMLESS, source)
            found.alarms.append(
                Record(
                    meaning.code, kind=RecordKind.ALARM, marks=each.marks, note=each.note, alarm=each.alarm,
                    as_sent=AsSent(SYSTEM, f"{each.physio:04X}"),
                )
            )  # fmt: skip


CHANNELS = (
    Channel("HR", 147842, 264864),
    Channel("Pulse", 149514, 264864),
    Channel("Pulse (pleth)", 149530, 264864),
    Channel("SpO2", 150456, 262688),
    Channel("RR", 151562, 264928),
    Channel("NBPs", 150021, 266016),
    Channel("NBPd", 150022, 266016),
    Channel("NBPm", 150023, 266016),
    Channel("ABPs", 150037, 266016),
    Channel("ABPd", 150038, 266016),
    Channel("ABPm", 150039, 266016),
    Channel("CVPm", 150087, 266016),
    Channel("etCO2", 151728, 266016),
    Channel("Temp", 150344, 268192),
)
QUALITY = Quality(
    numerics=done("all that the monitor exports, also compound ones and states; each second"),
    waves=done("those that the monitor chooses, for their list is written with a set command; without a unit's name"),
    alarms=done("patient and technical alarms with priority, text, latch and silence; their ends"),
    settings=done("what was entered of the patient's body; the export has no limits and no modes beside these"),
    clock=done("ticks of 1/8 ms, placed by the monitor's local time"),
    no_reading=done("NaN, NRes and the states unavailable, invalid, questionable, calibrating"),
    disconnect=done("10 s of silence, refusal, abort and release: associated again"),
)
MANUAL = "Philips, Data Export Interface Programming Guide, rev G.0 (4535 642 59271)"

LAN = DeviceDriver(
    name="intellivue",
    title="Philips IntelliVue monitor, Data Export on a LAN",
    manual=MANUAL,
    settings=IntellivueSettings,
    read=read,
    session=lambda settings: IntellivueSession(waves=settings.waves),
    channels=CHANNELS,
    datagrams=True,
    has_local_times=lambda _: True,
    requests=REQUESTS,
    quality=QUALITY,
)
MIB = DeviceDriver(
    name="intellivue_mib",
    title="Philips IntelliVue monitor, Data Export on the MIB/RS-232 port",
    manual=MANUAL,
    settings=IntellivueSettings,
    read=read,
    session=lambda settings: MibSession(IntellivueSession(waves=settings.waves)),
    channels=CHANNELS,
    serial=SerialSettings(115200),
    has_local_times=lambda _: True,
    requests=REQUESTS,
    quality=QUALITY,
)
