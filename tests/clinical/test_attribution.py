"""By which way a value is somebody's; and when it is nobody's."""

from __future__ import annotations

from typing import Any

import pytest

from clinical.association import Association
from clinical.attribution import Attribution, Basis, State, attribute, unattended_items
from clinical.device import Device, DeviceBed, PidClaim, PidMute
from clinical.facts import AdtFact
from clinical.identity import PidTrust
from clinical.patient_numbers import PatientNumbers
from clinical.stays import patient_links
from clinical.worklist import ItemKind
from schemas.adt import Identifier, Merge
from tests.adt import computed, fact, key, number, patient_of, second, swap, us, visit_of

Row = tuple[float, float | None, str, str | None, str]  # from, until, state, patient, basis
PLACED = (DeviceBed(bed=key("1"), from_us=us(0), until_us=None, act=b"placed"),)
IN_BED = fact("A01", 10)
NEXT = fact("A01", 60, visit="V2", patient="P2")
ENDED = fact("A03", 60)
ATTRIBUTED, NOBODY, CONFLICT, UNDECIDED = State


def claim(patient: str, begins: float, until: float | None = None) -> PidClaim:
    until_us = None if until is None else us(until)
    patients = (patient_of(patient),) if patient else ()
    return PidClaim(patients=patients, from_us=us(begins), until_us=until_us, fact=f"pid {patient}".encode())


def scan(
    visit: str | None, begins: float, until: float | None = None, *, recorded: float | None = None, by_scan: bool = True
) -> Association:
    return Association(
        encounter=visit and visit_of(visit),
        from_us=us(begins),
        until_us=None if until is None else us(until),
        recorded_at_us=us(begins if recorded is None else recorded),
        act=f"scan {visit}".encode(),
        by_scan=by_scan,
    )


def act(visit: str | None, begins: float, until: float | None = None, *, recorded: float) -> Association:
    return scan(visit, begins, until, recorded=recorded, by_scan=False)


def found(*facts: AdtFact, beds: tuple[DeviceBed, ...] = PLACED, **evidence: Any) -> Attribution:
    stays = computed(*facts)
    numbers = PatientNumbers(facts, patient_links(facts))
    device = Device(id="monitor", beds=beds, **evidence)
    received_at_us = {fact.id: fact.received_at_us for fact in facts}
    return attribute(device, stays.stays, stays.encounters, numbers, received_at_us)


def whose(*facts: AdtFact, **evidence: Any) -> list[Row]:
    return [
        (
            second(interval.from_us),
            None if interval.until_us is None else second(interval.until_us),
            interval.state.value,
            interval.patient and interval.patient.split("^")[0],
            interval.basis.value,
        )
        for interval in found(*facts, **evidence).whose
    ]


def test_the_bed_alone() -> None:
    assert whose(IN_BED, ENDED, NEXT) == [
        (0, 10, "nobody", None, ""),
        (10, 60, "attributed", "P1", "bed"),
        (60, None, "attributed", "P2", "bed"),
    ]
    first = found(IN_BED, ENDED, NEXT).whose[1]
    assert (first.encounter, first.facts) == (visit_of("V1"), (b"placed", IN_BED.id))


def test_where_the_device_stood_at_that_moment_counts() -> None:
    moved = (
        DeviceBed(bed=key("1"), from_us=us(0), until_us=us(30), act=b"placed"),
        DeviceBed(bed=key("2"), from_us=us(30), until_us=us(50), act=b"moved"),
    )
    other = fact("A01", 10, visit="V2", patient="P2", bed="2")
    assert whose(IN_BED, other, beds=moved)[1:] == [
        (10, 30, "attributed", "P1", "bed"),
        (30, 50, "attributed", "P2", "bed"),
        (50, None, "nobody", None, ""),
    ]


def test_a_device_without_a_bed_and_without_anything_has_no_intervals() -> None:
    assert whose(IN_BED, beds=()) == []


def test_bed_and_pid_that_agree() -> None:
    assert whose(IN_BED, claims=[claim("P1", 20, 40)]) == [
        (0, 10, "nobody", None, ""),
        (10, 20, "attributed", "P1", "bed"),
        (20, 40, "attributed", "P1", "bed+pid"),
        (40, None, "attributed", "P1", "bed"),
    ]


