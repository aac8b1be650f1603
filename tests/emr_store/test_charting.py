"""The charter on a store: due slots, late values, another encounter, what people confirmed."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import numpy as np
import psycopg
import pytest

from clinical.chart import Origin
from clinical.chart_policy import read_policies
from clinical.worklist import ItemKind
from emr_store import chart_queue, places
from emr_store.instants import moment
from schemas.report import Mark, device_id
from tests.adt import group, us
from tests.charting import CLAIM, POLICIES, PULSE_ID, SLOT, V1, V2, Ward, pulse, spo2
from tests.storing import Store


@pytest.fixture
def ward(database: str) -> Ward:
    made = Ward(database, read_policies(POLICIES))
    made.place()
    made.hospital.emit_records([group("A01", 0)])
    return made


def test_a_slot_is_charted_when_it_is_due_and_not_before(ward: Ward) -> None:
    ward.emit(spo2(40, 97), spo2(80, 96), spo2(99.9, 95), spo2(100, 90))
    ward.chart(SLOT + 299)
    assert ward.said() == []
    ward.chart(SLOT + 600)
    assert ward.said() == [(SLOT, "preliminary", 95, 1)]
    (entry,) = ward.entries()
    assert entry.now.origin is Origin.DEVICE
    assert (entry.now.unit, entry.now.decimals, entry.now.observed_at_us) == ("%", 0, us(99.9))
    assert entry.now.reason == "last valid"
    (source,) = entry.now.sources
    assert ward.store.rows("SELECT count(*) FROM batch WHERE batch_id = %s", source.batch_id) == [(1,)]
    assert (source.leaf, source.record) == (2, 0)
    ward.chart()
    assert ward.said() == [(SLOT, "preliminary", 95, 1), (SLOT + 300, "preliminary", 90, 1)]


def test_a_late_value_makes_a_version_where_it_changes_something(ward: Ward) -> None:
    ward.emit(spo2(40, 97))
    ward.chart()
    ward.emit(spo2(30, 91))
    ward.chart()
    assert ward.said() == [(SLOT, "preliminary", 97, 1)]
    ward.emit(spo2(50, 91))
    ward.chart()
    assert ward.said() == [(SLOT, "preliminary", 91, 2)]


def test_each_value_is_an_entry_at_once(ward: Ward) -> None:
    ward.emit(pulse(10, 70), pulse(11, 71))
    ward.charter(lambda charter: charter.chart_each())
    assert ward.said(item=PULSE_ID) == [(10, "preliminary", 70, 1), (11, "preliminary", 71, 1)]


def test_a_window_that_a_move_cuts_uses_its_own_part(ward: Ward) -> None:
    ward.hospital.emit_records([group("A03", 60), group("A01", 60, visit="V2", patient="P2")])
    ward.emit(spo2(50, 97), spo2(70, 91))
    ward.chart()
    assert ward.said(V1) == [(SLOT, "preliminary", 97, 1)]
    assert ward.said(V2) == [(SLOT, "preliminary", 91, 1)]


def test_of_a_wrong_patient_the_entry_is_in_error_and_a_new_one_stands_under_the_right_one(ward: Ward) -> None:
    ward.emit(spo2(50, 97), pulse(55, 70), spo2(350, 90))
    ward.chart()
    ward.hospital.emit_records(
        [group("A03", 500, happened=20), group("A01", 510, visit="V2", patient="P2", happened=30)]
    )
    ward.chart()
    assert ward.said(V1) == [(SLOT, "entered-in-error", 97, 2), (SLOT + 300, "entered-in-error", 90, 2)]
    assert ward.said(V1, PULSE_ID) == [(55, "entered-in-error", 70, 2)]
    assert ward.said(V2) == [(SLOT, "preliminary", 97, 1), (SLOT + 300, "preliminary", 90, 1)]
    assert ward.said(V2, PULSE_ID) == [(55, "preliminary", 70, 1)]
    assert len({e.entry for e in (*ward.entries(V1), *ward.entries(V2))}) == 6


def test_a_withdrawn_value_ends_its_entry_and_a_correction_changes_it(ward: Ward) -> None:
    ward.emit(spo2(50, 97), spo2(350, 90))
    ward.chart()
    ward.emit(spo2(50, 0, marks=Mark.WITHDRAWAL), spo2(350, 92, marks=Mark.CORRECTION))
    ward.chart()
    assert ward.said() == [(SLOT, "entered-in-error", 97, 2), (SLOT + 300, "preliminary", 92, 2)]
    assert ward.items() == []


def test_a_correction_of_nothing_is_asked_about(ward: Ward) -> None:
    ward.emit(spo2(50, 97), spo2(60, 0, marks=Mark.WITHDRAWAL))
    ward.chart()
    assert ward.said() == [(SLOT, "preliminary", 97, 1)]
    assert ward.items() == [(ItemKind.CORRECTION_OF_NOTHING, V1)]


def test_a_correction_of_several_is_asked_about(ward: Ward) -> None:
    ward.emit(spo2(5, 97), spo2(5, 96), spo2(5, 95, marks=Mark.CORRECTION), spo2(50, 93))
    ward.chart()
    assert ward.said() == [(SLOT, "preliminary", 93, 1)]
    assert ward.items() == [(ItemKind.CORRECTION_OF_SEVERAL, V1)]


def test_a_value_from_the_beginning_of_a_slot_stands_where_no_later_one_does(ward: Ward) -> None:
    ward.emit(spo2(110, 97), spo2(390, 0, marks=Mark.WITHDRAWAL))
    ward.chart()
    assert ward.said() == [(SLOT + 300, "preliminary", 97, 1)]


def test_a_ward_may_let_entries_become_final_by_time(database: str) -> None:
    ward = Ward(database, read_policies(POLICIES.replace('"last valid"', '"last valid"\nauto_final_after_min = 20')))
    ward.place()
    ward.hospital.emit_records([group("A01", 0)])
    ward.emit(spo2(50, 97))
    ward.chart(SLOT + 1100)
    assert ward.said() == [(SLOT, "preliminary", 97, 1)]
    ward.chart(SLOT + 1201)
    assert ward.said() == [(SLOT, "final", 97, 2)]
    (entry,) = ward.entries()
    assert (entry.now.by_time, entry.now.confirmed, entry.now.act_id) == (True, False, None)
    ward.emit(spo2(60, 91))
    ward.chart()
    assert ward.said() == [(SLOT, "amended", 91, 3)]


def test_what_retention_took_is_not_computed_anew(ward: Ward) -> None:
    ward.emit(spo2(50, 97))
    ward.chart()
    ward.store.rows("DELETE FROM report WHERE kind = 1 RETURNING 1")
    ward.store.rows("INSERT INTO dropped VALUES ('report', %s, %s, 9) RETURNING 1", moment(us(0)), moment(us(500)))
    ward.hospital.emit_records(
        [group("A03", 500, happened=20), group("A01", 510, visit="V2", patient="P2", happened=30)]
    )
    ward.chart()
    assert ward.said() == [(SLOT, "preliminary", 97, 1)]


def test_what_a_strange_edge_says_is_charted_once_a_person_agrees(ward: Ward) -> None:
    other = Store(ward.store.address, b"F" * 16)
    other.emit(spo2(50, 97))
    ward.chart()
    assert ward.said() == []
    with ward.store.open() as conn:
        places.agree(conn, str(device_id(CLAIM)), UUID(bytes=b"F" * 16))
    ward.chart()
    assert ward.said() == [(SLOT, "preliminary", 97, 1)]


def test_what_an_act_had_read_by_another_mapping_is_charted_anew(ward: Ward) -> None:
    ward.emit(spo2(50, 97))
    ward.chart()
    ward.store.rows("UPDATE report SET value = '{95}' WHERE kind = 1 RETURNING 1")
    with ward.store.open() as conn:
        numbers = np.array([row[0] for row in conn.execute("SELECT device FROM report WHERE kind = 1")])
        chart_queue.note_reports(conn, numbers, np.array([us(50)]))
    ward.chart()
    assert ward.said() == [(SLOT, "preliminary", 95, 2)]


def test_nobody_writes_two_entries_into_a_slot(ward: Ward) -> None:
    ward.emit(spo2(50, 97))
    ward.chart()
    ward.chart()
    assert ward.store.rows("SELECT count(*) FROM chart_entry") == [(1,)]
    with pytest.raises(psycopg.errors.UniqueViolation, match="stands in this slot already"):
        ward.store.rows(
            "INSERT INTO chart_entry SELECT gen_random_uuid(), 1, encounter, item, slot, 2, status, origin, value,"
            " text, unit, decimals, observed_at, source_batch, source_leaf, source_record, reason, act_id, by_time,"
            " recorded_at FROM chart_entry RETURNING 1"
        )


def test_begin_is_the_earliest_slot(database: str) -> None:
    ward = Ward(database, read_policies(POLICIES))
    ward.store.rows("UPDATE chart_progress SET began_at = %s RETURNING 1", moment(us(0)) + timedelta(seconds=SLOT))
    ward.place()
    ward.hospital.emit_records([group("A01", 0)])
    ward.emit(spo2(50, 97), spo2(150, 90))
    ward.chart()
    assert ward.said() == [(SLOT + 300, "preliminary", 90, 1)]
