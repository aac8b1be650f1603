"""The OBX of a message in order: under which patient and OBR they stand, and which of them are one report.

Segments are read as they come. PID begins a new patient, to whom nothing of the one before is lent; PV1 says where the
patient is from there on; OBR begins a new containment tree. What one device says of one kind at one moment under one
OBR is a report.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from adapters.formats.hl7_channels import ChannelEntry, Tree
from adapters.formats.hl7_observation import (
    NOTHING,
    OBX_FIELDS,
    Observation,
    Reading,
    observation_of,
    trimmed,
)
from adapters.formats.hl7_patients import FieldRule, Patient, device_claim, equipment_claim
from adapters.formats.hl7v2 import Hl7Message, Segment, Syntax
from adapters.site import Rows
from schemas.report import Kind

OBSERVATIONS_MAX = 4096  # of a source remembered; beyond it all are forgotten
CACHED_CHARS_MAX = 1_000  # of an OBX without its value: a longer one is not remembered
PLANS_MAX = 1024
CLAIMS_MAX = 2048
_NAME = re.compile(r"[A-Z][A-Z0-9]{2}")
_SECOND_HEADER = re.compile(r"MSH(?![A-Z0-9\s])")  # of another message, perhaps with separators of its own
_READ = ("OBX", "OBR", "PID", "PV1")
_TIME, _ANALYSIS_TIME = 14 - 6, 19 - 6  # OBX-14 and 19, counted from OBX-6


@dataclass(frozen=True, eq=False, slots=True)
class ObservationGroup:
    """Observations of one OBR that are one report: their kind, the device that they name ("": none), their places."""

    kind: Kind
    equipment: str
    entries: tuple[ChannelEntry, ...]
    places: tuple[int, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Plan:
    """How the OBX of one OBR fall into groups; it comes again with every message of the sender.

    `equipment` is each MDS with each device in it, `asks_neighbours` whether a value's is that of its
    neighbours, as long as they have one.
    """

    groups: tuple[ObservationGroup, ...]
    has_waves: bool
    equipment: tuple[tuple[str, str], ...] = ()
    asks_neighbours: bool = False


@dataclass(eq=False, slots=True)
class Order:
    """One OBR and the OBX under it, one after another: what they say, their values and times (OBX-14) as sent."""

    patient: Patient
    claim: str
    obr_7: str
    observations: list[Observation] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    times: list[str] = field(default_factory=list)
    notes: dict[int, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    obr_line: str = ""  # beside `lines`, where they are kept


@dataclass
class ObservationTable:
    """What the OBX of one source mean, and how they fall into groups, under one syntax."""

    observations: dict[tuple[str, str, str, str], Observation] = field(default_factory=dict)
    plans: dict[object, Plan] = field(default_factory=dict)
    claims: dict[tuple[str, str], str] = field(default_factory=dict)  # by the line that names it, and the connection

    waves: dict[tuple[Observation, str], Observation] = field(default_factory=dict)  # with the unit of a resolution

    def forget(self) -> None:
        """Everything; it is worked out anew."""
        self.observations.clear()
        self.plans.clear()
        self.waves.clear()


@dataclass
class Walk:
    """One pass over the segments of a message."""

    message: Hl7Message
    table: ObservationTable
    reading: Reading
    rows: Rows
    rule: FieldRule
    source_name: str
    by_connection: str
    remembered: dict[str, str]
    keep_lines: bool = False
    orders: list[Order] = field(default_factory=list)
    patients: list[tuple[Patient, str]] = field(default_factory=list)  # with the device that their own fields name
    unread: Counter[str] = field(default_factory=Counter)
    malformed: str = ""

    def __post_init__(self) -> None:
        self._patient, self._is_stated, self._is_placed = Patient(dict(self.remembered)), False, False
        self._rule_line, self._obr_7, self._obr_line = "", "", ""
        self._after_obx = False
        self._order: Order | None = None

    def run(self) -> None:
        """Fill `orders`, `patients`, `unread` (segments by name, "?" for none) and `malformed`."""
        separator = self.message.syntax.field
        obx = f"OBX{separator}"
        known = self.table.observations
        for line in self.message.lines[1:]:
            if not line.startswith(obx):
                self._other(line, line.partition(separator)[0])
                continue
            parts = line.split(separator, 6)
            if len(parts) < 7:
                parts += [""] * (7 - len(parts))
            _, _, kind, names, sub_id, value, rest = parts
            what = known.get((kind, names, sub_id, rest))
            time = ""
            if what is None:
                what, time = self._look(kind, names, sub_id, rest, separator)
            if what.node is not None and value.strip() in NOTHING:
                what = what.node
            order = self._order
            if order is None:
                order = self._begin_order()
            order.observations.append(what)
            order.values.append(value)
            order.times.append(time)
            if self.keep_lines:
                order.lines.append(line)
            self._after_obx = True
        self._end_patient()

    def _look(self, kind: str, names: str, sub_id: str, rest: str, separator: str) -> tuple[Observation, str]:
        """What the OBX says, and its own time, which is not among what is remembered of it."""
        fields = rest.split(separator)
        time = ""
        if len(fields) > _TIME:
            time, fields[_TIME] = fields[_TIME], ""
            if len(fields) > _ANALYSIS_TIME:
                fields[_ANALYSIS_TIME] = ""
            rest = separator.join(fields)
        key = (kind, names, sub_id, rest)
        table = self.table.observations
        what = table.get(key)
        if what is None:
            sent = ["OBX", "", kind, names, sub_id, "", *fields]
            sent += [""] * (OBX_FIELDS - len(sent))
            what = observation_of(sent, self.message.syntax, self.reading, self.rows.find)
            if len(table) >= OBSERVATIONS_MAX:
                self.table.forget()
            if sum(map(len, key)) <= CACHED_CHARS_MAX:
                table[key] = what
        return what, time

    def _other(self, line: str, name: str) -> None:
        if name == "NTE" and self._after_obx and self._order is not None:
            self._note(self._order, line)
            return
        self._after_obx = False
        lines = self._patient.lines
        if name == "PID":
            self._begin_patient({"PID": line}, placed=False)
            self._obr_7, self._obr_line, self._rule_line = "", "", ""
        elif name == "PV1":
            self._place(line)
        elif name == "OBR":
            lines.setdefault("OBR", line)
            fields = line.split(self.message.syntax.field, 8)
            self._obr_7, self._obr_line, self._order = fields[7] if len(fields) > 7 else "", line, None
        elif name == "ORC":
            lines.setdefault("ORC", line)
        else:
            self._count(line, name)
        if name == self.rule.segment:
            self._rule_line = line

    def _place(self, line: str) -> None:
        """The patient's place from here on: what was said before is of no place, or of the one before."""
        lines = {**self._patient.lines, "PV1": line}
        if not self._is_stated and self._is_another_place(line):
            self._patient.lines.clear()
        if self._is_placed or any(order.patient is self._patient for order in self.orders):
            self._begin_patient(lines, placed=True)
        else:
            self._patient.lines["PV1"] = line
            self._is_stated = self._is_placed = True
        self._order = None

    def _is_another_place(self, line: str) -> bool:
        """Whether an earlier message named another one: whom it named is not known to be here."""
        before = self._patient.lines.get("PV1")
        if before is None:
            return False
        earlier, now = (trimmed(self.message.segment(each).field(3), self.message.syntax) for each in (before, line))
        return earlier != now

    def _begin_patient(self, lines: dict[str, str], *, placed: bool) -> None:
        self._end_patient()
        self._patient, self._is_stated, self._is_placed = Patient(lines), True, placed

    def _note(self, order: Order, line: str) -> None:
        segment = self.message.segment(line)
        text = "\n".join(segment.field(3, 0, 0, n) for n in range(1, segment.repetitions(3) + 1))
        place = len(order.values) - 1
        if order.observations[place].is_bare_node:
            self.unread["segment:NTE"] += 1
        elif text:
            order.notes[place] = f"{order.notes[place]}\n{text}" if place in order.notes else text

    def _count(self, line: str, name: str) -> None:
        if _NAME.fullmatch(name):
            self.unread[f"segment:{name}"] += 1
            return
        self.unread["segment:?"] += 1
        word = name.strip(" \t\ufeff").upper()
        if word in _READ and word != name and self.message.syntax.field in line:
            self.malformed = self.malformed or word
        elif _SECOND_HEADER.match(word):
            self.malformed = self.malformed or "MSH"

    def _begin_order(self) -> Order:
        order = self._order = Order(self._patient, self._claim(), self._obr_7)
        if self.keep_lines:
            order.obr_line = self._obr_line
        self.orders.append(order)
        return order

    def _end_patient(self) -> None:
        """Of what an earlier message said nothing is said again."""
        if self._is_stated or any(order.patient is self._patient for order in self.orders):
            self.patients.append((self._patient, self._claim()))
        self._order = None

    def _claim(self) -> str:
        """The device by the sender's rule, as far as the segments up to here say it."""
        rule, message = self.rule, self.message
        if not rule.segment:
            return self.by_connection
        if rule.segment == "MSH":
            return device_claim(rule, Segment(message.msh, "MSH", message.syntax), self.source_name, self.by_connection)
        if rule.segment not in ("PID", "PV1"):
            return self._claim_of(self._rule_line)
        line = self._patient.lines.get(rule.segment, "")
        claim = self.table.claims.get((line, self.by_connection))
        if claim is None:
            claim = self._claim_of(line)
            if len(self.table.claims) >= CLAIMS_MAX:
                self.table.claims.clear()
            if len(line) <= CACHED_CHARS_MAX:
                self.table.claims[line, self.by_connection] = claim
        return claim

    def _claim_of(self, line: str) -> str:
        segment = self.message.segment(line) if line else None
        return device_claim(self.rule, segment, self.source_name, self.by_connection)


