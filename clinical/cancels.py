"""What a cancel strikes. A cancel has no place in time of its own: the stays are made of what is left."""

from __future__ import annotations

from collections.abc import Iterable
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
    for cancel in by_recorded:
        if cancel.effect is not Effect.CANCEL:
            continue
        struck = _struck_by(cancel, by_recorded, strikes)
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
    for index, update in enumerate(by_recorded):
        if update.movement_action != "UPDATE" or update.effect is Effect.CANCEL:
            continue
        for earlier in by_recorded[:index]:
            if earlier.effect is not Effect.CANCEL and set(earlier.movements) & set(update.movements):
                strikes.by.setdefault(earlier.id, update.id)


def _struck_by(cancel: AdtFact, by_recorded: list[AdtFact], strikes: Strikes) -> list[AdtFact]:
    """One fact, and those that say the same."""
    kinds = EVENTS[cancel.event].strikes
    candidates = [
        fact
        for fact in by_recorded
        if fact.event in kinds and fact.id not in strikes.by and not _beds_disagree(cancel, fact)
    ]
    same_movement = [fact for fact in candidates if set(fact.movements) & set(cancel.movements)]
    if same_movement:
        return same_movement
    if cancel.cancels_at_us is not None:
        return [fact for fact in candidates if cancel.cancels_at_us in (fact.happened_at_us, fact.recorded_at_us)]
    recorded_at_us = cancel.recorded_at_us or 0
    earlier = [fact for fact in candidates if (fact.recorded_at_us or 0) < recorded_at_us]
    same_second = [fact for fact in candidates if fact.recorded_at_us == recorded_at_us]
    latest = (earlier or same_second)[-1:]
    return [
        fact
        for fact in candidates
        for struck in latest
        if fact.event == struck.event and fact.happened_at_us == struck.happened_at_us and fact.bed == struck.bed
    ]


def _beds_disagree(cancel: AdtFact, fact: AdtFact) -> bool:
    """A11 names the bed of the admission; A12 the bed of the transfer in PV1-6, if it fills that."""
    if cancel.event == "A11":
        return _differ(cancel.bed, fact.bed)
    if cancel.event == "A12":
        return _differ(cancel.prior_bed, fact.bed)
    return False


def _differ(one: Bed, other: Bed) -> bool:
    return one.state is BedState.KNOWN and other.state is BedState.KNOWN and one.key != other.key
