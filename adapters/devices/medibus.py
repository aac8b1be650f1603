"""Dräger ventilators and anaesthesia machines over MEDIBUS: Evita, Savina, V500, Primus and Apollo, as far as public.

"RS 232 MEDIBUS Protocol Definition", revision 4.03, 9028258 (responses P 12-15, real time P 16-23), and "MEDIBUS for
Intensive Care Devices", 9028329; what the codes mean is in `adapters/formats/medibus_tables.py`. A frame is a response
with its echo, or a second of real-time bytes:

    | echo           | records of                                              | gives                      |
    | 24, 2B         | code 2, value 4                                         | measured values            |
    | 25, 26, 2C, 2D | code 2, limit 4                                         | limits, and those of alarms |
    | 27, 2E         | priority 1 (30H + 1 to 31, the highest), code 2, phrase 12 | alarms                  |
    | 28             | HH:MM:SSDD-MMM-YY, months in German                     | the device's clock         |
    | 29             | code 2, value 5                                         | settings                   |
    | 2A             | code 2, length 1 (30H + 1 to 32), text, 03              | texts, modes as settings   |
    | 52             | number 4, 'name', software and MEDIBUS version          | which device it is         |
    | 53             | the curves that the device offers                       | how the stream is read     |
    | 6A             | 2: keys that are active, code 2; 4: kind of patient     | events, settings           |

A value that is invalid is left out by the device: it is no reading as soon as it was there before. No document says
which of the 31 priorities are high, medium and low: the number is kept as a note, and the source's settings may say.

Not carried: data that the document does not name (code page 3, trends, infusion pumps), and a breath's phase in the
stream.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from adapters.driver import Channel, DeviceDriver, SerialSettings, Source
from adapters.formats import medibus_frames as medibus
from adapters.formats.medibus_frames import SYNC, chosen_curves, offered_curves, read_response
from adapters.formats.medibus_stream import Stream, samples_of
from adapters.formats.medibus_tables import (
    ALARM_SILENCE,
    ANESTHESIA,
    CURVE_CODES,
    CURVE_ROWS,
    FAMILY_BY_ID,
    FAMILY_BY_NAME,
    KEY_NAMES,
    MEDIBUS_X,
    UNKNOWN,
    AlarmRow,
    Family,
    Row,
)
from adapters.formats.moments import moment_of
from adapters.formats.redaction import nothing_to_redact
from adapters.formats.site_rows import mapped_records
from adapters.formats.values import scaled, text_record
from adapters.quality import Quality, done
from adapters.sessions.medibus import REQUESTS, MedibusSession
from schemas.errors import FrameError
from schemas.report import (
    Alarm,
    AlarmKind,
    AlarmPriority,
    AlarmState,
    AsSent,
    Kind,
    Record,
    RecordKind,
    Report,
    Validity,
)

VALUE_CHARS, SETTING_CHARS, PHRASE_CHARS = 4, 5, 12
PRIORITY_MAX, TEXT_CHARS_MAX = 31, 32
GAP_US = 2_000_000  # a stream that comes so late has lost samples
_CODE = re.compile(rb"[0-9A-F]{2}")
_DEVICE = re.compile(rb"([0-9A-F]{4})'([^']{1,32})'(\d\d\.\d\d):(\d\d\.\d\d)")
# Minutes may be all there is, digits padded with blanks, months in English (seen on EvitaXL and V500).
_TIME = re.compile(r" ?(\d{1,2}): ?(\d{1,2})(?::([ \d]\d))? *(\d{1,2})-([A-Z]{3})-(\d\d) *")
_MONTHS = {
    "JAN": 1, "FEB": 2, "MAR": 3, "APR": 4, "MAI": 5, "MAY": 5, "JUN": 6, "JUL": 7, "AUG": 8, "SEP": 9, "OKT": 10,
    "OCT": 10, "NOV": 11, "DEZ": 12, "DEC": 12,
}  # fmt: skip
_PAGE = {
    medibus.DATA_1: 1, medibus.LOW_1: 1, medibus.HIGH_1: 1, medibus.ALARMS_1: 1,
    medibus.DATA_2: 2, medibus.LOW_2: 2, medibus.HIGH_2: 2, medibus.ALARMS_2: 2,
}  # fmt: skip
_LOW_LIMITS = (medibus.LOW_1, medibus.LOW_2)
_ANESTHESIA_NAMES = ("PRIMUS", "APOLLO", "PALLAS")

CurveName = Literal[
    "paw",
    "flow",
    "volume",
    "pleth",
    "co2",
    "o2",
    "agent",
    "ptrach",
    "device_flow",
    "insp_flow",
    "exp_flow",
    "exp_volume",
]


class MedibusSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one ventilator or anaesthesia machine."""

    device: Annotated[
        str | None, Meta(description="its identity, site:draeger:serial; the port stands for it when left out")
    ] = None
    family: Annotated[
        Literal["auto", "evita", "savina", "anesthesia", "medibus_x"],
        Meta(description="whose codes it sends; auto: as it names itself"),
    ] = "auto"
    curves: Annotated[tuple[CurveName, ...], Meta(description="real-time curves, most wanted first")] = ("paw", "flow")
    curves_max: Annotated[int, Meta(ge=0, le=12, description="how many of them the line has room for")] = 4
    curve_interval_ms: Annotated[
        int, Meta(ge=1, le=1000, description="no sample of a curve sooner than after so long")
    ] = 16
    poll_s: Annotated[float, Meta(ge=0.2, le=60, description="how often values and alarms are asked for")] = 1.0
    priority_high_from: Annotated[
        int, Meta(ge=0, le=31, description="from which of 31 on an alarm's priority is high; 0: nobody has said")
    ] = 0
    priority_medium_from: Annotated[
        int, Meta(ge=0, le=31, description="from which of 31 on an alarm's priority is medium; 0: nobody has said")
    ] = 0

    @property
    def curve_codes(self) -> tuple[str, ...]:
        """The codes of the curves that are wanted."""
        return tuple(code for name in dict.fromkeys(self.curves) for code in CURVE_CODES[name])

    @property
    def curve_interval_us(self) -> int:
        """As curves are configured."""
        return self.curve_interval_ms * 1000


