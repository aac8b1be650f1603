from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from fhir.resources.R4B.device import Device
from fhir.resources.R4B.encounter import Encounter
from fhir.resources.R4B.location import Location
from fhir.resources.R4B.observation import Observation
from fhir.resources.R4B.patient import Patient
from fhir.resources.R4B.provenance import Provenance
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.emr.fhir_json import (
    device_json,
    encounter_json,
    instant,
    observation_json,
    patient_json,
    provenance_json,
)
from adapters.emr.observation import PANELS, ChartedObservation, observations
from clinical.chart import Origin, Source, Status
from clinical.chart_items import ITEMS, ItemForm, item_of
from clinical.charted import ChartedVersion, Instrument, Person, Place, Stay, resource_id
from schemas.adt import Identifier
from schemas.errors import VitalwireError
from schemas.nomenclature import METRICS
from tests.charted_versions import (
    ACT,
    DIASTOLIC,
    HEART_RATE,
    MEAN,
    MONITOR,
    PERSON,
    PLACE,
    SPO2,
    STAY,
    SYSTOLIC,
    T0_US,
    TEMPERATURE,
    by_hand,
    charted,
    in_error,
)
from tests.fhir_check import check_resource
from tests.fhir_resources import locations

Json = dict[str, Any]


def read(observation: ChartedObservation) -> Json:
    encoded = observation_json(observation)
    check_resource(encoded)
    decoded: Json = msgspec.json.decode(encoded)
    return decoded


def one(*entries: ChartedVersion) -> Json:
    (observation,) = observations(entries)
    return read(observation)


def codes(concept: Json) -> list[tuple[str, str]]:
    return [(coding["system"], coding["code"]) for coding in concept["coding"]]


LOINC, MDC = "http://loinc.org", "urn:iso:std:iso:11073:10101"


def test_oxygen_saturation_has_both_of_its_loinc_codes_and_its_mdc_code() -> None:
    made = one(charted(SPO2))
    assert codes(made["code"]) == [(LOINC, "59408-5"), (LOINC, "2708-6"), (MDC, "150456")]
    assert made["meta"] == {
        "versionId": "1",
        "lastUpdated": "2026-05-01T10:15:01.500000Z",
        "profile": ["http://hl7.org/fhir/StructureDefinition/oxygensat"],
    }
    assert made["valueQuantity"] == {"value": 97, "unit": "%", "system": "http://unitsofmeasure.org", "code": "%"}
    assert made["effectiveDateTime"] == "2026-05-01T10:15:00Z"
    assert made["issued"] == "2026-05-01T10:15:01.500000Z"
    assert made["subject"] == {"reference": f"Patient/{resource_id('Patient', PERSON.key)}"}
    assert made["encounter"] == {"reference": f"Encounter/{resource_id('Encounter', STAY.key)}"}
    assert made["device"] == {"reference": f"Device/{MONITOR.uuid}"}
    assert made["identifier"] == [{"system": "urn:vitalwire:chart-entry", "value": charted(SPO2).entry}]


@pytest.mark.parametrize("status", Status)
def test_the_status_is_the_charts(status: Status) -> None:
    assert one(charted(SPO2, status=status))["status"] == status.value


@pytest.mark.parametrize(
    ("value", "decimals", "written"),
    [(36.5, 2, "36.50"), (37.0, 1, "37.0"), (37.0, 0, "37"), (0.1, 3, "0.100"), (-0.04, 1, "0.0"), (-1.5, 1, "-1.5"),
     (1e15, 0, "1000000000000000"), (1e-7, 7, "0.0000001")],
)  # fmt: skip
def test_digits_leave_as_they_came(value: float, decimals: int, written: str) -> None:
    (observation,) = observations([charted(TEMPERATURE, value, decimals=decimals)])
    assert f'"valueQuantity":{{"value":{written},'.encode() in observation_json(observation)


