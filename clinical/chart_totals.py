"""Volumes of 24 hours: a total only where no stretch is left out, else what is there, and from when to when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from clinical.chart import Entry, Status
from clinical.chart_items import item_of

HOUR_US = 3_600_000_000


@dataclass(frozen=True)
class Total:
    """Of [from, until), which are the period's where it is complete, else what the volumes cover."""

    volume_ml: float
    from_us: int
    until_us: int
    is_complete: bool


def total(entries: Iterable[Entry], item: str, from_us: int, until_us: int, step_us: int = HOUR_US) -> Total | None:
    """What was written of a volume in (from, until]; each stands for what came since the one before it.

    A stretch of more than `step_us` without a volume is a gap: the total is of what lies after the last one. None:
    nothing was written. Raises ValueError for what is no volume.
    """
    if not item_of(item).is_volume:
        raise ValueError(f"{item} is no volume")
    written = sorted(
        (entry.key.at_us, entry.now.value)
        for entry in entries
        if entry.key.item == item and entry.now.status is not Status.ENTERED_IN_ERROR and entry.now.value is not None
    )
    within = [(at_us, volume_ml) for at_us, volume_ml in written if from_us < at_us <= until_us]
    if not within:
        return None
    covered_from_us = _covered_from_us([at_us for at_us, _ in within], from_us, step_us)
    counted = [(at_us, volume_ml) for at_us, volume_ml in within if at_us > covered_from_us]
    last_us = counted[-1][0]
    is_complete = covered_from_us == from_us and until_us - last_us < step_us
    return Total(
        volume_ml=sum(volume_ml for _, volume_ml in counted),
        from_us=covered_from_us,
        until_us=until_us if is_complete else last_us,
        is_complete=is_complete,
    )


def _covered_from_us(moments: list[int], from_us: int, step_us: int) -> int:
    """Where the last stretch without a gap begins: the first volume after a gap stands for `step_us` at most."""
    covered_from_us, before_us = from_us, from_us
    for at_us in moments:
        if at_us - before_us > step_us:
            covered_from_us = at_us - step_us
        before_us = at_us
    return covered_from_us
