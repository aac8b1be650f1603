"""A store with an attributor for tests: ADT groups go in as an edge would send them, and what they come to is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from adapters.formats.hl7_patients import claimed_identifiers
from clinical.identity import PidTrust
from emr_store import attribution
from emr_store.attribution import Taken
from emr_store.attribution_site import AttributionSite
from schemas.adt import GROUP_CODE, PERSON_CODE, AdtGroup, Person, encode_group, encode_person
from schemas.report import AsSent, ClockQuality, Kind, Lane, Record, RecordKind, Report
from tests.adt import BEDS, REGISTRY, SOURCE, key
from tests.storing import Store

SITE = AttributionSite(
    read_identifiers=claimed_identifiers,
    sources={SOURCE.name: SOURCE},
    pid_trust={SOURCE.name: PidTrust.CONFIRMS},
    beds=REGISTRY,
    bed_by_label={f"ICU-{bed}": key(bed) for bed in BEDS},
)


def text_of(system: str, code: str, text: str) -> Record:
    return Record(kind=RecordKind.TEXT, text=text, as_sent=AsSent(system, code))


def adt_report(
    group: AdtGroup, *, source: str = SOURCE.name, received_us: int = 0, person: Person | None = None
) -> Report:
    """As the driver hl7_adt makes it."""
    at_us = group.recorded_at_us or group.sent_at_us or 0
    records = [text_of("vitalwire", GROUP_CODE, encode_group(group))]
    if person is not None:
        records.append(text_of("vitalwire", PERSON_CODE, encode_person(person)))
    return Report(
        Kind.CONTEXT, f"adt:{source}", at_us, at_us, ClockQuality.DEVICE, tuple(records),
        device_at_us=at_us, own_time=True, lane=Lane.ADT,
    )  # fmt: skip


class Hospital:
    """A store that is told what an admission office says."""

    def __init__(self, store: Store, site: AttributionSite = SITE) -> None:
        self.store, self.site = store, replace(site)  # which remembers facts of this store alone

    def emit(self, *groups: AdtGroup, person: Person | None = None) -> None:
        """Store these as one batch."""
        self.store.emit(*(adt_report(group, person=person) for group in groups), lane=Lane.ADT)

    def attribute(self) -> list[Taken]:
        """All that waits."""
        with self.store.kept() as conn, attribution.alone(conn) as held:
            assert held
            return attribute_all(conn, self.site)

    def emit_records(self, groups: Iterable[AdtGroup]) -> None:
        """One after the other, each taken at once."""
        for group in groups:
            self.emit(group)
            self.attribute()


def attribute_all(conn: object, site: AttributionSite) -> list[Taken]:
    taken: list[Taken] = []
    while not taken or taken[-1].worked:
        taken.append(attribution.take_chunk(conn, site))  # type: ignore[arg-type]
    return taken


def batches_of(groups: Sequence[AdtGroup], size: int) -> list[Sequence[AdtGroup]]:
    return [groups[start : start + size] for start in range(0, len(groups), size)]