def test_a_more_specific_temperature_has_the_general_code_beside_its_own() -> None:
    made = one(charted(TEMPERATURE, 36.5))
    assert codes(made["code"]) == [(LOINC, "8328-7"), (LOINC, "8310-5"), (MDC, "188452")]
    assert made["meta"]["profile"] == ["http://hl7.org/fhir/StructureDefinition/bodytemp"]


def test_a_pulse_is_not_called_a_heart_rate() -> None:
    made = one(charted("MDC_PULS_OXIM_PULS_RATE", 71.0))
    assert codes(made["code"]) == [(LOINC, "8889-8"), (MDC, "149530")]
    assert "profile" not in made["meta"]


def test_in_another_unit_than_loincs_there_is_no_loinc_code() -> None:
    assert codes(one(charted("MDC_AWAY_CO2_ET", 38.0))["code"])[0] == (LOINC, "19891-1")
    assert codes(one(charted("MDC_CONC_AWAY_CO2_ET", 5.0, unit="%"))["code"]) == [(MDC, "151708")]


def test_what_mdc_has_no_code_for_is_not_said_to_be_mdcs() -> None:
    made = one(charted("VITALWIRE_CONC_LACTATE_BLD", 1.5, decimals=1))
    assert codes(made["code"]) == [(LOINC, "32693-4"), ("urn:vitalwire:metric", "VITALWIRE_CONC_LACTATE_BLD")]
    assert made["category"][0]["coding"][0]["code"] == "laboratory"


def test_without_a_value_there_is_a_reason() -> None:
    made = one(charted(HEART_RATE, None))
    assert made["dataAbsentReason"]["coding"][0]["code"] == "unknown"
    assert not [name for name in made if name.startswith("value")]
    assert one(charted(HEART_RATE, float("nan")))["dataAbsentReason"]["coding"][0]["code"] == "not-a-number"
    assert one(charted(HEART_RATE, float("inf")))["dataAbsentReason"]["coding"][0]["code"] == "not-a-number"


def component(made: Json, loinc: str) -> Json:
    (found,) = [each for each in made["component"] if (LOINC, loinc) in codes(each["code"])]
    assert isinstance(found, dict)
    return found


def test_a_pressure_is_a_panel() -> None:
    entries = [charted(SYSTOLIC, 120.0), charted(DIASTOLIC, 80.0), charted(MEAN, 93.5, decimals=1)]
    made = one(*entries)
    assert codes(made["code"]) == [(LOINC, "85354-9"), (MDC, "150020")]
    values = [component(made, loinc)["valueQuantity"]["value"] for loinc in ("8480-6", "8462-4", "8478-0")]
    assert values == [120, 80, 93.5]
    assert made["meta"]["profile"] == ["http://hl7.org/fhir/StructureDefinition/bp"]
    assert made["meta"]["versionId"] == "3"
    assert not [name for name in made if name.startswith("value")]
    # A number is found by its entry too.
    assert {each["value"] for each in made["identifier"]} == {made["id"], *(entry.entry for entry in entries)}


def test_an_arterial_line_is_told_from_a_cuff() -> None:
    made = one(charted("MDC_PRESS_BLD_ART_SYS", 118.0), charted("MDC_PRESS_BLD_ART_DIA", 70.0))
    assert codes(made["code"]) == [(LOINC, "85354-9"), (LOINC, "76212-0"), (MDC, "150032")]
    assert codes(component(made, "76215-3")["code"]) == [(LOINC, "8480-6"), (LOINC, "76215-3"), (MDC, "150033")]


def test_a_pulmonary_pressure_is_not_the_blood_pressure() -> None:
    made = one(charted("MDC_PRESS_BLD_ART_PULM_MEAN", 21.0))
    assert codes(made["code"]) == [(LOINC, "76284-9"), (MDC, "150044")]
    assert len(made["component"]) == 1
    assert "profile" not in made["meta"]


def test_what_a_panel_must_have_and_nobody_charted_is_said_to_be_absent() -> None:
    made = one(charted(MEAN, 93.0))
    for loinc in ("8480-6", "8462-4"):
        assert component(made, loinc)["dataAbsentReason"]["coding"][0]["code"] == "unknown"