MedibusSource = Source[MedibusSettings]
Limit = tuple[int, int]


def read(frame: bytes, source: MedibusSource) -> Sequence[Report]:
    """One response, or a second of real-time bytes."""
    if frame[:1] and frame[0] & 0xF0 == SYNC:
        return _stream(frame, source)
    code, data = read_response(frame)
    reader = _READERS.get(code)
    if reader is None:
        raise FrameError("unsupported", f"response {code:02X}")
    return reader(code, data, source)


def _claim(source: MedibusSource) -> str:
    return source.claim(source.settings.device)


def _family_name(source: MedibusSource) -> str:
    """As declared, else as the device named itself."""
    declared = source.settings.family
    named: str = source.memory.get("family", UNKNOWN)
    return named if declared == "auto" else declared


def _family(source: MedibusSource) -> Family:
    return FAMILY_BY_NAME[_family_name(source)]


def _once(key: str, kind: Kind, records: Sequence[Record], source: MedibusSource) -> Sequence[Report]:
    """What holds until it changes is told when it does, and at a connection's start."""
    records = tuple(records)
    if source.memory.get(key, ()) == records:
        return ()
    source.remember_emitted(key, records)
    return (source.report(kind, records, claim=_claim(source)),) if records else ()


def _rows(data: bytes, value_chars: int, *, odd_code: bytes = b"") -> dict[str, str]:
    """Records of a code and a value of fixed length; FrameError where they do not come out even.

    `odd_code`: its value is written with a character more in a public transcript.
    """
    found: dict[str, str] = {}
    at, size = 0, 2 + value_chars
    while at < len(data):
        code = data[at : at + 2]
        is_odd = code == odd_code and (len(data) - at) % size == 1
        end = at + size + is_odd
        if _CODE.fullmatch(code) is None or end > len(data):
            raise FrameError("length", f"{len(data)} bytes")
        text = data[at + 2 : end].decode("ascii")
        if code.decode("ascii") in found:
            raise FrameError("code-twice", code.decode("ascii"))
        found[code.decode("ascii")] = text.replace(" ", "")
        at = end
    return found


def _numeric(row: Row, system: str, sent_code: str, text: str | None) -> Record:
    """A value under its standard code, or under the device's own; FrameError where it is no number."""
    record = Channel(row.name or sent_code, row.code, row.mdc_unit).record(text or None)
    if row.code:
        return record
    name = f"{sent_code}^{row.name}" if row.name else sent_code
    return msgspec.structs.replace(record, as_sent=AsSent(system, name, row.unit))


def _seen(key: str, sent: Mapping[str, str], source: MedibusSource) -> list[str]:
    """The codes that this kind of response ever had on this connection, in order."""
    seen: set[str] = source.memory.setdefault(key, set())
    seen.update(sent)
    return sorted(seen)


