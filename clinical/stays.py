"""From facts to stays: who was in which bed, computed anew from all facts of the encounters that a fact touches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from clinical.adt_events import EVENTS, Effect
from clinical.beds import Bed, BedState
from clinical.cancels import WAIT_US, strike
from clinical.encounter import Encounter, EncounterReplay, Stay
from clinical.facts import CLOCK_DIFFERENCE_MAX_US, AdtFact
from clinical.identity import LinkProblem, Links
from clinical.worklist import SHARED_BED_PATIENCE_US, Item, ItemKind

US_PER_SECOND = 1_000_000


@dataclass
class Stays:
    """What the facts come to."""

    stays: list[Stay] = field(default_factory=list)  # by (from, encounter)
    encounters: dict[str, Encounter] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)


def touched_by(fact: AdtFact) -> frozenset[str]:
    """The keys of the encounters that it names, retired ones too. The stays to compute anew are those of all encounters
    that have a patient in common with them, links considered."""
    linked = {key for link in fact.encounter_links for key in (link.retired, link.survivor)}
    return frozenset(linked | ({fact.encounter} if fact.encounter else set()))


def patient_links(facts: Iterable[AdtFact]) -> Links:
    """Of all facts that were known at the time of which the question is asked."""
    return Links(link for fact in _in_order(facts) if fact.live for link in fact.patient_links)


def encounter_links(facts: Iterable[AdtFact]) -> Links:
    """Likewise for visits and accounts."""
    return Links(link for fact in _in_order(facts) if fact.live for link in fact.encounter_links)


def first_of_each(facts: Iterable[AdtFact]) -> list[AdtFact]:
    """Of one that came more than once, what came first."""
    first: dict[bytes, AdtFact] = {}
    for fact in facts:
        known = first.get(fact.id)
        if known is None or fact.received_at_us < known.received_at_us:
            first[fact.id] = fact
    return sorted(first.values(), key=lambda fact: (fact.received_at_us, fact.id))


def compute_stays(
    facts: Iterable[AdtFact], patients: Links, encounters: Links, only: Collection[str] | None = None
) -> Stays:
    """`facts` in any order, resent ones too: all of each encounter that is touched, and of each other encounter of its
    patients; of a swap both groups. `only`: the encounters, by the keys that stand for them, that are wanted; of others
    not all facts need be there. Does not depend on arrival."""
    each_once = first_of_each(facts)
    live = [fact for fact in each_once if fact.live]
    stays = Stays()
    replay = _Replay(patients=patients, encounters=encounters, only=only)
    replay.strike(live)
    for fact in _in_order(live):
        if fact.encounter is not None and fact.happened_at_us is not None:
            replay.take(fact, fact.happened_at_us)
    replay.finish(stays)
    stays.stays.sort(key=lambda stay: (stay.from_us, stay.encounter))
    stays.items.sort(key=lambda item: (item.since_us, item.kind, item.subject, item.facts))
    return stays


def fact_items(fact: AdtFact) -> list[Item]:
    """What is to be said of a fact by itself, whatever the others say."""
    if not fact.live:
        return []
    kinds = []
    if fact.event not in EVENTS:
        kinds.append((ItemKind.UNKNOWN_EVENT, fact.event))
    if fact.effect is Effect.WORKLIST:
        kinds.append((ItemKind.FOR_A_PERSON, fact.event))
    if fact.happened_at_us is None and fact.effect is not Effect.NONE:
        kinds.append((ItemKind.NO_TIME, fact.event))
    if fact.effect is Effect.SWAP and fact.names_no_visit:
        kinds.append((ItemKind.SWAP_INCOMPLETE, ""))
    elif fact.names_no_visit:
        kinds.append((ItemKind.NO_VISIT, fact.event))
    if fact.unmatched_merge:
        kinds.append((ItemKind.UNMATCHED_MERGE, ""))
    if fact.clock_ahead_us > CLOCK_DIFFERENCE_MAX_US:
        kinds.append((ItemKind.CLOCK_AHEAD, str(fact.clock_ahead_us // US_PER_SECOND)))
    since_us = fact.happened_at_us if fact.happened_at_us is not None else fact.received_at_us
    subject = fact.encounter or next(iter(fact.patients), fact.source)
    return [
        Item(kind=kind, subject=subject, since_us=since_us, announce_at_us=since_us, facts=(fact.id,), detail=detail)
        for kind, detail in kinds
    ]


def shared_beds(stays: Iterable[Stay]) -> list[Item]:
    """Two in one bed is a truth, and a question. `stays`: all of the beds in question.

    Of several in one bed each is asked of with the one who came before: as many questions as patients too many, and not
    one of each pair, for a bed that nobody is ever discharged from fills up.
    """
    by_bed: dict[str, list[Stay]] = defaultdict(list)
    for stay in stays:
        by_bed[stay.bed].append(stay)
    return [item for in_bed in by_bed.values() for item in _shared(in_bed)]


def _shared(in_bed: list[Stay]) -> list[Item]:
    """Of one bed: through its arrivals and departures by time, the departures of an instant first."""
    in_order = sorted(in_bed, key=lambda stay: (stay.from_us, stay.encounter))
    changes = [(stay.from_us, True, place) for place, stay in enumerate(in_order)]
    changes += [(stay.until_us, False, place) for place, stay in enumerate(in_order) if stay.until_us is not None]
    before: dict[int, int | None] = {}  # those who are there, each with the one who came before
    after: dict[int, int | None] = {}
    since_us: dict[tuple[int, int], int] = {}
    last: int | None = None
    items: list[Item] = []
    for at_us, comes, place in sorted(changes):
        if comes:
            before[place], after[place] = last, None
            if last is not None:
                after[last], since_us[last, place] = place, at_us
            last = place
            continue
        previous, following = before.pop(place), after.pop(place)
        for pair in ((previous, place), (place, following)):
            if pair[0] is not None and pair[1] is not None:
                items.append(_shared_by(in_order[pair[0]], in_order[pair[1]], since_us.pop((pair[0], pair[1])), at_us))
        if previous is not None:
            after[previous] = following
        if following is not None:
            before[following] = previous
        else:
            last = previous
        if previous is not None and following is not None:
            since_us[previous, following] = at_us
    items += [_shared_by(in_order[one], in_order[other], at_us, None) for (one, other), at_us in since_us.items()]
    return [item for item in items if item.until_us is None or item.until_us > item.since_us]


def _shared_by(one: Stay, other: Stay, since_us: int, until_us: int | None) -> Item:
    return Item(
        kind=ItemKind.TWO_IN_ONE_BED,
        subject=one.bed,
        since_us=since_us,
        announce_at_us=since_us + SHARED_BED_PATIENCE_US,
        until_us=until_us,
        facts=(one.from_fact, other.from_fact),
    )


def merge_items(links: Links) -> list[Item]:
    """What is wrong with merges, for people."""
    return [_merge_item(problem) for problem in links.problems]


def _merge_item(problem: LinkProblem) -> Item:
    kind = ItemKind.REVERSED_MERGE if problem.reversed else ItemKind.CIRCULAR_MERGE
    link = problem.link
    return Item(kind=kind, subject=link.survivor, since_us=link.at_us, announce_at_us=link.at_us, facts=(link.fact,))


@dataclass
class _Replay:
    """All touched encounters together, since a swap and a change of class touch two."""

    patients: Links
    encounters: Links
    only: Collection[str] | None
    replays: dict[str, EncounterReplay] = field(default_factory=dict)
    struck: set[bytes] = field(default_factory=set)
    cancel_of: dict[bytes, list[bytes]] = field(default_factory=lambda: defaultdict(list))  # by the latest struck
    restored_bed: dict[bytes, str] = field(default_factory=dict)  # cancel -> the bed that it leads back to
    swaps: dict[tuple[str, bytes], list[AdtFact]] = field(default_factory=lambda: defaultdict(list))
    items: list[Item] = field(default_factory=list)

    def strike(self, live: list[AdtFact]) -> None:
        by_encounter: dict[str, list[AdtFact]] = defaultdict(list)
        for fact in live:
            if fact.effect is Effect.SWAP:
                self.swaps[fact.source, fact.digest].append(fact)
            if fact.encounter is not None:
                by_encounter[self.encounters.find(fact.encounter)].append(fact)
        for key, facts in by_encounter.items():
            strikes = strike(facts)
            self.struck |= strikes.by.keys()
            for cancel, struck in strikes.last_struck.items():
                self.cancel_of[struck].append(cancel)
            self.items += [_waiting_item(cancel, key) for cancel in strikes.waiting]

    def take(self, fact: AdtFact, at_us: int) -> None:
        assert fact.encounter is not None
        key = self.encounters.find(fact.encounter)
        replay = self.replays.setdefault(key, EncounterReplay(key))
        if fact.id in self.struck:
            replay.skip_struck(fact)
            for cancel in self.cancel_of.get(fact.id, ()):
                self.restored_bed[cancel] = replay.bed
            return
        replay.note(fact)
        if fact.effect is Effect.CANCEL:
            self._restore(replay, fact, at_us)
        elif fact.effect is Effect.CHANGE_CLASS and not fact.plan:
            self._change_class(replay, fact, at_us)
        elif fact.effect is Effect.SWAP and not fact.plan:
            self._swap(replay, fact, at_us)
        else:
            replay.apply(fact, at_us)
        replay.note_class(fact, at_us)

    def finish(self, stays: Stays) -> None:
        for replay in self.replays.values():
            if self.only is not None and replay.key not in self.only:
                continue
            encounter = replay.finish()
            if encounter.periods:
                stays.encounters[replay.key] = encounter
            stays.stays += replay.stays
            stays.items += replay.items
            patients = {self.patients.find(patient) for patient in encounter.patients}
            if len(patients) > 1 and encounter.periods:
                stays.items.append(_two_patients_item(encounter, sorted(patients)))
        stays.items += [item for item in self.items if self.only is None or item.subject in self.only]

    def _restore(self, replay: EncounterReplay, cancel: AdtFact, at_us: int) -> None:
        """A12 or A13 whose bed is not the one that the struck fact leaves: also a move, at the cancel's EVN-2."""
        if cancel.event not in ("A12", "A13") or cancel.id not in self.restored_bed or replay.has_ended:
            return
        if cancel.bed.state is not BedState.NONE and cancel.bed.key != self.restored_bed[cancel.id]:
            replay.move(cancel, at_us)

    def _swap(self, replay: EncounterReplay, fact: AdtFact, at_us: int) -> None:
        """Both groups at one instant, or nobody."""
        groups = self.swaps[fact.source, fact.digest]
        keys = {self.encounters.find(group.encounter) for group in groups if group.encounter is not None}
        if fact.groups == 2 and len(keys) == 2:
            replay.apply_swap(fact, at_us)
            return
        self.items.append(
            Item(
                kind=ItemKind.SWAP_INCOMPLETE,
                subject=replay.key,
                since_us=at_us,
                announce_at_us=at_us,
                facts=(fact.id,),
            )
        )

    def _change_class(self, replay: EncounterReplay, fact: AdtFact, at_us: int) -> None:
        """The same visit goes on; another one takes over the bed of the one that the patient had."""
        if replay.is_open or not fact.patients:
            replay.change_class(fact, fact.bed, at_us)
            return
        patient = self.patients.find(fact.patients[0])
        before = [
            other
            for other in self.replays.values()
            if other is not replay and other.is_open and other.bed and self.patients.find(other.patient) == patient
        ]
        named = [other for other in before if other.bed in (fact.prior_bed.key, fact.bed.key)]
        if len(named) == 1:
            before = named
        bed = fact.bed
        if len(before) == 1:
            if bed.state is BedState.NONE:
                bed = Bed(state=BedState.KNOWN, key=before[0].bed, as_sent="")
            before[0].close(fact.id, at_us)
        elif before:
            self.items.append(
                Item(
                    kind=ItemKind.CLASS_CHANGE_UNCLEAR,
                    subject=replay.key,
                    since_us=at_us,
                    announce_at_us=at_us,
                    facts=(fact.id,),
                )
            )
        replay.change_class(fact, bed, at_us)


def _in_order(facts: Iterable[AdtFact]) -> list[AdtFact]:
    """Without those that no time was sent of."""
    return sorted((fact for fact in facts if fact.happened_at_us is not None), key=lambda fact: fact.order)


def _waiting_item(cancel: AdtFact, encounter: str) -> Item:
    since_us = cancel.recorded_at_us or cancel.received_at_us
    return Item(
        kind=ItemKind.CANCEL_WAITS,
        subject=encounter,
        since_us=since_us,
        announce_at_us=since_us + WAIT_US,
        facts=(cancel.id,),
        detail=cancel.event,
    )


def _two_patients_item(encounter: Encounter, patients: list[str]) -> Item:
    since_us = encounter.periods[0].from_us
    return Item(
        kind=ItemKind.TWO_PATIENTS_IN_ONE_VISIT,
        subject=encounter.key,
        since_us=since_us,
        announce_at_us=since_us,
        facts=tuple(period.from_fact for period in encounter.periods),
        detail=", ".join(patients),
    )
