from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emr_store.instants import moment
from gateway.access.decision import may
from gateway.access.sight import sight_of
from gateway.access.table import read_table, shipped_table
from gateway.access.viewer import Grant, Target, Viewer
from gateway.access.words import Action, Answer, DataClass, Relation, Role
from schemas.errors import VitalwireError

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


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("own_ward_after_h = 1\nrow = 3", "cannot be read"),
        ('own_ward_after_h = 1\n[[row]]\nrole = ["king"]\naction = ["see"]\ndata = ["chart"]\nrelation = ["none"]\n'
         'answer = "allowed"', "cannot be read"),
        ('own_ward_after_h = 1\n' + 2 * '[[row]]\nrole = ["nurse"]\naction = ["see"]\ndata = ["chart"]\n'
         'relation = ["none"]\nanswer = "allowed"\n', "answers twice for nurse see chart none"),
    ],
)  # fmt: skip
def test_a_table_that_says_no_word_or_two_is_refused(text: str, why: str) -> None:
    with pytest.raises(VitalwireError, match=why):
        read_table(text)


@given(role=st.sampled_from(Role), relation=st.sampled_from(Relation), locked=st.booleans())
def test_the_set_of_stays_is_open_where_the_function_allows(role: Role, relation: Relation, locked: bool) -> None:
    asks = viewer(role, wards=frozenset(), locked=locked)
    sight = sight_of(asks, Action.SEE, DataClass.CHART, NOW_US)
    assert sight.everything == may(asks, Action.SEE, chart(), NOW_US).is_allowed
    assert sight.at == moment(NOW_US)
    assert sight.own_ward_after == timedelta(hours=shipped_table().own_ward_after_h)
