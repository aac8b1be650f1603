"""The ADT group: what one message of an admission office says of one patient (HL7 v2, chapter 3).

A message has a group for each PID (A17 has two). A group travels as one report of kind CONTEXT on the lane ADT, with a
text record ("vitalwire", `GROUP_CODE`) whose text is `encode_group`, and, where the message names the person, a second
one ("vitalwire", `PERSON_CODE`): facts hold identifiers, names stand apart and can be erased.

Instants are microseconds since 1970 UTC; None: not sent, or not readable. Text is as sent, HL7's escapes resolved and
trimmed; "" where nothing was sent. HL7's "" (delete) is `DELETED`.
"""

from __future__ import annotations

import msgspec

GROUP_CODE = "adt-group"
PERSON_CODE = "adt-person"
DELETED = '""'


class Identifier(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A CX: it is the same as another only where authority and type are."""

    value: str  # CX-1
    authority: str = ""  # CX-4, its components joined by "&" as sent
    type: str = ""  # CX-5


class SentBed(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A PL as sent: PL-1 point of care (ward), PL-2 room, PL-3 bed, PL-4 facility."""

    ward: str = ""
    room: str = ""
    bed: str = ""
    facility: str = ""


class Movement(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A ZBE segment (IHE PAM, ITI TF-2 3.31.5.6)."""

    ids: tuple[Identifier, ...] = ()  # ZBE-1
    start_us: int | None = None  # ZBE-2
    end_us: int | None = None  # ZBE-3
    action: str = ""  # ZBE-4: INSERT, UPDATE, CANCEL
    historic: bool = False  # ZBE-5
    original_event: str = ""  # ZBE-6
    ward: str = ""  # ZBE-7


class Merge(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A MRG segment: what is retired in favour of the group's own identifiers."""

    patients: tuple[Identifier, ...] = ()  # MRG-1
    account: Identifier | None = None  # MRG-3
    patient_id: Identifier | None = None  # MRG-4
    visit: Identifier | None = None  # MRG-5


class Visit(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A PV1 segment."""

    patient_class: str = ""  # PV1-2
    bed: SentBed | None = None  # PV1-3; None: empty
    prior_bed: SentBed | None = None  # PV1-6
    temporary_bed: SentBed | None = None  # PV1-11
    number: Identifier | None = None  # PV1-19
    admitted_at_us: int | None = None  # PV1-44
    discharged_at_us: int | None = None  # PV1-45


class AdtGroup(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One patient group of one ADT message. `digest` is the SHA-256 of the frame, all groups of it included."""

    event: str  # MSH-9.2, which beats EVN-1: "A01"
    control: str  # MSH-10: kept for people; it orders and identifies nothing
    digest: bytes
    group: int  # from 0
    groups: int  # of the message
    sender: str = ""  # MSH-3, MSH-4 joined by "|"
    facility: str = ""  # MSH-4.1: the part of a bed's key that PV1-3.4 leaves out
    processing_id: str = ""  # MSH-11.1
    sent_at_us: int | None = None  # MSH-7
    recorded_at_us: int | None = None  # EVN-2
    happened_at_us: int | None = None  # EVN-6
    planned_at_us: int | None = None  # EVN-3
    patients: tuple[Identifier, ...] = ()  # PID-3, then PID-2 and PID-4 where they add something
    account: Identifier | None = None  # PID-18
    visit: Visit | None = None  # None: no PV1
    movements: tuple[Movement, ...] = ()  # ZBE
    merges: tuple[Merge, ...] = ()  # MRG
    linked: tuple[Identifier, ...] = ()  # A24, A37: the other PID's identifiers, in the group of the first


class Person(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What may be erased: who the patient is to people."""

    family: str = ""  # PID-5.1
    given: str = ""  # PID-5.2
    name: str = ""  # the whole name as people write it, where family and given are not separated
    birth_date: str = ""  # PID-7 as sent, YYYY[MM[DD]]
    sex: str = ""  # PID-8


def encode_group(group: AdtGroup) -> str:
    """As JSON, members in the order of the struct, what is empty left out."""
    return msgspec.json.encode(group).decode()


def decode_group(text: str | bytes) -> AdtGroup:
    """Raises msgspec.ValidationError or msgspec.DecodeError."""
    return msgspec.json.decode(text, type=AdtGroup)


def encode_person(person: Person) -> str:
    """As JSON."""
    return msgspec.json.encode(person).decode()


def decode_person(text: str | bytes) -> Person:
    """Raises msgspec.ValidationError or msgspec.DecodeError."""
    return msgspec.json.decode(text, type=Person)
