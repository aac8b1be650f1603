"""What an ADT message says of each of its patients (HL7 2.5.1 chapter 3; ZBE: IHE ITI TF-2 3.31.5.6).

A group is a PID and what follows it, up to the next PID: PV1, ZBE, MRG. A17 has two PID with a PV1 each, A18, A34 and
A40 a PID with its MRG, A45 one PID and several MRG, each with its PV1, which are a group each. The second PID of A24
and A37 names the same patient in other words: it is `linked`, and what follows it is not read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo

import msgspec

from adapters.formats.hl7_clock import stated_time
from adapters.formats.hl7v2 import Hl7Message, Segment, Syntax, unescape
from adapters.formats.moments import StatedMoment, instant_us, moment_of
from adapters.formats.values import printable
from schemas.adt import DELETED, Identifier, Merge, Movement, Person, SentBed, Visit
from schemas.errors import FrameError

GROUPS_MAX = 100  # in a message
LINKS = ("A24", "A37")
_BIRTH_DATE = re.compile(r"\d{4}(?:\d\d(?:\d\d)?)?", re.ASCII)
_IDEOGRAPHIC = "I"  # XPN-8, table 0465


@dataclass
class Group:
    """The segments of one group, as sent."""

    pid: Segment | None = None
    linked: list[Segment] = field(default_factory=list)
    pv1: Segment | None = None
    is_visit_of_merge: bool = False  # PV1 came after MRG
    zbe: list[Segment] = field(default_factory=list)
    mrg: list[Segment] = field(default_factory=list)


@dataclass
class Groups:
    """The groups of a message, in order, and which segments say something that is not read."""

    found: list[Group]
    evn: Segment | None
    unread: Counter[str]


def groups_of(message: Hl7Message, event: str) -> Groups:
    """A message without PID is one group; raises FrameError("too-many-groups")."""
    walk = _Walk(event)
    for segment in message.segments[1:]:
        walk.take(segment)
    if len(walk.groups) > GROUPS_MAX:
        raise FrameError("too-many-groups", f"more than {GROUPS_MAX} patients in a message")
    return Groups(walk.groups, walk.evn, walk.unread)


class _Walk:
    """The groups so far; the last is the one that segments belong to."""

    def __init__(self, event: str) -> None:
        self._event = event
        self.groups = [Group()]
        self.evn: Segment | None = None
        self.unread = Counter[str]()

    def take(self, segment: Segment) -> None:
        group = self.groups[-1]
        match segment.name:
            case "EVN" if self.evn is None:
                self.evn = segment
            case "PID" if group.pid is None:
                group.pid = segment
            case "PID" if self._event in LINKS:
                group.linked.append(segment)
            case "PID":
                self.groups.append(Group(pid=segment))
            case _ if group.linked:
                self._pass_over(segment)
            case "PV1" if group.pv1 is None:
                group.pv1, group.is_visit_of_merge = segment, bool(group.mrg)
            case "ZBE":
                group.zbe.append(segment)
            case "MRG" if group.is_visit_of_merge:  # A45
                self.groups.append(Group(pid=group.pid, mrg=[segment]))
            case "MRG":
                group.mrg.append(segment)
            case _:
                self._pass_over(segment)

    def _pass_over(self, segment: Segment) -> None:
        self.unread[f"segment:{printable(segment.name)[:3]}"] += 1


@dataclass(frozen=True)
class FieldReader:
    """Reads the fields of one message.

    `authority` is that of identifiers that state none; `zone` is the source's; `msh_7` and `evn_2` are these fields as
    sent, of which a time without an offset has its own.
    """

    syntax: Syntax
    zone: tzinfo | None
    received_at_us: int
    authority: str = ""
    msh_7: str = ""
    evn_2: str = ""

    # --- texts

    def text(self, sent: str) -> str:
        """Escapes resolved, without blanks around it; bytes that did not decode as `\\udcXX`."""
        text = unescape(sent, self.syntax) if self.syntax.escape in sent else sent
        return printable(text.strip()).replace("\0", "\N{REPLACEMENT CHARACTER}")  # of an escape; no database takes it

    def field_text(self, segment: Segment | None, number: int, component: int = 1) -> str:
        """A component of a field's first repetition."""
        if segment is None:
            return ""
        return self.text(self._component(self._sent(segment, number), component))

    def _sent(self, segment: Segment, number: int) -> str:
        """The first repetition of a field."""
        return _raw(segment, number).partition(self.syntax.repetition)[0]

    def _component(self, sent: str, component: int) -> str:
        parts = sent.split(self.syntax.component, component)
        return parts[component - 1] if component <= len(parts) else ""

    def _joined(self, sent: str) -> str:
        """A component with its subcomponents joined by "&", whatever joins them in this message."""
        parts = [self.text(part) for part in sent.split(self.syntax.subcomponent)]
        return "&".join(parts).rstrip("&")

    # --- identifiers

    def identifiers(self, segment: Segment | None, number: int) -> tuple[Identifier, ...]:
        """All repetitions of a CX."""
        sent = _raw(segment, number).split(self.syntax.repetition) if segment is not None else ()
        found = [self._identifier(each) for each in sent]
        return tuple(dict.fromkeys(each for each in found if each is not None))

    def identifier(self, segment: Segment | None, number: int) -> Identifier | None:
        """A CX that does not repeat."""
        return next(iter(self.identifiers(segment, number)), None)

    def patients(self, pid: Segment | None) -> tuple[Identifier, ...]:
        """PID-3, and PID-2 and PID-4 where they name an authority of their own, or where there is no PID-3.

        Without an authority, a number beside PID-3 could be another patient's PID-3.
        """
        found = self.identifiers(pid, 3)
        if not found:
            return tuple(dict.fromkeys(each for number in (2, 4) for each in self.identifiers(pid, number)))
        as_sent = replace(self, authority="")
        named = [each for number in (2, 4) for each in as_sent.identifiers(pid, number) if each.authority]
        return tuple(dict.fromkeys((*found, *named)))

    def _identifier(self, sent: str) -> Identifier | None:
        """None where CX-1 says nothing: a number that is deleted is nobody's."""
        value = self.text(self._component(sent, 1))
        if value in ("", DELETED):
            return None
        authority, kind = self._joined(self._component(sent, 4)), self.text(self._component(sent, 5))
        authority = self.authority if authority in ("", DELETED) else authority
        return Identifier(value, authority, "" if kind == DELETED else kind)

    # --- places, times

    def bed(self, segment: Segment, number: int) -> SentBed | None:
        """A PL; None where it names nothing."""
        sent = self._sent(segment, number)
        ward, room, place = (self._joined(self._component(sent, n)) for n in (1, 2, 3))
        facility = self.text(self._component(sent, 4).partition(self.syntax.subcomponent)[0])
        named = [text for text in (ward, room, place, facility) if text]
        if named and all(text == DELETED for text in named):
            return SentBed(ward=DELETED)
        found = SentBed(*("" if text == DELETED else text for text in (ward, room, place, facility)))
        return found if named else None

    def time(self, segment: Segment | None, number: int) -> str:
        """A time as sent, "" where it says nothing."""
        return stated_time(_raw(segment, number), self.syntax) if segment is not None else ""

    def instant_us(self, segment: Segment | None, number: int) -> int | None:
        """A time by itself; None where it is not sent or cannot be read."""
        return instant_us(self.time(segment, number), (self.evn_2, self.msh_7), self.zone)

    @property
    def sent_at_us(self) -> int | None:
        """MSH-7; None where it is not sent or cannot be read."""
        return instant_us(self.msh_7, (), self.zone)

    def happened(self, group: Group, evn: Segment | None) -> StatedMoment:
        """When it happened: ZBE-2, else EVN-6, else EVN-2, else MSH-7, else when it was received."""
        starts = [start for zbe in group.zbe if (start := self.time(zbe, 2))]
        levels = (
            ("ZBE-2", starts[0] if starts else ""),
            ("EVN-6", self.time(evn, 6)),
            ("EVN-2", self.evn_2),
            ("MSH-7", self.msh_7),
        )
        return moment_of(levels, self.zone, self.received_at_us)

    # --- segments

    def visit(self, pv1: Segment | None) -> Visit | None:
        """A PV1."""
        if pv1 is None:
            return None
        return Visit(
            patient_class=self.field_text(pv1, 2),
            bed=self.bed(pv1, 3),
            prior_bed=self.bed(pv1, 6),
            temporary_bed=self.bed(pv1, 11),
            number=self.identifier(pv1, 19),
            admitted_at_us=self.instant_us(pv1, 44),
            discharged_at_us=self.instant_us(pv1, 45),
        )

    def movement(self, zbe: Segment) -> Movement:
        """A ZBE."""
        return Movement(
            ids=self._entity_identifiers(zbe, 1),
            start_us=self.instant_us(zbe, 2),
            end_us=self.instant_us(zbe, 3),
            action=self.field_text(zbe, 4).upper(),
            historic=self.field_text(zbe, 5).upper() == "Y",
            original_event=self.field_text(zbe, 6).upper(),
            ward=self.field_text(zbe, 7) or self.field_text(zbe, 7, 10),  # XON: its name, else its identifier
        )

    def _entity_identifiers(self, segment: Segment, number: int) -> tuple[Identifier, ...]:
        """All repetitions of an EI: EI-1, and EI-2 to EI-4 as its authority."""
        found = []
        for sent in _raw(segment, number).split(self.syntax.repetition):
            value, *authority = [self.text(part) for part in sent.split(self.syntax.component)[:4]]
            if value not in ("", DELETED):
                found.append(Identifier(value, "&".join(authority).rstrip("&")))
        return tuple(found)

    def merge(self, mrg: Segment) -> Merge:
        """A MRG."""
        return Merge(
            patients=self.identifiers(mrg, 1),
            account=self.identifier(mrg, 3),
            patient_id=self.identifier(mrg, 4),
            visit=self.identifier(mrg, 5),
        )

    def person(self, pid: Segment | None) -> Person | None:
        """Who the patient is to people; None where nothing is said of it."""
        if pid is None:
            return None
        family, given = self._name(_raw(pid, 5).split(self.syntax.repetition))
        is_split = bool(family and given)
        birth_date = self.field_text(pid, 7)
        match = _BIRTH_DATE.match(birth_date)
        found = Person(
            family=family if is_split else "",
            given=given if is_split else "",
            name="" if is_split else family or given,
            birth_date=match[0] if match else DELETED if birth_date == DELETED else "",
            sex=self.field_text(pid, 8),
        )
        return found if any(msgspec.structs.astuple(found)) else None

    def _name(self, names: Sequence[str]) -> tuple[str, str]:
        """XPN-1.1 and XPN-2 of the name in ideographs, else of the first."""
        written = [each for each in names if self._component(each, 8).strip().upper() == _IDEOGRAPHIC]
        sent = (written or names)[0]
        family = self._component(sent, 1).partition(self.syntax.subcomponent)[0]
        return self.text(family), self.text(self._component(sent, 2))


def _raw(segment: Segment, number: int) -> str:
    """A field as sent."""
    return segment.fields[number] if number < len(segment.fields) else ""
