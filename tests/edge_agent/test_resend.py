"""When a batch is sent again, and that there is never a storm."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.resend import IN_FLIGHT_BATCHES_MAX, Stream


def stream(bytes_max: int = 1000, jitter: float = 0.0) -> Stream:
    return Stream(bytes_max, lambda: jitter)


def test_a_receipt_ends_it() -> None:
    s = stream()
    s.sent(1, 10, 0)
    s.receipt(1, 1)
    assert s.due(1e9) == []
    assert s.capacity == 1000


def test_overtaken_by_a_later_receipt_it_is_sent_again_after_five_seconds_and_each_time_less_soon() -> None:
    s = stream()
    for n in (1, 2, 3):
        s.sent(n, 10, 0)
    s.receipt(2, 1)
    s.receipt(3, 4)
    assert s.due(5.9) == []
    assert s.due(6.0) == [1]
    s.sent(1, 10, 6)
    assert s.due(20) == []  # nothing later has come since
    s.sent(4, 10, 20)
    s.receipt(4, 21)
    assert s.due(30.9) == []
    assert s.due(31) == [1]


def test_an_earlier_receipt_says_nothing_of_a_later_batch() -> None:
    s = stream()
    s.sent(1, 10, 0)
    s.sent(2, 10, 0)
    s.receipt(1, 1)
    assert s.due(59) == []


def test_without_any_receipt_it_is_sent_again_after_one_to_ten_minutes() -> None:
    for jitter, waits in ((0.0, [60, 120, 240, 480, 600, 600]), (0.999, [119.94, 239.88, 479.76, 600, 600, 600])):
        s, now = stream(jitter=jitter), 0.0
        for wait in waits:
            s.sent(1, 10, now)
            assert s.due(now + wait - 0.1) == []
            now += wait
            assert s.due(now + 1e-6) == [1]


def test_what_failed_is_sent_again_soon() -> None:
    s = stream()
    s.sent(1, 10, 0)
    s.schedule_resend(1, 0)
    s.schedule_resend(7, 0)  # long settled
    assert s.due(5) == [1]


def test_after_another_broker_or_store_all_is_sent_again_in_order() -> None:
    s = stream()
    for n in (1, 2, 3):
        s.sent(n, 10, 0)
    assert s.after == 3
    s.resend_all()
    assert (s.after, s.capacity, s.due(1e9)) == (0, 1000, [])


def test_capacity_is_bounded_in_bytes_and_batches() -> None:
    s = stream(1000)
    s.sent(1, 5000, 0)  # one always may
    assert s.capacity == 0
    s.sent(1, 5000, 1)  # again: not counted twice
    s.receipt(1, 2)
    assert s.capacity == 1000
    for n in range(IN_FLIGHT_BATCHES_MAX):
        assert s.capacity
        s.sent(n, 1, 0)
    assert s.capacity == 0


@settings(deadline=None)
@given(
    losses=st.lists(st.sampled_from(["lost", "kept", "receipt-lost", "wiped"]), max_size=60),
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=30),
)
def test_over_a_broker_that_loses_every_batch_gets_through_and_no_storm_begins(
    losses: list[str], sizes: list[int]
) -> None:
    s, now, fates = Stream(1000), 0.0, iter(losses)
    open_batches = dict(enumerate(sizes, 1))
    sends: dict[int, list[float]] = {n: [] for n in open_batches}
    while open_batches and now < 24 * 3600:
        chosen = s.due(now)
        for n in sorted(open_batches):
            if n > s.after and s.capacity and n not in chosen:
                chosen.append(n)
                s.sent(n, open_batches[n], now)
                sends[n].append(now)
        for n in chosen:
            if n in s.due(now):
                s.sent(n, open_batches[n], now)
                sends[n].append(now)
            fate = next(fates, "kept")
            if fate == "wiped":
                s.resend_all()
                break
            if fate == "kept":
                open_batches.pop(n, None)
                s.receipt(n, now + 0.5)
        assert sum(open_batches.get(n, 0) for n in s._in_flight) <= 1000 + 400
        now += 1
    assert not open_batches
    wiped = losses.count("wiped")
    for at in sends.values():
        assert len(at) <= 12 + wiped
