"""What the API looks for, in SQL, against the same said in Python; merges, corrections and moves over HTTP's head."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.emr.observation import PANELS, panel_id
from clinical.chart_items import ITEMS
from clinical.chart_policy import read_policies
from clinical.charted import resource_id
from emr_store import fhir_search
from emr_store.fhir_search import Entries, Stretch, Values
from emr_store.instants import moment
from emr_store.visible_stays import Sight
from schemas.adt import Merge
from schemas.nomenclature import METRICS
from schemas.report import Mark
from tests.adt import group, number, patient_of, us
from tests.charting import CLAIM, DEVICE, POLICIES, SPO2_ID, V1, V2, Ward, spo2
from tests.conftest import Databases, address_of
from tests.storing import Store

NOW = datetime.now(UTC)
EVERYTHING = Sight(True, frozenset(), frozenset(), NOW, timedelta(hours=24))
KINDS = sorted({each.panel for each in PANELS.values()})
KEYS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=30)
ALL = Entries(items=None, statuses=None, updated_from_us=None, updated_until_us=None, after=None, limit=100)


@pytest.fixture(scope="module")
def shared(databases: Databases) -> Store:
    """For what is computed and not stored; it is dropped with the server."""
    return Store(address_of(databases.server, databases.make_migrated()))


def test_an_item_is_of_the_panel_that_the_resources_say(shared: Store) -> None:
    items = [*(metric.reference_id for metric in METRICS), *ITEMS]
    rows = shared.rows("SELECT item, chart_panel(item) FROM unnest(%s::text[]) AS i(item)", items)
    assert dict(rows) == {item: PANELS[item].panel if item in PANELS else None for item in items}


def test_ids_are_computed_alike_in_sql(shared: Store) -> None:
    with shared.open() as conn:

        @given(KEYS, st.sampled_from(KINDS), st.integers(-(10**15), 10**16))
        def holds(key: str, panel: str, at_us: int) -> None:
            row = conn.execute(
                "SELECT chart_panel_id(%s, %s, %s)::text, resource_id('Encounter', %s)",
                (key, panel, moment(at_us), key),
            ).fetchone()
            assert row == (panel_id(key, panel, at_us), resource_id("Encounter", key))
            assert UUID(row[0]).version == 8

        holds()


@pytest.fixture
def ward(database: str) -> Ward:
    made = Ward(database, read_policies(POLICIES))
    made.place()
    made.hospital.emit_records([group("A01", 0)])
    return made


def test_units_are_found_by_the_newest_version_alone(ward: Ward) -> None:
    ward.emit(spo2(50, 97), spo2(350, 90))
    ward.chart()
    ward.emit(spo2(60, 95))  # charted anew
    ward.chart()
    first, second = ward.entries()
    assert first.now.number == 2
    with ward.store.open() as conn:
        found = fhir_search.units_by_date(conn, [Stretch(V1, None, None)], ALL, descending=False)
        assert [(str(unit.entry), unit.version) for unit in found] == [(first.entry, 2), (second.entry, 1)]
        assert fhir_search.count_units(conn, [Stretch(V1, None, None)], ALL) == 2
        backwards = fhir_search.units_by_date(conn, [Stretch(V1, None, None)], ALL, descending=True)
        assert backwards == found[::-1]
        after = ALL._replace(after=(found[0].sort_us, found[0].entry))
        assert fhir_search.units_by_date(conn, [Stretch(V1, None, None)], after, descending=False) == found[1:]
        before = fhir_search.units_by_date(conn, [Stretch(V1, None, us(60))], ALL, descending=False)
        assert before == []  # what was measured then is no longer what stands
        assert [unit.entry for unit in fhir_search.units_by_update(conn, None, ALL, EVERYTHING)] == [
            UUID(second.entry), UUID(first.entry),
        ]  # fmt: skip
        assert len(fhir_search.history_of(conn, found[0])) == 2


def test_a_merged_patient_is_found_by_the_survivor(ward: Ward) -> None:
    old, new = (resource_id("Patient", patient_of(each)) for each in ("P1", "P2"))
    with ward.store.open() as conn:
        assert fhir_search.patients_by_ids(conn, [old], EVERYTHING) == [patient_of("P1")]
        assert fhir_search.patients_by_numbers(conn, ["P1"], EVERYTHING) == [patient_of("P1")]
    ward.hospital.emit_records(
        [group("A40", 100, patient="P2", visit="", bed="", merges=(Merge(patients=(number("P1"),)),))]
    )
    with ward.store.open() as conn:
        assert fhir_search.patients_by_ids(conn, [old], EVERYTHING) == []
        assert fhir_search.patients_by_numbers(conn, ["P1"], EVERYTHING) == []
        assert fhir_search.patients_by_ids(conn, [new], EVERYTHING) == [patient_of("P2")]
        (found,) = fhir_search.encounters_of(conn, [patient_of("P2")], EVERYTHING)
        assert found.encounter == V1


def test_the_values_of_a_device_are_whose_it_measured_then(ward: Ward) -> None:
    ward.hospital.emit_records([
        group("A03", 300), group("A01", 400, patient="P2", visit="V2"),
    ])  # fmt: skip
    ward.store.emit(spo2(100, 97), spo2(350, 96), spo2(500, 95), spo2(510, 20, marks=Mark.TRAINING))
    ward.hospital.attribute()
    ask = Values(items=None, after=None, limit=10)
    with ward.store.open() as conn:

        def values(encounter: str) -> list[float | None]:
            stretches = [
                (device, stretch._replace(until_us=stretch.until_us or us(9000)))
                for device, stretch in fhir_search.value_stretches(conn, [encounter])
            ]
            found = fhir_search.uncharted_values(conn, stretches, ask, descending=False)
            assert all(fhir_search.value_of(conn, source, EVERYTHING) is not None for source, _ in found)
            return [version.version.value for _, version in found]

        assert (values(V1), values(V2)) == ([97], [95])
        assert {each.encounter for each in fhir_search.stretches_of_devices(conn, [DEVICE], EVERYTHING)} == {V1, V2}
        by_bed = fhir_search.encounters_in(conn, fhir_search.known_beds(conn), EVERYTHING)
        assert [each.encounter for each in by_bed] == [V2]
        assert [(claim, name) for uuid, claim, name, _ in fhir_search.known_devices(conn, NOW) if uuid == DEVICE] == [
            (CLAIM, "")
        ]


def test_a_charted_value_is_in_the_chart_alone(ward: Ward) -> None:
    ward.emit(spo2(50, 97), spo2(70, 96))
    ward.chart()
    (entry,) = ward.entries()
    assert entry.key.item == SPO2_ID
    with ward.store.open() as conn:
        (device, stretch), = fhir_search.value_stretches(conn, [V1])  # fmt: skip
        stretches = [(device, stretch._replace(until_us=us(9000)))]
        ask = Values(items=[SPO2_ID], after=None, limit=10)
        ((source, left),) = fhir_search.uncharted_values(conn, stretches, ask, descending=True)
        assert (left.version.value, left.version.status.value) == (97, "preliminary")
        assert source not in entry.now.sources
        assert fhir_search.value_of(conn, entry.now.sources[0], EVERYTHING) is None