def test_bed_and_pid_of_different_patients_are_a_conflict_and_nobody_s() -> None:
    other = fact("A01", 5, visit="V2", patient="P2", bed="2")
    result = found(IN_BED, other, claims=[claim("P2", 20, 40)])
    conflict = result.whose[2]
    assert (conflict.state, conflict.patient, conflict.encounter) == (CONFLICT, None, None)
    assert conflict.facts == (b"placed", IN_BED.id, b"pid P2")
    (item,) = result.items
    assert (item.kind, item.subject) == (ItemKind.BED_AND_MONITOR_DISAGREE, "monitor")
    assert (item.since_us, item.until_us) == (us(20), us(40))


def test_a_monitor_that_was_not_discharged_contradicts_the_next_patient() -> None:
    assert whose(IN_BED, ENDED, NEXT, claims=[claim("P1", 10)])[1:] == [
        (10, 60, "attributed", "P1", "bed+pid"),
        (60, None, "conflict", None, ""),
    ]


@pytest.mark.parametrize("patient", ["", "UNKNOWN"])
def test_silence_and_unknown_numbers_contradict_nothing(patient: str) -> None:
    assert whose(IN_BED, claims=[claim(patient, 20)])[-1][2:] == ("attributed", "P1", "bed")


def test_a_merged_number_agrees() -> None:
    merge = fact("A40", 50, visit="", patient="P1", bed="", merges=(Merge(patients=(number("P9"),)),))
    assert whose(IN_BED, merge, claims=[claim("P9", 20)])[-1] == (20, None, "attributed", "P1", "bed+pid")


def test_another_number_of_the_same_patient_agrees() -> None:
    national = Identifier(value="N1", authority="STATE", type="NI")
    admitted = fact("A01", 10, patients=(number("P1"), national))
    claims = [PidClaim(patients=("N1^STATE^NI",), from_us=us(20), until_us=None, fact=b"pid")]
    assert whose(admitted, claims=claims)[-1][2:] == ("attributed", "P1", "bed+pid")


@pytest.mark.parametrize(
    ("pid", "row"),
    [(PidTrust.TRUSTED, ("attributed", "P1", "pid")), (PidTrust.CONFIRMS, ("nobody", None, ""))],
)
def test_the_pid_alone_where_it_is_trusted(pid: PidTrust, row: tuple[str, str | None, str]) -> None:
    elsewhere = fact("A01", 10, bed="2")
    assert whose(elsewhere, beds=(), claims=[claim("P1", 20)], pid=pid)[-1][2:] == row


def test_the_pid_of_two_open_visits_names_none() -> None:
    both = [fact("A01", 10, bed="2"), fact("A01", 10, visit="V2", bed="3")]
    assert whose(*both, beds=(), claims=[claim("P1", 20)], pid=PidTrust.TRUSTED)[-1][2:] == ("nobody", None, "")


def test_the_pid_of_a_discharged_patient_gives_nothing() -> None:
    result = found(IN_BED, ENDED, claims=[claim("P1", 20)], pid=PidTrust.TRUSTED)
    last = result.whose[-1]
    assert (last.state, last.patient, last.encounter, last.proposed) == (NOBODY, None, None, visit_of("V1"))
    assert last.facts == (ENDED.id,)


def test_after_the_discharge_the_last_patient_is_proposed_and_never_given() -> None:
    last = found(IN_BED, ENDED).whose[-1]
    assert (last.from_us, last.state, last.patient, last.proposed) == (us(60), NOBODY, None, visit_of("V1"))


def test_nobody_is_proposed_after_the_device_moved() -> None:
    moved = (
        DeviceBed(bed=key("1"), from_us=us(0), until_us=us(70), act=b"placed"),
        DeviceBed(bed=key("2"), from_us=us(70), until_us=None, act=b"moved"),
    )
    assert [interval.proposed for interval in found(IN_BED, ENDED, beds=moved).whose[-2:]] == [visit_of("V1"), None]


def test_two_in_one_bed_are_nobody_s() -> None:
    other = fact("A01", 30, visit="V2", patient="P2")
    assert whose(IN_BED, other)[-1] == (30, None, "nobody", None, "")


