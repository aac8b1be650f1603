"""Short ADT groups and facts for tests: seconds instead of instants, "1" for a bed."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import msgspec

from clinical.beds import BedRegistry, bed_key
from clinical.facts import AdtFact, make_fact
from clinical.identity import AdtSource
from clinical.stays import Stays, compute_stays, encounter_links, fact_items, patient_links
from clinical.worklist import Item, ItemKind
from schemas.adt import AdtGroup, Identifier, SentBed, Visit

BASE_US = 1_790_000_000_000_000  # 2026-09-21 14:13:20 UTC
SECOND_US = 1_000_000
MINUTE_S = 60
SOURCE = AdtSource(name="adt", authority="HOSP")
BEDS = [str(number) for number in range(1, 10)]


def us(second: float) -> int:
    """The instant of a second of the test."""
    return BASE_US + int(second * SECOND_US)


def key(bed: str) -> str:
    """Of bed "1" on the test's ward."""
    return bed_key(facility="h", ward="icu", bed=bed)


def visit_of(number: str) -> str:
    """The encounter key of PV1-19."""
    return f"visit:{number}^HOSP"


def patient_of(number: str) -> str:
    """The patient key of PID-3."""
    return f"{number}^HOSP^MR"


REGISTRY = BedRegistry([key(bed) for bed in BEDS], {"ICU^^+3床": "icu^^3"})


def number(value: str) -> Identifier:
    """A patient's own number."""
    return Identifier(value=value, type="MR")


def sent_bed(bed: str) -> SentBed | None:
    """ "" is no bed; "?" would be one that nobody registered."""
    return SentBed(ward="ICU", bed=bed) if bed else None


def group(
    event: str, at: float, *, visit: str = "V1", patient: str = "P1", bed: str = "1", prior: str = "",
    happened: float | None = None, sent: float | None = None, admitted: float | None = None,
    discharged: float | None = None, patient_class: str = "I", temporary: str = "", **other: Any,
) -> AdtGroup:  # fmt: skip
    """EVN-2 is `at`, EVN-6 `happened`, MSH-7 `sent` (else `at`), PV1-44 and -45 `admitted` and `discharged`."""
    made = AdtGroup(
        event=event, control="1", digest=b"", group=0, groups=1, facility="H", processing_id="P",
        sent_at_us=us(at if sent is None else sent), recorded_at_us=us(at),
        happened_at_us=None if happened is None else us(happened),
        patients=(number(patient),) if patient else (),
        visit=Visit(
            patient_class=patient_class, bed=sent_bed(bed), prior_bed=sent_bed(prior),
            temporary_bed=sent_bed(temporary), number=Identifier(value=visit) if visit else None,
            admitted_at_us=None if admitted is None else us(admitted),
            discharged_at_us=None if discharged is None else us(discharged),
        ),
    )  # fmt: skip
    made = msgspec.structs.replace(made, **other)
    if made.digest:
        return made
    return msgspec.structs.replace(made, digest=hashlib.sha256(msgspec.json.encode(made)).digest())


def fact_of(made: AdtGroup, *, source: AdtSource = SOURCE, received: float | None = None) -> AdtFact:
    """As it comes in at `received`; else when it was sent."""
    received_at_us = us(received) if received is not None else made.sent_at_us or BASE_US
    return make_fact(made, source, REGISTRY, received_at_us)


def fact(event: str, at: float, *, source: AdtSource = SOURCE, received: float | None = None, **fields: Any) -> AdtFact:
    """`group`, read."""
    return fact_of(group(event, at, **fields), source=source, received=received)


def swap(at: float, one: dict[str, str], other: dict[str, str]) -> list[AdtFact]:
    """An A17 with both groups."""
    digest = hashlib.sha256(repr((at, one, other)).encode()).digest()
    return [
        fact("A17", at, **fields, digest=digest, group=index, groups=2) for index, fields in enumerate((one, other))
    ]


Row = tuple[str, str, float, float | None]


def computed(*facts: AdtFact) -> Stays:
    """All that the facts come to."""
    stays = compute_stays(facts, patient_links(facts), encounter_links(facts))
    stays.items += [item for fact in dict.fromkeys(facts) for item in fact_items(fact)]
    return stays


def second(at_us: int) -> float:
    """Of an instant."""
    return (at_us - BASE_US) / SECOND_US


def rows(*facts: AdtFact) -> list[Row]:
    """(visit, bed, from, until), the same for each order of arrival."""
    results = []
    for arrival in itertools.islice(itertools.permutations(facts), 24):
        stays = computed(*arrival, arrival[0]).stays
        results.append(
            [
                (
                    stay.encounter.removeprefix("visit:").removesuffix("^HOSP"),
                    stay.bed[-1],
                    second(stay.from_us),
                    None if stay.until_us is None else second(stay.until_us),
                )
                for stay in stays
            ]
        )
    assert all(result == results[0] for result in results)
    return results[0]


def kinds(*facts: AdtFact) -> list[ItemKind]:
    """The questions that they raise."""
    return [item.kind for item in computed(*facts).items]


def item(kind: ItemKind, *facts: AdtFact) -> Item:
    """The one question of this kind."""
    (found,) = [item for item in computed(*facts).items if item.kind is kind]
    return found
