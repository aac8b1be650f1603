"""For any interleaving of values, late values, corrections, ADT and charting, the chart is that of a naive reading in
true order: each value by itself, whose it is as believed at the end, without windows, queues or versions."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import pytest

from clinical.chart import Status
from clinical.chart_policy import read_policies
from emr_store.instants import us_of
from schemas.report import Mark, device_id
from tests.adt import group, us, visit_of
from tests.charting import CLAIM, LATER, NO_MARKS, POLICIES, PULSE_ID, SPO2_ID, Ward, chart_all, pulse, spo2

OTHER = "adt/PV1-3=ICU^^2"
BEDS = {CLAIM: "ICU-1", OTHER: "ICU-2"}
SLOT_US, SPAN_S = 300_000_000, 1500
VISITS = ("V1", "V2", "V3")


@dataclass(frozen=True)
class Told:
    """What a device said: `order` is when it was stored."""

    claim: str
    at: float
    value: int
    marks: Mark
    is_pulse: bool
    order: int


def stories(chance: random.Random) -> list[Told]:
    """Values of two devices; some are corrected or taken back, and any may come late."""
    found: list[Told] = []
    for order in range(40):
        claim = chance.choice((CLAIM, OTHER))
        earlier = [told for told in found if not told.marks]
        if earlier and chance.random() < 0.2:
            meant = chance.choice(earlier)
            marks = chance.choice((Mark.CORRECTION, Mark.WITHDRAWAL))
            found.append(Told(meant.claim, meant.at, chance.randrange(80, 100), marks, meant.is_pulse, order))
            continue
        at = chance.randrange(0, SPAN_S)
        if any((told.claim, told.at) == (claim, at) for told in found):
            continue
        found.append(Told(claim, at, chance.randrange(80, 100), NO_MARKS, chance.random() < 0.3, order))
    return found


def moves(chance: random.Random) -> list[Callable[[Ward], None]]:
    """Admissions, transfers and discharges of three visits, told in no order."""
    told: list[Callable[[Ward], None]] = []
    for number in range(8):
        event = chance.choice(("A01", "A01", "A02", "A02", "A03"))
        visit, bed = chance.choice(VISITS), chance.choice("12")
        happened, sent = chance.randrange(-100, SPAN_S), 3000 + number

        def tell(ward: Ward, made: object = group(
            event, sent, visit=visit, patient=f"P{visit}", bed=bed, happened=happened
        )) -> None:  # fmt: skip
            ward.hospital.emit(made)  # type: ignore[arg-type]

        told.append(tell)
    return told


def emit(ward: Ward, told: Told) -> None:
    of = pulse if told.is_pulse else spo2
    made = of(told.at, told.value, told.claim)
    records = tuple(msgspec.structs.replace(record, marks=told.marks) for record in made.records)
    received_at_us = made.received_at_us + told.order * 1000  # what corrects comes later than what it corrects
    ward.emit(msgspec.structs.replace(made, records=records, received_at_us=received_at_us))


def naive(ward: Ward, told: list[Told]) -> dict[tuple[str, str, int], float]:
    """What stands by encounter, item and slot."""
    said: dict[tuple[str, float], list[Told]] = defaultdict(list)
    for each in sorted(told, key=lambda each: each.order):
        said[each.claim, each.at].append(each)
    owners = ward.store.rows(
        "SELECT device, lower(valid), upper(valid), encounter FROM whose WHERE upper_inf(recorded)"
        " AND encounter IS NOT NULL"
    )
    found: dict[tuple[str, str, int], tuple[int, float]] = {}
    for (claim, at), values in sorted(said.items(), key=lambda item: item[0][1]):
        last = values[-1]
        if last.marks & Mark.WITHDRAWAL:
            continue
        at_us = us(at)
        for device, since, until, encounter in owners:
            begins_us, ends_us = us_of(since) if since else 0, us_of(until) if until else 2**62  # type: ignore
            if device != device_id(claim) or not begins_us <= at_us < ends_us:
                continue
            item, slot = (PULSE_ID, at_us) if last.is_pulse else (SPO2_ID, (at_us // SLOT_US + 1) * SLOT_US)
            key = (str(encounter), item, slot)
            before = found.get(key)
            # Of two devices at one moment the smaller one's.
            if before is None or before[0] < at_us or str(device) < str(device_id(OTHER if claim == CLAIM else CLAIM)):
                found[key] = (at_us, float(last.value))
    return {key: value for key, (_, value) in found.items()}


def charted(ward: Ward) -> dict[tuple[str, str, int], float | None]:
    standing = {}
    for visit in VISITS:
        for entry in ward.entries(visit_of(visit)):
            if entry.now.status is not Status.ENTERED_IN_ERROR:
                key = (entry.key.encounter, entry.key.item, entry.key.at_us)
                assert key not in standing
                assert entry.now.status is Status.PRELIMINARY
                standing[key] = entry.now.value
    return standing


@pytest.mark.parametrize("seed", range(4))
def test_any_interleaving_ends_at_the_chart_of_the_true_order(database: str, seed: int) -> None:
    chance = random.Random(seed)
    ward = Ward(database, read_policies(POLICIES))
    for claim, bed in BEDS.items():
        ward.place(claim, bed)
    told = stories(chance)
    now = [0.0]

    def tell(each: Told) -> Callable[[], None]:
        return lambda: emit(ward, each)

    def work() -> None:
        now[0] += chance.randrange(0, 900)
        if chance.random() < 0.7:
            ward.hospital.attribute()
        ward.charter(lambda charter: chart_all(charter, us(min(now[0], LATER))))

    steps: list[Callable[[], None]] = [tell(each) for each in told]
    for move in moves(chance):
        steps.insert(chance.randrange(len(steps)), lambda move=move: move(ward))  # type: ignore[misc]
    for _ in range(8):
        steps.insert(chance.randrange(len(steps)), work)
    for step in steps:
        step()
    ward.chart()
    expected = naive(ward, told)
    assert charted(ward) == expected
    assert len(expected) > 3
    assert (
        ward.store.rows("SELECT FROM chart_late UNION ALL SELECT FROM chart_each UNION ALL SELECT FROM chart_whose")
        == []
    )
