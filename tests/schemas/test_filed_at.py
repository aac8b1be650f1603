"""Under which moment a report is filed."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.filed_at import ABSURD_FUTURE_US, ABSURD_PAST_US, filed_at_us
from tests.making import T0_US

INT64 = np.iinfo(np.int64)


@pytest.mark.parametrize(
    ("observed", "filed"),
    [
        (T0_US, T0_US),
        (T0_US + ABSURD_FUTURE_US, T0_US + ABSURD_FUTURE_US),
        (T0_US + ABSURD_FUTURE_US + 1, T0_US),
        (T0_US - ABSURD_PAST_US, T0_US - ABSURD_PAST_US),
        (T0_US - ABSURD_PAST_US - 1, T0_US),
        (0, T0_US),
        (INT64.min, T0_US),
        (INT64.max, T0_US),
    ],
)
def test_what_no_clock_can_mean_is_filed_under_its_receipt(observed: int, filed: int) -> None:
    assert filed_at_us(np.array([observed]), np.array([T0_US])).tolist() == [filed]


def test_each_report_is_looked_at_alone() -> None:
    observed, received = np.array([T0_US, 0, 5]), np.array([T0_US, T0_US, 7])
    assert filed_at_us(observed, received).tolist() == [T0_US, T0_US, 5]
