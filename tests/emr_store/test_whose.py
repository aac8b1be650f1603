"""Whose the values of devices are, as rows: by bed, by the sender's numbers, by what people say."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest

from clinical.identity import AdtSource, PidTrust
from clinical.worklist import ItemKind
from emr_store import acts, adt_facts, patient_acts, places
from emr_store import whose as whose_store
from emr_store.instants import moment, us_of
from schemas.adt import Identifier
from schemas.report import LATE_CONTEXT, Kind, Lane, Report, device_id
from tests.adt import SOURCE, group, key, us, visit_of
from tests.attributing import SITE, Hospital, adt_report, text_of
from tests.making import report
from tests.storing import Store, event

CLAIM = "adt/PV1-3=ICU^^1"  # of the source that SITE knows
DEVICE = device_id(CLAIM)
TRUSTED = replace(SITE, pid_trust={SOURCE.name: PidTrust.TRUSTED})


@pytest.fixture
def hospital(database: str) -> Hospital:
    made = Hospital(Store(database))
    made.store.emit(event(CLAIM, "identity", CLAIM, us(0)))
    return made


def at(second: float) -> datetime:
    return moment(us(second))


def place(hospital: Hospital, bed: str = "ICU-1", since: float = -1000) -> None:
    with hospital.store.open() as conn:
        places.assign(conn, str(DEVICE), bed, since=at(since))


def context(second: float, patient: str, claim: str = CLAIM) -> Report:
    """As hl7_oru says it."""
    records = [text_of("HL7", "PID-3", f"{patient}^^^HOSP^MR")] if patient else [text_of("HL7", "PV1-3", "ICU^^1")]
    return report(claim, us(second), records, Kind.CONTEXT)


def whose(hospital: Hospital, device: UUID = DEVICE) -> list[tuple[object, ...]]:
    """From, until, state, basis, visit, as believed now."""
    rows = hospital.store.rows(
        "SELECT lower(valid), upper(valid), state, basis, encounter FROM whose"
        " WHERE device = %s AND upper_inf(recorded) ORDER BY 1",
        device,
    )
    return [(_second(r[0]), _second(r[1]), r[2], r[3], r[4]) for r in rows]


def _second(bound: Any) -> float | None:
    return None if bound is None else (us_of(bound) - us(0)) / 1e6


V1, V2 = visit_of("V1"), visit_of("V2")
NOBODY = ("nobody", "", None)


def test_by_the_bed_from_the_first_moment_to_the_last(hospital: Hospital) -> None:
    place(hospital)
    hospital.emit_records([group("A01", 0), group("A03", 60), group("A01", 60, visit="V2", patient="P2")])
    assert whose(hospital) == [
        (-1000, 0, *NOBODY), (0, 60, "attributed", "bed", V1), (60, None, "attributed", "bed", V2)
    ]  # fmt: skip


def test_a_late_transfer_moves_the_past_and_what_was_believed_is_still_there(hospital: Hospital) -> None:
    place(hospital)
    hospital.emit_records([group("A01", 0), group("A02", 3600, happened=1800, bed="2")])
    assert whose(hospital)[1:] == [(0, 1800, "attributed", "bed", V1), (1800, None, *NOBODY)]
    before = hospital.store.rows("SELECT encounter, upper_inf(valid) FROM whose WHERE NOT upper_inf(recorded)")
    assert (V1, True) in before


def test_a_device_that_is_moved_takes_its_values_along_from_that_moment(hospital: Hospital) -> None:
    place(hospital)
    hospital.emit_records([group("A01", 0), group("A01", 0, visit="V2", patient="P2", bed="2")])
    with hospital.store.open() as conn:
        places.move(conn, str(DEVICE), "ICU-2", since=at(30))
    hospital.attribute()
    assert whose(hospital)[1:] == [(0, 30, "attributed", "bed", V1), (30, None, "attributed", "bed", V2)]


def test_the_number_on_the_monitor_confirms_or_contradicts(hospital: Hospital) -> None:
    place(hospital)
    hospital.emit_records([group("A01", 0), group("A01", 0, visit="V2", patient="P2", bed="2")])
    hospital.store.emit(context(10, "P1"), context(20, "P2"), context(30, ""))
    hospital.attribute()
    assert whose(hospital)[1:] == [
        (0, 10, "attributed", "bed", V1), (10, 20, "attributed", "bed+pid", V1), (20, 30, "conflict", "", None),
        (30, None, "attributed", "bed", V1),
    ]  # fmt: skip
    kinds = hospital.store.rows(
        "SELECT kind, subject FROM worklist_item WHERE scope = 'device' AND upper_inf(recorded)"
    )
    assert kinds == [(ItemKind.BED_AND_MONITOR_DISAGREE, str(DEVICE))]


def test_numbers_that_come_before_their_patient_is_known_count_when_it_is(hospital: Hospital) -> None:
    hospital.site = TRUSTED
    hospital.store.emit(context(10, "P1"))
    hospital.attribute()
    assert whose(hospital) == [(10, None, *NOBODY)]
    hospital.emit_records([group("A04", 20, bed="")])
    assert whose(hospital) == [(10, 20, *NOBODY), (20, None, "attributed", "pid", V1)]


def test_a_number_counts_from_the_first_value_that_it_was_sent_with(hospital: Hospital) -> None:
    hospital.site = TRUSTED
    hospital.emit_records([group("A04", 0, bed="")])
    hospital.store.emit(context(60, "P1"), report(CLAIM, us(55)), report(CLAIM, us(65)))
    hospital.attribute()
    assert whose(hospital) == [(55, None, "attributed", "pid", V1)]


def test_a_value_that_was_measured_before_its_message_is_of_the_number_beside_it(hospital: Hospital) -> None:
    """P2's message comes at 70 with a value of 65, when P1's number still was the last that the sender had said."""
    hospital.site = TRUSTED
    hospital.emit_records([group("A04", 0, bed=""), group("A04", 0, bed="", visit="V2", patient="P2")])
    hospital.store.emit(
        context(60, "P1"), report(CLAIM, us(60)), report(CLAIM, us(62)),
        context(70, "P2"), report(CLAIM, us(65)), report(CLAIM, us(61)), report(CLAIM, us(71)),
    )  # fmt: skip
    hospital.attribute()
    owners = [(row[0], row[4]) for row in whose(hospital)]
    assert owners == [(60, V1), (61, V2), (62, V1), (65, V2)]


def test_a_late_message_is_of_its_own_number_and_changes_nothing_around_it(hospital: Hospital) -> None:
    """P2's message of 65 comes in a batch of its own after P1's values of 70, which came without a number."""
    hospital.site = TRUSTED
    hospital.emit_records([group("A04", 0, bed=""), group("A04", 0, bed="", visit="V2", patient="P2")])
    hospital.store.emit(context(60, "P1"), report(CLAIM, us(60)))
    hospital.store.emit(report(CLAIM, us(70)))
    named, mark = context(65, "P2"), text_of("vitalwire", LATE_CONTEXT, "")
    late = msgspec.structs.replace(named, records=(*named.records, mark))
    hospital.store.emit(late, report(CLAIM, us(65)))
    hospital.attribute()
    owners = [(row[0], row[4]) for row in whose(hospital)]
    assert [owner for _, owner in owners] == [V1, V2, V1]
    assert owners[1][0] == 65
    assert owners[2][0] == pytest.approx(65.000001)


def test_in_any_order_the_same_intervals(hospital: Hospital) -> None:
    """ADT, numbers, a device that is placed late: whatever comes first, the same values are the same patient's."""
    seen = set()
    for seed in range(1, 8):
        claim, bed = f"adt/PV1-3=ICU^^{seed}x", str(seed)
        device = device_id(claim)
        hospital.store.emit(event(claim, "identity", claim, us(0)))
        visit, patient, other = f"V{seed}", f"P{seed}", f"Q{seed}"

        def place_it(device: UUID = device, bed: str = bed) -> None:
            with hospital.store.open() as conn:
                places.assign(conn, str(device), f"ICU-{bed}", since=at(-1000))

        steps: list[Callable[[], object]] = [
            place_it,
            *(
                partial(hospital.emit, each)
                for each in (
                    group("A01", 0, visit=visit, patient=patient, bed=bed),
                    group("A01", 50, visit=f"W{seed}", patient=other, bed=""),
                    group("A02", 90, happened=60, visit=visit, patient=patient, bed=""),
                    group("A02", 60, visit=f"W{seed}", patient=other, bed=bed),
                    group("A03", 80, visit=f"W{seed}", patient=other, bed=bed),
                    group("A13", 85, visit=f"W{seed}", patient=other, bed=bed),
                )
            ),
            *(partial(hospital.store.emit, context(s, number, claim)) for s, number in ((10, patient), (65, other))),
        ]
        random.Random(seed).shuffle(steps)
        for step in steps:
            step()
            hospital.attribute()
        seen.add(tuple((*row[:4], str(row[4]).replace(str(seed), "")) for row in whose(hospital, device)))
    (intervals,) = seen
    assert [row[2:4] for row in intervals] == [
        ("nobody", ""), ("attributed", "bed"), ("attributed", "bed+pid"), ("conflict", ""), ("attributed", "bed+pid")
    ]  # fmt: skip


