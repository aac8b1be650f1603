from __future__ import annotations

from itertools import permutations

import msgspec
import pytest

from adapters.emr.observation import PANEL_CODES, PANELS, observations, panel_id
from clinical.chart import Status
from clinical.charted import Stay
from schemas.nomenclature import METRICS, UNITS
from tests.charted_versions import (
    DIASTOLIC,
    HEART_RATE,
    MEAN,
    SPO2,
    STAY,
    SYSTOLIC,
    T0_US,
    by_hand,
    charted,
    in_error,
)


def test_an_entry_is_an_observation_of_its_own_id_and_version() -> None:
    entry = charted(SPO2, number=3)
    (made,) = observations([entry])
    assert (made.id, made.version, made.members, made.panel) == (entry.entry, 3, (entry,), "")


def test_pressures_of_one_slot_are_a_panel_in_the_order_of_its_table() -> None:
    pressures = [charted(MEAN, 93.0), charted(DIASTOLIC, 80.0, number=2), charted(SYSTOLIC, 120.0)]
    for given in permutations(pressures):
        (made,) = observations(given)
        assert made.id == panel_id(STAY.key, "non-invasive", T0_US)
        assert [member.item for member in made.members] == [SYSTOLIC, DIASTOLIC, MEAN]
        assert made.version == 4


def test_a_panel_that_was_sent_keeps_its_id() -> None:
    assert panel_id("visit:V1^H", "arterial", 1_777_630_500_000_000) == "e846d4b7-61c4-8f47-b7cf-35be54c50efb"


def test_kinds_slots_and_encounters_are_panels_of_their_own() -> None:
    first = charted(SYSTOLIC, 120.0)
    arterial = charted("MDC_PRESS_BLD_ART_SYS", 118.0)
    later = msgspec.structs.replace(first, entry="later", slot_us=T0_US + 1)
    stay = Stay(key="visit:V2^HOSPITAL", patient_class="I", admitted_at_us=None, discharged_at_us=None)
    other = msgspec.structs.replace(first, entry="other", stay=stay)
    made = observations([first, arterial, later, other])
    assert len({each.id for each in made}) == 4
    assert [each.members for each in made] == [(first,), (arterial,), (later,), (other,)]


def test_order_is_that_of_the_first_entry_of_each() -> None:
    made = observations([charted(SYSTOLIC, 120.0), charted(HEART_RATE, 70.0), charted(DIASTOLIC, 80.0)])
    assert [each.members[0].item for each in made] == [SYSTOLIC, HEART_RATE]


def test_an_entry_twice_counts_in_its_higher_version() -> None:
    for given in permutations([charted(SYSTOLIC, 120.0, number=2), charted(SYSTOLIC, 110.0)]):
        (made,) = observations(given)
        assert (made.version, made.members[0].version.value) == (2, 120.0)


def test_a_member_in_error_gives_way_to_the_one_that_stands_and_still_counts_in_the_version() -> None:
    wrong = in_error(charted(SYSTOLIC, 220.0))
    right = charted(SYSTOLIC, 120.0, ordinal=2)
    for given in permutations([wrong, right, charted(DIASTOLIC, 80.0)]):
        (made,) = observations(given)
        assert made.members[0] == right
        assert made.version == 4
        assert made.status is Status.PRELIMINARY


def test_a_panel_is_in_error_where_all_members_are() -> None:
    systolic, diastolic = charted(SYSTOLIC, 220.0), charted(DIASTOLIC, 80.0)
    (one,) = observations([in_error(systolic), diastolic])
    assert one.status is Status.PRELIMINARY
    (both,) = observations([in_error(systolic), in_error(diastolic)])
    assert both.status is Status.ENTERED_IN_ERROR
    assert both.version > one.version


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        (Status.FINAL, Status.PRELIMINARY, Status.PRELIMINARY),
        (Status.FINAL, Status.AMENDED, Status.AMENDED),
        (Status.AMENDED, Status.PRELIMINARY, Status.PRELIMINARY),
        (Status.FINAL, Status.FINAL, Status.FINAL),
        (Status.FINAL, Status.ENTERED_IN_ERROR, Status.FINAL),
    ],
)
def test_a_panel_is_as_doubtful_as_its_most_doubtful_member(one: Status, other: Status, said: Status) -> None:
    (made,) = observations([charted(SYSTOLIC, 120.0, status=one), charted(DIASTOLIC, 80.0, status=other)])
    assert made.status is said


def test_every_version_of_any_entry_makes_the_panel_newer() -> None:
    """The story of one slot: charted, corrected, entered in error, charted anew."""
    story = [
        charted(SYSTOLIC, 120.0),
        charted(DIASTOLIC, 80.0),
        charted(SYSTOLIC, 121.0, number=2, status=Status.AMENDED),
        in_error(charted(SYSTOLIC, 121.0, number=2)),
        by_hand(MEAN, 90.0),
        charted(SYSTOLIC, 125.0, ordinal=2),
    ]
    panels = [observations(story[: end + 1])[0] for end in range(len(story))]
    assert [panel.version for panel in panels] == [1, 2, 3, 4, 5, 6]
    assert len({panel.id for panel in panels}) == 1


def test_every_member_of_a_panel_is_a_pressure_of_the_nomenclature() -> None:
    units = {unit.reference_id: unit.ucum for unit in UNITS}
    metrics = {metric.reference_id: metric for metric in METRICS}
    for item, member in PANELS.items():
        metric = metrics[item]
        assert units[metric.unit] == "mm[Hg]"
        # What the nomenclature says of it alone is said of it here too.
        assert metric.loinc is None or metric.loinc in member.loinc
        prefix = PANEL_CODES[member.panel].mdc[0]
        assert item.removeprefix(prefix) in ("_SYS", "_DIA", "_MEAN")
        # IEEE 11073-10101: the term of a pressure's site, then systolic, diastolic, mean.
        offset = ("_SYS", "_DIA", "_MEAN").index(item.removeprefix(prefix)) + 1
        assert metric.code == PANEL_CODES[member.panel].mdc[1] + offset
    assert {member.panel for member in PANELS.values()} == set(PANEL_CODES)
    for panel in PANEL_CODES.values():
        assert set(panel.required) <= set(PANELS)
