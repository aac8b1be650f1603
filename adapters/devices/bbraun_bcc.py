"""B. Braun Space and Compact+ infusion pumps behind a SpaceCom, over BCC.

"Technical Interface Specification BCC", I0022_000030, version 4.0 (BCC 3.30 to 3.36; 3.25 and 3.26 are an older set of
the same parameters). A frame is a block of `time,address,parameter,value`; the parameters of a pump come together.
What the parameters mean is in `adapters/formats/bcc_parameters.py`.

A pump is the device: by its number (INNR) where the SpaceCom sends it, else by its place in the rack. Its date and time
are its own clock, in the zone of the source; the seconds of each quadruple count since the SpaceCom was switched on.
_NV is no value and never zero, and so is _NA, which is "not now". No alarm has a priority, and none has a text: those
here are the document's. How the 32 bits of ALARM1 are written is not told: as a decimal or hexadecimal number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from adapters.driver import DeviceDriver, SerialSettings, Source, fitting
from adapters.formats.bcc_frames import read_block
from adapters.formats.bcc_parameters import (
    BIT_ALARMS,
    BIT_STATES,
    FLAG_ALARMS,
    FLAG_STATES,
    PARAMETERS,
    UNIT_BY_CODE,
    Condition,
    Parameter,
    Use,
)
from adapters.formats.bcc_redaction import redact_bcc
from adapters.formats.moments import StatedMoment, moment_of
from adapters.formats.site_rows import mapped_records
from adapters.formats.values import printable, scaled, text_record
from adapters.quality import Quality, done, exempt
from adapters.sessions.bbraun_bcc import REQUESTS, BccSession
from schemas.nomenclature import UNIT_BY_UCUM, canonical_unit
from schemas.report import Alarm, AlarmState, AsSent, Kind, Record, RecordKind, Report, Validity

SYSTEM = "50100"  # the address of the SpaceCom itself
NO_VALUES = ("_NV", "_NA")
REMEMBERED_MAX = 1000  # of a connection; beyond it all is told anew
CLAIM_CHARS_MAX = 250
_SYSTEM_NAME = "B. Braun BCC"
_UNIT = re.compile("[0-9]{1,5}")
_HEX = re.compile(r"0[xX]([0-9A-Fa-f]{1,8})h?|([0-9A-Fa-f]{1,8})h")
_ERRORS = {
    "11": "no more data, or no pumps", "39": "pump removed or unreachable", "68": "syntax or checksum",
    "811": "wrong address",
}  # fmt: skip
_REMOVED = "39"


class BccSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one SpaceCom, as its page "BCC Protocol settings" has them."""

    stuffing: Annotated[bool, Meta(description="whether it replaces D, E, d and e (byte stuffing)")] = True
    mode: Annotated[Literal["request", "cyclic"], Meta(description="whether it is asked, or sends by itself")] = (
        "request"
    )
    poll_s: Annotated[float, Meta(ge=0.5, le=60, description="how often it is asked for all pumps")] = 2.0


BccSource = Source[BccSettings]


def read(frame: bytes, source: BccSource) -> Sequence[Report]:
    """One block: what it has of each pump."""
    block = read_block(frame, is_stuffed=source.settings.stuffing)
    if len(source.memory) > REMEMBERED_MAX:
        source.memory.clear()
    by_address: dict[str, dict[str, str]] = {}
    for value in block.values:
        by_address.setdefault(value.address, {})[value.parameter] = value.value
    reports: list[Report] = []
    for address, values in by_address.items():
        reports += _of_system(block.bed_id, values, source) if address == SYSTEM else _of_pump(address, values, source)
    return fitting(reports, frame, source)


def _of_system(bed_id: str, values: Mapping[str, str], source: BccSource) -> list[Report]:
    """The rack: what it is, where that has changed, and errors."""
    claim = source.claim()
    told = {name: text for name, text in values.items() if name not in ("GNACK", "GNERR") and text not in NO_VALUES}
    records = [text_record(_SYSTEM_NAME, name, text or name) for name, text in told.items()]
    reports = _once(f"rack {bed_id}", Kind.EVENT, records, claim, source)
    error = values.get("GNERR")
    if error not in (None, "11"):
        reports.append(source.report(Kind.EVENT, (_error(error or ""),), claim=claim))
    return reports