def test_of_two_in_one_bed_a_trusted_pid_names_one() -> None:
    other = fact("A01", 30, visit="V2", patient="P2")
    third = fact("A01", 0, visit="V3", patient="P3", bed="3")
    trusted = {"pid": PidTrust.TRUSTED}
    assert whose(IN_BED, other, claims=[claim("P2", 40)], **trusted)[-1][2:] == ("attributed", "P2", "pid")
    assert whose(IN_BED, other, claims=[claim("P2", 40)])[-1][2:] == ("nobody", None, "")
    assert whose(IN_BED, other, third, claims=[claim("P3", 40)], **trusted)[-1][2:] == ("conflict", None, "")


def test_absence_is_silent() -> None:
    away = [fact("A09", 20, bed=""), fact("A10", 40, bed="1")]
    assert whose(IN_BED, *away)[1:] == [
        (10, 20, "attributed", "P1", "bed"), (20, 40, "nobody", None, ""), (40, None, "attributed", "P1", "bed"),
    ]  # fmt: skip


def test_a_passed_plan_leaves_it_undecided_until_somebody_comes() -> None:
    planned = fact("A03", 20, discharged=1000)
    later = fact("A01", 2000, visit="V2", patient="P2")
    result = found(IN_BED, planned, later)
    assert [(second(i.from_us), i.state, i.proposed) for i in result.whose[1:]] == [
        (10, ATTRIBUTED, None), (1000, UNDECIDED, visit_of("V1")), (2000, ATTRIBUTED, None),
    ]  # fmt: skip


def test_a_visit_of_two_patients_is_undecided() -> None:
    last = found(IN_BED, fact("A08", 20, patient="P2")).whose[-1]
    assert (last.state, last.patient, last.proposed) == (UNDECIDED, None, visit_of("V1"))


def test_a_scan_wins_over_the_bed_and_opens_an_item() -> None:
    other = fact("A01", 10, visit="V2", patient="P2", bed="2")
    result = found(IN_BED, other, associations=[scan("V2", 20)])
    last = result.whose[-1]
    assert (last.from_us, last.patient, last.basis, last.facts) == (us(20), patient_of("P2"), Basis.SCAN, (b"scan V2",))
    (item,) = result.items
    assert item.kind is ItemKind.SCAN_CONTRADICTED
    assert IN_BED.id in item.facts


def test_a_scan_wins_over_the_pid() -> None:
    other = fact("A01", 10, visit="V2", patient="P2", bed="2")
    result = found(IN_BED, other, claims=[claim("P2", 0)], associations=[scan("V1", 20)])
    assert [interval.state for interval in result.whose[-2:]] == [CONFLICT, ATTRIBUTED]
    assert result.items[-1].kind is ItemKind.SCAN_CONTRADICTED


def test_a_scan_that_agrees_opens_nothing() -> None:
    assert found(IN_BED, claims=[claim("P1", 0)], associations=[scan("V1", 20)]).items == []


@pytest.mark.parametrize(
    "change",
    [
        [fact("A02", 60, bed="2")],
        [fact("A03", 60)],
        [fact("A09", 60, bed="")],
        swap(60, {"visit": "V1", "bed": "2"}, {"visit": "V2", "patient": "P2", "bed": "1"}),
    ],
)
def test_a_scan_ends_with_the_next_change_of_place(change: list[AdtFact]) -> None:
    other = fact("A01", 10, visit="V2", patient="P2", bed="2")
    result = found(IN_BED, other, *change, associations=[scan("V1", 20, recorded=90)])
    scanned = [interval for interval in result.whose if interval.basis is Basis.SCAN]
    assert [(interval.from_us, interval.until_us) for interval in scanned] == [(us(20), us(60))]


def test_a_scan_ends_where_the_device_goes() -> None:
    moved = (
        DeviceBed(bed=key("1"), from_us=us(0), until_us=us(50), act=b"placed"),
        DeviceBed(bed=key("2"), from_us=us(50), until_us=None, act=b"moved"),
    )
    assert whose(IN_BED, beds=moved, associations=[scan("V1", 20)])[-1] == (50, None, "nobody", None, "")


def test_the_next_scan_ends_the_last_one_for_good() -> None:
    other = fact("A01", 10, visit="V2", patient="P2", bed="2")
    gone = fact("A03", 60, visit="V2", patient="P2", bed="2")
    rows = whose(IN_BED, other, gone, beds=(), associations=[scan("V1", 20), scan("V2", 40)])
    assert rows == [
        (20, 40, "attributed", "P1", "scan"), (40, 60, "attributed", "P2", "scan"), (60, None, "nobody", None, ""),
    ]  # fmt: skip


