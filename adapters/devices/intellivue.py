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
from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from adapters.driver import Channel, DeviceDriver, SerialSettings, Source, fitting
from adapters.formats import intellivue_alarms as alarms
from adapters.formats import intellivue_patient as patient
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
from adapters.formats.intellivue_redaction import redact_intellivue, redact_intellivue_mib
from adapters.formats.intellivue_reports import CLOCK, NO_MARK, SYSTEM, UNITS, Meaning, Result, meaning_of, moment_at
from adapters.formats.intellivue_values import (
    TIME_STAMP,
    ObservedEnum,
    ObservedNumber,
    enum_of,
    marks_of,
    numbers_of,
    validity_of,
)
from adapters.formats.intellivue_waves import Position, WaveContext, contexts_of, rate_of, samples_of, stretch_of
from adapters.formats.moments import received
from adapters.formats.values import text_record
from adapters.quality import Quality, done
from adapters.sessions.intellivue import REQUESTS, IntellivueSession
from adapters.sessions.intellivue_mib import MibSession
from schemas.nomenclature import METRIC_BY_CODE, UNIT_BY_CODE
from schemas.report import (
    AsSent,
    ChannelWords,
    Mark,
    Record,
    RecordKind,
    Report,
    Validity,
)

_DIMLESS, _PLETH = 0x0200, 0x4BB4
_DEVICE, _DEMO, _ALARMS = "device", "demo", "alarms"
_CONTEXTS = "wave contexts"
MEMORY_MAX = 5000  # things remembered of a connection
COUNTED_NAMES_MAX = 100
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


def read(frame: bytes, source: Source[IntellivueSettings]) -> Sequence[Report]:
    """One message of the monitor."""
    if frame[:4] == CONNECT_INDICATION:
        return ()  # it presents itself with its create event too
    if frame[:2] != SESSION[:2]:
        return _association(frame, source)
    message = data_message(frame)
    if len(source.memory) > MEMORY_MAX:  # no monitor has so many objects: all is told anew
        source.memory.clear()
    match message:
        case MdsCreated():
            found = _created(message, source)
        case PollResult():
            found = _polled(message, source)
        case RequestFailed():
            found = Result(source, _claim(source), received(source.received_at_us))
            key = f"failed {message.error}"
            if key not in source.memory:  # once in an association, for it is asked again and again
                source.remember_emitted(key, value=True)
                found.event("request-failed", f"the monitor refuses a request: error {message.error}")
        case OtherMessage():
            name, counts = f"not-read:{message.what}", source.counts
            counts[name if name in counts or len(counts) < COUNTED_NAMES_MAX else "not-read:other"] += 1
            return ()
    found.base = Mark.TRAINING if source.memory.get(_DEMO) else NO_MARK
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
    found = Result(source, _claim(source), received(source.received_at_us))
    found.event(*_ASSOCIATION_EVENTS[kind])
    return found.reports()


# --- the monitor itself -----------------------------------------------------------------------------------------------


def _created(message: MdsCreated, source: Source[IntellivueSettings]) -> Result:
    """A new association: what is known of the monitor is what it says now."""
    stated = patient.monitor_of(message.attributes)
    if stated.system_id:
        source.memory[_DEVICE] = stated.system_id
    source.memory[CLOCK] = None
    for key in [key for key in source.memory if key.startswith(("sequence ", "handle ", "failed "))]:
        del source.memory[key]
    ticks = message.moment if stated.ticks is None else stated.ticks
    moment = moment_at(ticks, stated.absolute, source)
    if source.memory.get(CLOCK) is not None:
        moment = moment_at(message.moment, None, source)
    found = Result(source, _claim(source), moment)
    text = "; ".join(f"{name} {value}" for name, value in stated.words if value)
    found.event("connected", text or "the monitor is associated")
    _monitor(message.attributes, found)
    return found


def _monitor(attributes: Attributes, found: Result) -> None:
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


