"""What `verify` is asked, and what it answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from numpy.typing import NDArray

from evidence.verification import Finding, OutsideCheckpoint
from schemas.batch import Table

FINDINGS_MAX = 1000  # a store that is wrong everywhere is wrong enough
NUMBER_MIN, NUMBER_MAX = -(2**63), 2**63 - 1

# Flags, validation results and values of a table of reports, as this program validates them now.
Revalidate = Callable[[Table], tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]
# A table of reports as mapping acts (their canonical JSON, the oldest first) have it read: other codes, units, numbers.
# Raises LayoutError for an act that says no mapping.
Remap = Callable[[Table, Sequence[bytes]], Table]
# What is being looked at, how much of it is done, and of how much; None: nobody knows yet.
OnProgress = Callable[[str, int, int | None], None]


class Scope(NamedTuple):
    """Which part of the record is looked at; both None: all of it.

    `since`: what was stored from then on. `after`: what came into the log after this checkpoint.
    """

    since: datetime | None = None
    after: OutsideCheckpoint | None = None


@dataclass
class Verification:
    """What was looked at (`counts`, by the words of `PROVED`), what does not hold, and what is not proved.

    `emptied` batches have no bytes any more, and `dropped` reports no rows: retention took them.
    """

    counts: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    not_proved: list[str] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        """Whether so much is wrong that looking further says nothing new."""
        return len(self.findings) >= FINDINGS_MAX

    def add(self, where: str, *what: str) -> None:
        """Findings of one place."""
        self.findings += [Finding(where, each) for each in what]

    @property
    def seals(self) -> int:
        """Seals looked at."""
        return self.counts["seals"]

    @property
    def batches(self) -> int:
        """Batches looked at, with their bytes."""
        return self.counts["batches"]

    @property
    def reports(self) -> int:
        """Rows of `report` held against their batches."""
        return self.counts["report"]

    @property
    def values(self) -> int:
        """Records in the batches looked at."""
        return self.counts["values"]

    @property
    def dropped(self) -> int:
        """Reports whose rows retention took."""
        return self.counts["dropped"]

    @property
    def emptied(self) -> int:
        """Batches whose bytes retention took."""
        return self.counts["emptied"]
