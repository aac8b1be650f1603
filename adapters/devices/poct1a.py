"""Analysers and meters at the point of care over POCT1-A (CLSI POCT1-A2), as makers' manuals show its messages.

HEL.R01 says who the device is, DST.R01 how it is, OBS.R01 holds results of patients, OBS.R02 those of controls, EVS.R01
events; the dialogue is in `adapters/sessions/poct1a.py`.

    SVC role_cd, observation_dttm, reason_cd, sequence_nbr
      PT patient_id                          of OBS.R01; with some devices it is the number of an order
        OBS observation_id (V code, SN system), value (V, unit U) or qualitative_value, method_cd, status_cd,
            interpretation_cd, normal_lo-hi_limit "[3.9;5.8]"
          NTE text
      CTC name, lot_number                   of OBS.R02
      RGT name, lot_number; OPR operator_id (not kept: a person)

A code is LOINC where its system says so, else the site's rows say what it is (system: SN). Method I is a value that
somebody entered: a setting, no measurement. Status D is a test that was aborted: no reading. Controls and proficiency
tests (OBS.R02) are marked as training: they are no patient's. A time without an offset has that of the header, else the
source's zone. A result that comes again (device, sequence number and time) is acknowledged and not read a second time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from adapters.driver import DeviceDriver, Source, fitting
from adapters.formats.instants import Instant, parse_iso, reset_instant_iso, states_second
from adapters.formats.moments import StatedMoment, received, unread_time
from adapters.formats.poct1_redaction import redact_poct1
from adapters.formats.poct1_xml import Element, Message, read_message
from adapters.formats.values import is_no_reading, printable, read_number, text_record
from adapters.quality import Quality, done, exempt
from adapters.sessions.poct1a import REQUESTS, Poct1Session
from adapters.site import unit_of
from schemas.errors import FrameError
from schemas.nomenclature import METRIC_BY_LOINC
from schemas.report import COMPARATORS, AsSent, ClockQuality, Kind, Mark, Record, RecordKind, Report, Validity

SYSTEM = "POCT1"
CLAIM_CHARS_MAX = 250
RESULTS_MAX = 2000  # of a message
_DEVICE = "device"
_LOINC = re.compile(r"\d{1,5}-\d")
_NEVER = "2000-01-01T00:00:00"  # "never", as at least one maker writes it


class Poct1Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one listening port; several devices may call it."""

    device: Annotated[
        str | None, Meta(description="the one device that calls, site:vendor:serial; what it says of itself else")
    ] = None


@dataclass(frozen=True)
class _Read:
    """A message with what is known of its device."""

    message: Message
    source: Source[Poct1Settings]
    claim: str
    marks: Mark

    def moment(self, sent: str) -> StatedMoment:
        """When it was, by its own time, else by the header's."""
        header = self.message.header.value("creation_dttm")
        above = parse_iso(header, self.source.time_zone)
        zone: tzinfo | None = above.offset if above is not None and above.offset else self.source.time_zone
        at_us, unread = self.source.received_at_us, ""
        reset: Instant | None = None
        for name, text in (("observation_dttm", sent), ("creation_dttm", header)):
            if not text or text.startswith(_NEVER):
                continue
            instant = parse_iso(text, zone)
            if instant is None:
                unread = unread or unread_time(name, text)
                reset = reset or reset_instant_iso(text, zone)
                continue
            quality = ClockQuality.DOUBTFUL if unread else ClockQuality.DEVICE
            own_time = not unread and states_second(text)
            return StatedMoment(instant.us, at_us, instant.us, instant.uncertainty_ms, quality, own_time, unread)
        return received(at_us, unread, None if reset is None else reset.us)


def read(frame: bytes, source: Source[Poct1Settings]) -> Sequence[Report]:
    """One message."""
    message = read_message(frame)
    if message.type == "HEL.R01":
        _remember_device(message, source)
    marks = Mark.TRAINING if message.type == "OBS.R02" else Mark(0)
    found = _Read(message, source, _claim(source), marks)
    match message.type:
        case "HEL.R01":
            reports = [_event(found, "connected", _words(message.root.first("DEV"), _DEVICE_FIELDS))]
        case "DST.R01":
            reports = _status(found)
        case "OBS.R01" | "OBS.R02":
            reports = _results(found)
        case "EVS.R01":
            events = (_event(found, "event", _all_words(each)) for each in message.root.children if each.name != "HDR")
            reports = list(events)
        case "ESC.R01":
            reports = [_event(found, "escape", "; ".join(_all_words(each) for each in message.root.children))]
        case _:
            raise FrameError("unsupported-type", printable(message.type)[:20])
    return fitting([*source.ambiguous_rows(found.claim), *reports], frame, source)


