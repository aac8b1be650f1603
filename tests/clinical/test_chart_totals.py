"""Totals of 24 hours: whole, or said to be not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical.chart import Entry, EntryKey
from clinical.chart_totals import HOUR_US, Total, total
from clinical.chart_versions import entered, withdraw

DAY_US = 24 * HOUR_US


def volumes(at_hours: list[int], item: str = "urine", volume_ml: float = 50) -> list[Entry]:
    return [
        Entry(
            entry=f"{item} {hour}",
            key=EntryKey("E1", item, hour * HOUR_US),
            versions=(entered(item, volume_ml, "", observed_at_us=hour * HOUR_US, act_id=b"act", at_us=0),),
        )
        for hour in at_hours
    ]


def test_each_hour_is_a_total() -> None:
    assert total(volumes(list(range(1, 25))), "urine", 0, DAY_US) == Total(1200, 0, DAY_US, is_complete=True)


def test_after_a_gap_it_says_from_when_to_when() -> None:
    hours = [hour for hour in range(1, 25) if hour not in (7, 8)]
    assert total(volumes(hours), "urine", 0, DAY_US) == Total(16 * 50, 8 * HOUR_US, DAY_US, is_complete=False)


def test_what_is_not_over_is_incomplete() -> None:
    assert total(volumes([1, 2, 3]), "urine", 0, DAY_US) == Total(150, 0, 3 * HOUR_US, is_complete=False)


def test_nothing_and_what_was_in_error_is_no_total() -> None:
    (only,) = volumes([1])
    gone = Entry(entry="e", key=only.key, versions=(*only.versions, withdraw(only, "twice", b"act", 1)))
    assert total([gone], "urine", 0, DAY_US) is None
    assert total([], "urine", 0, DAY_US) is None


def test_only_volumes_have_totals() -> None:
    with pytest.raises(ValueError, match="no volume"):
        total([], "pain", 0, DAY_US)


@given(st.sets(st.integers(1, 24), min_size=1))
def test_complete_means_every_hour(hours: set[int]) -> None:
    found = total(volumes(sorted(hours)), "urine", 0, DAY_US)
    assert found is not None
    assert found.is_complete == (hours == set(range(1, 25)))
    assert found.volume_ml == 50 * len([hour for hour in hours if found.from_us < hour * HOUR_US <= found.until_us])
