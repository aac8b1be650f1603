"""Patients, encounters, places and devices: what observations refer to, as it is believed now."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.emr import fhir_codes
from adapters.emr.fhir_json import (
    Level,
    device_json,
    encounter_identifiers,
    encounter_json,
    levels,
    location_json,
    patient_identifiers,
    patient_json,
)
from clinical.charted import Instrument, Person, Place, resource_id
from clinical.key_words import bed_words
from emr_store import fhir_search
from emr_store.bed_names import bed_names
from emr_store.charted import StayNow, persons, stays_at
from emr_store.fhir_search import EncounterKey
from emr_store.instants import moment
from emr_store.visible_stays import Sight
from gateway.access.viewer import Target
from gateway.access.words import Action, DataClass
from gateway.asking import Asking
from gateway.fhir.cursor import Position, decode_cursor
from gateway.fhir.observations import gone, not_found
from gateway.fhir.parameters import Search
from gateway.fhir.refusals import bad_parameter
from gateway.fhir.resource import Found, Resource
from gateway.fhir.values import Token

ENCOUNTER_STATUS = "http://hl7.org/fhir/encounter-status"


# --- patients --------------------------------------------------------------------------------------------------------


def patient(conn: Any, asking: Asking, identity: str) -> Resource:
    """Raises RequestError."""
    found = _patients(conn, asking, fhir_search.patients_by_ids(conn, [identity], _sight(asking)))
    if not found:
        raise not_found()
    if found[0].person.erased:
        raise gone()
    return _patient(found[0])


def search_patients(conn: Any, asking: Asking, asked: Search) -> Found:
    """Raises RequestError."""
    ids = asked.ids("_id")
    tokens = asked.tokens("identifier")
    if ids is not None:
        keys = fhir_search.patients_by_ids(conn, ids, _sight(asking))
    else:
        keys = fhir_search.patients_by_numbers(conn, _codes(tokens), _sight(asking))
    found = [each for each in _patients(conn, asking, keys) if not each.person.erased]
    return paged(
        asked, [_patient(each) for each in found if _one_of_each(tokens, patient_identifiers(each.person, {}))]
    )


@dataclass(frozen=True)
class _Patient:
    person: Person
    encounters: tuple[str, ...]  # those in sight


def _sight(asking: Asking) -> Sight:
    """The stays that may be seen with whose they are: a patient is seen by who sees one of his stays."""
    return asking.sight(Action.SEE, DataClass.IDENTITY)


def _patients(conn: Any, asking: Asking, keys: Sequence[str]) -> list[_Patient]:
    known = persons(conn, keys)
    stays: dict[str | None, list[str]] = {}
    for each in fhir_search.encounters_of(conn, keys, _sight(asking)):
        stays.setdefault(each.patient, []).append(each.encounter)
    return [_Patient(known[key], tuple(stays[key])) for key in keys if key in stays]


def _patient(found: _Patient) -> Resource:
    identity = resource_id("Patient", found.person.key)
    return Resource(kind="Patient", id=identity, body=patient_json(found.person), encounters=found.encounters)


# --- encounters ------------------------------------------------------------------------------------------------------


def encounter(conn: Any, asking: Asking, identity: str) -> Resource:
    """Raises RequestError."""
    found = _stays(conn, fhir_search.encounters_by_ids(conn, [identity], _sight(asking)))
    if not found:
        raise not_found()
    if found[0].person is not None and found[0].person.erased:
        raise gone()
    return _encounter(found[0])


def search_encounters(conn: Any, asking: Asking, asked: Search) -> Found:
    """Raises RequestError."""
    left: set[EncounterKey] | None = None
    for stated in _encounter_sets(conn, _sight(asking), asked):
        left = stated if left is None else left & stated
    statuses, identifiers = asked.tokens("status"), asked.tokens("identifier")
    found = []
    for each in _stays(conn, sorted(left or (), key=lambda key: key.encounter)):
        if each.person is not None and each.person.erased:
            continue
        has_status = _one_of_each(statuses, [(ENCOUNTER_STATUS, _status(each))])
        if has_status and _one_of_each(identifiers, encounter_identifiers(each.stay, {})):
            found.append(_encounter(each))
    return paged(asked, found)


def _encounter_sets(conn: Any, sight: Sight, asked: Search) -> Iterable[set[EncounterKey]]:
    """What each parameter leaves."""
    ids, patients, beds = asked.ids("_id"), asked.ids("patient", "subject"), asked.ids("location")
    if ids is not None:
        yield set(fhir_search.encounters_by_ids(conn, ids, sight))
    if patients is not None:
        yield set(fhir_search.encounters_of_ids(conn, patients, sight))
    if asked.tokens("identifier"):
        codes = _codes(asked.tokens("identifier"))
        by_number = set(fhir_search.encounters_by_numbers(conn, codes, sight))
        yield by_number | set(fhir_search.encounters_with(conn, codes, sight))
    if beds is not None:
        keys = [key for key in fhir_search.known_beds(conn) if resource_id("Location", key) in beds]
        yield set(fhir_search.encounters_in(conn, keys, sight))


def _stays(conn: Any, keys: Sequence[EncounterKey]) -> list[StayNow]:
    return stays_at(conn, [each.encounter for each in keys], time.time_ns() // 1000)


def _encounter(now: StayNow) -> Resource:
    body = encounter_json(now.stay, now.person, now.place)
    return Resource(kind="Encounter", id=resource_id("Encounter", now.stay.key), body=body, encounters=(now.stay.key,))


def _status(now: StayNow) -> str:
    """As `encounter_json` has it."""
    if now.stay.discharged_at_us is not None:
        return "finished"
    return "unknown" if now.stay.admitted_at_us is None else "in-progress"


# --- places ----------------------------------------------------------------------------------------------------------


def location(conn: Any, asking: Asking, identity: str) -> Resource:
    """Raises RequestError."""
    found = _levels(conn).get(identity)
    if found is None:
        raise not_found()
    return _location(found)


def search_locations(conn: Any, asking: Asking, asked: Search) -> Found:
    """Raises RequestError."""
    ids, parents, tokens = asked.ids("_id"), asked.ids("partof"), asked.tokens("identifier")
    found = []
    for identity, level in _levels(conn).items():
        if ids is not None and identity not in ids:
            continue
        if parents is not None and (level.parent is None or resource_id("Location", level.parent) not in parents):
            continue
        if _one_of_each(tokens, [(fhir_codes.LOCATION, level.key)]):
            found.append(_location(level))
    return paged(asked, found)


def _levels(conn: Any) -> dict[str, Level]:
    """All wards, rooms and beds, by their ids."""
    names = bed_names(conn)
    found: dict[str, Level] = {}
    for key in fhir_search.known_beds(conn):
        for level in levels(Place(key=key, name=bed_words(key, names))):
            found[resource_id("Location", level.key)] = level
    return found


def _location(level: Level) -> Resource:
    return Resource(kind="Location", id=resource_id("Location", level.key), body=location_json(level))


# --- devices ---------------------------------------------------------------------------------------------------------


def device(conn: Any, asking: Asking, identity: str) -> Resource:
    """Raises RequestError."""
    for found in _devices(conn, asking):
        if found.uuid == identity:
            return _device(found)
    raise not_found()


def search_devices(conn: Any, asking: Asking, asked: Search) -> Found:
    """Raises RequestError."""
    ids, tokens = asked.ids("_id"), asked.tokens("identifier")
    found = []
    for each in _devices(conn, asking):
        identifiers = [(fhir_codes.DEVICE, each.uuid), (fhir_codes.DEVICE_CLAIM, each.claim)]
        if (ids is None or each.uuid in ids) and _one_of_each(tokens, identifiers):
            found.append(_device(each))
    return paged(asked, found)


def _devices(conn: Any, asking: Asking) -> list[Instrument]:
    """Those of whose bed's ward the values of nobody may be seen, and those that measure a stay in sight."""
    in_sight = fhir_search.devices_in_sight(conn, asking.sight(Action.SEE, DataClass.VITALS))
    found = []
    for each in fhir_search.known_devices(conn, moment(asking.at_us)):
        nobodys = Target(DataClass.VITALS, wards=frozenset({each.ward} if each.ward else ()))
        if each.uuid in in_sight or asking.may(Action.SEE, nobodys).is_allowed:
            found.append(Instrument(uuid=str(each.uuid), claim=each.claim, name=each.name))
    return found


def _device(instrument: Instrument) -> Resource:
    return Resource(kind="Device", id=instrument.uuid, body=device_json(instrument))


# --- all of them -----------------------------------------------------------------------------------------------------


def _codes(tokens: Sequence[Sequence[Token]]) -> set[str]:
    """Of the first parameter: what the others leave of it is looked at afterwards."""
    return {token.code for token in tokens[0]} if tokens else set()


def _one_of_each(tokens: Sequence[Sequence[Token]], identifiers: Sequence[Sequence[str]]) -> bool:
    return all(any(token.matches(*each[:2]) for token in group for each in identifiers) for group in tokens)


def paged(asked: Search, found: Sequence[Resource]) -> Found:
    """By id; the next page begins after the last one of this."""
    ordered = sorted(found, key=lambda resource: resource.id)
    if asked.cursor:
        try:
            last = decode_cursor(asked.cursor, asked.digest).key
        except ValueError as error:
            raise bad_parameter("_cursor", str(error)) from None
        ordered = [each for each in ordered if each.id > last]
    page, rest = ordered[: asked.count], ordered[asked.count :]
    return Found(resources=page, next=Position(0, page[-1].id) if rest and page else None)
