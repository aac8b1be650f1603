"""Which slots a policy asks for: those that became due, those that a stretch of time touches, values of `each`."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from zlib import crc32

from clinical.chart import EntryKey, Measured
from clinical.chart_policy import DAY_MIN, DUE_AFTER_MIN, Each, OnDemand, Policies, Policy
from clinical.chart_slots import Slot, slots
from emr_store.chart_windows import Asked, WardStay, ward_during
from emr_store.rows import MINUTE_US

DAY_US = DAY_MIN * MINUTE_US
SPREAD_US = 5 * MINUTE_US  # the encounters' slots become due over this time, each at its own moment of it
_DAYS_KEPT = 400  # of slots, of all policies together


@dataclass(frozen=True)
class Task:
    """A slot to be charted by this policy."""

    asked: Asked
    policy: Policy

    @property
    def is_narrowed(self) -> bool:
        """Whether a part of what may stand in the slot is looked at."""
        return self.asked.from_us > self.whole().asked.from_us

    def whole(self) -> Task:
        """With all that may stand in the slot."""
        if isinstance(self.policy.when, Each):
            return self
        from_us = self.asked.until_us - self.policy.window_min * MINUTE_US
        return Task(self.asked._replace(from_us=from_us), self.policy)


def phase_us(encounter: str) -> int:
    """How much later than they are due this encounter's slots are charted, so that not all are at once."""
    return crc32(encounter.encode()) % (SPREAD_US // MINUTE_US * 60) * 1_000_000


@dataclass
class Plan:
    """A site's policies, and their slots by day, which take long to compute."""

    policies: Policies
    _days: dict[tuple[int, Policy], list[Slot]] = field(default_factory=dict)

    @property
    def metrics(self) -> frozenset[str]:
        """All that any ward charts."""
        return frozenset(policy.metric for policy in self.policies)

    @property
    def longest_window_us(self) -> int:
        """How long before a slot's end a value may have been measured, at the most."""
        return max((policy.window_min for policy in self.policies), default=0) * MINUTE_US

    def due(self, encounter: str, stays: Sequence[WardStay], after_us: int, until_us: int) -> Iterator[Task]:
        """The encounter's slots that became due in (after, until]."""
        waits_us = DUE_AFTER_MIN * MINUTE_US + phase_us(encounter)
        for policy in self.policies:
            for slot in self._slots(policy, after_us - waits_us, until_us - waits_us):
                yield from self._task(policy, encounter, stays, slot)

    def ending(self, encounter: str, stays: Sequence[WardStay], since_us: int, until_us: int) -> Iterator[Task]:
        """The encounter's slots that end in [since, until), whether or not they are due."""
        for policy in self.policies:
            for slot in self._slots(policy, since_us - 1, until_us - 1):
                yield from self._task(policy, encounter, stays, slot)

    def touched(
        self, encounter: str, stays: Sequence[WardStay], from_us: int, until_us: int, due_by_us: int
    ) -> Iterator[Task]:
        """The encounter's slots in which something of [from, until) may stand, and which were due by then."""
        waits_us = DUE_AFTER_MIN * MINUTE_US + phase_us(encounter)
        for policy in self.policies:
            last_us = min(until_us + policy.window_min * MINUTE_US, due_by_us - waits_us)
            for slot in self._slots(policy, from_us, last_us):
                if slot.from_us < until_us:
                    yield from self._task(policy, encounter, stays, slot)

    def at(self, key: EntryKey, stays: Sequence[WardStay]) -> Task | None:
        """The slot of this key; None: no policy has it."""
        for policy in self.policies:
            if policy.metric != key.item:
                continue
            if isinstance(policy.when, Each):
                of_each = self.of_each(key.encounter, stays, key.item, key.at_us)
                if of_each is not None:
                    return of_each
                continue
            for slot in self._slots(policy, key.at_us - 1, key.at_us):
                for task in self._task(policy, key.encounter, stays, slot):
                    return task
        return None

    def of_each(self, encounter: str, stays: Sequence[WardStay], metric: str, at_us: int) -> Task | None:
        """A value of this moment, where its ward charts each; None: it does not."""
        policy = self.policies.of(ward_during(stays, at_us, at_us + 1), metric)
        if policy is None or not isinstance(policy.when, Each):
            return None
        return Task(Asked(EntryKey(encounter, metric, at_us), at_us, at_us + 1), policy)

    def of_values(
        self, encounter: str, stays: Sequence[WardStay], values: Iterable[Measured]
    ) -> Iterator[Task]:  # fmt: skip
        """One for each moment of values that are charted at once."""
        for metric, at_us in sorted({(value.metric, value.observed_at_us) for value in values}):
            task = self.of_each(encounter, stays, metric, at_us)
            if task is not None:
                yield task

    def _task(self, policy: Policy, encounter: str, stays: Sequence[WardStay], slot: Slot) -> Iterator[Task]:
        ward = ward_during(stays, slot.from_us, slot.at_us)
        if self.policies.of(ward, policy.metric) is policy:
            yield Task(Asked(EntryKey(encounter, policy.metric, slot.at_us), slot.from_us, slot.at_us), policy)

    def _slots(self, policy: Policy, after_us: int, until_us: int) -> list[Slot]:
        """Those that end in (after, until]."""
        if isinstance(policy.when, Each | OnDemand) or until_us <= after_us:
            return []
        found: list[Slot] = []
        for day in range(after_us // DAY_US, until_us // DAY_US + 1):
            of_day = self._of_day(policy, day)
            found += of_day[bisect_right(of_day, after_us, key=_at) : bisect_right(of_day, until_us, key=_at)]
        return found

    def _of_day(self, policy: Policy, day: int) -> list[Slot]:
        key = day, policy
        if key not in self._days:
            if len(self._days) >= _DAYS_KEPT * max(1, len(self.policies.by_ward_and_metric)):
                self._days.clear()
            self._days[key] = slots(policy, self.policies.zone, day * DAY_US - 1, (day + 1) * DAY_US - 1)
        return self._days[key]


def _at(slot: Slot) -> int:
    return slot.at_us