def test_two_of_one_instant_contradict_each_other_and_the_last_goes_on(hospital: Hospital) -> None:
    hospital.site = TRUSTED
    hospital.emit_records([group("A04", 0, bed=""), group("A04", 0, bed="", visit="V2", patient="P2")])
    hospital.store.emit(context(60, "P1"), context(60, "P2"))
    hospital.attribute()
    assert whose(hospital) == [(60, 60.000001, *NOBODY), (60.000001, None, "attributed", "pid", V2)]


def test_a_number_through_an_edge_that_is_not_the_devices_own_says_nothing(hospital: Hospital) -> None:
    hospital.site = TRUSTED
    place(hospital, "ICU-9")
    other = Store(hospital.store.address, edge=b"F" * 16)
    other.emit(context(10, "P1"))
    hospital.emit_records([group("A04", 0, bed="")])
    assert whose(hospital) == [(-1000, None, *NOBODY)]


def associate(conn: psycopg.Connection, device: UUID, encounter: str | None, second: float) -> None:
    with conn.transaction():
        act = acts.record(conn, acts.act("device.associate", None, acts.now(conn), encounter=encounter))
        conn.execute(
            "INSERT INTO device_encounter VALUES (%s, %s, tstzrange(%s, NULL), tstzrange(now(), NULL), false, %s)",
            (device, encounter, at(second), act),
        )


