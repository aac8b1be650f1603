"""FHIR R4B resources out of what a chart says, written as JSON: all that stands here is equal in FHIR 4.0.1 and R4B.

Written by hand, for a hospital's day is a million observations; tests compare it with fhir.resources. A value's digits
are as many as were sent. Instants are UTC.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from functools import lru_cache

import msgspec

from adapters.emr import fhir_codes
from adapters.emr.fhir_codes import Coding
from adapters.emr.observation import PANEL_CODES, PANELS, ChartedObservation
from clinical.chart import Origin, Source, Status
from clinical.chart_items import item_of
from clinical.charted import ChartedVersion, Instrument, Person, Place, Stay, resource_id
from schemas.adt import Identifier
from schemas.errors import VitalwireError

_US_PER_S = 1_000_000
_S_PER_DAY = 86_400
_EPOCH = date(1970, 1, 1)
# What FHIR's string may not hold.
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_BIRTH_DATE = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")
_OID = re.compile(r"[0-2](\.(0|[1-9]\d*))+")
_GENDERS = {"M": "male", "F": "female", "O": "other", "A": "other", "U": "unknown"}  # HL7 table 0001
# PV1-2 (HL7 table 0004) in v3-ActCode.
_CLASSES = {"I": "IMP", "O": "AMB", "E": "EMER", "P": "PRENC", "R": "AMB", "B": "IMP"}
# Of CX-5 those that HL7 table 0203 has and that a patient's or a visit's number is sent with.
_IDENTIFIER_TYPES = frozenset({
    "AN", "BC", "DL", "HC", "MA", "MC", "MR", "NI", "NH", "PI", "PN", "PPN", "PT", "SS", "VN",
})  # fmt: skip
# FHIR's profiles of vital signs demand a subject.
_NOBODY = '"subject":{"type":"Patient","display":"nobody knows whose"}'
_NO_SYSTEMS: Mapping[str, str] = {}


class References(msgspec.Struct, frozen=True, kw_only=True):
    """What an observation refers to; None: nothing of the kind is known."""

    subject: str | None
    encounter: str | None
    device: str | None


def references(observation: ChartedObservation) -> References:
    """As our own API has them: Patient/<id>, Encounter/<id>, Device/<uuid>."""
    newest = observation.newest
    device = one_device(observation)
    return References(
        subject=None if newest.person is None else _own_reference("Patient", newest.person.key),
        encounter=_own_reference("Encounter", newest.stay.key),
        device=None if device is None else f"Device/{device.uuid}",
    )


def one_device(observation: ChartedObservation) -> Instrument | None:
    """The device that all members that stand and have one come from; None: by hand, unknown, or of several."""
    devices = {member.device.uuid: member.device for member in observation.standing if member.device is not None}
    return next(iter(devices.values())) if len(devices) == 1 else None


def observation_json(observation: ChartedObservation) -> bytes:
    """An Observation as our API serves it. Raises VitalwireError for an item that cannot be charted."""
    recorded = instant(observation.newest.version.recorded_at_us)
    meta = f'"versionId":"{observation.version}","lastUpdated":"{recorded}"'
    body = observation_body(observation, references(observation), meta)
    return f'{{"resourceType":"Observation","id":"{observation.id}",{body}'.encode()


def observation_body(observation: ChartedObservation, refers: References, meta: str = "") -> str:
    """All of an Observation after its id, the closing brace included. `meta`: members of Observation.meta."""
    first = observation.members[0]
    newest = observation.newest
    if observation.panel:
        codes = fhir_codes.panel_codings(observation.panel)
        code = _panel_code(observation.panel)
        content = _components(observation)
    else:
        codes = fhir_codes.codings(first.item, first.version.unit)
        code = _item_code(first.item, first.version.unit)
        content = _value(first)
    profile = _profile(observation, codes)
    parts = [
        _meta(meta, profile, by_time=_is_by_time(observation)),
        f'"identifier":[{_entry_identifiers(observation)}]',
        f'"status":"{observation.status.value}"',
        _category(first.item),
        f'"code":{code}',
        f'"subject":{{"reference":"{refers.subject}"}}' if refers.subject else _NOBODY,
        f'"encounter":{{"reference":"{refers.encounter}"}}' if refers.encounter else "",
        f'"effectiveDateTime":"{instant(max(member.version.observed_at_us for member in observation.standing))}"',
        f'"issued":"{instant(newest.version.recorded_at_us)}"',
        _performers(observation),
        content,
        f'"device":{{"reference":"{refers.device}"}}' if refers.device else "",
    ]
    return ",".join(filter(None, parts)) + "}"


def patient_json(person: Person, identifier_systems: Mapping[str, str] = _NO_SYSTEMS) -> bytes:
    """A Patient. `identifier_systems`: CX-4 to the system that the receiver calls it.

    Raises VitalwireError for a person who has been erased: nothing of them leaves.
    """
    own = f'"id":"{resource_id("Patient", person.key)}",'
    return f'{{"resourceType":"Patient",{own}{patient_body(person, identifier_systems)}'.encode()


def patient_body(person: Person, identifier_systems: Mapping[str, str]) -> str:
    """All of a Patient after its id, the closing brace included. Raises as `patient_json`."""
    if person.erased:
        raise VitalwireError("the person has been erased: nothing of them leaves the house")
    name = {"text": person.name, "family": person.family}
    parts = [f'"{key}":{text(said)}' for key, said in name.items() if said]
    if person.given:
        parts.append(f'"given":[{text(person.given)}]')
    gender = _GENDERS.get(person.sex.strip().upper()[:1], "unknown") if person.sex.strip() else ""
    members = [
        f'"identifier":[{_joined(patient_identifiers(person, identifier_systems))}]',
        f'"name":[{{{",".join(parts)}}}]' if parts else "",
        f'"gender":"{gender}"' if gender else "",
        f'"birthDate":"{person.birth_date}"' if _is_date(person.birth_date) else "",
    ]
    return ",".join(filter(None, members)) + "}"


def encounter_json(
    stay: Stay, person: Person | None, place: Place | None, identifier_systems: Mapping[str, str] = _NO_SYSTEMS
) -> bytes:
    """An Encounter at one bed. `person` None: nobody knows whose it is."""
    subject = None if person is None else _own_reference("Patient", person.key)
    location = None if place is None else _own_reference("Location", place.key)
    own = f'"id":"{resource_id("Encounter", stay.key)}",'
    return f'{{"resourceType":"Encounter",{own}{encounter_body(stay, subject, location, identifier_systems)}'.encode()


def encounter_body(stay: Stay, subject: str | None, location: str | None, systems: Mapping[str, str]) -> str:
    """All of an Encounter after its id, the closing brace included; subject and location are references."""
    status = "unknown" if stay.admitted_at_us is None else "in-progress"
    if stay.discharged_at_us is not None:
        status = "finished"
    period = [
        f'"{name}":"{instant(at_us)}"'
        for name, at_us in (("start", stay.admitted_at_us), ("end", stay.discharged_at_us))
        if at_us is not None
    ]
    parts = [
        f'"identifier":[{_joined(encounter_identifiers(stay, systems))}]',
        f'"status":"{status}"',
        f'"class":{_coding(_class(stay.patient_class))}',
        f'"subject":{{"reference":"{subject}"}}' if subject else "",
        f'"period":{{{",".join(period)}}}' if period else "",
        f'"location":[{{"location":{{"reference":"{location}"}}}}]' if location else "",
    ]
    return ",".join(filter(None, parts)) + "}"


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """A ward, a room or a bed: `key` begins with its parent's."""

    key: str
    name: str
    code: str  # location-physical-type
    parent: str | None


