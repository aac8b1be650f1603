"""Whose a device's values are, and by which way that is known: intervals, never a row a value.

A way speaks only if it names one encounter that is open at that moment. (1) A scan, or a person's act. (2) The bed, and
the sender's PID agrees. (3) The bed alone. (4) The PID alone, where the source says that it is trusted. Silence and
unknown numbers contradict nothing; a bed and a PID of different patients are a conflict. Nobody has a default patient.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import zip_longest

import msgspec

from clinical.association import Association, encounter_changes_us
from clinical.device import Device, DeviceBed, PidClaim
from clinical.encounter import Encounter, Stay
from clinical.identity import PidTrust
from clinical.patient_numbers import PatientNumbers
from clinical.timeline import Span, Timeline
from clinical.worklist import Item, ItemKind


class State(StrEnum):
    """What is known of the values of an interval."""

    ATTRIBUTED = "attributed"
    NOBODY = "nobody"
    CONFLICT = "conflict"  # bed and PID name different patients
    UNDECIDED = "undecided"  # a plan passed that nobody confirmed, or one visit has two patients


class Basis(StrEnum):
    """By which way an interval is somebody's."""

    SCAN = "scan"
    ACT = "act"  # a person said so
    BED_AND_PID = "bed+pid"
    BED = "bed"
    PID = "pid"
    NONE = ""


class Whose(msgspec.Struct, frozen=True, kw_only=True):
    """During [from, until) the device's values are that patient's; until None: still are."""

    device: str
    from_us: int
    until_us: int | None
    state: State
    encounter: str | None = None
    patient: str | None = None  # the survivor, as of the links that were given
    basis: Basis = Basis.NONE
    proposed: str | None = None  # an encounter to offer to a person, never given
    facts: tuple[bytes, ...] = ()  # messages and acts behind it


@dataclass
class Attribution:
    """Of one device."""

    whose: list[Whose] = field(default_factory=list)  # by time, without gaps from the first evidence on
    items: list[Item] = field(default_factory=list)


def attribute(
    device: Device,
    stays: Iterable[Stay],
    encounters: Mapping[str, Encounter],
    numbers: PatientNumbers,
    received_at_us: Mapping[bytes, int] | None = None,
) -> Attribution:
    """`stays`: all in the device's beds and of the encounters of its associations. `encounters`: those of the stays, of
    the associations, and of the patients that its claims name. `received_at_us`: of facts, to tell which of them a
    person's act knew; a fact that is not in it is taken for known."""
    evidence = _Evidence(device, list(stays), encounters, numbers, received_at_us or {})
    spans = [(span, evidence.answer(span.from_us)) for span in evidence.spans()]
    found = Attribution()
    for span, answer in _coalesced(spans):
        found.items += answer.items(device.id, span)
    for span, answer in _coalesced([(span, answer.without_question()) for span, answer in spans]):
        found.whose.append(
            Whose(
                device=device.id,
                from_us=span.from_us,
                until_us=span.until_us,
                state=answer.state,
                encounter=answer.encounter,
                patient=answer.patient,
                basis=answer.basis,
                proposed=answer.proposed,
                facts=answer.facts,
            )
        )
    return found