def _error(code: str) -> Record:
    return text_record(_SYSTEM_NAME, "GNERR", f"{code} {_ERRORS.get(code, '')}".strip())


def _once(key: str, kind: Kind, records: Iterable[Record], claim: str, source: BccSource) -> list[Report]:
    """What holds until it changes is told when it does, and at a connection's start."""
    now = tuple(records)
    if source.memory.get(key, ()) == now:
        return []
    source.remember_emitted(key, now)
    return [source.report(kind, now, claim=claim)] if now else []


def _of_pump(address: str, values: Mapping[str, str], source: BccSource) -> list[Report]:
    if "GNNEW" in values:  # what GNMODEL says, when a pump has appeared
        source.memory.pop(f"pump {address}", None)
        values = {"GNMODEL" if name == "GNNEW" else name: text for name, text in values.items()}
    number = values.get("INNR", "")
    if number and number not in NO_VALUES:
        source.memory[f"pump {address}"] = number[:CLAIM_CHARS_MAX]
    known = source.memory.get(f"pump {address}")
    claim = f"{source.name}/INNR={printable(known)}" if known else f"{source.name}/address={address}"
    if "GNERR" in values:
        return _of_missing_pump(address, claim, values["GNERR"], source)
    moment = _moment(values, source)
    reports = _alarms(claim, values, moment, source)
    by_use: dict[Use, list[Record]] = {use: [] for use in Use}
    codes: set[int] = set()
    for name, text in values.items():
        if name in FLAG_ALARMS or name in FLAG_STATES or name in BIT_ALARMS or name in BIT_STATES:
            continue
        what = PARAMETERS.get(name, Parameter(""))
        if what.use is not Use.NOTHING:
            record = _record(name, what, text, values, known_codes=codes)
            codes |= {record.code} - {0}
            by_use[what.use].append(record)
    if by_use[Use.MEASURED]:
        records = mapped_records(by_use[Use.MEASURED], source)
        reports.append(moment.report(Kind.METRIC, claim, moment.noted(records)))
    for use, kind in ((Use.SET, Kind.SETTING), (Use.PATIENT, Kind.CONTEXT)):
        told = [record for record in by_use[use] if use is Use.SET or record.validity is Validity.VALID]
        reports += _once(f"{use.value} {claim}", kind, told, claim, source)
    states = _states(values)
    if states is not None:
        record = text_record(_SYSTEM_NAME, "status", ", ".join(states) or "none")
        reports += _once(f"states {claim}", Kind.EVENT, (record,), claim, source)
    return reports


def _of_missing_pump(address: str, claim: str, error: str, source: BccSource) -> list[Report]:
    """A pump that was taken out: what it alarmed of has ended here."""
    reports = [source.report(Kind.EVENT, (_error(error),), claim=claim)]
    if error == _REMOVED:
        before: Mapping[str, Condition] = source.emitted_once(f"alarms {claim}") or {}
        if before:
            source.remember_emitted(f"alarms {claim}", {}, once=True)
            ended = [_alarm(name, what, AlarmState.INACTIVE) for name, what in before.items()]
            reports.append(source.report(Kind.ALARM, ended, claim=claim))
        source.memory.pop(f"pump {address}", None)
    return reports


def _moment(values: Mapping[str, str], source: BccSource) -> StatedMoment:
    """The pump's date and time, where it sends them."""
    date, time = (values.get(name, "") for name in ("DATE", "TIME"))
    is_told = date not in (*NO_VALUES, "") and time not in (*NO_VALUES, "")
    sent = date + time if is_told else ""
    return moment_of((("DATE TIME", sent),), source.time_zone, source.received_at_us)