def levels(place: Place) -> list[Level]:
    """From the ward to the bed; a part that was not sent is left out."""
    facility, ward, room, bed = [*place.key.split("^"), "", "", "", ""][:4]
    found: list[Level] = []
    for key, name, code in (
        (f"{facility}^{ward}", ward, "wa"),
        (f"{facility}^{ward}^{room}", room, "ro"),
        (place.key, place.name or bed, "bd"),
    ):
        if name or key == place.key:
            found.append(Level(key=key, name=name or key, code=code, parent=found[-1].key if found else None))
    return found


def location_json(level: Level) -> bytes:
    """A Location, part of the one that its key begins with."""
    parent = None if level.parent is None else _own_reference("Location", level.parent)
    identity = resource_id("Location", level.key)
    return f'{{"resourceType":"Location","id":"{identity}",{location_body(level, parent)}'.encode()


def location_body(level: Level, parent: str | None) -> str:
    """All of a Location after its id, the closing brace included."""
    kind = Coding("http://terminology.hl7.org/CodeSystem/location-physical-type", level.code)
    parts = [
        f'"identifier":[{identifier_json(fhir_codes.LOCATION, level.key)}]',
        f'"name":{text(level.name)}',
        '"mode":"instance"',
        f'"physicalType":{{"coding":[{_coding(kind)}]}}',
        f'"partOf":{{"reference":"{parent}"}}' if parent else "",
    ]
    return ",".join(filter(None, parts)) + "}"