def test_a_scan_of_a_visit_that_is_not_open_says_nothing() -> None:
    assert whose(IN_BED, associations=[scan("V7", 20)])[-1][2:] == ("attributed", "P1", "bed")


def test_an_act_holds_for_what_it_names_and_outranks_what_was_known() -> None:
    other = fact("A01", 10, visit="V2", patient="P2", bed="2")
    result = found(IN_BED, other, fact("A02", 30, bed="3"), associations=[act("V1", 20, 50, recorded=90)])
    by_act = [interval for interval in result.whose if interval.basis is Basis.ACT]
    assert [(interval.from_us, interval.until_us) for interval in by_act] == [(us(20), us(50))]
    assert result.items == []


@pytest.mark.parametrize(("received", "questions"), [(80, []), (200, [ItemKind.ACT_CONTRADICTED])])
def test_a_contrary_fact_that_comes_after_an_act_opens_an_item(received: float, questions: list[ItemKind]) -> None:
    contrary = fact("A01", 15, visit="V2", patient="P2", received=received)
    facts = [contrary, fact("A01", 5, bed="2")]
    associations = [act("V1", 20, 40, recorded=90)]
    assert [item.kind for item in found(*facts, associations=associations).items] == questions
    assert whose(*facts, associations=associations)[2] == (20, 40, "attributed", "P1", "act")


def test_what_the_monitor_showed_before_an_act_does_not_contradict_it() -> None:
    other = fact("A01", 5, visit="V2", patient="P2", bed="2")
    for begins, questions in ((10, []), (30, [ItemKind.ACT_CONTRADICTED])):
        by_act = act("V1", 20, 60, recorded=20)
        result = found(IN_BED, other, claims=[claim("P2", begins)], associations=[by_act])
        after_act = [item.kind for item in result.items if us(20) <= item.since_us < us(60)]
        assert after_act == questions


def test_an_act_into_the_future_is_cut_where_the_patient_moves() -> None:
    result = whose(IN_BED, fact("A02", 60, bed="2"), associations=[act("V1", 20, 500, recorded=20)])
    assert [row[:2] for row in result if row[4] == "act"] == [(20, 60)]


def test_a_person_may_say_that_it_is_nobody_s() -> None:
    rows = whose(IN_BED, associations=[act(None, 20, 40, recorded=90)])
    assert rows[2] == (20, 40, "nobody", None, "act")


def test_of_two_acts_the_later_one_holds() -> None:
    other = fact("A01", 10, visit="V2", patient="P2", bed="2")
    acts = [act("V2", 20, 40, recorded=95), act("V1", 20, 40, recorded=90)]
    assert whose(IN_BED, other, associations=acts)[2] == (20, 40, "attributed", "P2", "act")


def test_adt_is_right_until_the_monitor_s_number_changes() -> None:
    claims = [claim("P1", 10, 100), claim("", 100, 110), claim("P1", 110, 120), claim("P3", 120)]
    third = fact("A01", 0, visit="V3", patient="P3", bed="3")
    rows = whose(IN_BED, ENDED, NEXT, third, claims=claims, mutes=[PidMute(from_us=us(70), act=b"mute")])
    assert rows[1:] == [
        (10, 60, "attributed", "P1", "bed+pid"),
        (60, 70, "conflict", None, ""),
        (70, 120, "attributed", "P2", "bed"),
        (120, None, "conflict", None, ""),
    ]


def test_a_device_that_measures_for_nobody_is_a_question() -> None:
    intervals = found(IN_BED, ENDED).whose
    items = unattended_items(intervals, [us(5), us(20), us(80)])
    assert [(item.kind, item.since_us, item.until_us) for item in items] == [
        (ItemKind.NOBODY_IN_BED, us(5), us(10)), (ItemKind.DISCHARGED_STILL_MEASURING, us(80), None),
    ]  # fmt: skip
    assert items[1].detail == visit_of("V1")
    assert unattended_items(intervals, [us(20), us(59)]) == []


def test_two_in_one_bed_are_a_question_of_their_own() -> None:
    intervals = found(IN_BED, fact("A01", 10, visit="V2", patient="P2")).whose
    assert unattended_items(intervals, [us(20)]) == []


def test_what_a_person_gave_to_nobody_is_no_question() -> None:
    intervals = found(IN_BED, associations=[act(None, 20, 40, recorded=90)]).whose
    assert unattended_items(intervals, [us(25)]) == []
