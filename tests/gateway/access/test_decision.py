from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emr_store.instants import moment
from gateway.access.decision import may
from gateway.access.sight import sight_of
from gateway.access.table import shipped_table
from gateway.access.viewer import Grant, Target, Viewer
from gateway.access.words import Action, Answer, DataClass, Relation, Role

NOW_US = 1_700_000_000_000_000
WARD, OTHER = "h^icu", "h^ward2"


def viewer(role: Role = Role.NURSE, **more: object) -> Viewer:
    return Viewer("1", "a", role, **({"wards": frozenset({WARD})} | more))  # type: ignore[arg-type]


def chart(encounter: str = "E1", ward: str = WARD, **more: object) -> Target:
    return Target(DataClass.CHART, encounter, frozenset({ward}), **more)  # type: ignore[arg-type]


def test_a_nurse_sees_her_ward_and_is_asked_for_a_reason_elsewhere() -> None:
    assert may(viewer(), Action.SEE, chart(), NOW_US).answer is Answer.ALLOWED
    assert may(viewer(), Action.SEE, chart(ward=OTHER), NOW_US).answer is Answer.ASK_REASON
    assert may(viewer(Role.AUDITOR), Action.SEE, chart(), NOW_US).answer is Answer.DENIED


def test_a_grant_opens_one_stay_until_its_end() -> None:
    broken = viewer(grants={"E1": (Grant(Relation.BREAK_GLASS, NOW_US, NOW_US + 10),)})
    assert may(broken, Action.SEE, chart(ward=OTHER), NOW_US).relation is Relation.BREAK_GLASS
    assert may(broken, Action.SEE, chart(ward=OTHER), NOW_US + 10).answer is Answer.ASK_REASON
    assert may(broken, Action.SEE, chart("E2", OTHER), NOW_US).answer is Answer.ASK_REASON


def test_of_a_restricted_record_those_without_a_relation_are_asked() -> None:
    office = viewer(Role.RECORD_OFFICE, wards=frozenset())
    assert may(office, Action.SEE, chart(), NOW_US).answer is Answer.ALLOWED
    assert may(office, Action.SEE, chart(restricted=True), NOW_US).answer is Answer.ASK_REASON
    assert may(viewer(), Action.SEE, chart(restricted=True), NOW_US).answer is Answer.ALLOWED


def test_a_locked_workstation_keeps_numbers_and_alarms() -> None:
    locked = viewer(locked=True)
    target = Target(DataClass.VITALS, "E1", frozenset({WARD}))
    assert may(locked, Action.SEE, target, NOW_US).answer is Answer.ALLOWED
    assert may(locked, Action.SEE, chart(), NOW_US).answer is Answer.DENIED
    assert may(locked, Action.PRINT, target, NOW_US).answer is Answer.DENIED


@pytest.mark.parametrize("relation", [Relation.TEAM, Relation.CONSULTED, Relation.BREAK_GLASS])
@pytest.mark.parametrize(
    ("after_us", "holds"), [(-1, False), (0, True), (1, True), (9, True), (10, False), (11, False)]
)  # fmt: skip
def test_a_grant_holds_from_its_first_moment_until_just_before_its_last(
    relation: Relation, after_us: int, holds: bool
) -> None:
    granted = viewer(wards=frozenset(), grants={"E1": (Grant(relation, NOW_US, NOW_US + 10),)})
    at_us = NOW_US + after_us
    assert may(granted, Action.SEE, chart(), at_us).is_allowed == holds
    assert may(granted, Action.CONFIRM, chart(), at_us).is_allowed == holds
    assert (sight_of(granted, Action.SEE, DataClass.CHART, at_us).encounters == {"E1"}) == holds


def test_of_two_grants_the_one_that_goes_on_counts() -> None:
    first, second = Grant(Relation.CONSULTED, NOW_US, NOW_US + 10), Grant(Relation.TEAM, NOW_US + 10, NOW_US + 20)
    granted = viewer(wards=frozenset(), grants={"E1": (second, first)})
    found = [may(granted, Action.SEE, chart(), NOW_US + after_us).relation for after_us in (9, 10, 19)]
    assert found == [Relation.CONSULTED, Relation.TEAM, Relation.TEAM]
    assert not may(granted, Action.SEE, chart(), NOW_US + 20).is_allowed


def test_the_nearest_relation_is_the_one_that_a_look_says() -> None:
    near = viewer(grants={"E1": (Grant(Relation.BREAK_GLASS, NOW_US, NOW_US + 1),)}, trainees=frozenset({"T"}))
    entry = chart(authors=frozenset({"T"}))
    assert may(near, Action.SEE, entry, NOW_US).relation is Relation.OWN_WARD
    assert may(near, Action.SEE, replace(entry, wards=frozenset({OTHER})), NOW_US).relation is Relation.BREAK_GLASS
    assert may(near, Action.SEE, replace(entry, wards=frozenset()), NOW_US + 1).relation is Relation.MY_TRAINEE


def test_a_screen_or_a_client_without_a_relation_is_not_asked_for_a_reason() -> None:
    for role in (Role.MACHINE, Role.STATION_DISPLAY):
        assert may(viewer(role, wards=frozenset()), Action.SEE, chart(restricted=True), NOW_US).answer is Answer.DENIED


def test_of_which_stays_the_glass_may_be_broken_is_no_set() -> None:
    with pytest.raises(ValueError, match="one by one"):
        sight_of(viewer(), Action.BREAK_GLASS, DataClass.IDENTITY, NOW_US)


@given(role=st.sampled_from(Role), data_class=st.sampled_from(DataClass), locked=st.booleans())
def test_the_set_of_stays_is_open_where_the_function_allows(role: Role, data_class: DataClass, locked: bool) -> None:
    asks = viewer(role, wards=frozenset(), locked=locked)
    sight = sight_of(asks, Action.SEE, data_class, NOW_US)
    assert sight.everything == may(asks, Action.SEE, replace(chart(), data_class=data_class), NOW_US).is_allowed
    assert sight.at == moment(NOW_US)
    assert sight.own_ward_after == timedelta(hours=shipped_table().own_ward_after_h)
