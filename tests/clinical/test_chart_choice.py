"""Which value of a window stands for its slot, and why none does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical.attribution import State
from clinical.chart import Belonging, Chosen, EntryKey, GapReason, Measured, Source, Window
from clinical.chart_choice import choose, settled
from clinical.chart_policy import ALWAYS, Choice, Every, Policy, Spoiler
from schemas.block import ValidationResult

S = 1_000_000
MONITOR, OXIMETER = "a-monitor", "b-oximeter"
ACCEPTED, RANGE = ValidationResult.ACCEPTED, ValidationResult.DOUBTFUL_RANGE
LAST = Policy(
    ward="", metric="MDC_ECG_HEART_RATE", when=Every(5), choice=Choice.LAST_VALID, window_min=5,
    spoiled_by=frozenset(Spoiler), auto_final_after_min=None,
)  # fmt: skip
MEDIAN = replace(LAST, choice=Choice.MEDIAN_OF_LAST_MINUTE, window_min=1)


def measured(at_s: float, value: float | None, **other: Any) -> Measured:
    stated: dict[str, Any] = {
        "observed_at_us": int(at_s * S), "received_at_us": int(at_s * S) + 1, "device": MONITOR,
        "metric": "MDC_ECG_HEART_RATE", "channel": 0, "value": value, "decimals": 0, "unit": "/min",
        "validation_result": ACCEPTED, "ambiguous": False, "correction": False, "withdrawal": False,
        "training": False, "foreign_edge": False, "source": Source(b"batch", int(at_s * 10), 0),
    }  # fmt: skip
    return Measured(**(stated | other))


def belongs(from_s: float = -1e6, until_s: float | None = None, **other: Any) -> Belonging:
    until_us = None if until_s is None else int(until_s * S)
    stated: dict[str, Any] = {"device": MONITOR, "state": State.ATTRIBUTED, "encounter": "E1"}
    return Belonging(**(stated | {"from_us": int(from_s * S), "until_us": until_us} | other))


def window(*values: Measured, belongings: tuple[Belonging, ...] = (belongs(),), begin_s: int = 0) -> Window:
    return Window(
        key=EntryKey("E1", "MDC_ECG_HEART_RATE", 300 * S), from_us=begin_s * S, until_us=300 * S,
        belongings=belongings, measured=values,
    )  # fmt: skip


def reasons(found: object) -> list[GapReason]:
    assert isinstance(found, tuple)
    return [gap.reason for gap in found]


def value_of(found: object) -> float | None:
    assert isinstance(found, Chosen)
    return found.value


def test_the_last_valid_value_stands() -> None:
    values = (measured(10, 60), measured(200, 70), measured(250, 999, validation_result=RANGE), measured(301, 80))
    assert value_of(choose(LAST, window(*values))) == 70


def test_a_ward_may_allow_what_is_doubtful() -> None:
    values = (measured(200, 70), measured(250, 399, validation_result=RANGE))
    assert value_of(choose(replace(LAST, spoiled_by=ALWAYS), window(*values))) == 399


def test_the_median_is_a_value_that_was_measured() -> None:
    values = tuple(measured(240 + i, 60 + i % 4) for i in range(60))
    found = choose(MEDIAN, window(*values, begin_s=240))
    assert isinstance(found, Chosen)
    assert found.value == 61
    assert found.reason == "median of 60 values of the last minute"
    assert found.sources == (Source(b"batch", 2970, 0),)  # the last of those that say 61


def test_a_minute_with_a_hole_has_no_median() -> None:
    values = tuple(measured(240 + i, 60) for i in range(60) if not 10 < i < 45)
    assert reasons(choose(MEDIAN, window(*values, begin_s=240))) == [GapReason.STALE]
    without = MEDIAN.spoiled_by - {Spoiler.GAP}
    assert value_of(choose(replace(MEDIAN, spoiled_by=without), window(*values, begin_s=240))) == 60


def test_of_a_window_that_a_move_cuts_only_its_part_counts() -> None:
    values = (measured(100, 60), measured(200, 70))
    here, there = belongs(until_s=150), belongs(150, encounter="E2")
    assert value_of(choose(LAST, window(*values, belongings=(here, there)))) == 60
    later = window(measured(200, 70), belongings=(here, there))
    assert reasons(choose(LAST, later)) == [GapReason.CUT_BY_MOVE]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (State.NOBODY, GapReason.NOBODY),
        (State.CONFLICT, GapReason.CONFLICT),
        (State.UNDECIDED, GapReason.UNDECIDED),
    ],
)
def test_what_is_nobodys_is_not_charted(state: State, reason: GapReason) -> None:
    whose = (belongs(state=state, encounter=None),)
    assert reasons(choose(LAST, window(measured(10, 60), belongings=whose))) == [reason]


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ({"ambiguous": True}, GapReason.AMBIGUOUS),
        ({"training": True}, GapReason.TRAINING),
        ({"foreign_edge": True}, GapReason.FOREIGN_EDGE),
        ({"validation_result": RANGE}, GapReason.DOUBTFUL),
        ({"validation_result": ValidationResult.MISSING, "value": None}, GapReason.LEAD_OFF),
    ],
)
def test_what_spoils_a_value_is_the_reason(odd: dict[str, Any], reason: GapReason) -> None:
    spoiled = replace(measured(10, 60), **odd)
    assert reasons(choose(LAST, window(spoiled))) == [reason]


def test_silence_and_an_empty_bed_are_two_reasons() -> None:
    assert reasons(choose(LAST, window())) == [GapReason.NOT_MEASURED]
    assert reasons(choose(LAST, window(belongings=()))) == [GapReason.NOBODY_THERE]


def test_a_correction_stands_and_what_was_taken_back_does_not() -> None:
    first = measured(10, 60)
    corrected = measured(10, 65, correction=True, received_at_us=20 * S)
    again = measured(10, 60, received_at_us=30 * S)
    withdrawn = measured(10, None, withdrawal=True, received_at_us=40 * S)
    assert [value.value for value in settled([again, first, corrected])] == [65]
    assert settled([first, corrected, withdrawn]) == []
    assert reasons(choose(LAST, window(first, withdrawn))) == [GapReason.WITHDRAWN]


@given(st.lists(st.tuples(st.integers(0, 299), st.sampled_from([MONITOR, OXIMETER]), st.integers(40, 90)), max_size=12),
       st.randoms())  # fmt: skip
def test_the_order_of_arrival_counts_for_nothing(said: list[tuple[int, str, int]], random: Any) -> None:
    moments = {(at_s, device): value for at_s, device, value in said}
    values = [measured(at_s, value, device=device) for (at_s, device), value in moments.items()]
    whose = (belongs(), belongs(device=OXIMETER))
    shuffled = random.sample(values, len(values))
    found = choose(LAST, window(*values, belongings=whose))
    assert choose(LAST, window(*shuffled, belongings=whose)) == found
    if moments:
        newest_s = max(at_s for at_s, _ in moments)
        device = min(device for at_s, device in moments if at_s == newest_s)
        assert value_of(found) == moments[newest_s, device]
