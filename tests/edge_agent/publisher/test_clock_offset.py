"""The edge's clock against the broker's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.publisher.clock_offset import SAMPLES, ClockOffset


def test_without_a_stamp_nothing_is_known() -> None:
    assert ClockOffset().ms is None


@given(
    ahead_ms=st.integers(-(10**9), 10**9),
    delays_us=st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 200_000)), min_size=1, max_size=SAMPLES),
)
def test_it_is_right_within_half_the_shortest_round_trip(ahead_ms: int, delays_us: list[tuple[int, int]]) -> None:
    offset = ClockOffset()
    for i, (to_us, fro_us) in enumerate(delays_us):
        sent_us = 1_790_000_000_000_000 + i * 1_000_000
        appended_ms = (sent_us + to_us) // 1000 - ahead_ms
        offset.add(sent_us, sent_us + to_us + fro_us, appended_ms)
    assert offset.ms is not None
    assert abs(offset.ms - ahead_ms) <= min(to + fro for to, fro in delays_us) / 2000 + 0.6


def test_a_step_of_the_clock_is_seen_and_no_way_is_shorter_than_none() -> None:
    offset = ClockOffset()
    offset.add(1_000_000, 900_000, 1_000)
    assert offset.ms is None
    offset.add(1_000_000, 1_000_000, 1_000)
    for i in range(SAMPLES):
        offset.add(100_000_000 + i, 100_100_000 + i, 1_050)
    assert offset.ms == 99_000 - 0.5
