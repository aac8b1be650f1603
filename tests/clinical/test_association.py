"""How long a scan or an act holds."""

from __future__ import annotations

import pytest

from clinical.association import Association, encounter_changes_us, first_change_us
from clinical.timeline import Span
from tests.adt import computed, fact, us, visit_of


def association(from_us: int, until_us: int | None = None, recorded_at_us: int = 0) -> Association:
    return Association(
        encounter="visit:1", from_us=from_us, until_us=until_us, recorded_at_us=recorded_at_us, act=b"", by_scan=True
    )


@pytest.mark.parametrize(
    ("made", "until_us"),
    [
        (association(10), 20),
        (association(20), 30),  # the change at its own begin is not the next one
        (association(40), None),
        (association(10, recorded_at_us=25), 20),  # told late: the change counts all the same
        (association(10, 35, recorded_at_us=5), 20),
        (association(10, 35, recorded_at_us=25), 30),  # the change at 20 was known, that at 30 is to come
        (association(10, 35, recorded_at_us=99), 35),
        (association(10, 15), 15),
    ],
)
def test_it_holds_until_the_next_change_of_place(made: Association, until_us: int | None) -> None:
    assert made.in_force([5, 10, 20, 30], [made]) == Span(made.from_us, until_us)


def test_the_next_one_ends_what_has_no_end_of_its_own() -> None:
    first, second = association(10), association(12)
    assert first.in_force([], [first, second]) == Span(10, 12)
    assert association(10, 50).in_force([], [first, second]) == Span(10, 50)


def test_an_encounter_changes_its_place_with_each_stay_and_its_end() -> None:
    facts = [fact("A01", 0), fact("A02", 60, bed="2"), fact("A09", 70, bed=""), fact("A03", 90)]
    other = fact("A01", 5, visit="V2", patient="P2", bed="3")
    stays = computed(*facts, other)
    assert encounter_changes_us(stays.encounters[visit_of("V1")], stays.stays) == {us(0), us(60), us(70), us(90)}


def test_an_act_with_an_end_is_cut_at_the_first_change_that_is_known() -> None:
    changes = [5, 10, 20, 30]
    assert first_change_us(Span(10, 40), changes) == 20
    assert first_change_us(Span(11, 20), changes) is None  # its end is no change within
    assert first_change_us(Span(30, 40), changes) is None
    assert first_change_us(Span(12, None), changes) == 20