def test_what_a_person_says_outranks_the_bed(hospital: Hospital) -> None:
    place(hospital)
    hospital.emit_records([group("A01", 0), group("A01", 0, visit="V2", patient="P2", bed="2")])
    with hospital.store.open() as conn:
        associate(conn, DEVICE, V2, 30)
    hospital.attribute()
    assert whose(hospital)[1:] == [(0, 30, "attributed", "bed", V1), (30, None, "attributed", "act", V2)]


def test_who_measures_for_nobody_is_a_question_until_somebody_is_there(hospital: Hospital) -> None:
    place(hospital)
    hospital.emit_records([group("A01", 0), group("A03", 60)])
    hospital.store.emit(report(CLAIM, us(90)))
    with hospital.store.open() as conn:
        whose_store.note_measuring(conn)
    hospital.attribute()
    open_items = "SELECT kind, since, detail FROM worklist_item WHERE scope = 'measuring' AND upper_inf(recorded)"
    assert hospital.store.rows(open_items) == [(ItemKind.DISCHARGED_STILL_MEASURING, at(90), V1)]
    hospital.emit_records([group("A01", 80, visit="V2", patient="P2")])
    assert hospital.store.rows(open_items) == []


def test_observations_have_their_patient_by_the_moment_of_measurement(hospital: Hospital) -> None:
    place(hospital)
    hospital.emit_records([group("A01", 0), group("A03", 60), group("A01", 60, visit="V2", patient="P2")])
    hospital.store.emit(report(CLAIM, us(59)), report(CLAIM, us(60)), report(CLAIM, us(-5)))
    rows = hospital.store.rows(
        "SELECT DISTINCT observed_at, patient, state, basis FROM observation_of_patient ORDER BY 1"
    )
    assert [row[1:] for row in rows] == [
        (None, "nobody", ""), ("P1^HOSP^MR", "attributed", "bed"), ("P2^HOSP^MR", "attributed", "bed")
    ]  # fmt: skip


def test_the_observations_of_a_patient_are_those_of_the_view(hospital: Hospital) -> None:
    place(hospital)
    hospital.emit_records([group("A01", 0), group("A03", 60), group("A01", 60, visit="V2", patient="P2")])
    hospital.store.emit(*(report(CLAIM, us(second)) for second in (-5, 0, 30, 59, 60, 90)))
    columns = "observed_at, metric, value, encounter, basis"
    for since, until, count in ((0, 1000, 6), (1, 59, 2), (0, 59.000001, 6), (60, 90, 0)):
        of_view = hospital.store.rows(
            f"SELECT {columns} FROM observation_of_patient WHERE patient = %s"
            " AND observed_at >= %s AND observed_at < %s ORDER BY 1, 2",
            "P1^HOSP^MR", at(since), at(until),
        )  # fmt: skip
        of_function = hospital.store.rows(
            f"SELECT {columns} FROM observations_of(%s, %s, %s) ORDER BY 1, 2", "P1^HOSP^MR", at(since), at(until)
        )
        assert of_function == of_view
        assert len(of_view) == count


