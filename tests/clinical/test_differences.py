"""Only what differs is written; what was believed before can still be asked for."""

from __future__ import annotations

import random
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from clinical.differences import differences
from clinical.encounter import Stay
from tests.adt import computed, fact


def test_what_stays_the_same_is_not_written() -> None:
    stays = computed(fact("A01", 0), fact("A02", 60, bed="2")).stays
    assert differences(stays, stays[::-1]) == differences([], [])


def test_a_late_transfer_ends_one_row_and_begins_others() -> None:
    admission, discharge = fact("A01", 0), fact("A03", 90)
    believed = computed(admission, discharge).stays
    anew = computed(admission, discharge, fact("A02", 120, happened=60, bed="2")).stays
    changes = differences(believed, anew)
    assert changes.to_end == tuple(believed)
    assert changes.to_begin == tuple(anew)


def test_the_same_interval_by_another_fact_is_another_row() -> None:
    believed, anew = computed(fact("A01", 0)).stays, computed(fact("A01", 0, control="2", digest=b"other")).stays
    assert differences(believed, anew).to_begin == tuple(anew)


@dataclass
class Row:
    stay: Stay
    recorded_from: int
    recorded_until: int | None = None


@given(st.integers(0, 2**32))
def test_what_was_believed_at_each_time_can_be_asked_for(seed: int) -> None:
    """Facts come in any order; after each, the table holds what they came to, and what was believed before."""
    facts = [fact("A01", 0), fact("A02", 60, bed="2"), fact("A12", 80), fact("A03", 90), fact("A13", 95, bed="3")]
    random.Random(seed).shuffle(facts)
    table: list[Row] = []
    history: list[list[Stay]] = []
    for now in range(len(facts)):
        anew = computed(*facts[: now + 1]).stays
        changes = differences([row.stay for row in table if row.recorded_until is None], anew)
        for row in table:
            if row.recorded_until is None and row.stay in changes.to_end:
                row.recorded_until = now
        table += [Row(stay, now) for stay in changes.to_begin]
        history.append(anew)
    for then, believed in enumerate(history):
        rows = [r for r in table if r.recorded_from <= then and (r.recorded_until is None or r.recorded_until > then)]
        assert sorted((row.stay for row in rows), key=lambda stay: stay.from_us) == believed
