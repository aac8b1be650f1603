r"""ORU^R01 out of a chart: one message for each encounter and slot (HL7 2.5.1 chapter 7; docs/hl7-out.md, each field).

Written by hand: hl7apy takes 60 ms for a message, and what is written here it validates (tests, `validate_oru`). Which
result a correction corrects is told by OBR-3, OBX-3 and OBX-4 together; from 2.6 on OBX-21 names the entry itself too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from adapters.emr.oru_codes import (
    OWN_CODES,
    UCUM,
    VITAL_SIGNS,
    Language,
    choice_text,
    observation_identifier,
)
from adapters.emr.oru_validation import validate_oru
from clinical.chart import Status
from clinical.charted import ChartedVersion, Instrument, Person, Place, Stay
from schemas.adt import Identifier
from schemas.errors import ConfigError, VitalwireError

__all__ = ["OruStyle", "Result", "filler_number", "oru_r01", "result_of", "validate_oru"]

CodedCharset = Literal["UNICODE UTF-8", "GB18030"]
VERSIONS = ("2.4", "2.5", "2.5.1", "2.6", "2.7")  # of 2.8 hl7apy cannot validate the groups
CONTROL_ID_CHARS = 20
NOT_CONFIRMED = "not confirmed by a person: became final by the site's time limit"
_CODECS = {"UNICODE UTF-8": "utf-8", "GB18030": "gb18030"}
_MSH_18 = {"UNICODE UTF-8": "UNICODE UTF-8", "GB18030": "GB 18030-2000"}  # table 0211
_FILLER_CHARS = 20  # an EI-1 of 22 characters at most, before 2.5
_ST_CHARS = 199  # longer text is a TX
_EUI_64 = re.compile(r"[0-9A-Fa-f]{16}")
_BORN = re.compile(r"\d{4}(-\d\d){0,2}")
# What a text cannot hold as it is: the delimiters, controls (they break the frame or the segment), lone surrogates
# (bytes that no charset could read, PEP 383).
_UNSAFE = re.compile(r"[|^~\\&\x00-\x1f\x7f\ud800-\udfff]")
_ESCAPES = {mark: f"\\{letter}\\" for mark, letter in zip("|^~\\&", "FSRET", strict=True)}


class OruStyle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one destination wants its messages. Raises ConfigError for what cannot be.

    `visit_prefix_type` is that of the site's AdtSource: the CX-5 of the number that PV1-19 continues.
    """

    sending_application: str = "VITALWIRE"
    sending_facility: str = ""
    receiving_application: str = ""
    receiving_facility: str = ""
    version: str = "2.5.1"
    character_set: CodedCharset = "UNICODE UTF-8"
    time_zone: str = "UTC"  # an IANA name; every instant is written with its offset
    withdrawn_as: Literal["W", "D"] = "W"  # wrong patient, or deleted
    preliminary_as: Literal["P", "R"] = "P"  # preliminary, or not verified
    processing_id: Literal["P", "T", "D"] = "P"
    language: Language = "en"  # of texts beside codes
    visit_prefix_type: str = ""

    def __post_init__(self) -> None:
        if self.version not in VERSIONS:
            raise ConfigError(f"HL7 version {self.version!r} is none of {', '.join(VERSIONS)}")
        if self.character_set not in _CODECS:
            raise ConfigError(f"character set {self.character_set!r} is none of {', '.join(_CODECS)}")
        if self.withdrawn_as not in ("W", "D") or self.preliminary_as not in ("P", "R"):
            raise ConfigError("withdrawn_as is W or D, preliminary_as is P or R")
        _zone(self.time_zone)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """By what a receiver tells one result from all others."""

    filler_number: str  # OBR-3.1: of the encounter and the slot
    code: str  # OBX-3.1
    sub_id: str  # OBX-4: which entry of its slot, from 1 on


