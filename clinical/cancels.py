"""What a cancel strikes. A cancel has no place in time of its own: the stays are made of what is left."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from clinical.adt_events import EVENTS, Effect
from clinical.beds import Bed, BedState
from clinical.facts import AdtFact

WAIT_US = 15 * 60_000_000  # for what a cancel names to arrive, before people hear of it


@dataclass
class Strikes:
    """Of the facts of one encounter."""

    by: dict[bytes, bytes] = field(default_factory=dict)  # fact -> the fact that strikes it
    last_struck: dict[bytes, bytes] = field(default_factory=dict)  # cancel -> the latest that it strikes
    waiting: list[AdtFact] = field(default_factory=list)  # cancels that strike nothing yet


def strike(facts: Iterable[AdtFact]) -> Strikes:
    """`facts`: all live ones of one encounter, each once, in any order."""
    by_recorded = sorted((fact for fact in facts if fact.recorded_at_us is not None), key=_recorded)
    strikes = Strikes()
    _strike_replaced_movements(by_recorded, strikes)
    candidates = _Candidates(by_recorded, strikes.by)
    for cancel in by_recorded:
        if cancel.effect is not Effect.CANCEL:
            continue
        struck = candidates.struck_by(cancel)
        for fact in struck:
            strikes.by[fact.id] = cancel.id
            strikes.last_struck[cancel.id] = fact.id
        if not struck:
            strikes.waiting.append(cancel)
    return strikes


def _recorded(fact: AdtFact) -> tuple[int, bool, int, bytes, int]:
    """A cancel comes after what was recorded in the same second."""
    recorded_at_us = fact.recorded_at_us or 0
    return recorded_at_us, fact.effect is Effect.CANCEL, fact.sent_at_us or 0, fact.digest, fact.group


def _strike_replaced_movements(by_recorded: list[AdtFact], strikes: Strikes) -> None:
    """ZBE-4 UPDATE says a movement anew: what was recorded of it before is struck (PAM 3.31.5.6)."""
    latest: dict[str, AdtFact] = {}
    for fact in by_recorded:
        if fact.effect is Effect.CANCEL:
            continue
        for movement in fact.movements:
            if movement in latest and fact.movement_action == "UPDATE":
                strikes.by.setdefault(latest[movement].id, fact.id)
            latest[movement] = fact


class _Candidates:
    """What cancels may strike, by what they name it with; each list in the order of recording."""

    def __init__(self, by_recorded: list[AdtFact], struck: Mapping[bytes, bytes]) -> None:
        self._struck = struck
        self._by_event: dict[str, list[AdtFact]] = defaultdict(list)
        self._by_time: dict[tuple[str, int | None], list[AdtFact]] = defaultdict(list)
        self._by_movement: dict[tuple[str, str], list[AdtFact]] = defaultdict(list)
        for fact in by_recorded:
            self._by_event[fact.event].append(fact)
            for at_us in {fact.happened_at_us, fact.recorded_at_us}:
                self._by_time[fact.event, at_us].append(fact)
            for movement in fact.movements:
                self._by_movement[fact.event, movement].append(fact)

    def struck_by(self, cancel: AdtFact) -> list[AdtFact]:
        """One fact, and those that say the same; in the order of recording."""
        kinds = EVENTS[cancel.event].strikes
        same_movement = [
            fact for kind in kinds for movement in cancel.movements for fact in self._by_movement[kind, movement]
        ]
        found = self._open_to(cancel, same_movement)
        if found:
            return found
        if cancel.cancels_at_us is not None:
            return self._open_to(cancel, [f for kind in kinds for f in self._by_time[kind, cancel.cancels_at_us]])
        latest = self._latest(cancel, kinds)
        if latest is None:
            return []
        same = self._by_time[latest.event, latest.happened_at_us]
        return [
            fact
            for fact in self._open_to(cancel, same)
            if fact.happened_at_us == latest.happened_at_us and fact.bed == latest.bed
        ]

    def _open_to(self, cancel: AdtFact, facts: Iterable[AdtFact]) -> list[AdtFact]:
        once = {fact.id: fact for fact in facts if self._is_open_to(cancel, fact)}
        return sorted(once.values(), key=_recorded)

    def _is_open_to(self, cancel: AdtFact, fact: AdtFact) -> bool:
        return fact.id not in self._struck and not _beds_disagree(cancel, fact)

    def _latest(self, cancel: AdtFact, kinds: tuple[str, ...]) -> AdtFact | None:
        """Recorded before the cancel; only where there is none, in the same second."""
        recorded_at_us = cancel.recorded_at_us or 0
        before: list[AdtFact] = []
        same_second: list[AdtFact] = []
        for kind in kinds:
            for fact in reversed(self._by_event[kind]):
                if (fact.recorded_at_us or 0) > recorded_at_us or not self._is_open_to(cancel, fact):
                    continue
                if fact.recorded_at_us != recorded_at_us:
                    before.append(fact)
                    break
                same_second.append(fact)
        return max(before or same_second, key=_recorded, default=None)


def _beds_disagree(cancel: AdtFact, fact: AdtFact) -> bool:
    """A11 names the bed of the admission; A12 the bed of the transfer in PV1-6, if it fills that."""
    if cancel.event == "A11":
        return _differ(cancel.bed, fact.bed)
    if cancel.event == "A12":
        return _differ(cancel.prior_bed, fact.bed)
    return False


def _differ(one: Bed, other: Bed) -> bool:
    return one.state is BedState.KNOWN and other.state is BedState.KNOWN and one.key != other.key
