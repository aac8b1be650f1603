"""The census: who a ward says is in which bed, as facts of a source of its own, and compared with what ADT says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from clinical.beds import BedRegistry, BedState
from clinical.facts import AdtFact, make_fact
from clinical.identity import AdtSource
from clinical.worklist import ItemKind
from schemas.adt import AdtGroup, Identifier, Person, SentBed, Visit
from schemas.errors import VitalwireError

ROWS_MAX = 10_000
SOURCE_PREFIX = "census:"  # and the name of the source by whose numbers it is read


class CensusRow(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the file as written; `admitted_at_us` None: not given."""

    line: int
    bed: str
    patient: str
    visit: str
    name: str
    admitted_at_us: int | None


class CensusEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A line as read: its fact, what that holds as sent, and the name, which stands apart."""

    line: int
    group: AdtGroup
    person: Person | None
    fact: AdtFact


class CensusReading(msgspec.Struct, frozen=True, kw_only=True):
    """How the lines of one file are read. `source` is the census's own; instants are microseconds since 1970 UTC."""

    source: AdtSource
    beds: BedRegistry
    bed_by_label: Mapping[str, str]
    digest: bytes  # SHA-256 of the file
    at_us: int  # when it was taken
    received_at_us: int


def census_source(source: AdtSource) -> AdtSource:
    """The source of a census whose numbers are those of this admission office."""
    return msgspec.structs.replace(source, name=SOURCE_PREFIX + source.name, processing_ids_live=("P",))


def read_rows(rows: Sequence[CensusRow], reading: CensusReading) -> list[CensusEntry]:
    """Raises VitalwireError, which names the line, where one is not clear: no part of the file counts then."""
    entries: list[CensusEntry] = []
    line_by_encounter: dict[str, int] = {}
    line_by_patient: dict[str, int] = {}
    for index, row in enumerate(rows):
        entry = _entry(row, index, len(rows), reading)
        assert entry.fact.encounter is not None
        first = line_by_encounter.setdefault(entry.fact.encounter, row.line)
        if first != row.line:
            raise VitalwireError(f"line {row.line}: the visit {row.visit} stands in line {first} too: leave one")
        first = line_by_patient.setdefault(entry.fact.patients[0], row.line)
        if first != row.line:
            raise VitalwireError(f"line {row.line}: the patient {row.patient} stands in line {first} too: leave one")
        entries.append(entry)
    return entries


def _entry(row: CensusRow, index: int, rows: int, reading: CensusReading) -> CensusEntry:
    for column, value in (("bed", row.bed), ("patient", row.patient), ("visit", row.visit)):
        if not value:
            raise VitalwireError(f"line {row.line}: {column} is empty: fill it in, or leave the line out")
    if row.admitted_at_us is not None and row.admitted_at_us > reading.at_us:
        raise VitalwireError(f"line {row.line}: admitted_at lies after the census: correct it, or say --at")
    group = AdtGroup(
        event="A01",
        control=f"line {row.line}",
        digest=reading.digest,
        group=index,
        groups=rows,
        processing_id="P",
        sent_at_us=reading.at_us,
        recorded_at_us=reading.at_us,
        patients=(_patient(row.patient, reading.source),),
        # What the ward says is where the patient is at the census, and not since when: the bed begins there.
        visit=Visit(
            patient_class="I",
            bed=_sent_bed(row.bed, reading.bed_by_label),
            number=Identifier(value=row.visit),
            admitted_at_us=row.admitted_at_us,
        ),
    )
    fact = make_fact(group, reading.source, reading.beds, reading.received_at_us)
    if fact.bed.state is not BedState.KNOWN:
        raise VitalwireError(
            f"line {row.line}: the bed {row.bed!r} is not registered: write the name or the location of a [[bed]]"
        )
    if fact.encounter is None:
        raise VitalwireError(
            f"line {row.line}: visit numbers of this source continue a number of type"
            f" {reading.source.visit_prefix_type}: write the patient as that number^authority^type"
        )
    person = Person(name=row.name) if row.name else None
    return CensusEntry(line=row.line, group=group, person=person, fact=fact)


def _patient(text: str, source: AdtSource) -> Identifier:
    """A number alone, or number^authority^type."""
    value, authority, kind, *_ = [*(part.strip() for part in text.split("^")), "", ""]
    return Identifier(value=value, authority=authority, type=kind or source.patient_type)


def _sent_bed(text: str, bed_by_label: Mapping[str, str]) -> SentBed:
    """By the bed's name, or as ward^room^bed^facility."""
    if text in bed_by_label:
        facility, ward, room, bed = bed_by_label[text].split("^")
    else:
        ward, room, bed, facility, *_ = [*text.split("^"), "", "", "", ""]
    return SentBed(ward=ward, room=room, bed=bed, facility=facility)


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Of an encounter, between the census and ADT; `detail` names the beds."""

    kind: ItemKind
    encounter: str
    detail: str


def compare(census: Mapping[str, str], adt: Mapping[str, str], loaded: Iterable[str] = ()) -> list[Difference]:
    """Both by encounter, with its bed's key. Only the wards that the census names are compared.

    `loaded`: encounters whose fact is new by this census, or not taken yet, of which ADT can say nothing.
    """
    wards = {_ward(bed) for bed in census.values()}
    untold = set(loaded)
    found = []
    for encounter, bed in sorted(census.items()):
        adt_bed = adt.get(encounter)
        if adt_bed == bed or encounter in untold:
            continue
        if adt_bed is None:
            found.append(Difference(kind=ItemKind.IN_CENSUS_NOT_IN_ADT, encounter=encounter, detail=bed))
        else:
            detail = f"{bed} / {adt_bed}"
            found.append(Difference(kind=ItemKind.CENSUS_NAMES_OTHER_BED, encounter=encounter, detail=detail))
    for encounter, bed in sorted(adt.items()):
        if encounter not in census and _ward(bed) in wards:
            found.append(Difference(kind=ItemKind.IN_ADT_NOT_IN_CENSUS, encounter=encounter, detail=bed))
    return found


def _ward(bed: str) -> tuple[str, ...]:
    """Facility and ward of a bed's key."""
    return tuple(bed.split("^")[:2])