def unattended_items(whose: Iterable[Whose], measured_at_us: Sequence[int]) -> list[Item]:
    """A device that measures for nobody. `measured_at_us`: moments of values, in order; one a minute will do."""
    items = []
    for interval in whose:
        if interval.state is not State.NOBODY or interval.basis is not Basis.NONE:
            continue
        if interval.facts and interval.proposed is None:  # two in one bed: a question of its own
            continue
        measured = bisect_left(measured_at_us, interval.from_us)
        if measured == len(measured_at_us):
            continue
        first_us = measured_at_us[measured]
        if interval.until_us is not None and first_us >= interval.until_us:
            continue
        left = interval.proposed is not None
        items.append(
            Item(
                kind=ItemKind.DISCHARGED_STILL_MEASURING if left else ItemKind.NOBODY_IN_BED,
                subject=interval.device,
                since_us=first_us,
                announce_at_us=first_us,
                until_us=interval.until_us,
                facts=interval.facts,
                detail=interval.proposed or "",
            )
        )
    return items


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """For one moment."""

    state: State
    encounter: str | None = None
    patient: str | None = None
    basis: Basis = Basis.NONE
    proposed: str | None = None
    facts: tuple[bytes, ...] = ()
    question: ItemKind | None = None
    contradicted_by: tuple[bytes, ...] = ()

    def without_question(self) -> _Answer:
        return msgspec.structs.replace(self, question=None, contradicted_by=())

    def items(self, device: str, span: Span) -> list[Item]:
        if self.question is None:
            return []
        return [
            Item(
                kind=self.question,
                subject=device,
                since_us=span.from_us,
                announce_at_us=span.from_us,
                until_us=span.until_us,
                facts=self.facts + self.contradicted_by,
            )
        ]


def _coalesced(spans: list[tuple[Span, _Answer]]) -> list[tuple[Span, _Answer]]:
    """Neighbours with the same answer are one."""
    found: list[tuple[Span, _Answer]] = []
    for span, answer in spans:
        if found and found[-1][1] == answer:
            found[-1] = (Span(found[-1][0].from_us, span.until_us), answer)
        else:
            found.append((span, answer))
    return found


class _Occupancy(msgspec.Struct, frozen=True):
    """A stay, as long as the device stands at its bed."""

    stay: Stay
    placed: DeviceBed


@dataclass(frozen=True, kw_only=True)
class _Now:
    """What speaks at one moment beside an association."""

    placed: list[DeviceBed]
    occupants: list[_Occupancy]  # of the device's bed
    claims: list[PidClaim]
    scans: list[Association]
    places: list[Stay]  # of the encounters of all associations


