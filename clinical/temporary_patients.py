"""A patient whom nobody can name (无名氏): put into a bed by an act, and linked later with who it turns out to be."""

from __future__ import annotations

import msgspec

from schemas.adt import AdtGroup, Identifier, Merge, SentBed, Visit

SOURCE_NAME = "act"  # of the facts that people make
AUTHORITY, NUMBER_TYPE = "vitalwire", "TEMPORARY"
NAME = "无名氏"


class Act(msgspec.Struct, frozen=True):
    """The act that facts are of: its id, and when it was done, in microseconds since 1970 UTC."""

    id: bytes
    at_us: int

    def group(self, event: str, index: int, groups: int) -> AdtGroup:
        """A group of it, that says nothing yet."""
        return AdtGroup(
            event=event, control=self.id.hex()[:12], digest=self.id, group=index, groups=groups, processing_id="P",
            sent_at_us=self.at_us, recorded_at_us=self.at_us,
        )  # fmt: skip


def temporary_number(value: str) -> Identifier:
    """The patient's; the visit's has the same."""
    return Identifier(value=value, authority=AUTHORITY, type=NUMBER_TYPE)


def admission(act: Act, value: str, bed: str, since_us: int) -> AdtGroup:
    """Of a temporary patient into a bed, by its key."""
    facility, ward, room, name = bed.split("^")
    return msgspec.structs.replace(
        act.group("A01", 0, 1),
        happened_at_us=since_us,
        patients=(temporary_number(value),),
        visit=Visit(
            patient_class="I",
            bed=SentBed(ward=ward, room=room, bed=name, facility=facility),
            number=Identifier(value=value, authority=AUTHORITY),
        ),
    )


def link_groups(act: Act, value: str, patient: str, visit: str | None) -> list[AdtGroup]:
    """That it is the patient of this key; and its visit the one of this key ("visit:..."), None: there is none yet."""
    number, authority, kind = patient.split("^", 2)
    own = (Identifier(value=number, authority=authority, type=kind),)
    groups = 1 if visit is None else 2
    linked = msgspec.structs.replace(
        act.group("A24", 0, groups), patients=own, linked=(temporary_number(value),)
    )  # fmt: skip
    if visit is None:
        return [linked]
    visit_number, visit_authority = visit.removeprefix("visit:").split("^", 1)
    continued = msgspec.structs.replace(
        act.group("A50", 1, groups),
        patients=own,
        visit=Visit(patient_class="I", number=Identifier(value=visit_number, authority=visit_authority)),
        merges=(Merge(visit=Identifier(value=value, authority=AUTHORITY)),),
    )
    return [linked, continued]
