from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from emr_store.latest import ChannelSet, LatestRows
from gateway.pages.columns import columns_of
from gateway.pages.values import Values
from schemas.block import ValidationResult
from schemas.report import Mark, Validity

HR, SPO2, RR, T = 147842, 150456, 151562, 150344
PER_MIN, PERCENT, RESP, DEGC = 264864, 262688, 264928, 268192
MONITOR, PART = 1, 2  # channel sets
T0_MS = 1_790_000_000_000
NAN = float("nan")


@pytest.fixture
def values() -> Values:
    made = Values({(9, HR, 0): 5000})
    made.add_set(MONITOR, columns_of(ChannelSet([HR, SPO2, RR, T], [PER_MIN, PERCENT, RESP, DEGC], [0, 0, 0, 0])))
    made.add_set(PART, columns_of(ChannelSet([SPO2, HR], [PERCENT, PER_MIN], [0, 0])))
    return made


def rows(
    of: list[list[float]], at_s: float = 0, *, channel_set: int = MONITOR, first: int = 1, **more: Any
) -> LatestRows:
    """A row a device from `first` on: measured at `at_s`, received 5 ms and stored 20 ms later."""
    count, at_us = len(of), int((T0_MS + at_s * 1000) * 1000)
    value = np.array(of, float)
    full = {
        "observed_at_us": np.full(count, at_us), "received_at_us": np.full(count, at_us + 5000),
        "stored_at_us": np.full(count, at_us + 20_000), "flags": np.zeros(count, np.int64),
        "validity": np.zeros(value.shape, np.int64), "validation_result": np.zeros(value.shape, np.int64), "text": {},
        **more,
    }  # fmt: skip
    return LatestRows(channel_set, np.arange(first, first + count), value=value, **full)


def test_what_is_new_is_said_whole_and_then_only_what_changed(values: Values) -> None:
    assert values.note(rows([[72, 97, 14, 36.92], [60, 98, 12, 37]]), T0_MS + 100) == {
        0: [0, 95, 5, 15, [72, 97, 14, 369]], 1: [1, 95, 5, 15, [60, 98, 12, 370]],
    }  # fmt: skip
    found = values.note(rows([[72.4, 96, 14, 36.94], [61, 99, 13, 37]], 1), T0_MS + 1100)
    assert found == {
        0: [0, 95, 5, 15, {1: 96}, {"every": 1000}],
        1: [1, 95, 5, 15, [61, 99, 13, 370], {"every": 1000}],  # a list is shorter than three of four by column
    }
    assert values.note(rows([[72, 96, 14, 36.9]], 2), T0_MS + 2100) == {0: [0, 95, 5, 15, {}]}
    assert values.whole(T0_MS + 3000) == {
        0: [0, 995, 5, 15, [72, 96, 14, 369], {"flags": 0, "marks": {}, "every": 1000}],
        1: [1, 1995, 5, 15, [61, 99, 13, 370], {"flags": 0, "marks": {}, "every": 1000}],
    }


def test_no_number_is_none_and_marks_say_what_is_unusual(values: Values) -> None:
    validity, validation_result = np.zeros((1, 4), np.int64), np.zeros((1, 4), np.int64)
    validity[0] = [0, Validity.NOT_AVAILABLE, Mark.LESS << 4, (Mark.AMBIGUOUS << 4) | Validity.QUESTIONABLE]
    validation_result[0] = [
        0,
        ValidationResult.MISSING,
        ValidationResult.ACCEPTED_BOUND,
        ValidationResult.DOUBTFUL_VALIDITY,
    ]
    odd = rows([[1e300, NAN, 8, 37]], validity=validity, validation_result=validation_result, flags=np.array([4]))
    marks = {
        0: {"text": "1e+300"}, 1: {"validation_result": "missing", "validity": 6},
        2: {"validation_result": "accepted_bound", "bound": "<"},
        3: {"validation_result": "doubtful_validity", "validity": 1, "ambiguous": True},
    }  # fmt: skip
    assert values.note(odd, T0_MS)[0][4:] == [[None, None, 8, 370], {"flags": 4, "marks": marks}]
    again = rows([[1e300, NAN, 8, 37]], 1, validity=validity, validation_result=validation_result, flags=np.array([4]))
    assert values.note(again, T0_MS)[0][4:] == [{}, {"every": 1000}]
    assert values.whole(T0_MS)[0][4:] == [[None, None, 8, 370], {"flags": 4, "marks": marks, "every": 1000}]
    assert values.note(rows([[72, NAN, 8, 37]], 2, text={(0, 1): "searching"}), T0_MS)[0][4:] == [
        {0: 72}, {"flags": 0, "marks": {1: {"text": "searching"}}}
    ]  # fmt: skip
    assert values.note(rows([[72, 97, 8, 37]], 3), T0_MS)[0][4:] == [{1: 97}, {"marks": {}}]


def test_a_value_is_of_the_newest_row_that_says_it(values: Values) -> None:
    values.note(rows([[72, 97, 14, 37]]), T0_MS)
    part = values.note(rows([[96, 72]], 1, channel_set=PART), T0_MS)
    assert part[1][4] == [96, 72]  # the same rate, and now of another row
    assert values.whole(T0_MS)[0][4] == {2: 14, 3: 370}
    assert values.note(rows([[73, 98, 15, 38]], 0.5), T0_MS)[0][4] == {2: 15, 3: 380}  # older than the part
    assert values.whole(T0_MS)[1][4] == [96, 72]
    values.note(rows([[74, 95, 15, 38]], 2), T0_MS)
    assert list(values.whole(T0_MS)) == [0]  # a row that owns nothing is not told


def test_what_was_in_the_future_when_it_was_stored_gives_way(values: Values) -> None:
    ahead = np.full(1, (T0_MS + 3_600_000) * 1000)
    values.note(rows([[72, 97, 14, 37]], observed_at_us=ahead, received_at_us=ahead), T0_MS)
    assert values.note(rows([[91, 60]], 1, channel_set=PART), T0_MS)[1][4] == [91, 60]


def test_an_expected_interval_is_told_when_it_differs_by_a_tenth(values: Values) -> None:
    at_s = (0, 1, 2.05, 3.1, 4.15, 5.2, 7, 9, 11, 13)
    emitted = [values.note(rows([[72, 97, 14, 37]], at), T0_MS)[0][5:] for at in at_s]
    assert emitted == [[], [{"every": 1000}], [], [], [], [], [], [], [{"every": 1800}], [{"every": 2000}]]
    assert values.note(rows([[72, 97, 14, 37]], first=9), T0_MS)[1][5:] == [{"every": [5000, None, None, None]}]


def test_rows_without_any_code_are_not_shown(values: Values) -> None:
    values.add_set(3, columns_of(ChannelSet([0], [0], [0])))
    assert values.note(rows([[5]], channel_set=3), T0_MS) == {}
    assert values.device_of_row == []


def test_a_thousand_devices_in_turns(values: Values) -> None:
    random = np.random.default_rng(1)
    shown: dict[int, list[int]] = {}
    for second in range(8):
        emitted = random.integers(60, 70, (1000, 4))
        devices = np.sort(random.choice(1000, 600, replace=False))
        some = rows(emitted[devices].astype(float).tolist(), second)
        some = replace(some, device=devices)
        for row, line in values.note(some, T0_MS).items():
            new = line[4]
            if isinstance(new, dict):
                for column, number in new.items():
                    shown[row][column] = number
            else:
                shown[row] = new
    assert {row: line[4] for row, line in values.whole(T0_MS).items()} == shown