def plan_of(
    observations: Sequence[Observation],
    slots: Sequence[int],
    waves: frozenset[int],
    skipped: frozenset[int],
    *,
    by_equipment: str,
    stable_ordinals: bool,
    shared_mds: frozenset[str],
    kind: Kind | None = None,
) -> Plan:
    """The groups of one OBR. `slots` tell which OBX have one time (empty: all), `waves` those that are waves, `skipped`
    those that are said elsewhere. `by_equipment` is the source's name where OBX-18 names devices, "" where it does not.
    `shared_mds` are those in which no value is lent its neighbour's device. `kind` overrides that of metrics.
    """
    tree = Tree(observations, shared_mds)
    grouped: dict[tuple[Kind, str, int], list[int]] = {}
    entries: dict[int, ChannelEntry] = {}
    for place, what in enumerate(observations):
        if what.is_bare_node or place in skipped:
            continue
        its_kind = what.kind if kind is None else kind
        if place in waves:
            its_kind = Kind.WAVEFORM
        words, doubtful = tree.words_of(what, stable_ordinals=stable_ordinals)
        entries[place] = ChannelEntry(what, its_kind, what.code, words, doubtful)
        sent = tree.equipment_of(what) if by_equipment else ""
        equipment = equipment_claim(by_equipment, sent, what.syntax) if sent else ""
        grouped.setdefault((its_kind, equipment, slots[place] if slots else 0), []).append(place)
    groups = tuple(
        ObservationGroup(its_kind, equipment, tuple(entries[place] for place in places), tuple(places))
        for (its_kind, equipment, _), places in grouped.items()
    )
    named = [
        (mds, equipment_claim(by_equipment, sent, observations[0].syntax))
        for mds, sent in (tree.equipment_by_mds() if by_equipment else ())
    ]
    return Plan(groups, any(what.is_wave for what in observations), tuple(dict.fromkeys(named)), tree.asks_neighbours)


def time_slots(times: list[str]) -> tuple[int, ...]:
    """Which of an OBR's OBX have a time in common; () where none has one of its own."""
    if not any(times):
        return ()
    numbers: dict[str, int] = {"": 0}
    return tuple(numbers.setdefault(time, len(numbers)) for time in times)


@dataclass
class Tables:
    """The tables of one source, by syntax."""

    by_syntax: dict[Syntax, ObservationTable] = field(default_factory=dict)

    def of(self, syntax: Syntax) -> ObservationTable:
        """The table of messages that are written so."""
        table = self.by_syntax.get(syntax)
        if table is None:
            if len(self.by_syntax) >= 16:
                self.by_syntax.clear()
            table = self.by_syntax[syntax] = ObservationTable()
        return table

    def forget(self) -> None:
        """All of them."""
        self.by_syntax.clear()
