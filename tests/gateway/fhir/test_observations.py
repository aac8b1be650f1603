"""Observations over HTTP: each search against the chart itself, versions, pages, and who is erased."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from adapters.emr.observation import PANELS, panel_id
from clinical.chart import Entry, Status
from clinical.charted import resource_id
from emr_store import patient_acts
from emr_store.instants import us_of
from tests.gateway.chart_ward import (
    DEVICE,
    ENCOUNTER,
    MINUTE_US,
    PRESSURES,
    ChartWard,
    said,
)
from tests.gateway.fhir.asking import Api, serving

HEART_RATE, SPO2 = "MDC_ECG_HEART_RATE", "MDC_PULS_OXIM_SAT_O2"
PATIENT = resource_id("Patient", "00012345^HOSP^MR")
STAY = resource_id("Encounter", ENCOUNTER)
LOINC, MDC = "http://loinc.org", "urn:iso:std:iso:11073:10101"


def iso(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="microseconds")


def alone(entry: Entry) -> bool:
    return entry.key.item not in PANELS


def of_item(item: str) -> Callable[[Entry], bool]:
    return lambda entry: entry.key.item == item


def ids(resources: list[Any]) -> set[str]:
    assert len({each["id"] for each in resources}) == len(resources)
    return {each["id"] for each in resources}


def expected(day: ChartWard, holds: Callable[[Entry], bool]) -> set[str]:
    return {entry.entry for entry in day.entries() if alone(entry) and holds(entry)}


def panels(day: ChartWard) -> set[str]:
    slots = {entry.key.at_us for entry in day.entries() if entry.key.item in PRESSURES}
    return {panel_id(ENCOUNTER, "non-invasive", slot) for slot in slots}


def test_a_patients_observations_are_the_entries_of_the_chart(day: ChartWard, api: Api) -> None:
    whole = expected(day, alone) | panels(day)
    assert len(whole) > 100
    for parameters in ({"patient": PATIENT}, {"subject": f"Patient/{PATIENT}"}, {"subject:Patient": PATIENT},
                       {"patient": f"{api.base}/Patient/{PATIENT}"}, {"encounter": f"Encounter/{STAY}"}):  # fmt: skip
        assert ids(api.all_of("Observation", *parameters.items(), _count="1000")) == whole
    found = api.search("Observation", patient=PATIENT, _total="accurate", _count="1")
    assert found.json["total"] == len(whole)
    assert api.search("Observation", patient=PATIENT, _summary="count").json["total"] == len(whole)
    assert api.search("Observation", patient=PATIENT, _count="0").resources == []


@pytest.mark.parametrize("code", ["8867-4", f"{LOINC}|8867-4", f"{MDC}|147842", "8867-4,nothing", "147842"])
def test_by_code(day: ChartWard, api: Api, code: str) -> None:
    found = api.all_of("Observation", patient=PATIENT, code=code)
    assert ids(found) == expected(day, of_item(HEART_RATE)) != set()
    total = api.search("Observation", patient=PATIENT, code=code, _summary="count").json["total"]
    assert total == len(found)


def test_a_pressure_is_found_by_its_panel_and_as_a_component(day: ChartWard, api: Api) -> None:
    assert ids(api.all_of("Observation", patient=PATIENT, code="85354-9")) == panels(day) != set()
    assert api.all_of("Observation", patient=PATIENT, code="8480-6") == []
    found = api.all_of("Observation", ("combo-code", "8480-6"), patient=PATIENT)
    assert ids(found) == panels(day)
    assert api.all_of("Observation", patient=PATIENT, code=f"urn:other|{HEART_RATE}") == []
    both = api.all_of("Observation", ("code", "8867-4"), ("code", "59408-5"), patient=PATIENT)
    assert both == []


@pytest.mark.parametrize("prefix", ["ge", "gt", "le", "lt", "sa", "eb", "eq"])
def test_by_date(day: ChartWard, api: Api, prefix: str) -> None:
    entries = [entry for entry in day.entries() if of_item(HEART_RATE)(entry)]
    at_us = entries[len(entries) // 2].now.observed_at_us
    bounds = {
        "ge": lambda us: us >= at_us, "gt": lambda us: us > at_us, "le": lambda us: us <= at_us,
        "lt": lambda us: us < at_us, "sa": lambda us: us > at_us, "eb": lambda us: us < at_us,
        "eq": lambda us: us == at_us,
    }  # fmt: skip
    found = api.all_of("Observation", patient=PATIENT, code="8867-4", date=prefix + iso(at_us), _count="1000")
    assert ids(found) == {e.entry for e in entries if bounds[prefix](e.now.observed_at_us)} != set()


def test_two_dates_are_a_range_sorted_either_way(day: ChartWard, api: Api) -> None:
    since_us, until_us = day.since_us + 60 * MINUTE_US, day.since_us + 150 * MINUTE_US
    dates = (("date", f"ge{iso(since_us)}"), ("date", f"lt{iso(until_us)}"))
    within = expected(day, lambda entry: since_us <= entry.now.observed_at_us < until_us)
    for sort in ("date", "-date", "_lastUpdated"):
        found = api.all_of("Observation", *dates, patient=PATIENT, _sort=sort, _count="7")
        assert ids(found) == within | {each["id"] for each in found if "component" in each}
        name = "issued" if sort == "_lastUpdated" else "effectiveDateTime"
        moments = [us_of(datetime.fromisoformat(each[name])) for each in found]
        assert moments == sorted(moments, reverse=sort == "-date")
    assert api.all_of("Observation", ("date", "lt2000"), ("date", "ge2001"), patient=PATIENT) == []


@pytest.mark.parametrize("status", list(Status))
def test_by_status(day: ChartWard, api: Api, status: Status) -> None:
    found = api.all_of("Observation", patient=PATIENT, status=status, _count="1000")
    single = {each["id"] for each in found if "component" not in each}
    assert single == expected(day, lambda entry: entry.now.status is status) != set()
    assert {each["status"] for each in found} == {status.value}


def test_by_category_device_and_what_changed(day: ChartWard, api: Api) -> None:
    exam = api.all_of("Observation", patient=PATIENT, category="exam")
    assert {each["category"][0]["coding"][0]["code"] for each in exam} == {"exam"}
    vital = api.all_of("Observation", patient=PATIENT, category="vital-signs", _count="1000")
    survey = api.all_of("Observation", patient=PATIENT, category="survey")
    assert ids(exam) | ids(vital) | ids(survey) == expected(day, alone) | panels(day)
    measured = api.all_of("Observation", device=f"Device/{DEVICE}", _count="1000")
    assert {entry.entry for entry in day.entries() if alone(entry) and entry.now.sources} <= ids(measured)
    assert {each["device"]["reference"] for each in measured} == {f"Device/{DEVICE}"}
    changed = [entry for entry in day.entries() if alone(entry)]
    changed.sort(key=lambda entry: entry.now.recorded_at_us)
    since_us = changed[-5].now.recorded_at_us
    found = api.all_of("Observation", _lastUpdated=f"ge{iso(since_us)}", _count="2")
    assert {e.entry for e in changed if e.now.recorded_at_us >= since_us} <= ids(found)
    updated = [each["meta"]["lastUpdated"] for each in found]
    assert updated == sorted(updated)


def test_by_id_and_identifier(day: ChartWard, api: Api) -> None:
    one, other = sorted(expected(day, of_item(HEART_RATE)))[:2]
    panel = min(panels(day))
    assert ids(api.search("Observation", _id=f"{one},{panel},nothing").resources) == {one, panel}
    assert ids(api.search("Observation", _id=f"{one},{other}", patient=PATIENT, code="8867-4").resources) == {
        one,
        other,
    }
    assert api.search("Observation", _id=one, code="59408-5").resources == []
    member = next(e for e in day.entries() if panel_id(ENCOUNTER, "non-invasive", e.key.at_us) == panel)
    for identifier in (one, f"urn:vitalwire:chart-entry|{one}"):
        assert ids(api.search("Observation", identifier=identifier).resources) == {one}
    assert ids(api.search("Observation", identifier=member.entry).resources) == {panel}
    assert api.search("Observation", identifier=f"urn:other|{one}").resources == []
    pages = api.all_of("Observation", _id=f"{one},{other},{panel}", _count="1", _sort="-date")
    assert ids(pages) == {one, other, panel}


def test_what_nobody_has_is_not_found(api: Api) -> None:
    for parameters in ({"patient": "nobody"}, {"encounter": "none"}, {"device": str(DEVICE)[::-1]}):
        assert api.search("Observation", **parameters).resources == []
    assert api.search("Observation", patient="nobody", _summary="count").json["total"] == 0


def test_read_says_its_version_and_a_known_one_is_not_sent_again(day: ChartWard, api: Api) -> None:
    amended = next(entry for entry in day.entries() if entry.now.status is Status.AMENDED)
    found = api.get(f"Observation/{amended.entry}")
    assert (found.status, found.headers["etag"]) == (200, f'W/"{amended.now.number}"')
    assert found.json["meta"]["versionId"] == str(amended.now.number)
    assert found.headers["content-type"].startswith("application/fhir+json")
    assert found.headers["last-modified"].endswith("GMT")
    for known in (found.headers["etag"], f'"x", {found.headers["etag"]}', "*"):
        again = api.get(f"Observation/{amended.entry}", If_None_Match=known)
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", found.headers["etag"])
    assert api.get(f"Observation/{amended.entry}", If_None_Match='W/"1"').status == 200


def test_each_version_of_an_entry_is_read(day: ChartWard, api: Api) -> None:
    amended = next(entry for entry in day.entries() if entry.now.status is Status.AMENDED)
    for version in amended.versions:
        found = api.get(f"Observation/{amended.entry}/_history/{version.number}")
        assert found.status == 200
        assert found.json["status"] == version.status.value
        assert found.json["valueQuantity"]["value"] == version.value
        assert found.headers["etag"] == f'W/"{version.number}"'
        told = api.get(f"Provenance/{amended.entry}-{version.number}")
        assert told.json["target"] == [{"reference": f"Observation/{amended.entry}/_history/{version.number}"}]
    for wrong in (len(amended.versions) + 1, 0, -1, "01", "x", "²", "1" * 10):
        path = f"Observation/{amended.entry}/_history/{quote(str(wrong))}"
        assert api.get(path).status == 404


def test_a_panel_is_read_in_the_versions_that_stood(database: str) -> None:
    ward = ChartWard(database, hours=2)
    ward.emit([said(ward.since_us + 4 * MINUTE_US, dict(zip(PRESSURES, ("118", "72"), strict=True)))])
    ward.chart()
    systolic, diastolic = (next(e for e in ward.entries() if e.key.item == item) for item in PRESSURES)
    ward.confirm(systolic)
    with serving(database) as api:
        (found,) = api.search("Observation", encounter=STAY).resources
        assert (found["meta"]["versionId"], found["status"]) == ("3", "preliminary")
        history = [api.get(f"Observation/{found['id']}/_history/{number}").status for number in range(1, 5)]
        assert history == [404, 200, 200, 404]  # both entries were charted at once
        before = api.get(f"Observation/{found['id']}/_history/2").json
        assert (before["meta"]["versionId"], before["component"]) == ("2", found["component"])
        ward.confirm(diastolic)
        (found,) = api.search("Observation", encounter=STAY, status="final").resources
        assert found["meta"]["versionId"] == "4"
        assert api.search("Observation", encounter=STAY, status="preliminary").resources == []


@pytest.fixture
def growing(database: str) -> ChartWard:
    """Ten heart rates."""
    ward = ChartWard(database, hours=3)
    ward.emit([said(ward.since_us + minute * MINUTE_US, {HEART_RATE: "80"}) for minute in range(14, 114, 10)])
    ward.chart()
    return ward


@pytest.mark.parametrize("sort", ["date", "-date"])
def test_pages_are_stable_while_entries_come(growing: ChartWard, sort: str) -> None:
    before = [entry.entry for entry in growing.entries()]
    with serving(growing.store.address) as api:
        answer = api.search("Observation", patient=PATIENT, _count="3", _sort=sort)
        seen = [each["id"] for each in answer.resources]
        growing.emit([said(growing.since_us + minute * MINUTE_US, {HEART_RATE: "81"}) for minute in (9, 59, 109)])
        growing.chart()
        while answer.next:
            answer = api.get(answer.next)
            seen += [each["id"] for each in answer.resources]
    assert [each for each in seen if each in before] == (before if sort == "date" else before[::-1])
    assert len(set(seen)) == len(seen) == len(before) + 2  # one came before the first page's end


def test_nothing_of_an_erased_person_leaves(growing: ChartWard) -> None:
    entry = growing.entries()[0].entry
    with growing.store.open() as conn:
        patient_acts.erase(conn, "00012345^HOSP^MR")
    with serving(growing.store.address) as api:
        for path in (f"Observation/{entry}", f"Observation/{entry}/_history/1", f"Provenance/{entry}-1",
                     f"Patient/{PATIENT}", f"Encounter/{STAY}"):  # fmt: skip
            refused = api.get(path)
            assert (refused.status, refused.json["issue"][0]["code"]) == (410, "deleted"), path
        for kind, parameter, value in (
            ("Observation", "patient", PATIENT), ("Observation", "encounter", STAY), ("Observation", "_id", entry),
            ("Observation", "_lastUpdated", "ge2020"), ("Observation", "identifier", entry),
            ("Encounter", "patient", PATIENT), ("Encounter", "identifier", "V1"), ("Patient", "_id", PATIENT),
            ("Patient", "identifier", "00012345"), ("Provenance", "target", f"Observation/{entry}"),
        ):  # fmt: skip
            assert api.search(kind, (parameter, value)).resources == [], (kind, parameter)
        assert api.search("Observation", ("_tag", "device"), patient=PATIENT).resources == []
