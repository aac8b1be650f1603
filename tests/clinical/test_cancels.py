"""What each cancel strikes, and when it waits."""

from __future__ import annotations

import pytest

from clinical.cancels import strike
from clinical.facts import AdtFact
from schemas.adt import Identifier, Movement
from tests.adt import fact


def struck(*facts: AdtFact) -> list[bool]:
    strikes = strike(facts)
    return [made.id in strikes.by for made in facts]


def test_evn_6_names_what_is_struck() -> None:
    first, second = fact("A02", 10, bed="2"), fact("A02", 20, bed="3")
    cancel = fact("A12", 30, happened=10, bed="1", prior="2")
    assert struck(first, second, cancel) == [True, False, False]


def test_evn_6_may_name_when_it_happened() -> None:
    assert struck(fact("A02", 10, happened=5), fact("A12", 30, happened=5)) == [True, False]


def test_without_evn_6_it_is_the_latest_of_its_kind_before_the_cancel() -> None:
    first, second, later = fact("A03", 10), fact("A03", 20), fact("A03", 40)
    assert struck(first, second, later, fact("A01", 15), fact("A13", 30)) == [False, True, False, False, False]


def test_each_cancel_strikes_one() -> None:
    facts = [fact("A03", 10), fact("A13", 20), fact("A03", 30), fact("A13", 40)]
    assert struck(*facts) == [True, False, True, False]


def test_in_one_second_the_cancel_comes_last() -> None:
    assert struck(fact("A01", 10), fact("A11", 10)) == [True, False]


def test_what_says_the_same_is_struck_with_it() -> None:
    assert struck(fact("A03", 10), fact("A03", 10, control="again"), fact("A13", 20)) == [True, True, False]


@pytest.mark.parametrize(
    "facts",
    [
        [fact("A13", 20)],  # nothing there
        [fact("A13", 20), fact("A03", 30)],  # recorded after it
        [fact("A13", 20, happened=9), fact("A03", 10)],  # EVN-6 names another
        [fact("A11", 20, bed="2"), fact("A01", 10, bed="1")],  # the beds disagree
        [fact("A12", 20, bed="1", prior="3"), fact("A02", 10, bed="2")],
    ],
)
def test_what_names_nothing_waits(facts: list[AdtFact]) -> None:
    strikes = strike(facts)
    assert strikes.by == {}
    assert strikes.waiting == [facts[0]]


def test_arrival_changes_nothing() -> None:
    facts = [fact("A03", 10), fact("A13", 20), fact("A03", 30), fact("A13", 40, happened=30)]
    assert strike(facts[::-1]).by == strike(facts).by


def test_a_movement_number_names_what_is_struck() -> None:
    movement = (Movement(ids=(Identifier(value="M1"),), action="INSERT"),)
    cancelled = (Movement(ids=(Identifier(value="M1"),), action="CANCEL"),)
    first, second = fact("A02", 10, movements=movement), fact("A02", 20)
    assert struck(first, second, fact("A12", 30, movements=cancelled)) == [True, False, False]


def test_an_update_of_a_movement_replaces_it() -> None:
    inserted = (Movement(ids=(Identifier(value="M1"),), action="INSERT"),)
    updated = (Movement(ids=(Identifier(value="M1"),), action="UPDATE"),)
    facts = [fact("A02", 10, movements=inserted), fact("A02", 20, movements=updated)]
    assert struck(*facts) == [True, False]
    assert struck(*facts, fact("A02", 30, movements=updated)) == [True, True, False]
