"""Device and encounter, as a scan or a person says, and how long that holds."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from clinical.encounter import Encounter, Stay
from clinical.timeline import Span


class Association(msgspec.Struct, frozen=True, kw_only=True):
    """A scan, or a person's act: device and encounter.

    Without an end it lasts until the next change of place of either, or until the device goes to another encounter.
    With an end, what changes after its recording cuts it. At what had changed before and was known it was cut when it
    was made (`first_change_us`); what becomes known later is contrary, and a question (`attribution`).
    """

    encounter: str | None  # None: a person says that the values are nobody's
    from_us: int
    until_us: int | None
    recorded_at_us: int
    act: bytes  # or the scan
    by_scan: bool

    @property
    def rank(self) -> tuple[bool, int, bytes]:
        """The highest counts: what a person says before a scan, of acts the one recorded last, of scans the last."""
        return not self.by_scan, self.from_us if self.by_scan else self.recorded_at_us, self.act

    def in_force(self, changes_us: Iterable[int], others: Iterable[Association]) -> Span:
        """`changes_us`: every change of place of the two. `others`: all associations of the device."""
        cuts_us = list(changes_us)
        first_us = self.from_us + 1
        if self.until_us is None:
            cuts_us += [other.from_us for other in others]
        else:
            cuts_us.append(self.until_us)
            first_us = max(first_us, min(self.recorded_at_us, self.until_us))
        return Span(self.from_us, min((cut_us for cut_us in cuts_us if cut_us >= first_us), default=None))


def first_change_us(span: Span, changes_us: Iterable[int]) -> int | None:
    """Where an act with an end is cut: at the first change of place within it; None: there is none that is known."""
    within = [
        at_us for at_us in changes_us if at_us > span.from_us and (span.until_us is None or at_us < span.until_us)
    ]
    return min(within, default=None)


def encounter_changes_us(encounter: Encounter, stays: Iterable[Stay]) -> set[int]:
    """When the encounter came into a bed, left one, or ended. `stays`: its own ones may be among others."""
    changes = {period.until_us for period in encounter.periods}
    for stay in stays:
        if stay.encounter == encounter.key:
            changes |= {stay.from_us, stay.until_us}
    return {change for change in changes if change is not None}
