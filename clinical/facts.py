"""The ADT fact: what one group of one message says, in the keys of this site. A fact is never changed."""

from __future__ import annotations

import hashlib

import msgspec

from clinical.adt_events import ENDS, EVENTS, NEEDS_VISIT, Effect, Merged
from clinical.beds import Bed, BedRegistry
from clinical.identity import (
    AdtSource,
    Link,
    LinkKind,
    account_key,
    encounter_key,
    patient_key,
    patient_keys,
    sent,
    visit_key,
)
from schemas.adt import AdtGroup, Identifier

CLOCK_TOLERANCE_US = 5 * 60_000_000  # what lies further ahead of its own message is a plan
CLOCK_DIFFERENCE_MAX_US = 60_000_000  # between the sender's clock and ours, before people hear of it

Order = tuple[int, bool, int, bytes, int]


class AdtFact(msgspec.Struct, frozen=True, kw_only=True):
    """Instants are microseconds since 1970 UTC; None: not sent. The order of facts is `order`, never their arrival."""

    id: bytes
    source: str
    control: str  # MSH-10, for people
    digest: bytes  # SHA-256 of the frame
    group: int
    groups: int
    event: str
    effect: Effect
    live: bool  # False: a test or training message (MSH-11), without effect
    received_at_us: int  # by our clock: when we came to believe it
    sent_at_us: int | None  # MSH-7
    recorded_at_us: int | None  # EVN-2, else MSH-7
    happened_at_us: int | None  # where it stands in the order; None: it has no effect
    bed_ended_at_us: int | None = None  # A03: PV1-45 before EVN-2
    plan: bool = False  # it speaks of what is to come
    planned_at_us: int | None = None  # EVN-3
    cancels_at_us: int | None = None  # a cancel's EVN-6: when what it strikes happened
    movements: tuple[str, ...] = ()  # ZBE-1
    movement_action: str = ""  # ZBE-4
    patients: tuple[str, ...] = ()  # the patient's own number first
    encounter: str | None = None
    patient_class: str = ""  # PV1-2; "": not sent
    bed: Bed
    prior_bed: Bed
    temporary: bool = False  # PV1-11 was sent
    admitted_at_us: int | None = None  # PV1-44: the encounter's period, never a bed's start
    discharged_at_us: int | None = None  # PV1-45
    patient_links: tuple[Link, ...] = ()
    encounter_links: tuple[Link, ...] = ()
    unmatched_merge: bool = False  # an MRG-1 that no PID-3 is the survivor of
    a08_moves: bool = False

    @property
    def order(self) -> Order:
        """(happened, ends before begins, MSH-7, digest). Only of a fact with a time."""
        assert self.happened_at_us is not None
        return self.happened_at_us, self.effect not in ENDS, self.sent_at_us or 0, self.digest, self.group

    @property
    def clock_ahead_us(self) -> int:
        """By how much the sender's clock is surely ahead of ours; 0: it is not. Behind: sender_clock.py."""
        return max(0, (self.sent_at_us or 0) - self.received_at_us)

    @property
    def names_no_visit(self) -> bool:
        """It speaks of a visit and does not say which."""
        return self.effect in NEEDS_VISIT and self.encounter is None


class _LinkFact(msgspec.Struct, frozen=True):
    """The fact that links are of."""

    id: bytes
    at_us: int

    def link(self, retired: str, survivor: str, kind: LinkKind) -> Link:
        return Link(retired=retired, survivor=survivor, kind=kind, fact=self.id, at_us=self.at_us)


def fact_id(*, source: str, control: str, digest: bytes, group: int) -> bytes:
    """32 bytes. The same source, MSH-10 and bytes are one fact, however often they come."""
    hashed = hashlib.sha256(b"vitalwire adt fact\0")
    for part in (source.encode(), control.encode(), digest, group.to_bytes(4, "big")):
        hashed.update(len(part).to_bytes(4, "big") + part)
    return hashed.digest()


