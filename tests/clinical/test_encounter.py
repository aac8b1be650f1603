"""Absence, plans and ends of one encounter."""

from __future__ import annotations

import pytest

from clinical.encounter import AbsenceKind
from clinical.facts import AdtFact
from clinical.worklist import ItemKind
from tests.adt import MINUTE_S, Row, computed, fact, item, key, kinds, rows, second, us, visit_of

IN_BED = fact("A01", 0)
STAYS = [("V1", "1", 0, None)]
MOVED = fact("A02", 60, bed="2")
AWAY = fact("A09", 60, bed="", prior="1")


@pytest.mark.parametrize(
    ("then", "expected"),
    [
        (fact("A10", 90, bed="3"), ("V1", "3", 90, None)),
        (fact("A10", 90, bed="1"), ("V1", "1", 90, None)),
        (fact("A02", 90, bed="3"), ("V1", "3", 90, None)),
    ],
)
def test_a_departure_silences_the_bed_until_a_place_is_named(then: AdtFact, expected: Row) -> None:
    assert rows(IN_BED, AWAY, then) == [("V1", "1", 0, 60), expected]


def test_a_departure_that_is_cancelled_never_was() -> None:
    assert rows(IN_BED, AWAY, fact("A33", 90)) == STAYS


def test_a_departure_ends_with_the_discharge() -> None:
    away = computed(IN_BED, AWAY, fact("A03", 90)).encounters[visit_of("V1")]
    (absence,) = away.absences
    assert (absence.kind, absence.bed, absence.until_us) == (AbsenceKind.AWAY, key("1"), us(90))
    assert rows(IN_BED, AWAY, fact("A03", 90)) == [("V1", "1", 0, 60)]


def test_a_departed_patient_at_a_temporary_place_is_not_yet_back() -> None:
    assert rows(IN_BED, AWAY, fact("A10", 90, bed="1", temporary="9")) == [("V1", "1", 0, 60)]


def test_an_arrival_that_is_cancelled_leaves_the_patient_away() -> None:
    assert rows(IN_BED, AWAY, fact("A10", 90), fact("A32", 95)) == [("V1", "1", 0, 60)]


def test_an_arrival_without_a_bed_is_a_question() -> None:
    assert rows(IN_BED, AWAY, fact("A10", 90, bed="")) == [("V1", "1", 0, 60)]
    assert kinds(IN_BED, AWAY, fact("A10", 90, bed="")) == [ItemKind.NO_BED]


def test_a_departed_patient_does_not_come_back_from_a_leave() -> None:
    assert rows(IN_BED, AWAY, fact("A22", 90, bed="")) == [("V1", "1", 0, 60)]
    assert kinds(IN_BED, AWAY, fact("A22", 90, bed="")) == [ItemKind.NO_BED]


ON_LEAVE = fact("A21", 60)


@pytest.mark.parametrize(
    ("then", "expected"),
    [
        ([fact("A22", 90, bed="")], [("V1", "1", 90, None)]),
        ([fact("A22", 90, bed="2")], [("V1", "2", 90, None)]),
        ([fact("A02", 80, bed="2")], []),
        ([fact("A02", 80, bed="2"), fact("A22", 90, bed="")], [("V1", "2", 90, None)]),
        ([fact("A22", 90), fact("A53", 95)], []),
        ([fact("A03", 90)], []),
    ],
)
def test_on_leave_the_bed_is_kept_and_silent(then: list[AdtFact], expected: list[Row]) -> None:
    assert rows(IN_BED, ON_LEAVE, *then) == [("V1", "1", 0, 60), *expected]


def test_leave_that_is_cancelled_never_was() -> None:
    assert rows(IN_BED, ON_LEAVE, fact("A52", 90)) == STAYS


def test_leave_names_the_bed_that_is_kept() -> None:
    (absence,) = computed(IN_BED, ON_LEAVE).encounters[visit_of("V1")].absences
    assert (absence.kind, absence.bed, absence.from_us, absence.until_us) == (AbsenceKind.LEAVE, key("1"), us(60), None)


def test_a_discharge_ends_the_bed_at_pv1_45_where_that_is_earlier() -> None:
    assert rows(IN_BED, fact("A03", 600, discharged=300)) == [("V1", "1", 0, 300)]
    assert rows(IN_BED, fact("A03", 600, discharged=700)) == [("V1", "1", 0, 600)]


def test_a_discharge_time_before_the_bed_is_not_believed() -> None:
    moved = fact("A02", 60, bed="2")
    assert rows(IN_BED, moved, fact("A03", 90, discharged=30)) == [("V1", "1", 0, 60), ("V1", "2", 60, 90)]
    assert kinds(IN_BED, moved, fact("A03", 90, discharged=30)) == [ItemKind.DISCHARGE_TIME_CONTRADICTED]


HOUR = 60 * MINUTE_S
PLANNED_END = fact("A03", 60, discharged=HOUR)


def test_a_planned_discharge_ends_the_bed_by_a_plan_alone() -> None:
    (stay,) = computed(IN_BED, PLANNED_END).stays
    assert (stay.until_us, stay.until_planned) == (us(HOUR), True)
    assert item(ItemKind.PLAN_PASSED, IN_BED, PLANNED_END).announce_at_us == us(HOUR)


@pytest.mark.parametrize(("at", "until"), [(HOUR - 600, HOUR - 600), (HOUR + 600, HOUR + 600)])
def test_the_discharge_itself_outranks_its_plan(at: float, until: float) -> None:
    facts = [IN_BED, PLANNED_END, fact("A03", at)]
    (stay,) = computed(*facts).stays
    assert (stay.until_us, stay.until_planned) == (us(until), False)
    assert not any(i.announced(us(10 * HOUR)) and i.until_us is None for i in computed(*facts).items)


