"""What a group says, in the keys and the times of this site."""

from __future__ import annotations

import msgspec
import pytest

from clinical.adt_events import Effect
from clinical.beds import BedState
from clinical.facts import AdtFact
from schemas.adt import Identifier, Merge, Movement
from tests.adt import MINUTE_S, SOURCE, fact, fact_of, group, key, number, patient_of, us, visit_of


def test_the_same_message_is_one_fact_however_often_it_comes() -> None:
    sent = group("A01", 0)
    first, second = fact_of(sent, received=1), fact_of(sent, received=900)
    assert first.id == second.id
    assert len(first.id) == 32


@pytest.mark.parametrize("change", [{"control": "2"}, {"digest": b"other"}, {"group": 1}])
def test_another_message_is_another_fact(change: dict[str, object]) -> None:
    sent = group("A01", 0)
    assert fact_of(msgspec.structs.replace(sent, **change)).id != fact_of(sent).id


def test_another_source_is_another_fact() -> None:
    sent = group("A01", 0)
    assert fact_of(sent, source=msgspec.structs.replace(SOURCE, name="adt2")).id != fact_of(sent).id


@pytest.mark.parametrize(
    ("change", "second"),
    [
        ({"movements": (Movement(start_us=us(-40)),), "happened": -30}, -40),
        ({"movements": (Movement(action="INSERT"),), "happened": -30}, -30),
        ({"happened": -30}, -30),
        ({"sent": -5}, 0),
        ({"sent": -5, "recorded_at_us": None}, -5),
        ({"admitted": -3600}, 0),  # PV1-44 is the admission office's
    ],
)
def test_it_begins_by_zbe_2_then_evn_6_then_evn_2_then_msh_7(change: dict[str, object], second: float) -> None:
    assert fact("A01", 0, **change).happened_at_us == us(second)


def test_without_any_time_it_has_no_place_in_the_order() -> None:
    assert fact("A01", 0, sent_at_us=None, recorded_at_us=None).happened_at_us is None


@pytest.mark.parametrize(("ahead_s", "plan"), [(-60, False), (5 * MINUTE_S, False), (5 * MINUTE_S + 1, True)])
def test_up_to_five_minutes_ahead_is_a_clock(ahead_s: int, plan: bool) -> None:
    assert fact("A02", 0, happened=ahead_s).plan is plan


def test_a_message_that_came_late_is_no_less_a_plan() -> None:
    assert fact("A02", 0, happened=3600, received=7200).plan


def test_a_message_that_waited_for_its_event_is_no_plan() -> None:
    assert not fact("A02", 0, happened=3600, sent=3601).plan


@pytest.mark.parametrize(
    ("discharged", "happened", "bed_ended", "plan"),
    [
        (-600, 0, -600, False),
        (0, 0, None, False),
        (300, 0, None, False),
        (301, 301, None, True),
        (None, 0, None, False),
    ],
)
def test_pv1_45_before_evn_2_ends_the_bed_and_after_it_is_a_plan(
    discharged: float | None, happened: float, bed_ended: float | None, plan: bool
) -> None:
    made = fact("A03", 0, discharged=discharged)
    assert made.happened_at_us == us(happened)
    assert made.bed_ended_at_us == (None if bed_ended is None else us(bed_ended))
    assert made.plan is plan


def test_evn_6_of_a_cancel_is_the_time_of_what_it_strikes() -> None:
    made = fact("A11", 60, happened=0)
    assert (made.happened_at_us, made.cancels_at_us, made.plan) == (us(60), us(0), False)


def test_ends_come_before_begins_then_msh_7_then_the_digest() -> None:
    ends = fact("A03", 10, sent=50)
    begins = fact("A01", 10, sent=40)
    later = fact("A01", 10, sent=41)
    twins = sorted([fact("A01", 10, sent=40, digest=digest) for digest in (b"b", b"a")], key=lambda made: made.order)
    assert sorted([later, begins, ends], key=lambda made: made.order) == [ends, begins, later]
    assert [twin.digest for twin in twins] == [b"a", b"b"]


def test_order_is_blind_for_arrival_and_msh_10() -> None:
    first = fact("A01", 10, control="9", digest=b"x", received=99)
    second = fact("A01", 10, control="1", digest=b"x", received=11)
    assert first.order == second.order


@pytest.mark.parametrize(("processing_id", "live"), [("P", True), ("T", False), ("D", False), ("", False)])
def test_only_production_is_live_unless_the_source_says_so(processing_id: str, live: bool) -> None:
    assert fact("A01", 0, processing_id=processing_id).live is live
    both = msgspec.structs.replace(SOURCE, processing_ids_live=("P", "T"))
    assert fact("A01", 0, processing_id="T", source=both).live


def test_a_fact_survives_being_written() -> None:
    made = fact("A40", 0, bed="2", merges=(Merge(patients=(number("P2"),)),), movements=(Movement(start_us=us(3)),))
    assert msgspec.json.decode(msgspec.json.encode(made), type=AdtFact) == made


def test_an_unknown_event_has_no_effect() -> None:
    assert fact("A99", 0).effect is Effect.NONE


def test_its_bed_is_the_registered_one() -> None:
    assert fact("A01", 0, bed="+3床").bed.key == key("3")
    assert fact("A01", 0, bed="77").bed.state is BedState.UNKNOWN


def test_a_merge_retires_into_the_number_of_the_same_type() -> None:
    national = Identifier(value="N1", authority="STATE", type="NI")
    made = fact("A40", 0, patients=(national, number("P1")), merges=(Merge(patients=(number("P2"),)),))
    (link,) = made.patient_links
    assert (link.retired, link.survivor) == (patient_of("P2"), patient_of("P1"))


def test_a_retired_number_without_a_type_goes_into_the_patients_own() -> None:
    made = fact("A40", 0, merges=(Merge(patients=(Identifier(value="P2"),)),))
    assert [link.survivor for link in made.patient_links] == [patient_of("P1")]


@pytest.mark.parametrize("merges", [(), (Merge(patients=(Identifier(value="N2", type="NI"),)),)])
def test_a_merge_without_a_survivor_of_its_type_is_said(merges: tuple[Merge, ...]) -> None:
    made = fact("A40", 0, merges=merges)
    assert made.patient_links == ()
    assert made.unmatched_merge


@pytest.mark.parametrize("event", ["A42", "A50"])
def test_a_visit_goes_on_under_another_number(event: str) -> None:
    made = fact(event, 0, visit="V2", merges=(Merge(visit=Identifier(value="V1")),))
    assert [(link.retired, link.survivor) for link in made.encounter_links] == [(visit_of("V1"), visit_of("V2"))]


@pytest.mark.parametrize(("event", "links"), [("A35", 1), ("A36", 1), ("A40", 0), ("A06", 0), ("A44", 0)])
def test_accounts_are_merged_by_a35_and_a36_alone(event: str, links: int) -> None:
    merges = (Merge(patients=(number("P2"),), account=Identifier(value="K1")),)
    assert len(fact(event, 0, account=Identifier(value="K2"), merges=merges).encounter_links) == links