def device_json(instrument: Instrument) -> bytes:
    """A Device."""
    return f'{{"resourceType":"Device","id":"{instrument.uuid}",{device_body(instrument)}'.encode()


def device_body(instrument: Instrument) -> str:
    """All of a Device after its id, the closing brace included."""
    identifiers = [identifier_json(fhir_codes.DEVICE, instrument.uuid)]
    if instrument.claim:
        identifiers.append(identifier_json(fhir_codes.DEVICE_CLAIM, instrument.claim))
    parts = [f'"identifier":[{",".join(identifiers)}]']
    if instrument.name:
        parts.append(f'"deviceName":[{{"name":{text(instrument.name)},"type":"user-friendly-name"}}]')
    return ",".join(parts) + "}"


def provenance_json(observation: ChartedObservation) -> bytes:
    """Where one version of an observation comes from: each value by its public identity, and who stands behind it."""
    members = observation.members
    sources = dict.fromkeys(source for member in members for source in member.version.sources)
    agents = dict.fromkeys(_agent(member) for member in members)
    reasons = dict.fromkeys(member.version.reason for member in members if member.version.reason)
    entities = [
        f'{{"role":"source","what":{{"identifier":{identifier_json(fhir_codes.SOURCE, source_text(source))}}}}}'
        for source in sources
    ]
    why = f',"text":{text("; ".join(reasons))}' if reasons else ""
    activity = "CREATE" if observation.version == len(members) else "UPDATE"
    operation = Coding("http://terminology.hl7.org/CodeSystem/v3-DataOperation", activity)
    return _object([
        f'"resourceType":"Provenance","id":"{observation.id}-{observation.version}"',
        f'"target":[{{"reference":"Observation/{observation.id}/_history/{observation.version}"}}]',
        f'"recorded":"{instant(observation.newest.version.recorded_at_us)}"',
        # Not Provenance.reason: that is the purpose of use.
        f'"activity":{{"coding":[{_coding(operation)}]{why}}}',
        f'"agent":[{",".join(agents)}]',
        f'"entity":[{",".join(entities)}]' if entities else "",
    ])  # fmt: skip


def source_text(source: Source) -> str:
    """The public identity of a value as one text: batch id in hexadecimal/leaf/record."""
    return f"{source.batch_id.hex()}/{source.leaf}/{source.record}"


