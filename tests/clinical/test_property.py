"""For any interleaving, delay and repetition, stays and attribution are those of a naive replay in true order."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from dataclasses import replace
from itertools import groupby, pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clinical.association import Association, encounter_changes_us, first_change_us
from clinical.attribution import Whose, attribute
from clinical.device import Device, DeviceBed, PidClaim
from clinical.facts import AdtFact
from clinical.identity import PidTrust
from clinical.patient_numbers import PatientNumbers
from clinical.stays import Stays, compute_stays, encounter_links, patient_links
from clinical.timeline import Span
from schemas.adt import Merge
from tests.adt import fact, key, number, patient_of, us, visit_of
from tests.naive_adt import LAST, PATIENT_OF, STRIKES, Hospital, Said, Scan, SentGroup

MOVES = ["A01", "A02", "A03", "A04", "A06", "A09", "A10", "A21", "A22"]
BEDS = st.sampled_from([0, 1, 1, 1, 2, 2, 3, 9])
SECONDS = st.integers(0, 100)
VISITS = st.sampled_from(list(PATIENT_OF))


@st.composite
def stories(draw: st.DrawFn) -> list[SentGroup]:
    """What was said, MSH-7 in no order. Many begin with admissions, so that something happens."""
    emitted: list[SentGroup] = []
    for _ in range(draw(st.integers(1, 12))):
        event = draw(st.sampled_from([*MOVES, "A01", "A01", "A02", "A03", "A17", "A40", *STRIKES]))
        at, sent = draw(SECONDS), 200 + len(emitted)
        one = SentGroup(event=event, visit=draw(VISITS), bed=draw(BEDS), at=at, recorded=at, sent=sent)
        if event in STRIKES:
            one = _cancel(draw, one, emitted)
        elif event == "A17":
            other = draw(VISITS.filter(lambda visit, mine=one.visit: visit != mine))  # type: ignore[misc]
            emitted.append(replace(one, visit=other, bed=draw(BEDS), swap_with=one.visit))
            one = replace(one, swap_with=other)
        elif event == "A40":
            one = replace(one, retired=draw(st.sampled_from([1, 2, 3])))
        elif draw(st.booleans()):
            one = replace(one, recorded=at + draw(st.integers(0, 30)))  # it was told later than it happened
        emitted.append(one)
    return emitted


def _cancel(draw: st.DrawFn, cancel: SentGroup, emitted: list[SentGroup]) -> SentGroup:
    """Mostly of something that was said."""
    meant = [s for s in emitted if s.event in STRIKES[cancel.event]]
    if not meant:
        return cancel
    struck = draw(st.sampled_from(meant))
    recorded = struck.recorded + draw(st.integers(0, 20))
    named = draw(st.sampled_from([None, struck.at, struck.recorded]))
    return replace(cancel, visit=struck.visit, at=recorded, recorded=recorded, struck_at=named)


def facts_of(emitted: list[SentGroup]) -> list[AdtFact]:
    facts = []
    for one in emitted:
        bed = {0: "", 9: "?"}.get(one.bed, str(one.bed))
        no_bed = one.event == "A11"  # its bed would only confirm
        happened = one.struck_at if one.event in STRIKES else one.at if one.at != one.recorded else None
        fields = {
            "visit": f"V{one.visit}", "patient": f"P{PATIENT_OF[one.visit]}", "bed": "" if no_bed else bed,
            "happened": happened, "sent": one.sent,
        }  # fmt: skip
        if one.swap_with is not None:
            digest = hashlib.sha256(str(one.sent).encode()).digest()
            group = int(one.visit > one.swap_with)
            facts.append(fact(one.event, one.recorded, **fields, digest=digest, group=group, groups=2))
        elif one.retired is not None:
            merges = (Merge(patients=(number(f"P{one.retired}"),)),)
            facts.append(fact(one.event, one.recorded, **fields, merges=merges))
        else:
            facts.append(fact(one.event, one.recorded, **fields))
    return facts


def arrivals(facts: list[AdtFact], seed: int) -> list[AdtFact]:
    """In any order, a third of them more than once."""
    chance = random.Random(seed)
    arrived = facts + [made for made in facts if chance.random() < 0.3]
    chance.shuffle(arrived)
    return arrived


def runs(values: list[int]) -> list[tuple[int, int, int | None]]:
    """(value, from, until) of equal neighbours."""
    found, second = [], 0
    for value, same in groupby(values):
        until = second + len(list(same))
        found.append((value, second, until if until <= LAST else None))
        second = until
    return found


def holds(from_us: int, until_us: int | None, second: int) -> bool:
    return from_us <= us(second) and (until_us is None or until_us > us(second))


@given(emitted=stories(), seed=st.integers(0, 2**32))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_stays_are_those_of_the_naive_replay(emitted: list[SentGroup], seed: int) -> None:
    facts = arrivals(facts_of(emitted), seed)
    computed = compute_stays(facts, patient_links(facts), encounter_links(facts))
    naive = Hospital(emitted)
    for second in range(LAST + 1):
        now = {s.encounter: s.bed for s in computed.stays if holds(s.from_us, s.until_us, second)}
        assert now == {visit_of(f"V{visit}"): key(str(bed)) for visit, bed in naive.in_bed(second).items()}
        opened = {
            encounter.key
            for encounter in computed.encounters.values()
            for period in encounter.periods
            if holds(period.from_us, period.until_us, second)
        }
        assert opened == {visit_of(f"V{visit}") for visit in naive.is_open(second)}
    by_time = compute_stays(facts_of(emitted), patient_links(facts_of(emitted)), encounter_links(facts_of(emitted)))
    assert computed.stays == by_time.stays
    assert computed.items == by_time.items


@given(emitted=stories())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_patient_s_encounters_need_no_other_patient_s_facts(emitted: list[SentGroup]) -> None:
    """But the other group of a swap. So a new fact costs what its patient's facts cost."""
    facts = facts_of(emitted)
    links = patient_links(facts), encounter_links(facts)
    whole = compute_stays(facts, *links)
    for patient in {links[0].find(made.patients[0]) for made in facts}:
        own = [made for made in facts if links[0].find(made.patients[0]) == patient]
        swapped = {made.digest for made in own if made.groups == 2}
        needed = own + [made for made in facts if made.digest in swapped and made not in own]
        expected = {made.encounter for made in own if made.encounter is not None}
        part = compute_stays(needed, *links, only=expected)
        assert part.stays == [stay for stay in whole.stays if stay.encounter in expected]
        assert part.encounters == {key: whole.encounters[key] for key in expected if key in whole.encounters}
        assert part.items == [item for item in whole.items if item.subject in expected]


