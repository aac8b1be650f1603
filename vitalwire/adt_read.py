"""What an ADT group says, in the words of HL7's fields: for `vitalwire edge read`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from schemas.adt import (
    GROUP_CODE,
    PERSON_CODE,
    AdtGroup,
    Identifier,
    Merge,
    Movement,
    Person,
    SentBed,
    Visit,
    decode_group,
    decode_person,
)

_JSON = json.JSONDecoder()


def adt_rows(texts: Mapping[str, str]) -> list[tuple[str, str]]:
    """Field and value of what the texts of a report say by their code: a group and a person, each with its note.

    What is empty is left out; nothing where there is no group among them.
    """
    rows: list[tuple[str, str]] = []
    for code, rows_of in ((GROUP_CODE, _group_rows), (PERSON_CODE, _person_rows)):
        if text := texts.get(code):
            _, end = _JSON.raw_decode(text)
            rows += [*rows_of(text[:end]), ("note", text[end:].removeprefix("; "))]
    return [(name, value) for name, value in rows if value]


def _group_rows(text: str) -> Iterator[tuple[str, str]]:
    return _group(decode_group(text))


def _person_rows(text: str) -> Iterator[tuple[str, str]]:
    return _person(decode_person(text))


def _group(group: AdtGroup) -> Iterator[tuple[str, str]]:
    yield "event", group.event
    yield "control id (MSH-10)", group.control
    yield "group", f"{group.group + 1} of {group.groups}" if group.groups > 1 else ""
    yield "sender (MSH-3|4)", group.sender
    yield "processing id (MSH-11)", group.processing_id
    yield "sent (MSH-7)", _instant(group.sent_at_us)
    yield "recorded (EVN-2)", _instant(group.recorded_at_us)
    yield "planned (EVN-3)", _instant(group.planned_at_us)
    yield "happened (EVN-6)", _instant(group.happened_at_us)
    yield "patient (PID-3)", _identifiers(group.patients)
    yield "linked (second PID-3)", _identifiers(group.linked)
    yield "account (PID-18)", _identifier(group.account)
    if group.visit is not None:
        yield from _visit(group.visit)
    for movement in group.movements:
        yield "movement (ZBE)", _movement(movement)
    for merge in group.merges:
        yield from _merge(merge)


def _visit(visit: Visit) -> Iterator[tuple[str, str]]:
    yield "class (PV1-2)", visit.patient_class
    yield "bed (PV1-3)", _bed(visit.bed)
    yield "prior bed (PV1-6)", _bed(visit.prior_bed)
    yield "temporary bed (PV1-11)", _bed(visit.temporary_bed)
    yield "visit (PV1-19)", _identifier(visit.number)
    yield "admitted (PV1-44)", _instant(visit.admitted_at_us)
    yield "discharged (PV1-45)", _instant(visit.discharged_at_us)


def _merge(merge: Merge) -> Iterator[tuple[str, str]]:
    yield "retired patient (MRG-1)", _identifiers(merge.patients)
    yield "retired account (MRG-3)", _identifier(merge.account)
    yield "retired patient id (MRG-4)", _identifier(merge.patient_id)
    yield "retired visit (MRG-5)", _identifier(merge.visit)


def _person(person: Person) -> Iterator[tuple[str, str]]:
    yield "name (PID-5)", person.name or f"{person.family}^{person.given}".strip("^")
    yield "birth date (PID-7)", person.birth_date
    yield "sex (PID-8)", person.sex


def _movement(movement: Movement) -> str:
    until = f" until {_instant(movement.end_us)}" if movement.end_us is not None else ""
    since = f" since {_instant(movement.start_us)}" if movement.start_us is not None else ""
    of = f" of {movement.original_event}" if movement.original_event else ""
    historic = ", historic" if movement.historic else ""
    ward = f", ward {movement.ward}" if movement.ward else ""
    return f"{movement.action} {_identifiers(movement.ids)}{of}{since}{until}{historic}{ward}".strip()


def _identifiers(identifiers: Iterable[Identifier]) -> str:
    return ", ".join(map(_identifier, identifiers))


def _identifier(identifier: Identifier | None) -> str:
    if identifier is None:
        return ""
    named = " ".join(filter(None, (identifier.authority, identifier.type)))
    return f"{identifier.value} ({named})" if named else identifier.value


def _bed(bed: SentBed | None) -> str:
    """As PL writes it."""
    return "" if bed is None else "^".join((bed.ward, bed.room, bed.bed, bed.facility)).rstrip("^")


def _instant(at_us: int | None) -> str:
    return "" if at_us is None else datetime.fromtimestamp(at_us / 1e6, UTC).isoformat()