def _data(code: int, data: bytes, source: MedibusSource) -> Sequence[Report]:
    """Measured values; those that came before and are left out are no reading."""
    page = _PAGE[code]
    table = _family(source).data[page]
    system = f"MEDIBUS CP{page}"
    sent = _rows(data, VALUE_CHARS, odd_code=b"C4" if _family_name(source) == ANESTHESIA else b"")
    seen = _seen(f"data seen {page}", sent, source)
    order = {each: place for place, each in enumerate(table)}
    records: list[Record] = []
    told: set[int] = set()  # standard codes
    for each in sorted(seen, key=lambda one: (one not in sent or not sent[one], order.get(one, len(order)), one)):
        row = table.get(each, Row(""))
        text = sent.get(each)
        if row.code in told:
            if not text:
                continue  # another of the codes of this quantity has its value, or says that there is none
            row = Row(row.name, row.unit)
        records.append(_numeric(row, system, each, text))
        told |= {row.code} - {0}
    if not records:
        return ()
    return (source.report(Kind.METRIC, mapped_records(records, source), claim=_claim(source)),)


def _limits(code: int, data: bytes, source: MedibusSource) -> Sequence[Report]:
    """Alarm limits: as settings, and remembered for the alarms. One that is switched off has no value."""
    page, side = _PAGE[code], "low" if code in _LOW_LIMITS else "high"
    table = _family(source).data[page]
    sent = _rows(data, VALUE_CHARS)
    limits: dict[str, Limit] = {}
    records = []
    for each in _seen(f"{side} limits seen {page}", sent, source):
        row, text = table.get(each, Row("")), sent.get(each)
        records.append(_numeric(Row(row.name, row.unit), f"MEDIBUS {side} limit CP{page}", each, text))
        parts = scaled(text or "")
        if parts is not None:
            limits[each] = parts
    source.memory[f"{side} {page}"] = limits
    return _once(f"{side} limits {page}", Kind.SETTING, records, source)


def _settings(code: int, data: bytes, source: MedibusSource) -> Sequence[Report]:
    """What is set; one that vanishes is told as having no value, once."""
    table = _family(source).settings
    sent = _rows(data, SETTING_CHARS)
    records = [
        _numeric(table.get(each, Row("")), "MEDIBUS setting", each, sent.get(each))
        for each in _seen("settings seen", sent, source)
    ]
    return _once("settings", Kind.SETTING, records, source)


def _texts(code: int, data: bytes, source: MedibusSource) -> Sequence[Report]:
    """What the device says in words: its modes, and other states."""
    modes: list[Record] = []
    others: list[Record] = []
    at = 0
    while at < len(data):
        sent_code = data[at : at + 2]
        length = data[at + 2] - 0x30 if at + 2 < len(data) else 0
        end = at + 3 + length
        if not _CODE.fullmatch(sent_code) or not 1 <= length <= TEXT_CHARS_MAX or data[end : end + 1] != b"\x03":
            raise FrameError("text", f"at {at} of {len(data)}")
        name = sent_code.decode("ascii")
        record = text_record("MEDIBUS text", name, data[at + 3 : end].decode("ascii").strip())
        (modes if name in _family(source).modes else others).append(record)
        at = end + 1
    mode_reports = _once("modes", Kind.SETTING, modes, source)
    return (*mode_reports, *_once("texts", Kind.EVENT, others, source))


def _time(code: int, data: bytes, source: MedibusSource) -> Sequence[Report]:
    """The device's clock, whose year has two digits: an event with the device's own time."""
    if not data:
        return ()
    text = data.decode("ascii")
    moment = moment_of((("28", _dtm(text)),), source.time_zone, source.received_at_us)
    records = moment.noted((text_record("MEDIBUS", "date and time", text),))
    return (moment.report(Kind.EVENT, _claim(source), records),)


def _dtm(text: str) -> str:
    """A time as HL7 writes it; as it was sent where it is none."""
    match = _TIME.fullmatch(text)
    if match is None or match[5] not in _MONTHS:
        return text
    hour, minute, second, day, month, year = match.groups()
    seconds = "" if second is None else f"{int(second):02}"
    return f"20{year}{_MONTHS[month]:02}{int(day):02}{int(hour):02}{int(minute):02}{seconds}"