def test_another_configuration_reads_what_was_said_anew(hospital: Hospital) -> None:
    place(hospital)
    unknown = replace(SITE, beds=SITE.beds.__class__([key("2")]), digest=b"1")
    hospital.site = unknown
    with hospital.store.open() as conn:
        adt_facts.reread(conn, unknown)
    hospital.emit_records([group("A01", 0)])
    assert whose(hospital) == [(-1000, None, *NOBODY)]
    hospital.site = replace(SITE, digest=b"2")
    with hospital.store.open() as conn:
        assert adt_facts.reread(conn, hospital.site) == 1
        assert adt_facts.reread(conn, hospital.site) == 0
    hospital.attribute()
    assert whose(hospital) == [(-1000, 0, *NOBODY), (0, None, "attributed", "bed", V1)]
    assert hospital.store.rows("SELECT count(*) FROM worklist_item WHERE upper_inf(recorded)") == [(0,)]


def test_another_configuration_reads_the_numbers_beside_values_anew(hospital: Hospital) -> None:
    other = AdtSource(name="adt", authority="ELSEWHERE")
    hospital.site = replace(SITE, sources={"adt": other}, digest=b"1")
    with hospital.store.open() as conn:
        adt_facts.reread(conn, hospital.site)
    place(hospital)
    plain = Identifier(value="P1", type="MR")
    hospital.emit_records([group("A01", 0, patients=(plain,))])
    sent = [text_of("HL7", "PID-3", "P1^^^^MR")]
    hospital.store.emit(report(CLAIM, us(0), sent, Kind.CONTEXT), report(CLAIM, us(1)))
    hospital.attribute()
    assert hospital.store.rows("SELECT DISTINCT patients FROM pid_claim") == [(["P1^ELSEWHERE^MR"],)]
    hospital.site = replace(SITE, digest=b"2")
    with hospital.store.open() as conn:
        assert adt_facts.reread(conn, hospital.site) == 2  # the message, and the number
        assert conn.execute("SELECT DISTINCT device FROM attribution_device").fetchall() == [(DEVICE,)]
    hospital.attribute()
    assert hospital.store.rows("SELECT DISTINCT patients FROM pid_claim") == [(["P1^HOSP^MR"],)]
    assert whose(hospital)[1:] == [(0, None, "attributed", "bed+pid", V1)]


def test_an_act_with_an_end_is_cut_where_the_patient_or_the_device_changed_place(hospital: Hospital) -> None:
    place(hospital)
    hospital.emit_records([group("A01", 0), group("A02", 60, bed="2"), group("A02", 80, bed="3")])
    with hospital.store.open() as conn:
        said = patient_acts.associate(conn, str(DEVICE), V1, since=at(10), until=at(100))
        assert (said.until, said.asked_until) == (at(60), at(100))
        assert acts.acts(conn)[-1].details["until"] == at(60).isoformat()
        places.move(conn, str(DEVICE), "ICU-2", since=at(30))
        nobody = patient_acts.associate(conn, str(DEVICE), None, since=at(5), until=at(100))
        assert (nobody.until, nobody.asked_until) == (at(30), at(100))  # who lies there changes nothing of that
    hospital.attribute()
    assert (at(5), at(30)) in hospital.store.rows(
        "SELECT lower(valid), upper(valid) FROM whose WHERE basis = 'act' AND upper_inf(recorded)"
    )


def test_a_transfer_that_is_told_after_the_act_changes_nothing_and_asks(hospital: Hospital) -> None:
    place(hospital)
    hospital.emit_records([group("A01", 0)])
    with hospital.store.open() as conn:
        patient_acts.associate(conn, str(DEVICE), V1, since=at(10), until=at(100))
    hospital.attribute()
    now_us = time.time_ns() // 1000
    late = msgspec.structs.replace(group("A02", 60, bed="2"), sent_at_us=now_us)
    report = msgspec.structs.replace(adt_report(late), received_at_us=now_us)
    hospital.store.emit(report, lane=Lane.ADT)
    hospital.attribute()
    assert (10, 100, "attributed", "act", V1) in whose(hospital)
    with hospital.store.open() as conn:
        asked = [(q.kind, q.since, q.until) for q in patient_acts.questions(conn, whole=True)]
    assert ("act_contradicted", at(60), at(100)) in asked