def _record(name: str, what: Parameter, text: str, values: Mapping[str, str], *, known_codes: set[int]) -> Record:
    """A value under its standard code, where its unit has one, or under the pump's own name."""
    unit, mdc_unit = what.unit, what.mdc_unit
    if what.unit_in:
        sent_unit = values.get(what.unit_in, "")
        unit = UNIT_BY_CODE.get(int(sent_unit), f"unit {sent_unit}") if _UNIT.fullmatch(sent_unit) else ""
        found = UNIT_BY_UCUM.get(unit)
        mdc_unit = found.code if found else 0
    is_coded = bool(what.code) and canonical_unit(what.code, mdc_unit) is not None and what.code not in known_codes
    as_sent = None if is_coded else AsSent(_SYSTEM_NAME, printable(f"{name}^{what.name}" if what.name else name), unit)
    code, unit_code = (what.code, mdc_unit) if is_coded else (0, 0)
    if text in NO_VALUES or not text:
        return Record(code, unit_code, validity=Validity.NOT_AVAILABLE, as_sent=as_sent)
    parts = None if what.is_text else scaled(text)
    if parts is None:
        record = text_record(_SYSTEM_NAME, printable(name), text)
        return msgspec.structs.replace(record, as_sent=as_sent or record.as_sent)
    return Record(code, unit_code, mantissa=parts[0], exponent=parts[1], as_sent=as_sent)


# --- alarms and states ------------------------------------------------------------------------------------------------


def _bits(text: str) -> int | None:
    """The bits of a number as it may be written; None where it says nothing."""
    match = _HEX.fullmatch(text)
    if match:
        return int(match[1] or match[2], 16)
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 10 else None


def _alarms(claim: str, values: Mapping[str, str], moment: StatedMoment, source: BccSource) -> list[Report]:
    """The alarms of the parameters that this block has: those that began, and those that ended.

    They are remembered beyond the connection: an alarm that ended meanwhile has ended.
    """
    key = f"alarms {claim}"
    before: Mapping[str, Condition] = source.emitted_once(key) or {}
    now = dict(before)
    for name, condition in FLAG_ALARMS.items():
        if values.get(name) == "1":
            now[name] = condition
        elif values.get(name) == "0":
            now.pop(name, None)
    for name, conditions in BIT_ALARMS.items():
        bits = _bits(values.get(name, ""))
        if bits is None:
            continue
        for bit, condition in conditions.items():
            if bits >> bit & 1:
                now[f"{name} {bit}"] = condition
            else:
                now.pop(f"{name} {bit}", None)
    if now == before:
        return []
    source.remember_emitted(key, now, once=True)
    records = [_alarm(name, what, AlarmState.ACTIVE) for name, what in now.items()]
    records += [_alarm(name, what, AlarmState.INACTIVE) for name, what in before.items() if name not in now]
    return [moment.report(Kind.ALARM, claim, records)]


def _alarm(name: str, what: Condition, state: AlarmState) -> Record:
    alarm = Alarm(condition=name, state=state, kind=what.kind, text=what.text)
    return Record(kind=RecordKind.ALARM, as_sent=AsSent(_SYSTEM_NAME, name), alarm=alarm)


def _states(values: Mapping[str, str]) -> list[str] | None:
    """What the pump does, in the document's words; None where the block says nothing of it."""
    told = [name for name in FLAG_STATES if values.get(name) in ("0", "1")]
    states = [FLAG_STATES[name] for name in told if values[name] == "1"]
    is_told = bool(told)
    for name, words in BIT_STATES.items():
        bits = _bits(values.get(name, ""))
        if bits is not None:
            is_told = True
            states += [word for bit, word in words.items() if bits >> bit & 1]
    return states if is_told else None


DRIVER = DeviceDriver(
    name="bbraun_bcc",
    title="B. Braun Space and Compact+ pumps behind a SpaceCom, BCC",
    manual="Technical Interface Specification BCC, I0022_000030, version 4.0",
    settings=BccSettings,
    read=read,
    session=lambda settings: BccSession(
        is_stuffed=settings.stuffing, poll_s=settings.poll_s, is_cyclic=settings.mode == "cyclic"
    ),
    serial=SerialSettings(9600),
    has_local_times=lambda _: True,
    requests=REQUESTS,
    quality=Quality(
        numerics=done("rate, volumes, times, doses, pressures"),
        waves=exempt("pumps have none"),
        alarms=done("alarms and pre-alarms, begin and end; the protocol sends no priority and no limits"),
        settings=done("drug, limits, modes, weight, model"),
        clock=done("where the SpaceCom is set to send date and time"),
        no_reading=done("_NV and _NA"),
        disconnect=done("a time-out begins with ADMIN:ALIVE; a pump that is taken out is an event"),
    ),
    redact=redact_bcc,
)