def make_fact(group: AdtGroup, source: AdtSource, beds: BedRegistry, received_at_us: int) -> AdtFact:
    """Never raises: what cannot be read has no effect, and `stays` says so."""
    row = EVENTS.get(group.event)
    effect = row.effect if row else Effect.NONE
    identity = fact_id(source=source.name, control=group.control, digest=group.digest, group=group.group)
    recorded_at_us = group.recorded_at_us if group.recorded_at_us is not None else group.sent_at_us
    happened_at_us, bed_ended_at_us, plan = _times(group, effect, recorded_at_us)
    encounter = encounter_key(group, source)
    visit = group.visit
    named_by = _LinkFact(id=identity, at_us=happened_at_us if happened_at_us is not None else received_at_us)
    patient_links, unmatched_merge = _patient_links(group, effect, source, named_by)
    return AdtFact(
        id=identity,
        source=source.name,
        control=group.control,
        digest=group.digest,
        group=group.group,
        groups=group.groups,
        event=group.event,
        effect=effect,
        live=group.processing_id in source.processing_ids_live,
        received_at_us=received_at_us,
        sent_at_us=group.sent_at_us,
        recorded_at_us=recorded_at_us,
        happened_at_us=happened_at_us,
        bed_ended_at_us=bed_ended_at_us,
        plan=plan,
        planned_at_us=group.planned_at_us,
        cancels_at_us=group.happened_at_us if effect is Effect.CANCEL else None,
        movements=tuple(patient_key(i, source) for movement in group.movements for i in movement.ids),
        movement_action=group.movements[0].action if group.movements else "",
        patients=patient_keys(group.patients, source),
        encounter=encounter,
        patient_class=visit.patient_class if visit else "",
        bed=beds.find(visit.bed if visit else None, group.facility),
        prior_bed=beds.find(visit.prior_bed if visit else None, group.facility),
        temporary=visit is not None and visit.temporary_bed is not None,
        admitted_at_us=visit.admitted_at_us if visit else None,
        discharged_at_us=visit.discharged_at_us if visit else None,
        patient_links=patient_links,
        encounter_links=_encounter_links(group, source, named_by),
        unmatched_merge=unmatched_merge,
        a08_moves=source.a08_moves,
    )


def _times(group: AdtGroup, effect: Effect, recorded_at_us: int | None) -> tuple[int | None, int | None, bool]:
    """When it happened; when the bed ended, if before that; whether it is a plan."""
    if effect is Effect.CANCEL:  # EVN-6 is the time of what it strikes
        return recorded_at_us, None, False
    started_at_us = group.movements[0].start_us if group.movements else None
    stated_at_us = started_at_us if started_at_us is not None else group.happened_at_us
    happened_at_us = stated_at_us if stated_at_us is not None else recorded_at_us
    if happened_at_us is None:
        return None, None, False
    discharged_at_us = group.visit.discharged_at_us if group.visit else None
    if effect is Effect.DISCHARGE and stated_at_us is None and discharged_at_us is not None:
        if discharged_at_us < happened_at_us:
            return happened_at_us, discharged_at_us, False
        if discharged_at_us > happened_at_us + CLOCK_TOLERANCE_US:
            return discharged_at_us, None, True
    reference_us = group.sent_at_us if group.sent_at_us is not None else recorded_at_us
    plan = reference_us is not None and happened_at_us > reference_us + CLOCK_TOLERANCE_US
    return happened_at_us, None, plan


def _patient_links(
    group: AdtGroup, effect: Effect, source: AdtSource, fact: _LinkFact
) -> tuple[tuple[Link, ...], bool]:
    """The links; and whether a retired number has no survivor of its type."""
    if effect in (Effect.LINK, Effect.UNLINK):
        kind = LinkKind.LINK if effect is Effect.LINK else LinkKind.UNLINK
        own, other = patient_keys(group.patients, source), patient_keys(group.linked, source)
        if not own or not other:
            return (), True
        return (fact.link(other[0], own[0], kind),), False
    if effect is not Effect.MERGE:
        return (), False
    retired = [number for merge in group.merges for number in merge.patients if sent(number)]
    links = []
    for number in retired:
        survivor = _survivor(number, group, source)
        if survivor is not None:
            key = patient_key(number, source)
            links.append(fact.link(key, survivor, LinkKind.MERGE))
    return tuple(links), not retired or len(links) < len(retired)


def _survivor(retired: Identifier, group: AdtGroup, source: AdtSource) -> str | None:
    """The number of PID-3 with the type of the retired one; where that has no type, the patient's own."""
    if not retired.type:
        own = patient_keys(group.patients, source)
        return own[0] if own else None
    same_type = [number for number in group.patients if number.type == retired.type and sent(number)]
    authority = retired.authority or source.authority
    same_authority = [number for number in same_type if (number.authority or source.authority) == authority]
    chosen = same_authority or same_type
    return patient_key(chosen[0], source) if chosen else None


def _encounter_links(group: AdtGroup, source: AdtSource, fact: _LinkFact) -> tuple[Link, ...]:
    merged = EVENTS[group.event].merges if group.event in EVENTS else ()
    visit = visit_key(group.visit.number, group.patients, source) if group.visit else None
    account = account_key(group.account, source)
    links = []
    for merge in group.merges:
        retired_visit = visit_key(merge.visit, group.patients, source)
        if Merged.VISIT in merged and retired_visit and visit:
            links.append(fact.link(retired_visit, visit, LinkKind.MERGE))
        retired_account = account_key(merge.account, source)
        if Merged.ACCOUNT in merged and retired_account and account:
            links.append(fact.link(retired_account, account, LinkKind.MERGE))
    return tuple(links)