@st.composite
def by_second(draw: st.DrawFn, values: list[int]) -> list[int]:
    """A value a second, that changes now and then."""
    cuts = sorted({0, *draw(st.lists(SECONDS, max_size=3)), LAST + 1})
    filled: list[int] = []
    for begin, end in pairwise(cuts):
        filled += [draw(st.sampled_from(values))] * (end - begin)
    return filled


@given(
    emitted=stories(),
    stood=by_second([1, 1, 2, 0]),
    shown=by_second([0, 1, 2, 3, 7]),
    scans=st.lists(st.builds(Scan, visit=VISITS, at=SECONDS), max_size=3, unique_by=lambda scan: scan.at),
    said=st.lists(
        st.builds(
            lambda visit, at, lasts: Said(visit=visit, at=at, until=at + lasts),
            st.sampled_from([0, *PATIENT_OF]),
            SECONDS,
            st.integers(1, 60),
        ),
        max_size=2,
    ),
    ends=st.lists(SECONDS, max_size=1),
    trusted=st.booleans(),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_attribution_is_that_of_the_naive_replay(
    emitted: list[SentGroup], stood: list[int], shown: list[int], scans: list[Scan], said: list[Said],
    ends: list[int], trusted: bool, seed: int,
) -> None:  # fmt: skip
    facts = arrivals(facts_of(emitted), seed)
    links = patient_links(facts)
    computed = compute_stays(facts, links, encounter_links(facts))
    placed = [
        DeviceBed(bed=key(str(bed)), from_us=us(begin), until_us=None if end is None else us(end), act=b"")
        for bed, begin, end in runs(stood)
        if bed
    ]
    device = Device(
        id="monitor",
        beds=placed,
        scan_ends_us=[us(end) for end in ends],
        associations=[
            *(act_of(one, number, computed, Device(id="monitor", beds=placed)) for number, one in enumerate(said)),
            *(
            Association(
                encounter=visit_of(f"V{scan.visit}"), from_us=us(scan.at), until_us=None, recorded_at_us=us(scan.at),
                act=b"", by_scan=True,
            )
            for scan in scans
            ),
        ],
        claims=[
            PidClaim(
                patients=(patient_of(f"P{patient}"),), from_us=us(begin), until_us=None if end is None else us(end),
                fact=b"",
            )
            for patient, begin, end in runs(shown)
            if patient
        ],
        pid=PidTrust.TRUSTED if trusted else PidTrust.CONFIRMS,
    )  # fmt: skip
    found = attribute(device, computed.stays, computed.encounters, PatientNumbers(facts, links)).whose
    naive = Hospital(emitted)
    known = {PATIENT_OF[s.visit] for s in emitted} | {s.retired for s in emitted if s.retired is not None}
    shown = [patient if patient in known else 0 for patient in shown]
    for second in range(LAST + 1):
        expected = naive.whose(second, stood=stood, shown=shown, scans=scans, trusted=trusted, said=said, ends=ends)
        assert answer(found, second) == (expected[0], expected[1] and visit_of(f"V{expected[1]}"))
        assert_right_patient(found, naive, second)


def act_of(said: Said, number: int, known: Stays, device: Device) -> Association:
    """Recorded when all else was known, and cut by what was."""
    encounter = visit_of(f"V{said.visit}") if said.visit else None
    changes = device.changes_us()
    if encounter in known.encounters:
        changes |= encounter_changes_us(known.encounters[encounter], known.stays)
    span = Span(us(said.at), us(said.until))
    return Association(
        encounter=encounter, from_us=span.from_us, until_us=first_change_us(span, changes) or span.until_us,
        recorded_at_us=us(LAST + 100 + number), act=bytes([number]), by_scan=False,
    )  # fmt: skip


def answer(found: list[Whose], second: int) -> tuple[str, str | None]:
    now = [interval for interval in found if holds(interval.from_us, interval.until_us, second)]
    if not now:
        return "nobody", None
    (interval,) = now
    return interval.basis or interval.state, interval.encounter


def assert_right_patient(found: list[Whose], naive: Hospital, second: int) -> None:
    for interval in found:
        if holds(interval.from_us, interval.until_us, second) and interval.encounter is not None:
            visit = int(interval.encounter.split(":")[1].split("^")[0].removeprefix("V"))
            assert interval.patient == patient_of(f"P{naive.patient(visit)}")


def test_the_stories_reach_each_answer() -> None:
    """A property over stories in which nothing happens would hold of anything."""
    reached: Counter[str] = Counter()

    @given(emitted=stories(), stood=by_second([1, 2]), shown=by_second([0, 1, 2]), trusted=st.booleans())
    @settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    def reach(emitted: list[SentGroup], stood: list[int], shown: list[int], trusted: bool) -> None:
        naive = Hospital(emitted)
        for second in range(0, LAST, 10):
            scans = [Scan(visit=1, at=50)]
            reached[naive.whose(second, stood=stood, shown=shown, scans=scans, trusted=trusted)[0]] += 1

    reach()
    assert reached.keys() == {"scan", "bed+pid", "bed", "pid", "conflict", "nobody"}