class _Evidence:
    """What speaks for whom, at each moment in turn."""

    def __init__(
        self,
        device: Device,
        stays: list[Stay],
        encounters: Mapping[str, Encounter],
        numbers: PatientNumbers,
        received_at_us: Mapping[bytes, int],
    ) -> None:
        self._trusted = device.pid is PidTrust.TRUSTED
        self._numbers = numbers
        self._received_at_us = received_at_us
        self._patient_of = {key: numbers.patient_of(encounter) for key, encounter in encounters.items()}
        occupancies = [
            (max(stay.from_us, placed.from_us), _earlier(stay.until_us, placed.until_us), _Occupancy(stay, placed))
            for placed in device.beds
            for stay in stays
            if stay.bed == placed.bed
        ]
        occupancies = [o for o in occupancies if o[1] is None or o[1] > o[0]]
        claims = device.claims_that_count()
        named = {patient for claim in claims for patient in numbers.named_by(claim.patients)}
        of_device = {occupancy.stay.encounter for _, _, occupancy in occupancies}
        of_device |= {a.encounter for a in device.associations if a.encounter is not None}
        relevant = [e for e in encounters.values() if e.key in of_device or self._patient_of[e.key] in named]
        self._beds = Timeline((placed.from_us, placed.until_us, placed) for placed in device.beds)
        self._occupancies = Timeline(occupancies)
        associated = {association.encounter for association in device.associations}
        self._places = Timeline((s.from_us, s.until_us, s) for s in stays if s.encounter in associated)
        self._associations = Timeline(_in_force(device, stays, encounters, occupancies))
        self._claims = Timeline((claim.from_us, claim.until_us, claim) for claim in claims)
        self._open = Timeline((p.from_us, p.until_us, e.key) for e in relevant for p in e.periods)
        self._leaving = deque(sorted(((o[1], o[2]) for o in occupancies if o[1] is not None), key=lambda left: left[0]))
        self._last_left: _Occupancy | None = None

    def spans(self) -> list[Span]:
        """From one change of anything to the next; the last one has no end."""
        own = self._beds.cuts | self._associations.cuts | self._claims.cuts
        if not own:
            return []
        first = min(own)
        cuts = sorted(cut for cut in own | self._occupancies.cuts | self._places.cuts | self._open.cuts if cut >= first)
        return [Span(from_us, until_us) for from_us, until_us in zip_longest(cuts, cuts[1:])]

    def answer(self, at_us: int) -> _Answer:
        """At a moment that is not before the last one asked for."""
        placed = self._beds.at(at_us)
        occupants = [o for o in self._occupancies.at(at_us) if len(placed) == 1]
        claims = self._claims.at(at_us)
        opened = self._open.at(at_us)
        places = self._places.at(at_us)
        left = self._last_to_leave(at_us, placed)
        associations = sorted(self._associations.at(at_us), key=lambda a: a.rank, reverse=True)
        for association in associations:
            outranked = [other for other in associations if other.by_scan and other.encounter in opened]
            if association.encounter is None:
                return _nobody_s(association, outranked)
            if association.encounter in opened:
                now = _Now(placed=placed, occupants=occupants, claims=claims, scans=outranked, places=places)
                return self._by_association(association, association.encounter, now)
        if len({occupant.stay.encounter for occupant in occupants}) == 1:
            return self._by_bed(occupants[-1], claims)
        return self._without_bed(occupants, claims, opened, left)

    def _by_association(self, association: Association, encounter: str, now: _Now) -> _Answer:
        patient = self._patient_of.get(encounter)
        if patient is None:
            return _Answer(state=State.UNDECIDED, proposed=encounter, facts=(association.act,))
        if association.by_scan:
            contrary = self._other_patient(now, patient, known_until_us=None)
        else:
            contrary = self._other_patient(now, patient, association.recorded_at_us)
            contrary += self._elsewhere(now, encounter, association.recorded_at_us)
        question = ItemKind.SCAN_CONTRADICTED if association.by_scan else ItemKind.ACT_CONTRADICTED
        return _Answer(
            state=State.ATTRIBUTED,
            encounter=encounter,
            patient=patient,
            basis=Basis.SCAN if association.by_scan else Basis.ACT,
            facts=(association.act,),
            question=question if contrary else None,
            contradicted_by=tuple(contrary),
        )

    def _other_patient(self, now: _Now, patient: str, known_until_us: int | None) -> list[bytes]:
        """What names another patient; of an act, only what was not known when it was recorded."""
        contrary = []
        for occupant in now.occupants:
            if self._patient_of.get(occupant.stay.encounter) == patient:
                continue
            if known_until_us is None or self._known_at_us(occupant.stay, known_until_us) > known_until_us:
                contrary.append(occupant.stay.from_fact)
            elif occupant.placed.recorded_at_us > known_until_us:
                contrary.append(occupant.placed.act)
        for claim in now.claims:
            named = self._numbers.named_by(claim.patients)
            if named and named != {patient} and (known_until_us is None or claim.from_us > known_until_us):
                contrary.append(claim.fact)
        for scan in now.scans if known_until_us is not None else ():
            other = self._patient_of.get(scan.encounter or "")
            if other != patient and scan.recorded_at_us > (known_until_us or 0):
                contrary.append(scan.act)
        return contrary

    def _elsewhere(self, now: _Now, encounter: str, known_until_us: int) -> list[bytes]:
        """That the patient lies in another bed than the device's, where that was not known."""
        beds = {placed.bed for placed in now.placed}
        return [
            stay.from_fact
            for stay in now.places
            if beds and stay.encounter == encounter and stay.bed not in beds
            and self._known_at_us(stay, known_until_us) > known_until_us
        ]  # fmt: skip

    def _known_at_us(self, stay: Stay, otherwise_us: int) -> int:
        return self._received_at_us.get(stay.from_fact, otherwise_us)

    def _by_bed(self, occupant: _Occupancy, claims: list[PidClaim]) -> _Answer:
        encounter = occupant.stay.encounter
        patient = self._patient_of.get(encounter)
        facts = (occupant.placed.act, occupant.stay.from_fact)
        if patient is None:
            return _Answer(state=State.UNDECIDED, proposed=encounter, facts=facts)
        named = self._named_by(claims)
        if not named:
            return _Answer(state=State.ATTRIBUTED, encounter=encounter, patient=patient, basis=Basis.BED, facts=facts)
        claimed = tuple(claim.fact for claim in claims)
        if named != {patient}:
            return _Answer(state=State.CONFLICT, facts=facts + claimed, question=ItemKind.BED_AND_MONITOR_DISAGREE)
        return _Answer(
            state=State.ATTRIBUTED, encounter=encounter, patient=patient, basis=Basis.BED_AND_PID, facts=facts + claimed
        )

    def _without_bed(
        self, occupants: list[_Occupancy], claims: list[PidClaim], opened: list[str], left: _Occupancy | None
    ) -> _Answer:
        """Nobody is in the bed, or more than one."""
        named = self._named_by(claims)
        claimed = tuple(claim.fact for claim in claims)
        in_bed = {self._patient_of.get(occupant.stay.encounter) for occupant in occupants}
        if self._trusted and named:
            if in_bed and not named <= in_bed:
                facts = tuple(occupant.stay.from_fact for occupant in occupants) + claimed
                return _Answer(state=State.CONFLICT, facts=facts, question=ItemKind.BED_AND_MONITOR_DISAGREE)
            mine = {encounter for encounter in opened if self._patient_of.get(encounter) in named}
            if len(named) == 1 and len(mine) == 1:
                (patient,), (encounter,) = named, mine
                return _Answer(
                    state=State.ATTRIBUTED, encounter=encounter, patient=patient, basis=Basis.PID, facts=claimed
                )
        if occupants:
            return _Answer(state=State.NOBODY, facts=tuple(occupant.stay.from_fact for occupant in occupants))
        if left is None:
            return _Answer(state=State.NOBODY)
        facts = (left.stay.until_fact,) if left.stay.until_fact is not None else ()
        state = State.UNDECIDED if left.stay.until_planned else State.NOBODY
        return _Answer(state=state, proposed=left.stay.encounter, facts=facts)

    def _named_by(self, claims: list[PidClaim]) -> frozenset[str]:
        return self._numbers.named_by(number for claim in claims for number in claim.patients)

    def _last_to_leave(self, at_us: int, placed: list[DeviceBed]) -> _Occupancy | None:
        """The bed that the device stands at now; None: nobody left it since the device came."""
        while self._leaving and self._leaving[0][0] <= at_us:
            self._last_left = self._leaving.popleft()[1]
        return self._last_left if self._last_left is not None and self._last_left.placed in placed else None


