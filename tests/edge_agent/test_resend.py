"""When a batch is sent again, that new ones do not wait for it, and that there is never a storm."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.resend import (
    IN_FLIGHT_BATCHES_MAX,
    NUMBER_MAX,
    REFUSED_RETRY_S,
    RESEND_BATCHES_MAX,
    RESEND_BYTES_MAX,
    RESEND_MAX_S,
    YIELDS_AFTER,
    ResendStream,
)


def stream(bytes_max: int = 1000, jitter: float = 0.0) -> ResendStream:
    return ResendStream(bytes_max, lambda: jitter)


def send(s: ResendStream, number: int, now: float, size: int = 10) -> None:
    """For the first time."""
    s.sent(number, size, now, is_resend=False)


def resend(s: ResendStream, number: int, now: float, size: int = 10) -> None:
    s.sent(number, size, now, is_resend=True)


def test_a_receipt_ends_it() -> None:
    s = stream()
    send(s, 1, 0)
    s.receipt(1, 1)
    assert s.due(1e9) == []
    assert s.capacity == 1000


def test_overtaken_by_a_later_receipt_it_is_sent_again_after_five_seconds_and_each_time_less_soon() -> None:
    s = stream()
    for n in (1, 2, 3):
        send(s, n, 0)
    s.receipt(2, 1)
    s.receipt(3, 4)
    assert s.due(5.9) == []
    assert s.due(6.0) == [1]
    resend(s, 1, 6)
    resend(s, 9, 20)
    assert s.due(20) == []  # nothing that was sent again later has its receipt
    s.receipt(9, 21)
    assert s.due(30.9) == []
    assert s.due(31) == [1]


def test_only_what_was_sent_before_by_the_same_topic_is_overtaken() -> None:
    s = stream()
    resend(s, 1, 0)
    send(s, 2, 0)
    send(s, 3, 0)
    resend(s, 4, 0)
    s.receipt(2, 1)  # neither the later one of its topic nor the earlier one of the other
    s.receipt(4, 1)
    assert s.due(59) == [1]


def test_without_any_receipt_it_is_sent_again_after_one_to_ten_minutes() -> None:
    for jitter, waits in ((0.0, [60, 120, 240, 480]), (0.999, [119.94, 239.88, 479.76, 600])):
        s, now = stream(jitter=jitter), 0.0
        for times, wait in enumerate(waits):
            s.sent(1, 10, now, is_resend=times > 0)
            assert s.due(now + wait - 0.1) == []
            now += wait
            assert s.due(now + 1e-6) == ([1] if times < YIELDS_AFTER else [])


def test_a_resend_that_nobody_answers_makes_capacity_and_is_found_again_later() -> None:
    s = stream()
    s.behind = False
    for _ in range(YIELDS_AFTER + 1):
        resend(s, 1, 0, RESEND_BYTES_MAX)
    assert s.resend_capacity == 0
    s.before = 1
    assert s.due(480) == []
    assert (s.resend_capacity, s.behind) == (RESEND_BYTES_MAX, False)
    assert s.due(480 + RESEND_MAX_S - 1) == []
    assert not s.behind
    s.due(480 + RESEND_MAX_S)
    assert (s.before, s.behind) == (NUMBER_MAX, True)


def test_what_was_refused_takes_no_budget_and_is_tried_again_slowly() -> None:
    s = stream()
    s.behind, s.before = False, 7
    send(s, 8, 0)
    s.refused(8, 1)
    s.refused(3, 2)
    assert (s.capacity, s.is_in_flight(8)) == (1000, False)
    assert s.due(REFUSED_RETRY_S) == []
    assert not s.behind
    assert s.due(1 + REFUSED_RETRY_S) == []
    assert (s.before, s.behind) == (NUMBER_MAX, True)
    s.behind = False
    s.due(10 * REFUSED_RETRY_S)  # once for all that were refused
    assert not s.behind


def test_what_failed_is_sent_again_soon() -> None:
    s = stream()
    send(s, 1, 0)
    s.schedule_resend(1, 0)
    s.schedule_resend(7, 0)  # long settled
    assert s.due(5) == [1]


def test_after_another_broker_or_store_all_is_sent_again_the_newest_first() -> None:
    s = stream()
    for n in (1, 2, 3):
        send(s, n, 0)
    s.before = 3
    s.resend_all()
    assert (s.before, s.behind, s.capacity, s.due(1e9)) == (NUMBER_MAX, True, 1000, [])


def test_capacity_is_bounded_in_bytes_and_batches() -> None:
    s = stream(1000)
    send(s, 1, 0, 5000)  # one always may
    assert s.capacity == 0
    send(s, 1, 1, 5000)  # again: not counted twice
    s.receipt(1, 2)
    assert s.capacity == 1000
    for n in range(IN_FLIGHT_BATCHES_MAX):
        assert s.capacity
        send(s, n, 0, 1)
    assert s.capacity == 0
    for n in range(RESEND_BATCHES_MAX):
        assert s.resend_capacity
        resend(s, 1000 + n, 0, 1)
    assert s.resend_capacity == 0


def test_new_batches_and_resends_take_nothing_from_each_other() -> None:
    s = stream(1000)
    resend(s, 1, 0, 2 * RESEND_BYTES_MAX)
    assert (s.capacity, s.resend_capacity) == (1000, 0)
    send(s, 2, 0, 1000)
    assert (s.capacity, s.resend_capacity) == (0, 0)
    s.receipt(1, 1)
    assert (s.capacity, s.resend_capacity) == (0, RESEND_BYTES_MAX)
    # What is sent again because nobody answered moves from one to the other, and only as far as that allows.
    send(s, 3, 0, RESEND_BYTES_MAX)
    assert s.due(60) == [2, 3]
    resend(s, 2, 60, 1000)
    resend(s, 3, 60, RESEND_BYTES_MAX)
    send(s, 4, 60)
    assert s.due(121) == []
    s.schedule_resend(4, 121)
    assert s.due(130) == []
    assert 4 in s._in_flight


@settings(deadline=None)
@given(
    losses=st.lists(st.sampled_from(["lost", "kept", "receipt-lost", "wiped"]), max_size=60),
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=30),
)
def test_over_a_broker_that_loses_every_batch_gets_through_and_no_storm_begins(
    losses: list[str], sizes: list[int]
) -> None:
    s, now, fates = ResendStream(1000), 0.0, iter(losses)
    open_batches = dict(enumerate(sizes, 1))
    cut = 0
    sends: dict[int, list[float]] = {n: [] for n in open_batches}
    while open_batches and now < 24 * 3600:
        again = s.due(now)
        for n in again:
            resend(s, n, now, open_batches[n])
        while s.behind and s.resend_capacity:
            n = max((n for n in open_batches if n < s.before and n <= cut), default=0)
            s.behind = n > 0
            s.before = n or s.before
            if n and not s.is_in_flight(n):
                resend(s, n, now, open_batches[n])
                again.append(n)
        chosen = list(again)
        while s.capacity and cut < len(sizes):
            cut += 1
            send(s, cut, now, open_batches[cut])
            chosen.append(cut)
        for n in chosen:
            sends[n].append(now)
            fate = next(fates, "kept")
            if fate == "wiped":
                s.resend_all()
                break
            if fate == "kept":
                open_batches.pop(n, None)
                s.receipt(n, now + 0.5)
        assert sum(out.size for out in s._in_flight.values() if not out.is_resend) <= 1000 + 400
        now += 1
    assert not open_batches
    wiped = losses.count("wiped")
    for at in sends.values():  # a batch that is lost again and again is sent again and again, but more and more seldom
        assert max(sum(1 for other in at if 0 <= other - each < 3600) for each in at) <= 12 + wiped
