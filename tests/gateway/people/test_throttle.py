from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.people.throttle import ACCOUNT_WAIT_S_MAX, ADDRESS_FREE, ADDRESS_WAIT_S_MAX, WINDOW_S, wait_s

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
failures = st.lists(st.floats(0, 2 * WINDOW_S), max_size=200).map(
    lambda ago: [NOW - timedelta(seconds=each) for each in ago]
)


@given(failures, failures)
def test_nobody_is_locked_for_good(account: list[datetime], address: list[datetime]) -> None:
    wait = wait_s(account, address, NOW)
    assert 0 <= wait <= max(ACCOUNT_WAIT_S_MAX, ADDRESS_WAIT_S_MAX)
    assert wait_s(account, address, NOW + timedelta(seconds=ACCOUNT_WAIT_S_MAX)) == 0


@given(failures, failures, st.floats(0, 60))
def test_waiting_shortens_the_wait_and_failing_does_not(
    account: list[datetime], address: list[datetime], later_s: float
) -> None:
    wait = wait_s(account, address, NOW)
    assert wait_s(account, address, NOW + timedelta(seconds=later_s)) <= max(0.0, wait - later_s) + 1e-4
    assert wait_s([*account, NOW], address, NOW) >= wait


def test_what_one_person_mistypes_keeps_no_colleague_of_the_ward_out() -> None:
    mine = [NOW - timedelta(seconds=each) for each in range(20)]
    assert wait_s(mine, mine, NOW) == ACCOUNT_WAIT_S_MAX
    assert wait_s([], mine, NOW) == 0
    many = [NOW] * (ADDRESS_FREE + 50)
    assert wait_s([], many, NOW) == ADDRESS_WAIT_S_MAX


def test_the_first_mistakes_cost_nothing() -> None:
    assert wait_s([NOW] * 4, [NOW] * 4, NOW) == 0
    assert wait_s([NOW] * 5, [NOW] * 5, NOW) == 2.0