def test_a_member_in_error_has_no_value_among_those_that_stand() -> None:
    made = one(in_error(charted(SYSTOLIC, 220.0)), charted(DIASTOLIC, 80.0))
    assert made["status"] == "preliminary"
    assert component(made, "8480-6")["dataAbsentReason"]["coding"][0]["code"] == "error"
    assert component(made, "8462-4")["valueQuantity"]["value"] == 80
    wrong = one(in_error(charted(SYSTOLIC, 220.0)), in_error(charted(DIASTOLIC, 80.0)))
    assert wrong["status"] == "entered-in-error"
    assert component(wrong, "8480-6")["valueQuantity"]["value"] == 220


def test_a_member_in_error_says_nothing_of_device_time_and_performer_of_those_that_stand() -> None:
    other = Instrument(uuid="00000000-0000-4000-8000-000000000001", claim="", name="")
    wrong = msgspec.structs.replace(in_error(charted(SYSTOLIC, 220.0, observed_at_us=T0_US + 9)), device=other)
    made = one(wrong, charted(DIASTOLIC, 80.0))
    assert made["effectiveDateTime"] == "2026-05-01T10:15:00Z"
    assert made["device"] == {"reference": f"Device/{MONITOR.uuid}"}
    assert "performer" not in made
    assert one(wrong)["device"] == {"reference": f"Device/{other.uuid}"}
    assert "performer" not in one(wrong)


def test_a_panel_of_two_devices_names_none() -> None:
    other = Instrument(uuid="00000000-0000-4000-8000-000000000001", claim="", name="")
    entries = charted(SYSTOLIC, 120.0), msgspec.structs.replace(charted(DIASTOLIC, 80.0), device=other)
    assert "device" not in one(*entries)


def test_a_choice_by_hand_has_our_code_and_loincs_where_there_is_one() -> None:
    made = one(by_hand("acvpu", text="C"))
    assert codes(made["code"]) == [(LOINC, "80288-4"), ("urn:vitalwire:chart-item", "acvpu")]
    assert made["valueCodeableConcept"] == {
        "coding": [{"system": "urn:vitalwire:chart-choice:acvpu", "code": "C", "display": "new confusion"}],
        "text": "new confusion",
    }
    assert made["performer"] == [{"display": "李 娜"}]
    assert "device" not in made


def test_a_text_by_hand_is_a_string_that_fhir_allows() -> None:
    assert one(by_hand("skin", text=' red\x00 "spot"\n✓ '))["valueString"] == 'red  "spot"\n✓'
    assert one(by_hand("stool", text="1/E"))["valueString"] == "1/E"


def test_final_by_time_alone_is_tagged() -> None:
    final = charted(SPO2, status=Status.FINAL, by_time=True)
    assert one(final)["meta"]["tag"] == [{"system": "urn:vitalwire:tag", "code": "final-by-time"}]
    assert "tag" not in one(charted(SPO2, status=Status.FINAL))["meta"]


def test_of_nobody_the_subject_has_no_reference() -> None:
    made = one(msgspec.structs.replace(charted(), person=None))
    assert made["subject"] == {"type": "Patient", "display": "nobody knows whose"}


def test_what_cannot_be_charted_is_refused() -> None:
    with pytest.raises(VitalwireError):
        observation_json(ChartedObservation(id="x", version=1, members=(msgspec.structs.replace(charted(), item="x"),)))


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_an_instant_is_what_the_library_makes_of_it(at_us: int) -> None:
    seconds, fraction_us = divmod(at_us, 1_000_000)
    told = datetime.fromisoformat(instant(at_us))
    assert told == datetime.fromtimestamp(seconds, UTC).replace(microsecond=fraction_us)


# Other resources.


