"""The moment that the store files a report under, which is not always the one that its device said.

A clock that was set wrong says moments of 1970 or 2099. Each of them would make partitions of its own, and nobody would
look for the report there. It is filed under its receipt instead; its bytes keep what was said.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ABSURD_FUTURE_US = 24 * 3600 * 1_000_000  # this far ahead of its receipt
ABSURD_PAST_US = 3653 * 24 * 3600 * 1_000_000  # ten years before it


def filed_at_us(observed_at_us: NDArray[Any], received_at_us: NDArray[Any]) -> NDArray[Any]:
    """The `observed_at` of each report's row, microseconds."""
    # Differences would overflow: a device may say any 64 bits.
    too_late = observed_at_us > received_at_us + ABSURD_FUTURE_US
    too_early = observed_at_us < received_at_us - ABSURD_PAST_US
    return np.where(too_late | too_early, received_at_us, observed_at_us)
