"""1,055 messages of 110 patients that nobody here wrote: each stay, each bed, each merge, each vital sign's owner."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import pytest

from benchmarks.simhospital import SIMHOSPITAL, Message, Naive, read_messages
from clinical.attribution import Whose, attribute
from clinical.beds import BedRegistry, bed_key
from clinical.device import Device, DeviceBed, PidClaim
from clinical.facts import AdtFact, make_fact
from clinical.identity import AdtSource, PidTrust, patient_keys
from clinical.patient_numbers import PatientNumbers
from clinical.stays import Stays, compute_stays, encounter_links, fact_items, merge_items, patient_links, shared_beds
from clinical.worklist import ItemKind

pytestmark = pytest.mark.skipif(not SIMHOSPITAL.exists(), reason="../shared/data is not beside this checkout")
SOURCE = AdtSource(name="ward", authority="SIM", patient_type="MRN", processing_ids_live=("P", "T"))
MICRO = 1_000_000
Owner = tuple[str, str | None]


class Ward:
    """The messages of a file, read once."""

    def __init__(self, name: str) -> None:
        self.name = name

    @cached_property
    def messages(self) -> list[Message]:
        return read_messages(SIMHOSPITAL / self.name)

    @cached_property
    def naive(self) -> Naive:
        return Naive(self.messages)

    @cached_property
    def beds(self) -> dict[str, str]:
        """Key -> the naive reader's ward/bed."""
        named = {}
        for message in self.messages:
            for sent, group in zip(message.adt_groups, message.groups, strict=True):
                for bed in (sent.visit.bed, sent.visit.prior_bed) if sent.visit else ():
                    if bed is not None and bed.bed:
                        key = bed_key(facility=bed.facility, ward=bed.ward, room=bed.room, bed=bed.bed)
                        named[key] = f"{bed.ward}/{bed.bed}"
                assert not group.bed or group.bed in named.values()
        return named

    @property
    def adt(self) -> list[Message]:
        return [message for message in self.messages if message.event.startswith("A")]

    @property
    def observations(self) -> list[Message]:
        return [message for message in self.messages if message.event == "ORU^R01"]


WARD, OTHER = Ward("ward.hl7"), Ward("messages.hl7")


@dataclass(frozen=True)
class Arrival:
    """A message and when it came, in seconds."""

    message: Message
    at: float


def in_time(messages: list[Message]) -> list[Arrival]:
    return [Arrival(message, message.sent or 0) for message in messages]


def shuffled(messages: list[Message], seed: int) -> list[Arrival]:
    """Each up to 60 s late; one in ten comes a second time."""
    chance = random.Random(seed)
    arrivals = [Arrival(m, (m.sent or 0) + chance.uniform(0, 60)) for m in messages]
    arrivals += [Arrival(a.message, a.at + chance.uniform(0, 60)) for a in arrivals if chance.random() < 0.1]
    return sorted(arrivals, key=lambda arrival: arrival.at)


def read(arrivals: list[Arrival], ward: Ward = WARD) -> list[AdtFact]:
    registry = BedRegistry(ward.beds)
    return [
        make_fact(group, SOURCE, registry, int(arrival.at * MICRO))
        for arrival in arrivals
        for group in arrival.message.adt_groups
    ]


def stays_of(facts: list[AdtFact]) -> Stays:
    return compute_stays(facts, patient_links(facts), encounter_links(facts))


def visit(encounter: str | None) -> str | None:
    return encounter.split(":")[1].split("^")[0] if encounter else None