def patient(**changes: Any) -> Json:
    encoded = patient_json(msgspec.structs.replace(PERSON, **changes))
    check_resource(encoded)
    decoded: Json = msgspec.json.decode(encoded)
    return decoded


def test_a_patient() -> None:
    v2 = "http://terminology.hl7.org/CodeSystem/v2-0203"
    assert patient() == {
        "resourceType": "Patient",
        "id": resource_id("Patient", PERSON.key),
        "identifier": [
            {"type": {"coding": [{"system": v2, "code": "MR"}]}, "system": "urn:vitalwire:authority:HOSPITAL",
             "value": "1001"},
            {"type": {"coding": [{"system": v2, "code": "NI"}]}, "system": "urn:oid:2.16.156.10011.1.3",
             "value": "310101198001010013"},
        ],
        "name": [{"text": "王芳", "family": "王", "given": ["芳"]}],
        "gender": "female",
        "birthDate": "1980-01-01",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "gender"),
    [("M", "male"), ("f", "female"), ("O", "other"), ("A", "other"), ("U", "unknown"), ("9", "unknown"), ("", None)],
)
def test_gender(sent: str, gender: str | None) -> None:
    assert patient(sex=sent).get("gender") == gender


@pytest.mark.parametrize(
    ("sent", "said"),
    [("1980", "1980"), ("1980-05", "1980-05"), ("1980-02-30", None), ("", None), ("0000", None), ("1980-1-1", None)],
)
def test_birth_date(sent: str, said: str | None) -> None:
    assert patient(birth_date=sent).get("birthDate") == said


def test_a_person_of_whom_nothing_is_known_has_an_identifier_of_ours() -> None:
    made = patient(identifiers=(), family="", given="", name="", birth_date="", sex="")
    assert made["identifier"] == [{"system": "urn:vitalwire:patient", "value": made["id"]}]
    assert set(made) == {"resourceType", "id", "identifier"}


def test_an_erased_person_does_not_leave() -> None:
    with pytest.raises(VitalwireError, match="erased"):
        patient_json(msgspec.structs.replace(PERSON, erased=True))


def test_a_type_that_hl7_does_not_have_is_a_text() -> None:
    made = patient(identifiers=(Identifier(value="7", authority="", type="住院号"),))
    assert made["identifier"] == [
        {"type": {"text": "住院号"}, "system": "urn:vitalwire:authority:none", "value": "7"}
    ]  # fmt: skip


def encounter(stay: Stay, person: Person | None = PERSON, place: Place | None = PLACE) -> Json:
    encoded = encounter_json(stay, person, place)
    check_resource(encoded)
    decoded: Json = msgspec.json.decode(encoded)
    return decoded


def test_an_encounter() -> None:
    made = encounter(STAY)
    assert (made["status"], made["class"]["code"]) == ("in-progress", "IMP")
    assert made["period"] == {"start": "2026-04-30T10:15:00Z"}
    assert [each["value"] for each in made["identifier"]] == ["V1", "visit:V1^HOSPITAL"]
    assert made["location"][0]["location"]["reference"] == f"Location/{resource_id('Location', PLACE.key)}"


@pytest.mark.parametrize(
    ("admitted", "discharged", "status"),
    [(None, None, "unknown"), (T0_US, None, "in-progress"), (T0_US, T0_US + 1, "finished"), (None, T0_US, "finished")],
)
def test_an_encounters_status(admitted: int | None, discharged: int | None, status: str) -> None:
    stay = Stay(key="admitted:x@1", patient_class="", admitted_at_us=admitted, discharged_at_us=discharged)
    made = encounter(stay, None, None)
    assert made["status"] == status
    assert made["class"]["code"] == "UNK"
    assert [each["value"] for each in made["identifier"]] == ["admitted:x@1"]


