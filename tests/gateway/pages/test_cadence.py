from __future__ import annotations

import numpy as np

from gateway.pages.cadence import UNKNOWN, Cadence


def every_ms(cadence: Cadence, number: int, observed_ms: int) -> int:
    return int(cadence.note(np.array([number]), np.array([observed_ms]))[0])


def test_the_expected_interval_is_the_median_of_the_last_gaps() -> None:
    cadence = Cadence()
    moments = [0, 0, 1000, 2000, 2000, 3_600_000, 3_601_000, 3_602_000, 3_500_000, 3_603_000]
    assert [every_ms(cadence, 1, m) for m in moments] == [
        UNKNOWN, UNKNOWN, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000,
    ]  # fmt: skip
    assert every_ms(cadence, 2, 5) == UNKNOWN
    assert [every_ms(cadence, 1, 3_603_000 + 60_000 * i) for i in range(1, 7)][-1] == 60_000


def test_until_then_it_is_what_was_known() -> None:
    cadence = Cadence()
    cadence.know(3, 900_000)
    assert [every_ms(cadence, 3, m) for m in (5, 5, 7)] == [900_000, 900_000, 2]


def test_many_at_once_are_as_each_by_itself() -> None:
    random = np.random.default_rng(1)
    moments = np.cumsum(random.integers(0, 3000, (40, 300)), axis=0)
    together, alone = Cadence(), [Cadence() for _ in range(300)]
    for at in moments:
        found = together.note(np.arange(300), at)
        assert found.tolist() == [every_ms(alone[i], 0, int(at[i])) for i in range(300)]
    assert together.note(np.zeros(0, np.int64), np.zeros(0, np.int64)).tolist() == []