def patient_identifiers(person: Person, systems: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """As (system, value, type), the patient's own number first; a person without a number has one of ours."""
    found = [(_system(number, systems), number.value, number.type) for number in person.identifiers if number.value]
    return found or [(fhir_codes.PATIENT, resource_id("Patient", person.key), "")]


def encounter_identifiers(stay: Stay, systems: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """As (system, value, type): the visit's or account's number where the key is made of one, then the key."""
    found = [(fhir_codes.ENCOUNTER, stay.key, "")]
    kind, _, number = stay.key.partition(":")
    if kind in ("visit", "account"):
        value, _, authority = number.partition("^")
        type_code = "VN" if kind == "visit" else "AN"
        found.insert(0, (_system(Identifier(value=value, authority=authority), systems), value, type_code))
    return found


def identifier_json(system: str, value: str, type_code: str = "") -> str:
    """An Identifier. `type_code`: CX-5."""
    kind = ""
    if type_code in _IDENTIFIER_TYPES:
        coding = _coding(Coding("http://terminology.hl7.org/CodeSystem/v2-0203", type_code))
        kind = f'"type":{{"coding":[{coding}]}},'
    elif type_code.strip():
        kind = f'"type":{{"text":{text(type_code)}}},'
    return f'{{{kind}"system":{text(system)},"value":{text(value)}}}'


def text(said: str) -> str:
    """As a JSON string that FHIR allows: without control characters, not blank at its ends, never empty."""
    return msgspec.json.encode(_CONTROLS.sub(" ", said).strip() or "?").decode()


def instant(at_us: int) -> str:
    """UTC, with as much of the second as there is."""
    seconds, fraction_us = divmod(at_us, _US_PER_S)
    days, second = divmod(seconds, _S_PER_DAY)
    minutes, second = divmod(second, 60)
    hour, minute = divmod(minutes, 60)
    fraction = f".{fraction_us:06}" if fraction_us else ""
    return f"{_day(days)}T{hour:02}:{minute:02}:{second:02}{fraction}Z"


@lru_cache(maxsize=4096)
def _day(days: int) -> str:
    return (_EPOCH + timedelta(days=days)).isoformat()


@lru_cache(maxsize=4096)
def _own_reference(kind: str, key: str) -> str:
    return f"{kind}/{resource_id(kind, key)}"


def _object(members: Iterable[str]) -> bytes:
    return f"{{{','.join(filter(None, members))}}}".encode()


def _joined(identifiers: Iterable[tuple[str, str, str]]) -> str:
    return ",".join(identifier_json(*identifier) for identifier in identifiers)


@lru_cache(maxsize=4096)
def _coding(coding: Coding) -> str:
    display = f',"display":{text(coding.display)}' if coding.display else ""
    return f'{{"system":"{coding.system}","code":{text(coding.code)}{display}}}'


def _concept(codes: Iterable[Coding], name: str) -> str:
    return f'{{"coding":[{",".join(_coding(coding) for coding in codes)}],"text":{text(name)}}}'


@lru_cache(maxsize=1024)
def _item_code(item: str, unit: str) -> str:
    return _concept(fhir_codes.codings(item, unit), item_of(item).en)


@lru_cache(maxsize=64)
def _panel_code(panel: str) -> str:
    return _concept(fhir_codes.panel_codings(panel), PANEL_CODES[panel].en)


@lru_cache(maxsize=1024)
def _category(item: str) -> str:
    return f'"category":[{{"coding":[{_coding(Coding(fhir_codes.CATEGORY, fhir_codes.category(item)))}]}}]'


@lru_cache(maxsize=1024)
def _unit(unit: str) -> str:
    return f',"unit":{text(unit)},"system":"{fhir_codes.UCUM}","code":{text(unit)}' if unit else ""


@lru_cache(maxsize=16)
def _absent(reason: str) -> str:
    return f'"dataAbsentReason":{{"coding":[{_coding(Coding(fhir_codes.ABSENT, reason))}]}}'


def number_text(value: float, decimals: int) -> str:
    """With its digits as they came: 36.50 stays 36.50."""
    digits = f"{value:.{decimals}f}"
    return digits.lstrip("-") if digits.startswith("-") and not float(digits) else digits


def _value(member: ChartedVersion) -> str:
    """The value of an entry, or why there is none."""
    version = member.version
    if version.value is not None:
        if not math.isfinite(version.value):
            return _absent("not-a-number")
        return f'"valueQuantity":{{"value":{number_text(version.value, version.decimals)}{_unit(version.unit)}}}'
    if not version.text.strip():
        return _absent("unknown")
    choices = item_of(member.item).choices
    if choices is None or version.text not in choices:
        return f'"valueString":{text(version.text)}'
    english = choices[version.text][0]
    coding = Coding(fhir_codes.CHOICE + member.item, version.text, english)
    return f'"valueCodeableConcept":{_concept((coding,), english)}'


def _components(observation: ChartedObservation) -> str:
    """Of a panel: one in error among others that stand has no value; what its profile demands is never left out."""
    members = {member.item: member for member in observation.members}
    standing = observation.status is not Status.ENTERED_IN_ERROR
    parts: list[str] = []
    for item in PANELS:
        if item not in members:
            if item in PANEL_CODES[observation.panel].required:
                parts.append(f'{{"code":{_item_code(item, "")},{_absent("unknown")}}}')
            continue
        member = members[item]
        in_error = member.version.status is Status.ENTERED_IN_ERROR
        said = _absent("error") if standing and in_error else _value(member)
        parts.append(f'{{"code":{_item_code(item, "")},{said}}}')
    return f'"component":[{",".join(parts)}]'


def _entry_identifiers(observation: ChartedObservation) -> str:
    """Its own first; a panel also has those of its entries."""
    ids = dict.fromkeys((observation.id, *(member.entry for member in observation.members)))
    return ",".join(f'{{"system":"{fhir_codes.ENTRY}","value":"{entry}"}}' for entry in ids)


def _profile(observation: ChartedObservation, codes: tuple[Coding, ...]) -> str | None:
    """None where a value is no number, or in a unit that the profile does not allow."""
    units: set[str] = set()
    for member in observation.members:
        if member.version.text:
            return None
        if member.version.value is not None:
            units.add(member.version.unit)
    profiles = {fhir_codes.profile(codes, unit) for unit in units or {""}}
    return profiles.pop() if len(profiles) == 1 else None


def _meta(members: str, profile: str | None, *, by_time: bool) -> str:
    parts = [
        members,
        f'"profile":["{profile}"]' if profile else "",
        f'"tag":[{_coding(Coding(fhir_codes.TAG, fhir_codes.BY_TIME))}]' if by_time else "",
    ]
    joined = ",".join(filter(None, parts))
    return f'"meta":{{{joined}}}' if joined else ""


def _is_by_time(observation: ChartedObservation) -> bool:
    versions = (member.version for member in observation.members)
    return any(version.by_time and version.status is Status.FINAL for version in versions)


def _performers(observation: ChartedObservation) -> str:
    """Who asserts the value: the people in whose names it was written or confirmed. Of one in error nobody does."""
    if observation.status is Status.ENTERED_IN_ERROR:
        return ""
    names = dict.fromkeys(member.by_name for member in observation.standing if member.by_name.strip())
    if not names:
        return ""
    performers = ",".join(f'{{"display":{text(name)}}}' for name in names)
    return f'"performer":[{performers}]'


def _agent(member: ChartedVersion) -> str:
    if member.version.act_id is None:
        kind = "assembler"
        who = f'{{"identifier":{identifier_json(fhir_codes.PLATFORM, "vitalwire")},"display":"vitalwire"}}'
    else:
        kind = "author" if member.version.origin is Origin.HAND else "verifier"
        who = f'{{"display":{text(member.by_name or "a person whose name is not known")}}}'
    coding = Coding("http://terminology.hl7.org/CodeSystem/provenance-participant-type", kind)
    return f'{{"type":{{"coding":[{_coding(coding)}]}},"who":{who}}}'


def _class(patient_class: str) -> Coding:
    code = _CLASSES.get(patient_class.strip().upper())
    if code is None:
        return Coding("http://terminology.hl7.org/CodeSystem/v3-NullFlavor", "UNK")
    return Coding("http://terminology.hl7.org/CodeSystem/v3-ActCode", code)


def _system(number: Identifier, systems: Mapping[str, str]) -> str:
    """The system of a number: as the receiver calls its authority, an OID where the authority holds one, or ours."""
    known = systems.get(number.authority)
    if known is not None:
        return known
    for part in number.authority.split("&"):
        if _OID.fullmatch(part):
            return f"urn:oid:{part}"
    return fhir_codes.AUTHORITY + percent_encoded(number.authority or "none")


_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def percent_encoded(said: str, safe: frozenset[int] = frozenset()) -> str:
    """RFC 3986, of its UTF-8."""
    octets = said.encode("utf-8", "replace")
    return "".join(chr(octet) if octet in _UNRESERVED | safe else f"%{octet:02X}" for octet in octets)


def _is_date(said: str) -> bool:
    if not _BIRTH_DATE.fullmatch(said):
        return False
    year, month, day = (int(part) for part in (said + "-01-01")[:10].split("-"))
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True
