"""Patients, encounters, places and devices over HTTP."""

from __future__ import annotations

from clinical.charted import resource_id
from tests.gateway.chart_ward import CLAIM, DEVICE, ENCOUNTER, NUMBER, VISIT, ChartWard
from tests.gateway.fhir.asking import Api
from tests.gateway.fhir.test_observations import PATIENT, STAY, ids

WARD, BED = resource_id("Location", "h^icu"), resource_id("Location", "h^icu^^1")


def test_a_patient_by_number_and_id(api: Api) -> None:
    found = api.get(f"Patient/{PATIENT}")
    assert (found.status, found.json["name"]) == (200, [{"text": "张三"}])
    assert "versionId" not in found.json.get("meta", {})
    system = found.json["identifier"][0]["system"]
    for identifier in (NUMBER, f"{system}|{NUMBER}", f"nobody,{NUMBER}"):
        assert api.search("Patient", identifier=identifier).resources == [found.json]
    assert api.search("Patient", _id=f"{PATIENT},nobody").resources == [found.json]
    assert api.search("Patient", _id=PATIENT, identifier="4711").resources == []
    assert api.search("Patient", identifier=f"urn:other|{NUMBER}").resources == []
    again = api.get(f"Patient/{PATIENT}", If_None_Match=found.headers["etag"])
    assert (again.status, again.body) == (304, b"")


def test_an_encounter_by_its_patient_number_status_and_bed(api: Api) -> None:
    found = api.get(f"Encounter/{STAY}").json
    assert found["subject"] == {"reference": f"Patient/{PATIENT}"}
    assert found["location"] == [{"location": {"reference": f"Location/{BED}"}}]
    for parameters in ({"patient": PATIENT}, {"subject": f"Patient/{PATIENT}"}, {"identifier": VISIT},
                       {"identifier": f"urn:vitalwire:encounter|{ENCOUNTER}"}, {"location": BED}, {"_id": STAY},
                       {"patient": PATIENT, "status": "in-progress", "location": f"Location/{BED}"}):  # fmt: skip
        assert api.search("Encounter", **parameters).resources == [found], parameters
    for parameters in ({"patient": PATIENT, "status": "finished"}, {"patient": "nobody"}, {"location": WARD},
                       {"identifier": f"urn:other|{VISIT}"}, {"_id": STAY, "identifier": "V9"}):  # fmt: skip
        assert api.search("Encounter", **parameters).resources == [], parameters


def test_places_are_part_of_one_another(api: Api) -> None:
    assert ids(api.search("Location").resources) == {WARD, BED}
    bed = api.get(f"Location/{BED}").json
    assert bed["partOf"] == {"reference": f"Location/{WARD}"}
    assert api.search("Location", partof=f"Location/{WARD}").resources == [bed]
    assert api.search("Location", identifier="urn:vitalwire:location|h^icu^^1").resources == [bed]
    assert api.search("Location", _id=f"{BED},{WARD}", partof=WARD).resources == [bed]
    assert api.search("Location", partof=BED).resources == []


def test_a_device_by_what_it_is_and_claims(api: Api) -> None:
    found = api.get(f"Device/{DEVICE}").json
    assert found["deviceName"][0]["name"] == "监护仪1"
    for identifier in (str(DEVICE), CLAIM, f"urn:vitalwire:device-claim|{CLAIM}"):
        assert api.search("Device", identifier=identifier).resources == [found]
    assert api.search("Device", _id=str(DEVICE), identifier="another").resources == []
    pages = api.all_of("Device", _count="1")
    assert ids(pages) == ids(api.search("Device").resources) >= {str(DEVICE)}


def test_where_an_observation_comes_from(day: ChartWard, api: Api) -> None:
    entry = next(entry for entry in day.entries() if entry.now.sources and entry.key.item == "MDC_TEMP")
    (found,) = api.search("Provenance", target=f"Observation/{entry.entry}").resources
    source = entry.now.sources[0]
    identifier = found["entity"][0]["what"]["identifier"]["value"]
    assert identifier == f"{source.batch_id.hex()}/{source.leaf}/{source.record}"
    assert api.get(f"Provenance/{found['id']}").json == found
    for parameters in ({"_id": found["id"]}, {"_id": found["id"], "target": entry.entry}):
        assert api.search("Provenance", **parameters).resources == [found]
    assert api.search("Provenance", _id="nothing-1", target=entry.entry).resources == []
    assert api.search("Provenance", _id="nothing-1").resources == []


def test_what_is_not_there_is_404(api: Api) -> None:
    for path in ("Patient/nobody", "Encounter/none", "Location/none", f"Device/{DEVICE}x", "Provenance/none",
                 "Provenance/none-1", "Observation/none", "Observation/none/_history/1", f"Patient/{STAY}",
                 "Patient/..", "Patient/a%00b", "Observation/%E5%BC%A0"):  # fmt: skip
        found = api.get(path)
        assert (found.status, found.json["resourceType"]) == (404, "OperationOutcome"), path