def _alarms(code: int, data: bytes, source: MedibusSource) -> Sequence[Report]:
    """The alarms that are there, and the ends of those that are not any more, where anything has changed.

    They are remembered beyond the connection: an alarm that ended meanwhile has ended.
    """
    page, size = _PAGE[code], 1 + 2 + PHRASE_CHARS
    if len(data) % size:
        raise FrameError("length", f"{len(data)} bytes of alarms")
    now: dict[str, tuple[int, str]] = {}
    for at in range(0, len(data), size):
        sent_code, priority = data[at + 1 : at + 3], data[at] - 0x30
        if not _CODE.fullmatch(sent_code) or not 1 <= priority <= PRIORITY_MAX:
            raise FrameError("alarm", f"at {at} of {len(data)}")
        now[sent_code.decode("ascii")] = priority, data[at + 3 : at + size].decode("ascii").strip()
    key = f"alarms {page}"
    before: Mapping[str, tuple[int, str]] = source.emitted_once(key) or {}
    if now == before:
        return ()
    source.remember_emitted(key, now, once=True)
    records = [
        _alarm(page, each, priority, phrase, AlarmState.ACTIVE, source) for each, (priority, phrase) in now.items()
    ]
    records += [
        _alarm(page, each, priority, phrase, AlarmState.INACTIVE, source)
        for each, (priority, phrase) in before.items()
        if each not in now
    ]
    return (source.report(Kind.ALARM, records, claim=_claim(source)),)


def _alarm(page: int, sent_code: str, priority: int, phrase: str, state: AlarmState, source: MedibusSource) -> Record:
    family = _family(source)
    what = family.alarms[page].get(sent_code, AlarmRow(AlarmKind.UNKNOWN))
    low, high = (source.memory.get(f"{side} 1", {}) for side in ("low", "high"))
    # Of a quantity that has several codes the one whose limit the device has told.
    about = next((each for each in what.about if each in low or each in high), next(iter(what.about), ""))
    row = family.data[1].get(about, Row(""))
    alarm = Alarm(
        condition=f"CP{page} {sent_code}",
        state=state,
        priority=_priority(priority, source.settings),
        kind=what.kind,
        low=low.get(about),
        high=high.get(about),
        audio_paused=source.memory.get("audio paused", False),
        text=phrase,
    )
    return Record(
        row.code, row.mdc_unit, kind=RecordKind.ALARM, note=f"priority {priority} of {PRIORITY_MAX}",
        as_sent=AsSent(f"MEDIBUS alarm CP{page}", sent_code), alarm=alarm,
    )  # fmt: skip


def _priority(priority: int, settings: MedibusSettings) -> AlarmPriority:
    """As the source's settings divide the 31; unknown where they do not."""
    high, medium = settings.priority_high_from, settings.priority_medium_from
    if not high and not medium:
        return AlarmPriority.UNKNOWN
    if high and priority >= high:
        return AlarmPriority.HIGH
    return AlarmPriority.MEDIUM if medium and priority >= medium else AlarmPriority.LOW


def _identification(code: int, data: bytes, source: MedibusSource) -> Sequence[Report]:
    """Which device it is, and so whose codes it sends."""
    if not data:
        return ()
    match = _DEVICE.fullmatch(data)
    if match is None:
        raise FrameError("identification", f"{len(data)} bytes")
    number, name, software, level = (part.decode("ascii") for part in match.groups())
    source.memory["family"] = _family_of(number, name)
    text = f"{name} (number {number}, software {software}, MEDIBUS {level})"
    return _once("device", Kind.EVENT, (text_record("MEDIBUS", "device identification", text),), source)


def _family_of(number: str, name: str) -> str:
    if any(each in name.upper() for each in _ANESTHESIA_NAMES):
        return ANESTHESIA
    return FAMILY_BY_ID.get(number, MEDIBUS_X if "V500" in name.upper() else UNKNOWN)


def _device_specific(code: int, data: bytes, source: MedibusSource) -> Sequence[Report]:
    """Keys that are active (9028329, page 14), and the kind of patient. An echo without an argument says nothing."""
    asked, answer = data[:1], data[1:]
    if asked == medibus.PATIENT:
        told = answer.decode("ascii").strip()
        records = [text_record("MEDIBUS", "patient", told)] if told else []
        return _once("patient", Kind.SETTING, records, source)
    if asked != medibus.KEYS:
        return ()
    codes = [answer[at : at + 2] for at in range(0, len(answer), 2)]
    if any(not _CODE.fullmatch(each) for each in codes):
        raise FrameError("keys", f"{len(data)} bytes")
    names = [each.decode("ascii") for each in codes]
    source.memory["audio paused"] = ALARM_SILENCE in names
    told = ", ".join(KEY_NAMES.get(name, name) for name in names)
    if not told and "keys" not in source.memory:
        return ()
    return _once("keys", Kind.EVENT, (text_record("MEDIBUS", "keys", told or "none"),), source)


