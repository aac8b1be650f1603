"""Each event and what it does to a stay; the order in which messages come does nothing."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from clinical.adt_events import EVENTS
from clinical.encounter import Stay
from clinical.facts import AdtFact
from clinical.stays import (
    compute_stays,
    encounter_links,
    first_of_each,
    merge_items,
    patient_links,
    shared_beds,
    touched_by,
)
from clinical.worklist import ItemKind
from schemas.adt import Identifier, Merge
from tests.adt import (
    MINUTE_S,
    SOURCE,
    Row,
    computed,
    fact,
    fact_of,
    group,
    item,
    key,
    kinds,
    number,
    patient_of,
    rows,
    swap,
    us,
    visit_of,
)  # fmt: skip

IN_BED = fact("A01", 0)
OTHER_IN_BED = fact("A01", 0, visit="V2", patient="P2", bed="2")
STAYS = [("V1", "1", 0, None)]
# Event -> what is said at second 60 of V1, in bed 1 since 0; the stays that come of it; the questions.
ROWS: dict[str, tuple[dict[str, Any], list[Row], list[ItemKind]]] = {
    "A01": ({"bed": "2"}, [("V1", "1", 0, 60), ("V1", "2", 60, None)], [ItemKind.SECOND_ADMISSION]),
    "A02": ({"bed": "2"}, [("V1", "1", 0, 60), ("V1", "2", 60, None)], []),
    "A03": ({}, [("V1", "1", 0, 60)], []),
    "A04": ({"visit": "V9", "bed": ""}, STAYS, []),
    "A05": ({"bed": "2"}, STAYS, []),
    "A06": ({"bed": "2"}, [("V1", "1", 0, 60), ("V1", "2", 60, None)], []),
    "A07": ({"bed": "2"}, [("V1", "1", 0, 60), ("V1", "2", 60, None)], []),
    "A08": ({"bed": "2"}, STAYS, [ItemKind.UPDATE_NAMES_OTHER_BED]),
    "A09": ({"bed": "", "prior": "1"}, [("V1", "1", 0, 60)], []),
    "A10": ({"bed": "2"}, [("V1", "1", 0, 60), ("V1", "2", 60, None)], []),
    "A11": ({}, [], []),
    "A12": ({}, STAYS, [ItemKind.CANCEL_WAITS]),
    "A13": ({}, STAYS, [ItemKind.CANCEL_WAITS]),
    "A14": ({"bed": "2"}, STAYS, []),
    "A15": ({"bed": "2"}, STAYS, []),
    "A16": ({}, STAYS, []),
    "A17": ({"bed": "2"}, STAYS, [ItemKind.SWAP_INCOMPLETE]),
    "A18": ({"merges": (Merge(patients=(number("P9"),)),)}, STAYS, []),
    "A21": ({}, [("V1", "1", 0, 60)], []),
    "A22": ({"bed": "2"}, [("V1", "1", 0, 60), ("V1", "2", 60, None)], []),
    "A23": ({}, STAYS, [ItemKind.FOR_A_PERSON]),
    "A24": ({"linked": (number("P9"),)}, STAYS, []),
    "A28": ({"patient_class": "N", "bed": ""}, STAYS, []),
    "A31": ({"patient_class": "N", "bed": ""}, STAYS, []),
    "A32": ({}, STAYS, [ItemKind.CANCEL_WAITS]),
    "A33": ({}, STAYS, [ItemKind.CANCEL_WAITS]),
    "A34": ({"merges": (Merge(patients=(number("P9"),)),)}, STAYS, []),
    "A35": ({"merges": (Merge(account=Identifier(value="K9")),)}, STAYS, []),
    "A36": ({"merges": (Merge(patients=(number("P9"),)),)}, STAYS, []),
    "A37": ({"linked": (number("P9"),)}, STAYS, []),
    "A38": ({}, STAYS, [ItemKind.CANCEL_WAITS]),
    "A40": ({"merges": (Merge(patients=(number("P9"),)),)}, STAYS, []),
    "A42": ({"merges": (Merge(visit=Identifier(value="V9")),)}, STAYS, []),
    "A44": ({}, STAYS, [ItemKind.FOR_A_PERSON]),
    "A45": ({}, STAYS, [ItemKind.FOR_A_PERSON]),
    "A47": ({"merges": (Merge(patients=(number("P9"),)),)}, STAYS, []),
    "A50": ({"visit": "V1", "merges": (Merge(visit=Identifier(value="V9")),)}, STAYS, []),
    "A52": ({}, STAYS, [ItemKind.CANCEL_WAITS]),
    "A53": ({}, STAYS, [ItemKind.CANCEL_WAITS]),
}


def test_each_event_has_its_row() -> None:
    assert ROWS.keys() == EVENTS.keys()


@pytest.mark.parametrize("event", ROWS)
def test_an_event_does_to_a_stay_what_its_row_says(event: str) -> None:
    fields, expected, questions = ROWS[event]
    emitted = fact(event, 60, **fields)
    assert rows(IN_BED, emitted) == expected
    assert kinds(IN_BED, emitted) == questions


def test_an_admission_opens_a_stay_with_its_facts() -> None:
    end = fact("A03", 60)
    (stay,) = computed(IN_BED, end).stays
    assert (stay.encounter, stay.bed, stay.from_us, stay.until_us) == (visit_of("V1"), key("1"), us(0), us(60))
    assert (stay.from_fact, stay.until_fact, stay.until_planned) == (IN_BED.id, end.id, False)


def test_a_handover_in_one_second_is_two_stays_that_do_not_meet() -> None:
    next_one = fact("A01", 60, visit="V2", patient="P2")
    assert rows(IN_BED, fact("A03", 60), next_one) == [("V1", "1", 0, 60), ("V2", "1", 60, None)]
    assert shared_beds(computed(IN_BED, fact("A03", 60), next_one).stays) == []


def test_a_message_that_came_late_begins_when_it_happened() -> None:
    late = fact("A02", 3600, happened=60, bed="2")
    assert rows(IN_BED, fact("A03", 7200), late) == [("V1", "1", 0, 60), ("V1", "2", 60, 7200)]


def test_two_moves_in_one_second_leave_no_empty_stay() -> None:
    moves = [fact("A02", 60, bed="2", sent=60), fact("A02", 60, bed="3", sent=61)]
    assert rows(IN_BED, *moves) == [("V1", "1", 0, 60), ("V1", "3", 60, None)]


def test_messages_in_test_have_no_effect() -> None:
    assert rows(IN_BED, fact("A03", 60, processing_id="T")) == STAYS


def test_an_admission_never_ends_an_emergency_visit() -> None:
    emergency = fact("A04", 0, visit="V0", bed="3", patient_class="E")
    admission = fact("A01", 60, bed="1")
    assert rows(emergency, admission) == [("V0", "3", 0, None), ("V1", "1", 60, None)]


def test_an_emergency_visit_goes_on_as_an_admission_under_the_same_number() -> None:
    emergency = fact("A04", 0, bed="3", patient_class="E")
    assert rows(emergency, fact("A01", 60)) == [("V1", "3", 0, 60), ("V1", "1", 60, None)]
    assert kinds(emergency, fact("A01", 60)) == []


def test_a_class_change_with_another_number_takes_the_bed_at_that_instant() -> None:
    changed = fact("A06", 60, visit="V2", bed="2", prior="1")
    assert rows(IN_BED, changed) == [("V1", "1", 0, 60), ("V2", "2", 60, None)]
    assert [period.until_us for period in computed(IN_BED, changed).encounters[visit_of("V1")].periods] == [us(60)]


def test_a_class_change_without_a_bed_takes_over_the_old_one() -> None:
    changed = fact("A07", 60, visit="V2", bed="", patient_class="E")
    assert rows(IN_BED, changed) == [("V1", "1", 0, 60), ("V2", "1", 60, None)]


def test_a_class_change_takes_the_bed_of_a_merged_number_too() -> None:
    merge = fact("A40", 30, visit="", patient="P2", bed="", merges=(Merge(patients=(number("P1"),)),))
    changed = fact("A06", 60, visit="V2", patient="P2", bed="1")
    assert rows(IN_BED, merge, changed) == [("V1", "1", 0, 60), ("V2", "1", 60, None)]


def test_a_class_change_takes_no_bed_from_a_visit_without_one() -> None:
    emergency = fact("A04", 0, visit="V0", bed="", patient_class="E")
    changed = fact("A06", 60, visit="V2", bed="3")
    assert rows(emergency, IN_BED, changed) == [("V1", "1", 0, 60), ("V2", "3", 60, None)]
    assert [period.until_us for period in computed(emergency, IN_BED, changed).encounters[visit_of("V0")].periods] == [
        None
    ]


def test_a_class_change_leaves_other_patients_where_they_are() -> None:
    changed = fact("A06", 60, visit="V3", patient="P3", bed="1")
    assert rows(IN_BED, changed) == [("V1", "1", 0, None), ("V3", "1", 60, None)]


def test_a_class_change_of_one_of_two_visits_is_a_question() -> None:
    second_visit = fact("A01", 1, visit="V2", bed="2")
    changed = fact("A06", 60, visit="V3", bed="3")
    assert kinds(IN_BED, second_visit, changed) == [ItemKind.CLASS_CHANGE_UNCLEAR]
    assert rows(IN_BED, second_visit, fact("A06", 60, visit="V3", bed="3", prior="2")) == [
        ("V1", "1", 0, None), ("V2", "2", 1, 60), ("V3", "3", 60, None),
    ]  # fmt: skip


def test_an_update_moves_where_the_source_says_so() -> None:
    source = msgspec.structs.replace(SOURCE, a08_moves=True)
    assert rows(IN_BED, fact("A08", 60, bed="2", source=source)) == [("V1", "1", 0, 60), ("V1", "2", 60, None)]
    assert rows(IN_BED, fact("A08", 60, bed="?", source=source)) == STAYS


def test_an_update_question_ends_with_the_transfer_that_answers_it() -> None:
    update, move = fact("A08", 60, bed="2"), fact("A02", 90, bed="2")
    assert item(ItemKind.UPDATE_NAMES_OTHER_BED, IN_BED, update).until_us is None
    assert item(ItemKind.UPDATE_NAMES_OTHER_BED, IN_BED, update, move).until_us == us(90)


SWAP = swap(60, {"visit": "V1", "bed": "2"}, {"visit": "V2", "patient": "P2", "bed": "1"})


def test_a_swap_moves_both_at_one_instant() -> None:
    assert rows(IN_BED, OTHER_IN_BED, *SWAP) == [
        ("V1", "1", 0, 60), ("V2", "2", 0, 60), ("V1", "2", 60, None), ("V2", "1", 60, None),
    ]  # fmt: skip
    assert shared_beds(computed(IN_BED, OTHER_IN_BED, *SWAP).stays) == []


def test_a_swap_with_one_group_moves_nobody() -> None:
    assert rows(IN_BED, OTHER_IN_BED, SWAP[0]) == [("V1", "1", 0, None), ("V2", "2", 0, None)]
    assert kinds(IN_BED, OTHER_IN_BED, SWAP[0]) == [ItemKind.SWAP_INCOMPLETE]


def test_a_swap_of_three_moves_nobody() -> None:
    of_three = [msgspec.structs.replace(group, groups=3) for group in SWAP]
    assert rows(IN_BED, OTHER_IN_BED, *of_three) == [("V1", "1", 0, None), ("V2", "2", 0, None)]


def test_a_swap_of_which_one_names_no_visit_moves_nobody() -> None:
    one_named = swap(60, {"visit": "V1", "bed": "2"}, {"visit": "", "patient": "P2", "bed": "1"})
    assert rows(IN_BED, OTHER_IN_BED, *one_named) == [("V1", "1", 0, None), ("V2", "2", 0, None)]
    assert kinds(IN_BED, OTHER_IN_BED, *one_named) == [ItemKind.SWAP_INCOMPLETE, ItemKind.SWAP_INCOMPLETE]


@pytest.mark.parametrize(("second_at", "announced"), [(119, False), (121, True)])
def test_two_transfers_that_overlap_are_announced_after_a_minute(second_at: float, announced: bool) -> None:
    facts = [IN_BED, OTHER_IN_BED, fact("A02", 60, bed="2"), fact("A02", second_at, visit="V2", patient="P2", bed="1")]
    (shared,) = shared_beds(computed(*facts).stays)
    assert (shared.subject, shared.since_us, shared.until_us) == (key("2"), us(60), us(second_at))
    assert shared.announced(us(3600)) is announced
    assert not shared.announced(us(90))


@pytest.mark.parametrize("seed", range(20))
def test_at_every_moment_each_in_a_bed_is_asked_of_with_the_one_before(seed: int) -> None:
    chance = random.Random(seed)
    stays = []
    for n in range(12):
        begin = chance.randrange(30)
        until = chance.choice([None, begin + 1 + chance.randrange(15)])
        stays.append(
            Stay(encounter=f"V{n:02}", bed="1", from_us=begin, until_us=until, from_fact=bytes([n]),
                 until_fact=None, until_planned=False)
        )  # fmt: skip
    items = shared_beds(stays)
    assert len(items) <= 2 * len(stays)
    for at_us in range(60):
        there = [s for s in stays if s.from_us <= at_us and (s.until_us is None or s.until_us > at_us)]
        there.sort(key=lambda stay: (stay.from_us, stay.encounter))
        asked = [i.facts for i in items if i.since_us <= at_us and (i.until_us is None or i.until_us > at_us)]
        assert sorted(asked) == sorted((one.from_fact, other.from_fact) for one, other in pairwise(there))


def test_a_bed_that_nobody_is_discharged_from_asks_as_often_as_somebody_comes() -> None:
    stays = [
        Stay(encounter=f"V{n:04}", bed="1", from_us=n, until_us=None, from_fact=n.to_bytes(2), until_fact=None,
             until_planned=False)
        for n in range(2000)
    ]  # fmt: skip
    assert len(shared_beds(stays)) == 1999


@pytest.mark.parametrize("fields", [{"patient_class": "N"}, {"patient_class": "O", "bed": ""}, {"no_pv1": True}])
@pytest.mark.parametrize("event", ["A02", "A03", "A08", "A11", "A31", "A40"])
def test_a_pseudo_visit_never_touches_a_visit(event: str, fields: dict[str, Any]) -> None:
    sent = group(event, 60, **({"bed": "2"} | {name: fields[name] for name in fields if name != "no_pv1"}))
    if "no_pv1" in fields:
        sent = msgspec.structs.replace(sent, visit=None)
    emitted = fact_of(sent)
    assert rows(IN_BED, emitted) == STAYS
    named = [ItemKind.NO_VISIT] if event in ("A02", "A03", "A11") else []
    assert [kind for kind in kinds(IN_BED, emitted) if kind is not ItemKind.UNMATCHED_MERGE] == named


@pytest.mark.parametrize(("bed", "kind"), [("?", ItemKind.UNKNOWN_BED), ("", ItemKind.NO_BED)])
def test_without_a_known_bed_the_old_one_ends(bed: str, kind: ItemKind) -> None:
    move = fact("A02", 60, bed=bed)
    assert rows(IN_BED, move) == [("V1", "1", 0, 60)]
    assert kinds(IN_BED, move) == [kind]
    assert item(kind, IN_BED, move, fact("A02", 90, bed="3")).until_us == us(90)


def test_a_cancelled_admission_was_no_stay() -> None:
    assert rows(IN_BED, fact("A11", 60)) == []
    assert rows(IN_BED, fact("A02", 30, bed="2"), fact("A11", 60)) == []
    assert kinds(IN_BED, fact("A02", 30, bed="2"), fact("A11", 60)) == [ItemKind.MOVE_AFTER_END]


MOVED = fact("A02", 60, bed="2")


def test_a_cancelled_transfer_leaves_the_patient_where_he_was() -> None:
    assert rows(IN_BED, MOVED, fact("A12", 90, bed="1", prior="2", happened=60)) == STAYS


def test_a_cancelled_transfer_to_a_third_bed_is_also_a_move() -> None:
    cancel = fact("A12", 90, bed="3", prior="2", happened=60)
    assert rows(IN_BED, MOVED, cancel) == [("V1", "1", 0, 90), ("V1", "3", 90, None)]


def test_a_cancel_of_an_earlier_transfer_leaves_the_later_one() -> None:
    cancel = fact("A12", 120, bed="1", prior="2", happened=60)
    assert rows(IN_BED, MOVED, fact("A02", 90, bed="3"), cancel) == [("V1", "1", 0, 90), ("V1", "3", 90, None)]


def test_a_cancelled_discharge_goes_on_in_the_bed() -> None:
    assert rows(IN_BED, fact("A03", 60), fact("A13", 90, happened=60)) == STAYS


def test_a_cancelled_discharge_to_another_bed_is_also_a_move() -> None:
    cancel = fact("A13", 90, bed="2", prior="1")
    assert rows(IN_BED, fact("A03", 60), cancel) == [("V1", "1", 0, 90), ("V1", "2", 90, None)]


def test_a_cancelled_discharge_to_an_unknown_bed_ends_the_old_one() -> None:
    cancel = fact("A13", 90, bed="?")
    assert rows(IN_BED, fact("A03", 60), cancel) == [("V1", "1", 0, 90)]
    assert kinds(IN_BED, fact("A03", 60), cancel) == [ItemKind.UNKNOWN_BED]


def test_a_cancelled_discharge_of_an_unknown_visit_names_its_bed() -> None:
    assert rows(fact("A03", 60), fact("A13", 90, bed="2")) == [("V1", "2", 90, None)]


def test_a_cancel_that_waits_is_announced_after_a_quarter_of_an_hour() -> None:
    waiting = item(ItemKind.CANCEL_WAITS, IN_BED, fact("A13", 60))
    assert waiting.announce_at_us == us(60 + 15 * MINUTE_S)


def test_a_merge_moves_nobody_and_encounters_keep_their_keys() -> None:
    merge = fact("A40", 60, visit="", patient="P2", bed="", merges=(Merge(patients=(number("P1"),)),))
    facts = [IN_BED, OTHER_IN_BED, merge]
    assert rows(*facts) == [("V1", "1", 0, None), ("V2", "2", 0, None)]
    links = patient_links(facts)
    patients = [computed(*facts).encounters[visit_of(visit)].patients for visit in ("V1", "V2")]
    assert [links.find(patient) for (patient,) in patients] == [patient_of("P2")] * 2


def test_wrong_merges_are_questions() -> None:
    def merge(at: float, retired: str, survivor: str) -> AdtFact:
        return fact("A40", at, visit="", patient=survivor, bed="", merges=(Merge(patients=(number(retired),)),))

    facts = [merge(1, "P1", "P2"), merge(2, "P2", "P1"), merge(3, "P3", "P3")]
    assert [item.kind for item in merge_items(patient_links(facts))] == [
        ItemKind.REVERSED_MERGE, ItemKind.CIRCULAR_MERGE,
    ]  # fmt: skip
    assert patient_links(facts).find(patient_of("P1")) == patient_of("P2")


def test_a_test_message_merges_nobody() -> None:
    merges = (Merge(patients=(number("P1"),)),)
    assert not patient_links([fact("A40", 1, patient="P2", merges=merges, processing_id="T")]).same(
        patient_of("P1"), patient_of("P2")
    )


def test_a_renumbered_visit_goes_on() -> None:
    renumbered = fact("A50", 60, visit="V2", merges=(Merge(visit=Identifier(value="V1")),))
    moved = fact("A02", 90, visit="V2", bed="2")
    assert rows(IN_BED, renumbered, moved) == [("V2", "1", 0, 90), ("V2", "2", 90, None)]
    assert touched_by(renumbered) == {visit_of("V1"), visit_of("V2")}


def test_one_visit_of_two_patients_is_a_question_until_they_are_merged() -> None:
    other = fact("A08", 60, patient="P2")
    assert kinds(IN_BED, other) == [ItemKind.TWO_PATIENTS_IN_ONE_VISIT]
    merge = fact("A40", 90, visit="", patient="P2", bed="", merges=(Merge(patients=(number("P1"),)),))
    assert kinds(IN_BED, other, merge) == []


@pytest.mark.parametrize(
    ("emitted", "kind"),
    [
        (fact("A99", 0), ItemKind.UNKNOWN_EVENT),
        (fact("A01", 0, sent_at_us=None, recorded_at_us=None), ItemKind.NO_TIME),
        (fact("A08", 100, received=30), ItemKind.CLOCK_AHEAD),
        (fact("A40", 0, merges=()), ItemKind.UNMATCHED_MERGE),
    ],
)
def test_what_has_no_effect_is_told(emitted: AdtFact, kind: ItemKind) -> None:
    assert kinds(emitted) == [kind]


def test_a_clock_within_a_minute_is_no_question() -> None:
    assert kinds(fact("A08", 90, received=30)) == []


def test_pv1_44_and_45_are_the_encounters_and_no_bed_s() -> None:
    admitted = fact("A01", 0, admitted=-600)
    encounter = computed(admitted, fact("A03", 90, discharged=100)).encounters[visit_of("V1")]
    assert (encounter.admitted_at_us, encounter.discharged_at_us) == (us(-600), us(100))
    assert rows(admitted) == STAYS


def test_an_encounter_is_computed_from_the_facts_of_its_patient_alone() -> None:
    facts = [IN_BED, OTHER_IN_BED, *SWAP, fact("A03", 90, visit="V2", patient="P2")]
    needed = [made for made in facts if made.encounter == visit_of("V1")] + SWAP
    asked = [visit_of("V1")]
    links = patient_links(facts), encounter_links(facts)
    part, whole = compute_stays(needed, *links, only=asked), compute_stays(facts, *links)
    assert part.stays == [stay for stay in whole.stays if stay.encounter in asked]
    assert part.encounters == {visit_of("V1"): whole.encounters[visit_of("V1")]}


def test_of_a_fact_that_came_twice_the_first_time_counts() -> None:
    ahead = [fact("A01", 100, received=30), fact("A01", 100, received=500)]
    facts = [*ahead, fact("A13", 200)]
    assert computed(*facts).items[0] == computed(*facts[::-1]).items[0]
    assert first_of_each(facts) == first_of_each(facts[::-1]) == [ahead[0], facts[2]]
