"""That the set of stays and each single decision agree, on a store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.range import TimestamptzRange

from clinical.wards import ward_of_bed
from emr_store.connect import open_store
from emr_store.instants import moment
from emr_store.visible_stays import visible_stays
from gateway.access.decision import may
from gateway.access.sight import sight_of
from gateway.access.targets import patient_targets, stay_target, stay_targets
from gateway.access.viewer import Grant, Target, Viewer
from gateway.access.words import Action, DataClass, Relation, Role

NOW_US = 1_790_000_000_000_000
NOW = moment(NOW_US)
HOUR_US = 3_600_000_000
ICU, WARD_2 = "h^icu", "h^2"
BEDS = ["h^icu^1^1", "h^icu^1^2", "h^2^^1", "h2^icu^1^1", ""]  # the last one: nobody knows which
WARDS = sorted({ward_of_bed(bed) for bed in BEDS if bed})
STAYS = [f"visit:V{number}^h" for number in range(6)]
PATIENTS = ["P0^h^MR", "P1^h^MR", "P2^h^MR"]


def hours(count: float) -> datetime:
    """From now."""
    return NOW + timedelta(hours=count)


@dataclass
class Stretch:
    """In a bed, from hour to hour; None: until anybody says otherwise."""

    bed: str
    since_h: float
    until_h: float | None = None
    believed: bool = True


@dataclass
class Stay:
    """As the store has it."""

    encounter: str
    patient: str | None = PATIENTS[0]
    beds: list[Stretch] = field(default_factory=list)
    believed: bool = True


class World:
    """Stays and restrictions, in a transaction that is never committed."""

    def __init__(self, conn: psycopg.Connection) -> None:
        self.conn = conn

    def put(self, stays: list[Stay], restricted: dict[str, tuple[float, float | None]]) -> None:
        """Instead of those before. `restricted`: from hour to hour, by patient."""
        self.conn.execute("DELETE FROM encounter")
        self.conn.execute("DELETE FROM encounter_bed")
        self.conn.execute("DELETE FROM restricted_record")
        with self.conn.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO encounter VALUES (%s, %s, '{}', '{}', '{}', NULL, NULL, '', %s)",
                [(stay.encounter, stay.patient, recorded(stay.believed)) for stay in stays],
            )
            cursor.executemany(
                "INSERT INTO encounter_bed VALUES (%s, %s, %s, %s, '', NULL, false)",
                [
                    (stay.encounter, each.bed, stretch(each.since_h, each.until_h), recorded(each.believed))
                    for stay in stays
                    for each in stay.beds
                ],
            )
            cursor.executemany(
                "INSERT INTO restricted_record VALUES (%s, %s, 'staff', '')",
                [(patient, stretch(*when)) for patient, when in restricted.items()],
            )

    def visible(
        self, viewer: Viewer, at_us: int = NOW_US, action: Action = Action.SEE, data: DataClass = DataClass.CHART
    ) -> set[str]:
        return set(visible_stays(self.conn, sight_of(viewer, action, data, at_us)))


def stretch(since_h: float, until_h: float | None) -> TimestamptzRange:
    return TimestamptzRange(hours(since_h), None if until_h is None else hours(until_h))


def recorded(believed: bool) -> TimestamptzRange:
    return TimestamptzRange(hours(-800), None) if believed else TimestamptzRange(hours(-900), hours(-800))


@pytest.fixture
def world(database: str) -> Iterator[World]:
    with open_store(database) as conn, conn.transaction(force_rollback=True):
        conn.execute("SET LOCAL session_replication_role = replica")  # rows without the acts and facts behind them
        yield World(conn)


def nurse(*wards: str, role: Role = Role.NURSE) -> Viewer:
    return Viewer("1", "a", role, wards=frozenset(wards))


def test_a_stay_is_its_wards_until_a_day_after_it_left(world: World) -> None:
    world.put([Stay(STAYS[0], beds=[Stretch(BEDS[0], -50, -10), Stretch(BEDS[2], -10, 0)])], {})
    for after_h, icu, ward_2 in ((-50, 1, 0), (-10, 1, 1), (13.999, 1, 1), (14, 0, 1), (23.999, 0, 1), (24, 0, 0)):
        at_us = NOW_US + round(after_h * HOUR_US)
        assert (len(world.visible(nurse(ICU), at_us)), len(world.visible(nurse(WARD_2), at_us))) == (icu, ward_2)


def test_what_is_planned_or_no_longer_believed_opens_nothing(world: World) -> None:
    planned = Stay(STAYS[0], beds=[Stretch(BEDS[0], 1)])
    corrected = Stay(STAYS[1], beds=[Stretch(BEDS[0], -5, believed=False), Stretch(BEDS[2], -5)])
    retracted = Stay(STAYS[2], beds=[Stretch(BEDS[0], -5)], believed=False)
    world.put([planned, corrected, retracted], {})
    assert world.visible(nurse(ICU)) == set()
    assert world.visible(nurse(WARD_2)) == {STAYS[1]}
    grants = {encounter: (Grant(Relation.TEAM, NOW_US, NOW_US + 1),) for encounter in (STAYS[2], "visit:gone")}
    assert world.visible(Viewer("1", "a", Role.NURSE, grants=grants)) == set()
    assert stay_target(world.conn, DataClass.CHART, STAYS[2], NOW_US) is None


def test_a_bed_that_nobody_knows_is_on_no_ward(world: World) -> None:
    world.put([Stay(STAYS[0], beds=[Stretch("", -5)])], {})
    assert world.visible(nurse("")) == set()
    target = stay_target(world.conn, DataClass.CHART, STAYS[0], NOW_US)
    assert target == Target(DataClass.CHART, STAYS[0])


def test_a_restriction_holds_from_its_beginning_to_its_end_and_of_no_unknown_patient(world: World) -> None:
    office = nurse(role=Role.RECORD_OFFICE)
    world.put(
        [Stay(STAYS[0], beds=[Stretch(BEDS[0], -50)]), Stay(STAYS[1], PATIENTS[1]), Stay(STAYS[2], None)],
        {PATIENTS[0]: (0, 1)},
    )
    others = {STAYS[1], STAYS[2]}
    found = [world.visible(office, NOW_US + round(after_h * HOUR_US)) - others for after_h in (-0.001, 0, 0.999, 1)]
    assert found == [{STAYS[0]}, set(), set(), {STAYS[0]}]
    assert world.visible(office) == others
    assert world.visible(nurse(ICU)) == {STAYS[0]}
    assert STAYS[0] in world.visible(nurse(role=Role.ADMINISTRATOR), data=DataClass.DELIVERIES)


def test_of_a_patient_who_was_here_twice_each_stay_is_asked_for_by_itself(world: World) -> None:
    world.put([Stay(STAYS[0], beds=[Stretch(BEDS[0], -900, -800)]), Stay(STAYS[1], beds=[Stretch(BEDS[0], -5)])], {})
    targets = patient_targets(world.conn, DataClass.CHART, PATIENTS[0], NOW_US)
    opened = {each for each, target in targets.items() if may(nurse(ICU), Action.SEE, target, NOW_US).is_allowed}
    assert (set(targets), opened) == ({STAYS[0], STAYS[1]}, {STAYS[1]})


def test_a_locked_workstation_keeps_its_beds(world: World) -> None:
    world.put([Stay(STAYS[0], beds=[Stretch(BEDS[0], -5)])], {})
    locked = Viewer("1", "a", Role.NURSE, wards=frozenset({ICU}), locked=True)
    assert world.visible(locked, data=DataClass.VITALS) == {STAYS[0]}
    assert world.visible(locked, data=DataClass.IDENTITY) == set()


# --- anything at all -------------------------------------------------------------------------------------------------

# Of a locked workstation, of what a restriction holds, of an act, and of what no restriction holds.
ASKED = [
    (Action.SEE, DataClass.VITALS), (Action.SEE, DataClass.CHART), (Action.CONFIRM, DataClass.CHART),
    (Action.SEE, DataClass.DELIVERIES),
]  # fmt: skip
EDGES_H = [-72, -24.5, -24, -23.5, -1, 0, 0.5, 1]


@st.composite
def any_stay(draw: st.DrawFn, encounter: str) -> Stay:
    turns = sorted(draw(st.sets(st.sampled_from(EDGES_H), min_size=1, max_size=4)))
    ends: list[float | None] = [*turns[1:], draw(st.sampled_from([None, 2]))]
    beds = [
        Stretch(draw(st.sampled_from(BEDS)), since_h, until_h, believed=draw(st.integers(0, 4)) > 0)
        for since_h, until_h in zip(turns, ends, strict=True)
        if draw(st.integers(0, 3))  # else nowhere for so long
    ]
    return Stay(encounter, draw(st.sampled_from([*PATIENTS, None])), beds, believed=draw(st.integers(0, 5)) > 0)


@st.composite
def any_viewer(draw: st.DrawFn) -> Viewer:
    grants = {}
    for encounter in draw(st.sets(st.sampled_from([*STAYS, "visit:gone"]), max_size=3)):
        relations = st.sampled_from([Relation.TEAM, Relation.CONSULTED, Relation.BREAK_GLASS])
        since_h, until_h = draw(st.sampled_from([(-2, -1), (-1, 0), (-1, 1), (0, 1), (1, 2)]))
        grants[encounter] = (Grant(draw(relations), NOW_US + since_h * HOUR_US, NOW_US + until_h * HOUR_US),)
    return Viewer(
        "1", "a", draw(st.sampled_from(Role)), wards=frozenset(draw(st.sets(st.sampled_from(WARDS), max_size=2))),
        grants=grants, trainees=frozenset({"T"}), locked=draw(st.integers(0, 5)) == 0,
    )  # fmt: skip


RESTRICTIONS = st.dictionaries(
    st.sampled_from(PATIENTS), st.sampled_from([(-2, -1), (-1, 0), (-1, None), (0, 1), (0.5, None)]), max_size=2
)


def belongs_to(stay: Stay, at_h: float) -> frozenset[str]:
    """The wards, counted by hand."""
    found = set()
    for each in stay.beds:
        has_begun = each.since_h <= at_h
        is_over = each.until_h is not None and each.until_h <= at_h - 24
        if each.believed and each.bed and has_begun and not is_over:
            found.add(ward_of_bed(each.bed))
    return frozenset(found)


def is_restricted(stay: Stay, restricted: dict[str, tuple[float, float | None]], at_h: float) -> bool:
    since_h, until_h = restricted.get(stay.patient or "", (1e9, None))
    return since_h <= at_h and (until_h is None or at_h < until_h)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stays=st.tuples(*map(any_stay, STAYS)).map(list),
    restricted=RESTRICTIONS,
    viewers=st.lists(any_viewer(), min_size=3, max_size=3),
    at_h=st.sampled_from([-0.5, 0, 0.5, 23.5, 24.5]),
)
def test_set_and_function_agree(
    world: World, stays: list[Stay], restricted: dict[str, tuple[float, float | None]], viewers: list[Viewer],
    at_h: float,
) -> None:  # fmt: skip
    world.put(stays, restricted)
    at_us = NOW_US + round(at_h * HOUR_US)
    for action, data_class in ASKED:
        targets = stay_targets(world.conn, data_class, [*STAYS, "visit:gone"], at_us)
        assert targets == {
            stay.encounter: Target(
                data_class, stay.encounter, belongs_to(stay, at_h), is_restricted(stay, restricted, at_h)
            )
            for stay in stays
            if stay.believed
        }
        for viewer in viewers:
            allowed = {key for key, target in targets.items() if may(viewer, action, target, at_us).is_allowed}
            assert world.visible(viewer, at_us, action, data_class) == allowed