def oru_r01(versions: Sequence[ChartedVersion], control_id: str, style: OruStyle, sent_at_us: int) -> bytes:
    """The message, its last segment ended by CR, without MLLP's frame. The same input gives the same bytes.

    PV1-3 is where the one that was measured last was measured. Raises VitalwireError for versions of several encounters
    or slots, for none, where nobody knows whose they are, and of a person who has been erased.
    """
    person = _checked(versions, control_id, style)
    ordered = sorted(versions, key=lambda each: (each.item, each.ordinal, each.entry, each.version.number))
    latest = max(ordered, key=lambda each: each.version.observed_at_us)
    zone = _zone(style.time_zone)
    segments = [
        _msh(control_id, style, _time(sent_at_us, zone)),
        _pid(person, latest.stay, style),
        _pv1(latest.stay, _place_of(ordered), person, style, zone),
        _obr(ordered, style, zone),
    ]
    for number, each in enumerate(ordered, 1):
        segments.append(_obx(number, each, style, zone))
        segments += _nte(each)
    text = "".join(f"{segment}\r" for segment in segments)
    return text.encode(_CODECS[style.character_set])


def filler_number(stay_key: str, slot_us: int) -> str:
    """OBR-3.1: 20 hexadecimal digits, the same for every message of this encounter and slot."""
    return hashlib.sha256(f"{stay_key}\0{slot_us}".encode()).hexdigest()[:_FILLER_CHARS]


def result_of(charted: ChartedVersion) -> Result:
    """The same for each version of an entry, and for no other entry."""
    return Result(
        filler_number=filler_number(charted.stay.key, charted.slot_us),
        code=observation_identifier(charted.item, "", "en")[0],
        sub_id=str(charted.ordinal),
    )


def _checked(versions: Sequence[ChartedVersion], control_id: str, style: OruStyle) -> Person:
    if not versions:
        raise VitalwireError("no versions: a message says something of one encounter and slot")
    if len({(each.stay.key, each.slot_us) for each in versions}) > 1:
        raise VitalwireError("versions of several encounters or slots: one message for each")
    if not control_id or (style.version < "2.7" and len(control_id) > CONTROL_ID_CHARS):
        raise VitalwireError(f"MSH-10 has 1 to {CONTROL_ID_CHARS} characters in HL7 {style.version}")
    person = versions[0].person
    if person is None:
        raise VitalwireError("nobody knows whose the encounter is: merge its patients, or correct the encounter")
    if person.erased:
        raise VitalwireError("the patient has been erased: nothing of it leaves the house")
    return person


def _place_of(ordered: Sequence[ChartedVersion]) -> Place | None:
    """Where the one that was measured last was measured, among those of which it is known."""
    placed = [each for each in ordered if each.place is not None]
    return max(placed, key=lambda each: each.version.observed_at_us).place if placed else None


def _msh(control_id: str, style: OruStyle, sent_at: str) -> str:
    fields = {
        3: escape(style.sending_application), 4: escape(style.sending_facility),
        5: escape(style.receiving_application), 6: escape(style.receiving_facility), 7: sent_at,
        9: "ORU^R01^ORU_R01", 10: escape(control_id), 11: style.processing_id, 12: style.version,
        18: _MSH_18[style.character_set],
    }  # fmt: skip
    return "MSH|^~\\&|" + _segment("MSH", fields).split("|", 3)[3]


def _pid(person: Person, stay: Stay, style: OruStyle) -> str:
    unspecified = "U" if style.version >= "2.7" else ""  # CX-5 is required from then on
    family, given = (person.family, person.given) if person.family or person.given else (person.name, "")
    fields = {
        1: "1",
        3: "~".join(_cx(each, unspecified) for each in person.identifiers),
        5: _components((family, given)),
        7: person.birth_date.replace("-", "") if _BORN.fullmatch(person.birth_date) else "",
        8: escape(person.sex),
        18: _cx(_number_of(stay.key, "account:"), "AN"),
    }
    return _segment("PID", fields)