def _curves(code: int, data: bytes, source: MedibusSource) -> Sequence[Report]:
    """How the stream is read from now on; what was counted of a curve goes on."""
    settings = source.settings
    curves = chosen_curves(
        offered_curves(data), settings.curve_codes, settings.curve_interval_us, settings.curves_max
    )  # fmt: skip
    source.memory["stream"] = Stream(curves)
    return ()


def _stream(frame: bytes, source: MedibusSource) -> Sequence[Report]:
    """A second of curves. What a silence has lost is counted, so that it shows."""
    stream: Stream | None = source.memory.get("stream")
    if stream is None or not stream.curves:
        raise FrameError("no-configuration", f"{len(frame)} real-time bytes")
    counts: dict[str, int] = source.memory.setdefault("samples", {})
    found = stream.read(frame)
    duration_us = max(
        curve.sample_us * len(each.values) for curve, each in zip(stream.curves, found, strict=True)
    )  # fmt: skip
    end_us = source.memory.get("stream end")
    lost_us = 0 if end_us is None else source.received_at_us - duration_us - end_us
    source.memory["stream end"] = source.received_at_us
    records = []
    for curve, each in zip(stream.curves, found, strict=True):
        first_sample = counts.get(curve.code, 0) + (lost_us // curve.sample_us if lost_us > GAP_US else 0)
        counts[curve.code] = first_sample + len(each.values)
        if each.values:
            row = CURVE_ROWS.get(curve.code, Row(""))
            samples = samples_of(curve, each, first_sample)
            is_invalid = all(value is None for value in each.values)
            records.append(Record(
                row.code, row.mdc_unit, kind=RecordKind.SAMPLES, samples=samples,
                validity=Validity.INVALID if is_invalid else Validity.VALID,
                as_sent=None if row.code else AsSent("MEDIBUS curve", f"{curve.code}^{row.name}", row.unit),
            ))  # fmt: skip
    if not records:
        return ()
    records = mapped_records(records, source)
    return (source.report(Kind.WAVEFORM, records, claim=_claim(source), began_us=duration_us),)


_READERS = {
    medibus.DATA_1: _data, medibus.DATA_2: _data, medibus.LOW_1: _limits, medibus.HIGH_1: _limits,
    medibus.LOW_2: _limits, medibus.HIGH_2: _limits, medibus.ALARMS_1: _alarms, medibus.ALARMS_2: _alarms,
    medibus.TIME: _time, medibus.SETTINGS: _settings, medibus.TEXTS: _texts,
    medibus.IDENTIFICATION: _identification, medibus.CURVES: _curves, medibus.DEVICE_SPECIFIC: _device_specific,
}  # fmt: skip


def _channels() -> tuple[Channel, ...]:
    """Each standard code with each unit that some family sends it in, once."""
    rows = [row for family in FAMILY_BY_NAME.values() for table in (*family.data.values(), family.settings)
            for row in table.values()]  # fmt: skip
    found = {(row.code, row.mdc_unit): row.name for row in (*rows, *CURVE_ROWS.values()) if row.code}
    return tuple(Channel(name, code, unit) for (code, unit), name in found.items())


DRIVER = DeviceDriver(
    name="medibus",
    title="Dräger ventilators and anaesthesia machines, MEDIBUS",
    manual="RS 232 MEDIBUS Protocol Definition 4.03 (9028258); MEDIBUS for Intensive Care Devices (9028329)",
    settings=MedibusSettings,
    read=read,
    session=lambda settings: MedibusSession(
        settings.curve_codes,
        curve_interval_us=settings.curve_interval_us,
        curves_max=settings.curves_max,
        poll_s=settings.poll_s,
    ),
    channels=_channels(),
    serial=SerialSettings(19200, parity="E"),
    has_local_times=lambda _: True,
    requests=REQUESTS,
    quality=Quality(
        numerics=done("code pages 1 and 2 of Evita, Savina, Primus and Apollo; V500 by names alone"),
        waves=done("real-time curves, as configured; a breath's phase is not carried"),
        alarms=done("code pages 1 and 2, begin and end, limits; priorities as the source's settings divide them"),
        settings=done("settings, limits, modes"),
        clock=done("an event a minute where the device answers 28; values carry no time"),
        no_reading=done("what the device leaves out"),
        disconnect=done("silence of 3 s begins the link anew; alarms that ended meanwhile end"),
    ),
    redact=nothing_to_redact,
)
