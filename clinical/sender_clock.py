"""Whether a sender's clock is behind ours. One message cannot tell that from a delay; several in a row can."""

from __future__ import annotations

from collections.abc import Sequence

from clinical.facts import CLOCK_DIFFERENCE_MAX_US
from clinical.worklist import Item, ItemKind

MESSAGES = 10  # the latest of a source; one of them in time is enough to say that its clock is right


def behind_us(lags_us: Sequence[int]) -> int:
    """By how much at the least: `lags_us` are how long after MSH-7 each of the latest messages came; 0: it is not."""
    if len(lags_us) < MESSAGES:
        return 0
    least_us = min(lags_us)
    return least_us if least_us > CLOCK_DIFFERENCE_MAX_US else 0


def clock_behind_item(source: str, behind: int, since_us: int, fact: bytes) -> Item:
    """Of a source. `fact`: the latest message."""
    return Item(
        kind=ItemKind.CLOCK_BEHIND, subject=source, since_us=since_us, announce_at_us=since_us, facts=(fact,),
        detail=str(behind // 1_000_000),
    )  # fmt: skip