_DEVICE_FIELDS = ("vendor_id", "model_id", "serial_id", "device_id", "sw_version", "hw_version")


def _remember_device(message: Message, source: Source[Poct1Settings]) -> None:
    device = message.root.first("DEV")
    if device is not None:
        named = [printable(device.value(field)) for field in ("vendor_id", "model_id", "serial_id")]
        identity = "/".join(filter(None, named)) if named[2] else printable(device.value("device_id"))
        source.memory[_DEVICE] = identity[:CLAIM_CHARS_MAX]


def _claim(source: Source[Poct1Settings]) -> str:
    """As declared, else who the device said it is when it connected, else its address."""
    stated = source.memory.get(_DEVICE)
    if source.settings.device or not stated:
        return source.claim(source.settings.device)
    return f"{source.name}/HEL={stated}"


def _event(found: _Read, code: str, text: str) -> Report:
    return found.moment("").report(Kind.EVENT, found.claim, (text_record(SYSTEM, code, text),))


def _words(element: Element | None, fields: Sequence[str]) -> str:
    if element is None:
        return ""
    return "; ".join(f"{field} {printable(value)}" for field in fields if (value := element.value(field)))


def _all_words(element: Element) -> str:
    """Every field of an object, for people."""
    fields = (f"{each.name} {printable(each.attributes['V'])}" for each in element.children if each.attributes.get("V"))
    return "; ".join(fields)


def _status(found: _Read) -> list[Report]:
    """The device's condition, where it is another than before."""
    condition = printable(found.message.value("DST", "condition_cd"))
    if not condition or found.source.memory.get("condition") == condition:
        return []
    found.source.remember_emitted("condition", condition)
    return [_event(found, "condition", condition)]


# --- results ----------------------------------------------------------------------------------------------------------


def _results(found: _Read) -> list[Report]:
    """Each service's context, measurements and entered values."""
    services = list(found.message.root.all("SVC"))
    if not services:
        raise FrameError("no-results", "no SVC")
    results_of = [list(_observations(service)) for service in services]
    if sum(map(len, results_of)) > RESULTS_MAX:
        raise FrameError("too-many-results", f"more than {RESULTS_MAX}")
    reports: list[Report] = []
    for service, results in zip(services, results_of, strict=True):
        if not _came_before(service, found):
            reports += _service(service, results, found)
    return reports


def _came_before(service: Element, found: _Read) -> bool:
    """Whether this very result was read before, on whatever connection: its acknowledgement was lost."""
    number, at = service.value("sequence_nbr"), service.value("observation_dttm")
    if not number or not at:
        return False
    key = f"result {found.claim} {found.message.type} {number} {at}"[:500]
    if found.source.emitted_once(key) is not None:
        found.source.counts["results-repeated"] += 1
        return True
    found.source.remember_emitted(key, value=True, once=True)
    return False


def _observations(service: Element) -> Iterator[tuple[Element | None, Element]]:
    """Patient and result of a service, wherever below it its maker writes them."""
    for each in service.children:
        if each.name == "OBS":
            yield None, each
        elif each.name in ("PT", "CTC"):
            for result in each.all("OBS"):
                yield each, result


def _service(
    service: Element, results: list[tuple[Element | None, Element]], found: _Read
) -> Iterator[Report]:  # fmt: skip
    moment = found.moment(service.value("observation_dttm"))
    patient = service.first("PT")
    number = printable(patient.value("patient_id")) if patient is not None else ""
    context = (text_record(SYSTEM, "PT.patient_id", number, marks=int(found.marks)),) if number else ()
    key = f"context {found.claim}"
    if found.source.memory.get(key) != context:
        found.source.remember_emitted(key, context)
        if context:
            yield moment.report(Kind.CONTEXT, found.claim, context)
    beside = _beside(service)
    for kind, wants_entered in ((Kind.METRIC, False), (Kind.SETTING, True)):
        records = [
            _record(result, beside, found)
            for _, result in results
            if (result.value("method_cd").upper() == "I") is wants_entered
        ]
        if records:
            yield moment.report(kind, found.claim, moment.noted(records))


