"""Slots of a site's day, over the steps of its clock too."""

from __future__ import annotations

from datetime import UTC, datetime, time
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from clinical.chart_policy import At, Choice, Each, Every, OnDemand, Policy, When
from clinical.chart_slots import MINUTE_US, slots

SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")


def policy(when: When, window_min: int = 5) -> Policy:
    return Policy(
        ward="", metric="MDC_TEMP", when=when, choice=Choice.LAST_VALID, window_min=window_min,
        spoiled_by=frozenset(), auto_final_after_min=None,
    )  # fmt: skip


def us(text: str, zone: ZoneInfo = SHANGHAI) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1e6)


def local(at_us: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).astimezone(zone).strftime("%d %H:%M%z")


def test_six_slots_a_day() -> None:
    six = At(tuple(time(hour) for hour in (2, 6, 10, 14, 18, 22)))
    found = slots(policy(six, 60), SHANGHAI, us("2026-11-20T02:00"), us("2026-11-21T02:00"))
    hours = [local(slot.at_us, SHANGHAI)[:5] for slot in found]
    assert hours == ["20 06", "20 10", "20 14", "20 18", "20 22", "21 02"]
    assert all(slot.at_us - slot.from_us == 60 * MINUTE_US for slot in found)
    assert found[0].due_at_us == us("2026-11-20T06:05")


def test_an_hour_that_comes_twice_has_twice_its_slots() -> None:
    night = us("2026-10-25T01:30", BERLIN), us("2026-10-25T04:30", BERLIN)
    hourly = [local(slot.at_us, BERLIN) for slot in slots(policy(Every(60)), BERLIN, *night)]
    assert hourly == ["25 02:00+0200", "25 02:00+0100", "25 03:00+0100", "25 04:00+0100"]
    once = [local(slot.at_us, BERLIN) for slot in slots(policy(At((time(2, 30),))), BERLIN, *night)]
    assert once == ["25 02:30+0200"]


def test_an_hour_that_is_left_out_has_its_slot_at_the_jump() -> None:
    night = us("2026-03-29T01:30", BERLIN), us("2026-03-29T04:30", BERLIN)
    hourly = [local(slot.at_us, BERLIN) for slot in slots(policy(Every(60)), BERLIN, *night)]
    assert hourly == ["29 03:00+0200", "29 04:00+0200"]
    once = [local(slot.at_us, BERLIN) for slot in slots(policy(At((time(2),))), BERLIN, *night)]
    assert once == ["29 03:00+0200"]


def test_some_policies_have_no_slots() -> None:
    for when in (Each(), OnDemand()):
        assert slots(policy(when), SHANGHAI, us("2026-11-20T02:00"), us("2026-11-21T02:00")) == []


@given(
    minutes=st.sampled_from([1, 5, 15, 30, 60, 240]),
    begin=st.integers(us("2026-03-28T00:00", BERLIN), us("2026-10-26T00:00", BERLIN)),
    length_min=st.integers(1, 600),
)
def test_a_part_of_the_day_has_its_slots_and_none_is_left_out(minutes: int, begin: int, length_min: int) -> None:
    stated = policy(Every(minutes))
    until = begin + length_min * MINUTE_US
    around = slots(stated, BERLIN, begin - 300 * MINUTE_US, until + 300 * MINUTE_US)
    assert slots(stated, BERLIN, begin, until) == [slot for slot in around if begin < slot.at_us <= until]
    assert all(0 < later.at_us - earlier.at_us <= (minutes + 60) * MINUTE_US for earlier, later in pairwise(around))