def _patient(attributes: Attributes, found: Result) -> None:
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
    unit = UNITS | stated.unit if UNITS | stated.unit in UNIT_BY_CODE else 0
    code = (1 << 16) | stated.attribute  # attributes are terms of partition 1
    as_sent = AsSent(SYSTEM, f"{stated.attribute:04X} {stated.name}", "" if unit else f"{stated.unit:04X}")
    if stated.value.no_number:
        record = Record(unit=unit, validity=Validity.NOT_AVAILABLE, as_sent=as_sent)
    else:
        record = Record(unit=unit, mantissa=stated.value.mantissa, exponent=stated.value.exponent, as_sent=as_sent)
    return replace(record, code=code) if code in METRIC_BY_CODE else record


# --- what is measured -------------------------------------------------------------------------------------------------


def _polled(message: PollResult, source: Source[IntellivueSettings]) -> Result:
    moment = moment_at(message.ticks, message.absolute, source)
    found = Result(source, _claim(source), moment)
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


def _sequence(message: PollResult, sequence: int, found: Result) -> None:
    """Results of the extended poll that were lost; the first, numbered 0, says that it was accepted."""
    memory = found.source.memory
    key = f"sequence {message.poll_number}"
    before: int | None = memory.get(key)
    memory[key] = sequence
    lost = 0 if before is None or sequence == 0 else (sequence - before - 1) % (1 << 16)
    if 0 < lost < 1 << 15:
        found.source.counts["results-lost"] += lost
        found.event("gap", f"{lost} results of class {message.class_id:04X} were lost")


def _numbers(polled: Polled, found: Result) -> None:
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


def _number(number: ObservedNumber, polled: Polled, found: Result) -> Record:
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


def _channel(physio: int, polled: Polled, meaning: Meaning, found: Result) -> int:
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


def _enumeration(state: ObservedEnum, found: Result) -> Record:
    meaning = meaning_of(state.physio, _DIMLESS, found.source)
    validity, has_id = validity_of(state.state), state.id is not None
    return Record(
        meaning.code, 0, 0, RecordKind.CODE if has_id else RecordKind.TEXT, validity,
        0 if validity is Validity.NOT_AVAILABLE else state.id or 0, marks=marks_of(state.state),
        text=state.more.hex() or None, as_sent=AsSent(SYSTEM, f"{state.physio:04X}"),
    )  # fmt: skip


def _wave_context(polled: Polled, found: Result) -> None:
    """What an object says of how to read its arrays: of those that come with it, or without any of its handle."""
    contexts: dict[tuple[int, int, int], WaveContext] = found.source.memory.setdefault(_CONTEXTS, {})
    for physio in [each.physio for each in samples_of(polled.attributes)] or [0]:
        key = (polled.context, polled.handle, physio)
        before = contexts_of(contexts, key)
        context = before.updated(polled.attributes)
        if context != before and (key in contexts or len(contexts) < _REMEMBERED_MAX):
            contexts[key] = context


def _waves(polled: Polled, ticks: int, found: Result) -> None:
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


def _without_context(physio: int, found: Result) -> None:
    """An array that nobody can read yet: told once, and counted."""
    found.source.counts["waves-without-context"] += 1
    if found.source.memory.get(f"unread wave {physio}") is None:
        found.source.remember_emitted(f"unread wave {physio}", value=True)
        found.event("wave-without-context", f"wave {physio:04X} came before the monitor said how to read it")


def _alarms(attributes: Attributes, found: Result) -> None:
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
    settings=done("height, weight, age and body surface as somebody entered them; limits of alarms are not read"),
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
    session=lambda settings: IntellivueSession(waves=settings.waves, may_double=True),
    channels=CHANNELS,
    datagrams=True,
    has_local_times=lambda _: True,
    requests=REQUESTS,
    quality=QUALITY,
    redact=redact_intellivue,
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
    redact=redact_intellivue_mib,
)
