"""A clock that is behind ours is told from messages that were held up."""

from __future__ import annotations

import pytest

from clinical.sender_clock import MESSAGES, behind_us

MINUTE_US = 60_000_000


@pytest.mark.parametrize(
    ("lags_us", "behind"),
    [
        ([2 * MINUTE_US] * MESSAGES, 2 * MINUTE_US),
        ([3 * MINUTE_US] * (MESSAGES - 1) + [MINUTE_US + 1], MINUTE_US + 1),
        ([3 * MINUTE_US] * (MESSAGES - 1) + [MINUTE_US], 0),  # one in time is enough
        ([3 * MINUTE_US] * (MESSAGES - 1), 0),  # too few to tell
        ([-5 * MINUTE_US] * MESSAGES, 0),  # ahead is asked of each message
    ],
)
def test_behind_is_what_no_message_is_in_time_by(lags_us: list[int], behind: int) -> None:
    assert behind_us(lags_us) == behind
