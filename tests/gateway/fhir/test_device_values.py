"""Values of devices that are in no chart, under their tag."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical.chart import Source
from clinical.charted import resource_id
from gateway.fhir.device_values import source_of, source_of_identifier, value_id
from gateway.fhir.values import parse_id
from tests.gateway.chart_ward import DEVICE, ENCOUNTER, MINUTE_US, ChartWard, said
from tests.gateway.fhir.asking import Api, serving
from tests.gateway.fhir.test_observations import HEART_RATE, PATIENT, SPO2, STAY, ids, iso

DEVICES = ("_tag", "device")
SOURCES = st.builds(Source, st.binary(min_size=32, max_size=32), st.integers(0, 0xFFFFF), st.integers(0, 0xFFFFF))


@given(SOURCES)
def test_an_id_is_the_public_identity_of_a_value(source: Source) -> None:
    assert source_of(parse_id(value_id(source))) == source
    assert source_of_identifier(f"{source.batch_id.hex()}/{source.leaf}/{source.record}") == source


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789-/", max_size=80))
def test_any_other_text_is_no_value(text: str) -> None:
    assert source_of(text) is None
    assert source_of_identifier(text) is None


@pytest.mark.parametrize("change", ["upper", "zero", "spare bits", "too large"])
def test_an_id_is_written_in_one_way(change: str) -> None:
    right = value_id(Source(bytes(32), 10, 0))
    wrong = {
        "upper": right.upper(), "zero": right.replace("-a-", "-0a-"), "spare bits": right.replace("a-a-", "b-a-"),
        "too large": right.replace("-a-", "-ffffffff-"),
    }  # fmt: skip
    assert source_of(right) is not None
    assert source_of(wrong[change]) is None


@pytest.fixture(scope="module")
def ward(module_database: str) -> ChartWard:
    """An hour with a heart rate every minute, of which every fifth is charted, and a value that nobody charts."""
    ward = ChartWard(module_database, hours=2)
    for minute in range(4, 61):
        ward.emit(
            [said(ward.since_us + minute * MINUTE_US, {HEART_RATE: str(60 + minute), "MDC_CONC_AWAY_CO2_ET": "38"})]
        )
    ward.chart()
    return ward


@pytest.fixture(scope="module")
def api(ward: ChartWard) -> Iterator[Api]:
    with serving(ward.store.address) as served:
        yield served


def rates(resources: list[Any]) -> list[float]:
    return [each["valueQuantity"]["value"] for each in resources]


def test_accepted_values_that_are_in_no_chart(ward: ChartWard, api: Api) -> None:
    charted = {entry.now.value for entry in ward.entries() if entry.key.item == HEART_RATE}
    assert 10 < len(charted) < 15
    uncharted = [60.0 + minute for minute in range(4, 61) if 60.0 + minute not in charted]
    for count in ("7", "1000"):
        found = api.all_of("Observation", DEVICES, patient=PATIENT, code="8867-4", _count=count)
        assert rates(found) == uncharted
    assert len(ids(found)) == len(uncharted)
    found = api.all_of("Observation", DEVICES, encounter=STAY, code="8867-4", _sort="-date", _count="9")
    assert rates(found) == uncharted[::-1]
    dates = [("date", f"{prefix}{iso(ward.since_us + minute * MINUTE_US)}") for prefix, minute in
             (("ge", 10), ("lt", 20))]  # fmt: skip
    within = [value for value in uncharted if 70 <= value < 80]
    assert rates(api.all_of("Observation", DEVICES, *dates, patient=PATIENT, code="8867-4", _count="3")) == within
    assert len(api.all_of("Observation", DEVICES, device=str(DEVICE))) == len(uncharted) + 57
    assert api.search("Observation", DEVICES, patient=PATIENT, status="final").resources == []
    assert api.search("Observation", DEVICES, patient="nobody").resources == []
    chart = api.all_of("Observation", patient=PATIENT, code="8867-4")
    assert set(rates(chart)) == charted
    is_refused(api)


def is_refused(api: Api) -> None:
    assert api.refused("Observation", DEVICES, ("_lastUpdated", "ge2020")) == "_tag"
    assert api.refused("Observation", DEVICES, patient=PATIENT, _sort="_lastUpdated") == "_sort"
    assert api.refused("Observation", DEVICES, patient=PATIENT, _total="accurate") == "_total"
    assert api.refused("Observation", DEVICES, patient=PATIENT, _summary="count") == "_summary"
    assert api.refused("Observation", ("_tag", "device,other"), patient=PATIENT) == "_tag"
    assert api.refused("Observation", DEVICES, patient=PATIENT, _cursor="x") == "_cursor"


def test_a_value_is_read_by_itself_until_it_is_charted(ward: ChartWard, api: Api) -> None:
    found = api.search("Observation", DEVICES, patient=PATIENT, code="8867-4", _count="1").resources[0]
    assert found["meta"]["tag"] == [{"system": "urn:vitalwire:tag", "code": "device"}]
    assert found["status"] == "preliminary"
    assert found["encounter"] == {"reference": f"Encounter/{resource_id('Encounter', ENCOUNTER)}"}
    (identifier,) = found["identifier"]
    assert identifier["system"] == "urn:vitalwire:source"
    read = api.get(f"Observation/{found['id']}")
    assert (read.status, read.json, read.headers["etag"]) == (200, found, 'W/"1"')
    assert api.get(f"Observation/{found['id']}/_history/1").json == found
    assert api.get(f"Observation/{found['id']}/_history/2").status == 404
    for parameter, value in (("_id", found["id"]), ("identifier", identifier["value"])):
        assert api.search("Observation", DEVICES, (parameter, value)).resources == [found]
    assert api.search("Observation", ("_id", found["id"])).resources == [found]
    assert api.get(f"Provenance/{found['id'][:60]}-1").status == 404
    (charted, *_) = [entry for entry in ward.entries() if entry.key.item == HEART_RATE]
    assert api.get(f"Observation/{value_id(charted.now.sources[0])}").status == 404
    assert api.get(f"Observation/{value_id(Source(bytes(32), 0, 0))}").status == 404


def test_what_is_not_accepted_is_not_there(database: str) -> None:
    ward = ChartWard(database, hours=2)
    ward.emit([said(ward.since_us + 64 * MINUTE_US, {SPO2: "250", "MDC_CONC_AWAY_CO2_ET": "38"})])
    ward.hospital.attribute()
    with serving(database) as api:
        found = api.search("Observation", DEVICES, patient=PATIENT).resources
        assert rates(found) == [38]