def _beside(service: Element) -> str:
    """Reagent and control of a service, which hold for each of its results."""
    words = []
    for name in ("RGT", "CTC"):
        for each in service.all(name):
            words.append(f"{name} {_words(each, ('name', 'lot_number', 'expiration_date'))}")
    return "\n".join(words)


def _record(result: Element, beside: str, found: _Read) -> Record:
    code_element = result.first("OBS.observation_id")
    named = code_element.attributes if code_element is not None else {}
    code, system = printable(named.get("V", "").strip()), printable(named.get("SN", "").strip())
    mapped = found.source.rows.find(system, code, printable(named.get("DN", "")))
    metric = mapped.code if mapped else _metric_by_loinc(code, system)
    sent_unit = printable(result.value("value", "U"))
    unit = unit_of([sent_unit] if sent_unit else [], mapped)
    as_sent = AsSent(system, code, sent_unit) if not metric or (sent_unit and not unit) else None
    value = printable(result.value("value"))
    note = "\n".join(filter(None, (_note(result), beside))) or None
    record = Record(metric, unit, marks=found.marks, note=note, as_sent=as_sent)
    if result.value("status_cd").upper() == "D" or (mapped and value in mapped.missing):
        return replace(record, validity=Validity.NOT_AVAILABLE, text=value or None)
    shift, decimal_comma = (mapped.exponent_shift, mapped.decimal_comma) if mapped else (0, False)
    number = read_number(value, shift, decimal_comma=decimal_comma)
    if number is None:
        words = value or printable(result.value("qualitative_value"))
        if not words or (metric and is_no_reading(words)):
            return replace(record, validity=Validity.NOT_AVAILABLE, text=words or None)
        return replace(record, kind=RecordKind.TEXT, text=words)
    flag = result.value("interpretation_cd")
    bound = Mark(number.marks) or (COMPARATORS[flag] if flag in ("<", ">") else Mark(0))
    return replace(
        record, kind=RecordKind.BOUND if bound else RecordKind.NUMERIC, mantissa=number.mantissa,
        exponent=number.exponent, marks=found.marks | bound,
    )  # fmt: skip


def _metric_by_loinc(code: str, system: str) -> int:
    is_loinc = system.upper() in ("LN", "LOINC") and _LOINC.fullmatch(code) is not None
    metric = METRIC_BY_LOINC.get(code) if is_loinc else None
    return metric.code if metric else 0


def _note(result: Element) -> str:
    """What stands beside a value, for people."""
    lines = [
        f"{name}: {printable(value)}"
        for name, field in (
            ("flag", "interpretation_cd"), ("range", "normal_lo-hi_limit"), ("method", "method_cd"),
            ("status", "status_cd"),
        )
        if (value := result.value(field)) and (name, value) not in (("flag", "N"), ("method", "M"))
    ]  # fmt: skip
    lines += [printable(text) for each in result.all("NTE") if (text := each.value("text"))]
    return "\n".join(lines)


DRIVER = DeviceDriver(
    name="poct1a",
    title="Analysers and meters at the point of care: POCT1-A",
    manual="CLSI POCT1-A2; Siemens DCA Vantage, Roche cobas Liat, PixCell HemoScreen and Nova host interfaces",
    settings=Poct1Settings,
    read=read,
    session=lambda settings: Poct1Session(),
    has_local_times=lambda _: True,
    speaks_regularly=False,
    requests=REQUESTS,
    quality=Quality(
        numerics=done("results with unit, bound, range, flags and notes; controls marked as training"),
        waves=exempt("POCT1-A has none"),
        alarms=exempt("POCT1-A has none; the device's condition and events are kept as events"),
        settings=done("values that somebody entered"),
        clock=done("by the result's time; its offset, else the header's, else the source's zone"),
        no_reading=done("an aborted test, no value, or the site's words for it"),
        disconnect=done("silence beyond the device's own time-out; the device connects again"),
    ),
    redact=redact_poct1,
)