def _nobody_s(association: Association, scans: list[Association]) -> _Answer:
    """As a person said; a scan that was not known then asks whether it still is so."""
    contrary = tuple(scan.act for scan in scans if scan.recorded_at_us > association.recorded_at_us)
    return _Answer(
        state=State.NOBODY, basis=Basis.ACT, facts=(association.act,), contradicted_by=contrary,
        question=ItemKind.ACT_CONTRADICTED if contrary else None,
    )  # fmt: skip


def _earlier(one: int | None, other: int | None) -> int | None:
    """Of two ends."""
    return min((end for end in (one, other) if end is not None), default=None)


def _in_force(
    device: Device,
    stays: list[Stay],
    encounters: Mapping[str, Encounter],
    occupancies: list[tuple[int, int | None, _Occupancy]],
) -> list[tuple[int, int | None, Association]]:
    """Each association, cut at the change of place that ends it."""
    in_force = []
    for association in device.associations:
        changes = device.changes_us() | set(device.scan_ends_us)
        if association.encounter is None:
            changes |= {cut for from_us, until_us, _ in occupancies for cut in (from_us, until_us) if cut is not None}
        elif association.encounter in encounters:
            changes |= encounter_changes_us(encounters[association.encounter], stays)
        span = association.in_force(changes, device.associations)
        in_force.append((span.from_us, span.until_us, association))
    return in_force
