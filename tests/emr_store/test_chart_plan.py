"""Which slots a policy asks for, by ward and time."""

from __future__ import annotations

from clinical.chart import EntryKey
from clinical.chart_policy import read_policies
from emr_store.chart_plan import SPREAD_US, Plan, phase_us
from emr_store.chart_windows import WardStay

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
T0_US = 1_790_000_400_000_000 // HOUR_US * HOUR_US
SPO2, PULSE = "MDC_PULS_OXIM_SAT_O2", "MDC_PULS_OXIM_PULS_RATE"
PLAN = Plan(
    read_policies(f"""
zone = "UTC"
[[policy]]
metrics = ["{SPO2}"]
when = "every 5 min"
value = "last valid"
[[policy]]
ward = "ICU"
metrics = ["{SPO2}"]
when = "hourly"
value = "last valid"
stands_min = 10
[[policy]]
metrics = ["{PULSE}"]
when = "each"
value = "each"
""")
)
NOWHERE: list[WardStay] = []
ICU = [WardStay(0, None, "icu")]


def ends(tasks: object) -> list[int]:
    """Minutes after T0."""
    return [(task.asked.key.at_us - T0_US) // MINUTE_US for task in tasks]  # type: ignore[attr-defined]


def test_the_phases_of_encounters_are_spread_over_five_minutes() -> None:
    phases = [phase_us(f"visit:{n}") for n in range(1000)]
    assert min(phases) >= 0
    assert max(phases) < SPREAD_US
    assert len(set(phases)) > 200


def test_a_slot_is_due_five_minutes_after_its_end_and_its_encounters_phase() -> None:
    due_us = T0_US + 5 * MINUTE_US + phase_us("v")
    assert ends(PLAN.due("v", NOWHERE, due_us - 1, due_us)) == [0]
    assert ends(PLAN.due("v", NOWHERE, due_us, due_us + 5 * MINUTE_US - 1)) == []
    assert ends(PLAN.due("v", NOWHERE, due_us - 1, due_us + 10 * MINUTE_US)) == [0, 5, 10]


def test_a_wards_own_policy_goes_before_that_of_all_wards() -> None:
    assert ends(PLAN.ending("v", ICU, T0_US, T0_US + HOUR_US)) == [0]
    moved = [WardStay(0, T0_US - 20 * MINUTE_US, "icu"), WardStay(T0_US - 20 * MINUTE_US, None, "surgery")]
    assert sorted(ends(PLAN.ending("v", moved, T0_US - HOUR_US, T0_US))) == [-60, -15, -10, -5]


def test_what_is_touched_is_due_and_may_hold_the_value() -> None:
    far_us = T0_US + 10 * HOUR_US
    assert ends(PLAN.touched("v", NOWHERE, T0_US, T0_US + 1, far_us)) == [5]
    assert ends(PLAN.touched("v", NOWHERE, T0_US, T0_US + 1, T0_US + 10 * MINUTE_US - 1)) == []
    assert ends(PLAN.touched("v", ICU, T0_US - MINUTE_US, T0_US, far_us)) == [0]
    assert ends(PLAN.touched("v", ICU, T0_US - 11 * MINUTE_US, T0_US - 10 * MINUTE_US, far_us)) == []


def test_a_key_is_some_policys_slot_or_none() -> None:
    found = PLAN.at(EntryKey("v", SPO2, T0_US), ICU)
    assert found is not None
    assert found.asked.until_us - found.asked.from_us == 10 * MINUTE_US
    assert PLAN.at(EntryKey("v", SPO2, T0_US + 5 * MINUTE_US), ICU) is None
    assert PLAN.at(EntryKey("v", "pain", T0_US), ICU) is None
    of_each = PLAN.at(EntryKey("v", PULSE, T0_US + 7), NOWHERE)
    assert of_each is not None
    assert (of_each.asked.from_us, of_each.asked.until_us) == (T0_US + 7, T0_US + 8)