def test_a_bed_is_in_a_room_in_a_ward() -> None:
    made: list[Json] = [msgspec.json.decode(each) for each in locations(PLACE)]
    assert [(each["name"], each["physicalType"]["coding"][0]["code"]) for each in made] == [
        ("icu", "wa"), ("2", "ro"), ("ICU-07", "bd"),
    ]  # fmt: skip
    assert "partOf" not in made[0]
    assert [each["partOf"]["reference"] for each in made[1:]] == [f"Location/{each['id']}" for each in made[:2]]
    bare: list[Json] = [msgspec.json.decode(each) for each in locations(Place(key="^icu^^9", name=""))]
    assert [each["name"] for each in bare] == ["icu", "9"]
    assert made[-1]["id"] == resource_id("Location", PLACE.key)


def test_a_device() -> None:
    made = msgspec.json.decode(device_json(MONITOR))
    assert made["id"] == MONITOR.uuid
    assert [each["value"] for each in made["identifier"]] == [MONITOR.uuid, "0011223344556677"]
    assert made["deviceName"] == [{"name": "Monitor 7", "type": "user-friendly-name"}]
    check_resource(device_json(Instrument(uuid=MONITOR.uuid, claim="", name="")))


def provenance(*entries: ChartedVersion) -> Json:
    (observation,) = observations(entries)
    encoded = provenance_json(observation)
    check_resource(encoded)
    decoded: Json = msgspec.json.decode(encoded)
    return decoded


def test_provenance_names_the_public_identity_of_each_source_and_the_platform() -> None:
    sources = (Source(b"\x01" * 16, 3, 1), Source(b"\x02" * 16, 0, 7))
    made = provenance(charted(SPO2, sources=sources))
    assert [each["what"]["identifier"] for each in made["entity"]] == [
        {"system": "urn:vitalwire:source", "value": f"{'01' * 16}/3/1"},
        {"system": "urn:vitalwire:source", "value": f"{'02' * 16}/0/7"},
    ]
    assert made["target"] == [{"reference": f"Observation/{charted(SPO2).entry}/_history/1"}]
    assert made["agent"][0]["who"]["display"] == "vitalwire"
    assert made["activity"]["coding"][0]["code"] == "CREATE"


def test_provenance_of_an_act_names_the_person() -> None:
    made = provenance(in_error(charted(SPO2)))
    assert made["agent"][0]["who"] == {"display": "李 娜"}
    assert made["agent"][0]["type"]["coding"][0]["code"] == "verifier"
    assert made["activity"]["coding"][0]["code"] == "UPDATE"
    assert made["activity"]["text"] == "wrong patient"
    written = provenance(by_hand("weight", 70.5, decimals=1))
    assert written["agent"][0]["type"]["coding"][0]["code"] == "author"
    assert "entity" not in written


def test_provenance_of_a_panel_has_all_its_sources_and_people() -> None:
    made = provenance(charted(SYSTOLIC, 120.0), by_hand(DIASTOLIC, 80.0), charted(MEAN, 93.0))
    assert len(made["entity"]) == 1  # one frame told both
    assert [each["who"]["display"] for each in made["agent"]] == ["vitalwire", "李 娜"]


# Everything, against the library.

WORDS = st.text(max_size=12)
INSTANTS = st.integers(0, 4_102_444_800_000_000)


@st.composite
def versions(draw: st.DrawFn, item: str) -> ChartedVersion:
    form = item_of(item).form
    choices = item_of(item).choices or {}
    texts = {ItemForm.NUMBER: WORDS, ItemForm.TEXT: WORDS, ItemForm.CHOICE: st.sampled_from([*choices, "", "?"])}
    numbers = st.none() | st.floats(-1e6, 1e6) | st.sampled_from([float("nan"), float("inf")])
    value = draw(numbers) if form is ItemForm.NUMBER else None
    act_id = draw(st.sampled_from([None, ACT]))
    made = charted(
        item,
        value,
        text=draw(texts[form]) if value is None else "",
        number=draw(st.integers(1, 5)),
        status=draw(st.sampled_from(Status)),
        origin=draw(st.sampled_from(Origin)),
        decimals=draw(st.integers(0, 6)),
        unit=draw(st.sampled_from([item_of(item).unit, "", "kPa"])),
        observed_at_us=draw(INSTANTS),
        recorded_at_us=draw(INSTANTS),
        act_id=act_id,
        by_time=draw(st.booleans()),
        reason=draw(WORDS),
    )
    instrument = Instrument(uuid=MONITOR.uuid, claim=draw(WORDS), name=draw(WORDS))
    return msgspec.structs.replace(
        made,
        by_name=draw(WORDS) if act_id else "",
        device=draw(st.sampled_from([None, instrument])),
        person=draw(st.sampled_from([None, PERSON])),
    )