def test_a_planned_transfer_puts_nobody_into_the_new_bed() -> None:
    planned = fact("A02", 60, happened=HOUR, bed="2")
    (stay,) = computed(IN_BED, planned).stays
    assert (stay.bed, stay.until_us, stay.until_planned) == (key("1"), us(HOUR), True)
    assert rows(IN_BED, planned, fact("A02", HOUR + 60, bed="2")) == [
        ("V1", "1", 0, HOUR + 60), ("V1", "2", HOUR + 60, None),
    ]  # fmt: skip
    assert rows(IN_BED, planned, fact("A02", HOUR - 60, bed="2"))[-1] == ("V1", "2", HOUR - 60, None)


def test_a_plan_that_is_planned_anew_is_the_later_one() -> None:
    later = fact("A03", 120, discharged=2 * HOUR)
    assert rows(IN_BED, PLANNED_END, later) == [("V1", "1", 0, 2 * HOUR)]
    sooner = fact("A03", 120, discharged=HOUR / 2)
    assert rows(IN_BED, PLANNED_END, sooner) == [("V1", "1", 0, HOUR / 2)]


def test_a_plan_that_is_cancelled_is_none() -> None:
    assert rows(IN_BED, PLANNED_END, fact("A13", 120)) == STAYS


def test_a_planned_admission_admits_nobody() -> None:
    planned = fact("A01", 0, happened=HOUR)
    assert rows(planned) == []
    assert item(ItemKind.PLAN_PASSED, planned).until_us is None
    assert item(ItemKind.PLAN_PASSED, planned, fact("A01", HOUR + 60)).until_us == us(HOUR + 60)


@pytest.mark.parametrize(("event", "realised"), [("A15", fact("A02", 90, bed="2")), ("A16", fact("A03", 90))])
def test_a_pending_event_that_does_not_come_about_is_a_question(event: str, realised: AdtFact) -> None:
    pending = fact(event, 60, planned_at_us=us(100))
    question = item(ItemKind.PLAN_PASSED, IN_BED, pending)
    assert (question.announce_at_us, question.detail) == (us(100), event)
    assert kinds(IN_BED, pending, realised) == []


def test_a_pre_admission_waits_for_its_admission() -> None:
    expected = fact("A05", -60, planned_at_us=us(100))
    assert kinds(expected, IN_BED) == []
    assert kinds(expected, fact("A38", -30)) == []


def test_a_visit_first_heard_of_by_a_transfer_begins_there() -> None:
    assert rows(MOVED) == [("V1", "2", 60, None)]


@pytest.mark.parametrize("event", ["A02", "A09", "A10", "A21", "A22"])
def test_a_move_after_the_discharge_has_no_effect(event: str) -> None:
    ended = [IN_BED, fact("A03", 60)]
    assert rows(*ended, fact(event, 90, bed="2")) == [("V1", "1", 0, 60)]
    assert kinds(*ended, fact(event, 90, bed="2")) == [ItemKind.MOVE_AFTER_END]


def test_the_same_visit_may_be_admitted_anew() -> None:
    facts = [IN_BED, fact("A03", 60), fact("A01", 90)]
    assert rows(*facts) == [("V1", "1", 0, 60), ("V1", "1", 90, None)]
    assert kinds(*facts) == []


def test_a_discharge_of_nobody_is_a_question() -> None:
    assert kinds(fact("A03", 60)) == [ItemKind.DISCHARGE_WITHOUT_STAY]


def test_an_admission_that_is_sent_twice_changes_nothing() -> None:
    twice = [IN_BED, fact("A01", 30, control="2")]
    assert rows(*twice) == STAYS
    assert kinds(*twice) == []


def classes(*facts: AdtFact) -> list[tuple[str, float, float | None]]:
    found = [
        [
            (each.patient_class, second(each.from_us), None if each.until_us is None else second(each.until_us))
            for each in computed(*arrival).encounters[visit_of("V1")].classes
        ]
        for arrival in (facts, facts[::-1])
    ]
    assert found[0] == found[1]
    return found[0]


def test_the_class_begins_with_the_admission_and_changes_by_what_changes_it() -> None:
    assert classes(
        fact("A04", 0, patient_class="E", bed=""),
        fact("A08", 10, patient_class="I"),  # an update is no change of class
        fact("A06", 20, patient_class="I"),
        fact("A02", 30, patient_class="I", bed="2"),
        fact("A07", 40, patient_class="O"),
        fact("A03", 50, patient_class="O"),
    ) == [("E", 0, 20), ("I", 20, 40), ("O", 40, 50)]


def test_a_class_that_nobody_states_is_not_guessed() -> None:
    assert classes(fact("A01", 0, patient_class=""), fact("A08", 5, patient_class="I")) == [("I", 5, None)]


def test_a_struck_admission_and_a_cancel_state_no_class() -> None:
    made = fact("A01", 0, patient_class="E"), fact("A01", 20, patient_class="I")
    assert classes(*made, fact("A11", 30, happened=0, patient_class="E")) == [("I", 20, None)]


def test_a_change_to_another_visit_has_the_class_of_each() -> None:
    stays = computed(
        fact("A04", 0, visit="V1", patient_class="E"), fact("A06", 20, visit="V2", patient_class="I", bed="1")
    )
    found = {key: each.classes for key, each in stays.encounters.items()}
    assert [(c.patient_class, c.until_us) for c in found[visit_of("V1")]] == [("E", us(20))]
    assert [(c.patient_class, c.until_us) for c in found[visit_of("V2")]] == [("I", None)]