def _pv1(stay: Stay, place: Place | None, person: Person, style: OruStyle, zone: ZoneInfo) -> str:
    fields = {
        1: "1",
        2: escape(stay.patient_class) or "U",  # table 0004: unknown
        3: _bed(place),
        19: _cx(_visit_number(stay, person, style.visit_prefix_type), "VN"),
        44: "" if stay.admitted_at_us is None else _time(stay.admitted_at_us, zone),
    }
    return _segment("PV1", fields)


def _bed(place: Place | None) -> str:
    """PL: ward^room^bed^facility, and PL-9 as the site calls it."""
    if place is None:
        return ""
    facility, ward, room, bed, *_ = [*place.key.split("^"), "", "", "", ""]
    return _components((ward, room, bed, facility, "", "", "", "", place.name))


def _number_of(stay_key: str, kind: str) -> Identifier | None:
    """The number in a key of this kind (clinical/identity.py: visit:value^authority, account:value^authority)."""
    if not stay_key.startswith(kind):
        return None
    value, _, authority = stay_key.removeprefix(kind).partition("^")
    return Identifier(value=value, authority=authority)


def _visit_number(stay: Stay, person: Person, prefix_type: str) -> Identifier | None:
    """PV1-19 as the admission office sends it: without the number that it continues."""
    number = _number_of(stay.key, "visit:")
    if number is None or not prefix_type:
        return number
    prefixes = [f"{each.value}-" for each in person.identifiers if each.type == prefix_type]
    prefix = next((each for each in prefixes if number.value.startswith(each)), "")
    return msgspec.structs.replace(number, value=number.value.removeprefix(prefix))


def _obr(ordered: Sequence[ChartedVersion], style: OruStyle, zone: ZoneInfo) -> str:
    first = ordered[0]
    statuses = {_result_status(each, style) for each in ordered}
    if statuses & {"C", "W", "D"}:
        status = "C"
    elif style.preliminary_as in statuses:
        status = style.preliminary_as
    else:
        status = "F"
    fields = {
        1: "1",
        3: _components((filler_number(first.stay.key, first.slot_us), style.sending_application)),
        4: _components(VITAL_SIGNS),
        7: _time(first.slot_us, zone),
        22: _time(max(each.version.recorded_at_us for each in ordered), zone),
        25: status,  # table 0123
    }
    return _segment("OBR", fields)


def _obx(number: int, charted: ChartedVersion, style: OruStyle, zone: ZoneInfo) -> str:
    """As text at once: a message is mostly these."""
    version = charted.version
    kind, value = _value(charted, style)
    code = _code(charted.item, version.unit, style.language)
    unit = _unit(version.unit) if kind == "NM" else ""
    status, measured_at = _result_status(charted, style), _time(version.observed_at_us, zone)
    by = f"^{escape(charted.by_name)}" if charted.by_name else ""
    equipment = _equipment(charted.device, style.sending_application)
    instance = f"|||{_components((charted.entry, style.sending_application))}" if style.version >= "2.6" else ""
    return (
        f"OBX|{number}|{kind}|{code}|{charted.ordinal}|{value}|{unit}|||||{status}|||{measured_at}||{by}||{equipment}"
        f"{instance}"
    ).rstrip("|")


@lru_cache(2048)
def _code(item: str, unit: str, language: Language) -> str:
    return _components(observation_identifier(item, unit, language))


@lru_cache(256)
def _unit(ucum: str) -> str:
    return _components((ucum, ucum, UCUM)) if ucum else ""