OF_ONE_PANEL = st.sets(st.sampled_from([SYSTOLIC, DIASTOLIC, MEAN]), min_size=1)
OF_ONE_ITEM = st.sampled_from([*ITEMS, *(metric.reference_id for metric in METRICS)]).map(lambda item: {item})


@st.composite
def any_observation(draw: st.DrawFn) -> ChartedObservation:
    entries = [draw(versions(item)) for item in sorted(draw(OF_ONE_PANEL | OF_ONE_ITEM))]
    (made,) = observations(entries)
    return made


def decimals(resource: bytes | str) -> Any:
    return normalised(json.loads(resource, parse_float=Decimal, parse_int=Decimal))


def normalised(found: Any) -> Any:
    """The library turns 36.50 into 36.5: numbers are compared as decimals without zeros at their end."""
    if isinstance(found, dict):
        return {name: normalised(value) for name, value in found.items()}
    if isinstance(found, list):
        return [normalised(value) for value in found]
    return format(found.normalize(), "f") if isinstance(found, Decimal) else found


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(any_observation())
def test_an_observation_is_what_the_library_parses_and_dumps(observation: ChartedObservation) -> None:
    written = observation_json(observation)
    check_resource(written)
    assert decimals(Observation.model_validate_json(written).model_dump_json()) == decimals(written)
    evidence = provenance_json(observation)
    check_resource(evidence)
    assert decimals(Provenance.model_validate_json(evidence).model_dump_json()) == decimals(evidence)


IDENTIFIERS = st.builds(Identifier, value=WORDS, authority=WORDS, type=st.sampled_from(["MR", "NI", "", "X"]))
PERSONS = st.builds(
    Person, key=WORDS, identifiers=st.lists(IDENTIFIERS, max_size=2).map(tuple), family=WORDS, given=WORDS, name=WORDS,
    birth_date=st.sampled_from(["", "1980", "1980-13", "1980-02-29"]), sex=WORDS, erased=st.just(False),
)  # fmt: skip
PLACES = st.builds(Place, key=st.lists(WORDS, min_size=1, max_size=4).map("^".join), name=WORDS)
STAYS = st.builds(
    Stay, key=WORDS.map(lambda word: f"visit:{word}") | WORDS, patient_class=st.sampled_from(["I", "e", "", "X"]),
    admitted_at_us=st.none() | INSTANTS, discharged_at_us=st.none() | INSTANTS,
)  # fmt: skip


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PERSONS, PLACES, STAYS, WORDS)
def test_other_resources_are_what_the_library_parses_and_dumps(
    person: Person, place: Place, stay: Stay, word: str
) -> None:
    written: list[tuple[Any, bytes]] = [
        (Patient, patient_json(person)),
        (Encounter, encounter_json(stay, person, place)),
        (Device, device_json(Instrument(uuid=MONITOR.uuid, claim=word, name=word))),
        *((Location, each) for each in locations(place)),
    ]
    for model, resource in written:
        check_resource(resource)
        assert decimals(model.model_validate_json(resource).model_dump_json()) == decimals(resource)


def test_every_item_that_can_be_charted_can_leave() -> None:
    for item in (*ITEMS, *(metric.reference_id for metric in METRICS)):
        (observation,) = observations([charted(item, 1.0)])
        made = read(observation)
        assert made["code"]["text"]
        assert (observation.panel != "") == (item in PANELS)