def stay_rows(stays: Stays, ward: Ward = WARD) -> list[tuple[str | None, str, int, int | None]]:
    rows = [
        (visit(s.encounter), ward.beds[s.bed], s.from_us // MICRO, None if s.until_us is None else s.until_us // MICRO)
        for s in stays.stays
    ]
    return sorted(rows, key=str)


def owners(facts: list[AdtFact], seed: int | None = None, ward: Ward = WARD) -> dict[str, Owner]:
    """MSH-10 -> what is known of its values. A device is a bed (PV1-3), or the patient's where none is sent."""
    stays = stays_of(facts)
    numbers = PatientNumbers(facts, patient_links(facts))
    by_device: dict[str, list[Message]] = defaultdict(list)
    for message in ward.observations:
        by_device[message.groups[0].bed or message.groups[0].patient].append(message)
    keys = {name: key for key, name in ward.beds.items()}
    found = {}
    for name, messages in by_device.items():
        if seed is not None:
            random.Random(seed).shuffle(messages)
        claims = [
            PidClaim(
                patients=patient_keys(message.adt_groups[0].patients, SOURCE),
                from_us=(message.observed or 0) * MICRO + int(message.msh[9]),
                until_us=(message.observed or 0) * MICRO + int(message.msh[9]) + 1,
                fact=message.msh[9].encode(),
            )
            for message in messages
        ]
        placed = [DeviceBed(bed=keys[name], from_us=0, until_us=None, act=b"act")] if name in keys else []
        device = Device(id=name, beds=placed, claims=claims, pid=PidTrust.TRUSTED)
        attributed = attribute(device, stays.stays, stays.encounters, numbers)
        found |= {claim.fact.decode(): owner(attributed.whose, claim.from_us) for claim in claims}
    return found


def owner(whose: list[Whose], at_us: int) -> Owner:
    (interval,) = [w for w in whose if w.from_us <= at_us and (w.until_us is None or w.until_us > at_us)]
    return interval.basis or interval.state, visit(interval.encounter)


def test_the_input_is_what_it_is_known_to_be() -> None:
    assert (len(WARD.messages), len(WARD.observations)) == (1055, 607)
    cancels = [message for message in WARD.adt if message.evn[6]]
    assert sorted(Counter(message.event for message in cancels).items()) == [("A11", 6), ("A12", 13), ("A13", 13)]
    without_bed = [message for message in WARD.observations if not message.groups[0].bed]
    assert len(without_bed) == 58
    numbers = [int(message.msh[9]) for message in WARD.messages]
    assert sum(before > after for before, after in pairwise(numbers)) == 773  # MSH-10 orders nothing


def test_each_stay_and_each_bed_at_every_second() -> None:
    stays = stays_of(read(in_time(WARD.adt)))
    assert stay_rows(stays) == WARD.naive.stays()
    for second, expected in WARD.naive.beds_at.items():
        at_us = second * MICRO
        now = [s for s in stays.stays if s.from_us <= at_us and (s.until_us is None or s.until_us > at_us)]
        assert {visit(s.encounter): WARD.beds[s.bed] for s in now} == expected
        assert len(now) == len(expected)


def test_no_bed_ever_holds_two_and_without_departures_seven_would() -> None:
    assert shared_beds(stays_of(read(in_time(WARD.adt))).stays) == []
    facts = read(in_time([message for message in WARD.adt if message.event not in ("A09", "A10")]))
    assert len({item.subject for item in shared_beds(stays_of(facts).stays)}) == 7


def test_thirty_five_handovers_at_one_instant() -> None:
    stays = stays_of(read(in_time(WARD.adt))).stays
    handovers = [
        (before.bed, after.from_us)
        for before in stays
        for after in stays
        if before.until_us is not None and before.bed == after.bed and before.encounter != after.encounter
        and after.from_us == before.until_us
    ]  # fmt: skip
    assert len(handovers) == 35


def test_every_merge() -> None:
    facts = read(in_time(WARD.adt))
    links = patient_links(facts)
    merges = [(g.mrg[1].split("^")[0], g.patient) for m in WARD.adt for g in m.groups if g.mrg[1]]
    assert len(merges) == 11
    for retired, survivor in merges:
        assert links.find(f"{retired}^SIMULATOR MRN^MRN") == f"{survivor}^SIMULATOR MRN^MRN"
    assert merge_items(links) == []


def test_what_is_left_open_has_its_questions() -> None:
    facts = read(in_time(WARD.adt))
    stays = stays_of(facts)
    assert len([stay for stay in stays.stays if stay.until_us is None]) == 11
    assert stays.items == []
    assert Counter(item.kind for fact in facts for item in fact_items(fact)) == {ItemKind.NO_VISIT: 11}


def test_every_vital_sign_is_who_the_naive_reader_says() -> None:
    found = owners(read(in_time(WARD.adt)))
    assert len(found) == 607
    for message in WARD.observations:
        group = message.groups[0]
        expected = WARD.naive.owner(group.bed, group.patient, message.observed or 0)
        assert found[message.msh[9]] == expected
    assert Counter(basis for basis, _ in found.values()) == {"bed+pid": 514, "pid": 87, "nobody": 6}


@pytest.mark.parametrize(("cancel", "values", "basis"), [("A11", 6, "nobody"), ("A12", 26, "pid")])
def test_a_bed_that_was_cancelled_is_nobody_s(cancel: str, values: int, basis: str) -> None:
    """The sender named the bed in good faith; the transfer or the admission had never been."""
    cancelled = {
        (group.visit, message.evn[6], message.evn[2])
        for message in WARD.adt
        for group in message.groups
        if message.event == cancel
    }
    found = owners(read(in_time(WARD.adt)))
    bases = [
        found[message.msh[9]][0]
        for message in WARD.observations
        for number, begun, ended in cancelled
        if message.groups[0].visit == number and begun <= message.msh[6] <= ended
    ]
    assert bases == [basis] * values


def test_nothing_is_attributed_to_another_patient_than_the_sender_names() -> None:
    """The sender's PID is what its own program believed: the right answer, where there is one."""
    found = owners(read(in_time(WARD.adt)))
    for message in WARD.observations:
        attributed = found[message.msh[9]][1]
        if attributed is not None:
            named = WARD.naive.survivor(message.groups[0].patient)
            assert WARD.naive.survivor(WARD.naive.patient_of[attributed]) == named


@pytest.mark.parametrize("seed", range(4))
def test_shuffled_and_resent_it_is_the_same(seed: int) -> None:
    in_order, late = read(in_time(WARD.adt)), read(shuffled(WARD.adt, seed))
    assert len(late) > len(in_order) + 20
    expected, found = stays_of(in_order), stays_of(late)
    assert found.stays == expected.stays
    assert found.encounters == expected.encounters
    assert found.items == expected.items
    assert owners(late, seed) == owners(in_order)


def test_the_other_file_too() -> None:
    """506 messages: admissions, one merge, and nobody ever leaves."""
    facts = read(in_time(OTHER.adt), OTHER)
    stays = stays_of(facts)
    assert stay_rows(stays, OTHER) == OTHER.naive.stays()
    found = owners(facts, ward=OTHER)
    assert len(found) == len(OTHER.observations)
    for message in OTHER.observations:
        group = message.groups[0]
        assert found[message.msh[9]] == OTHER.naive.owner(group.bed, group.patient, message.observed or 0)