def _value(charted: ChartedVersion, style: OruStyle) -> tuple[str, str]:
    """OBX-2 and OBX-5. Decimals are as they came; without any value it is an ST that says nothing."""
    version = charted.version
    if version.value is not None:
        number = f"{version.value:.{max(0, version.decimals)}f}"
        return "NM", number if number.strip("-0.") else number.removeprefix("-")  # no minus zero
    text = choice_text(charted.item, version.text, style.language)
    if text is not None:
        return "CE" if style.version < "2.5" else "CWE", _components((version.text, text, OWN_CODES))
    return "ST" if len(version.text) <= _ST_CHARS else "TX", escape(version.text)


def _result_status(charted: ChartedVersion, style: OruStyle) -> str:
    """OBX-11 (table 0085)."""
    version = charted.version
    if version.status is Status.ENTERED_IN_ERROR:
        return style.withdrawn_as
    if version.value is None and not version.text:
        return "X"
    if version.status is Status.PRELIMINARY:
        return style.preliminary_as
    return "C" if version.status is Status.AMENDED else "F"


@lru_cache(2048)
def _equipment(device: Instrument | None, sending_application: str) -> str:
    """OBX-18: our device's UUID, then what it calls itself; an EUI-64 as IHE PCD writes it."""
    if device is None:
        return ""
    own = _components((device.uuid, sending_application))
    claim = device.claim.strip()
    if not claim:
        return own
    if _EUI_64.fullmatch(claim):
        return f"{own}~{_components((claim, '', claim, 'EUI-64'))}"
    return f"{own}~{escape(claim)}"


def _nte(charted: ChartedVersion) -> list[str]:
    """Why it was changed or withdrawn, and that nobody confirmed it."""
    version = charted.version
    comments = []
    if version.status in (Status.AMENDED, Status.ENTERED_IN_ERROR) and version.reason:
        comments.append(version.reason)
    if version.by_time:
        comments.append(NOT_CONFIRMED)
    return [_segment("NTE", {1: str(n), 2: "L", 3: escape(text)}) for n, text in enumerate(comments, 1)]


def _cx(identifier: Identifier | None, type_else: str) -> str:
    """CX-4 is a HD, whose subcomponents an Identifier keeps as they were sent. `type_else`: CX-5 where it has none."""
    if identifier is None:
        return ""
    authority = "&".join(map(escape, identifier.authority.split("&")))
    return f"{escape(identifier.value)}^^^{authority}^{escape(identifier.type) or type_else}".rstrip("^")


def _segment(name: str, fields: dict[int, str]) -> str:
    """Fields by their number; what is not there is empty."""
    last = max((number for number, text in fields.items() if text), default=0)
    return "|".join([name, *(fields.get(number, "") for number in range(1, last + 1))])


def _components(texts: Iterable[str]) -> str:
    return "^".join(map(escape, texts)).rstrip("^")


def escape(text: str) -> str:
    r"""With HL7's escape sequences (2.5.1 §2.7): \F\ \S\ \R\ \E\ \T\, and \Xdd..\ for what no text may hold."""
    return _UNSAFE.sub(_escaped, text) if _UNSAFE.search(text) else text


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    known = _ESCAPES.get(character)
    if known is not None:
        return known
    code = ord(character)
    if code < 0x80:
        return f"\\X{code:02X}\\"
    if 0xDC80 <= code <= 0xDCFF:  # the byte that it was
        return f"\\X{code - 0xDC00:02X}\\"
    return "�"


def _time(at_us: int, zone: ZoneInfo) -> str:
    """With its offset; a fraction (four digits, cut) only where there is one."""
    seconds, fraction_us = divmod(at_us, 1_000_000)
    second, offset = _second(seconds, zone)
    return f"{second}.{fraction_us // 100:04}{offset}" if fraction_us else second + offset


@lru_cache(4096)
def _second(seconds: int, zone: ZoneInfo) -> tuple[str, str]:
    at = datetime.fromtimestamp(seconds, zone)
    return f"{at:%Y%m%d%H%M%S}", f"{at:%z}"


@lru_cache(64)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(f"time zone {name!r} is not known: write one such as Asia/Shanghai") from None
