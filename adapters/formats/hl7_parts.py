"""From one HL7 v2 message to its parts: the groups of its OBR with their moments, waves and alarms.

What is remembered of a source (`SourceMemory`) outlives its connections: what its OBX mean, its devices' channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from adapters.driver import Source
from adapters.formats.hl7_alarms import MessageAlarm, alarm_of
from adapters.formats.hl7_channels import ChannelEntry, Channels, KnownEquipment, Tree
from adapters.formats.hl7_clock import Clock
from adapters.formats.hl7_dialects import Dialect
from adapters.formats.hl7_episodes import episode_id, episode_of
from adapters.formats.hl7_groups import (
    PLANS_MAX,
    ObservationGroup,
    ObservationTable,
    Order,
    Plan,
    Tables,
    Walk,
    plan_of,
    time_slots,
)
from adapters.formats.hl7_observation import Observation, Reading, with_unit_field
from adapters.formats.hl7_patients import FieldRule, Patient, equipment_claim
from adapters.formats.hl7_remembered import RememberedRecords
from adapters.formats.hl7_shapes import Match, Shapes, has_shape
from adapters.formats.hl7_waves import Sent, Wave, waves_of
from adapters.formats.hl7v2 import Hl7Message
from adapters.formats.moments import StatedMoment
from adapters.site import Rows
from schemas.errors import FrameError
from schemas.report import Kind

DEVICES_MAX = 100  # in one message; each gets its context
ALARM = -1  # the place of an alarm among an OBR's OBX: it is none of them
PREFIX = "hl7 "  # of what is remembered of a connection
PATIENT = f"{PREFIX}patient"
LAST_MATCH = f"{PREFIX}shape"
ALARM_MESSAGE = "R40"  # MSH-9.2 of IHE PCD-04

Claims = list[tuple[Patient, str]]  # each patient with the devices of their values


@dataclass
class SourceMemory:
    """What is remembered of one source as long as the agent runs; every part of it is bounded."""

    dialect: Dialect
    rule: FieldRule
    by_equipment: str  # the source's name where OBX-18 names devices, "" where it does not
    reading: Reading
    rows: Rows
    tables: Tables = field(default_factory=Tables)
    devices: dict[str, Channels] = field(default_factory=dict)
    equipment: KnownEquipment = field(default_factory=KnownEquipment)
    shapes: Shapes = field(default_factory=Shapes)
    records: RememberedRecords = field(default_factory=RememberedRecords)

    def forget_meanings(self) -> None:
        """What OBX mean is worked out anew: a row of the site's mapping is not applied any more."""
        self.tables.forget()
        self.shapes.forget()
        for device in self.devices.values():
            device.resolved.clear()
            device.described_groups.clear()


@dataclass(eq=False, slots=True)
class Part:
    """A group of one OBR with its moment; and what cannot be read from its OBX alone."""

    order: Order
    group: ObservationGroup
    moment: StatedMoment
    waves: dict[int, Wave]
    alarm: MessageAlarm | None = None
    episode_id: str = ""  # of the alarm; "" where it has none


@dataclass(frozen=True)
class MessageContent:
    """What a message says: its parts, whose they are, and its segments that are not read, by name.

    `has_shape` is False where whose they are depends on the connection.
    """

    walk: Walk
    parts: list[Part]
    claims: Claims
    has_shape: bool = True


@dataclass
class PartsReader:
    """Reads one message of a source, from its segments."""

    message: Hl7Message
    source: Source[Any]
    memory: SourceMemory
    clock: Clock
    event: str  # MSH-9.2
    _has_shape: bool = True
    _learned_equipment: bool = False

    def read(self) -> MessageContent:
        """Everything that the message says; raises FrameError where it says nothing that can be read."""
        walk = self.walk()
        parts = self._parts_of(walk)
        self._count_notes(walk, parts)
        named = [patient for patient, _ in walk.patients if patient.is_named]
        if walk.malformed and (parts or named):
            raise FrameError("malformed-segment", f"{walk.malformed} is indented, or not in capitals")
        if not parts and not named and not self._may_say_nothing(walk):
            raise FrameError("no-observations", "no segment of it says anything that can be read")
        return MessageContent(walk, parts, self._claims(parts, walk), self._has_shape)

    def _may_say_nothing(self, walk: Walk) -> bool:
        dialect = self.memory.dialect
        if self.message.msh[10].strip() in dialect.heartbeats:
            return True
        return any(f"segment:{name}" in walk.unread for name in dialect.unread_waves)

    def _parts_of(self, walk: Walk) -> list[Part]:
        """All parts; once more where they taught that an MDS has several devices."""
        parts = [part for order in walk.orders for part in self._parts(order, walk.table)]
        if not self._learned_equipment:
            return parts
        self.memory.shapes.forget()
        return [part for order in walk.orders for part in self._parts(order, walk.table)]

    @staticmethod
    def _count_notes(walk: Walk, parts: list[Part]) -> None:
        """Notes on what is no record of its own: the facets of a wave or an alarm."""
        for order in walk.orders:
            if order.notes:
                noted = {place for part in parts if part.order is order for place in part.group.places}
                walk.unread["segment:NTE"] += len(order.notes.keys() - noted)

    def walk(self) -> Walk:
        """The segments in order; once more where that taught that a row of the site's mapping is ambiguous."""
        memory, message = self.memory, self.message
        while True:
            ambiguous = len(memory.rows.ambiguous)
            walk = Walk(
                message=message,
                table=memory.tables.of(message.syntax),
                reading=memory.reading,
                rows=memory.rows,
                rule=memory.rule,
                source_name=self.source.name,
                by_connection=self.source.claim(),
                remembered=self.source.memory.get(PATIENT, {}) if memory.dialect.remembers else {},
                keep_lines=self.event == ALARM_MESSAGE,
            )
            walk.run()
            if len(memory.rows.ambiguous) == ambiguous:
                return walk
            memory.forget_meanings()

    def _claims(self, parts: list[Part], walk: Walk) -> Claims:
        """Each patient with the devices of their values, or with the one that their own fields name."""
        found: dict[tuple[int, str], tuple[Patient, str]] = {}
        for patient, own_claim in walk.patients:
            claims = [p.group.equipment or p.order.claim for p in parts if p.order.patient is patient]
            for claim in claims or [own_claim]:
                found.setdefault((id(patient), claim), (patient, claim))
        if len({claim for _, claim in found.values()}) > DEVICES_MAX:
            raise FrameError("too-many-devices", f"more than {DEVICES_MAX}")
        return list(found.values())

    def _parts(self, order: Order, table: ObservationTable) -> Iterator[Part]:
        slots = time_slots(order.times)
        if self.event == ALARM_MESSAGE:
            yield from self._alarm_parts(order, slots)
            return
        equipment = self.memory.equipment
        shared_mds = equipment.shared_mds(order.claim)
        key = (tuple(order.observations), slots, shared_mds)
        plan = table.plans.get(key)
        if plan is None:
            plan = self._plan(order.observations, slots, shared_mds)
            if len(table.plans) >= PLANS_MAX:
                table.plans.clear()
            table.plans[key] = plan
        if equipment.learn(order.claim, plan.equipment):
            self._learned_equipment = True
        if plan.asks_neighbours and order.claim == self.source.claim():  # another connection may have several devices
            self._has_shape = False
        waves: dict[int, Wave] = {}
        if plan.has_waves:
            plan, waves = self._plan_with_waves(order, slots, table)
        for group in plan.groups:
            yield Part(order, group, self.clock.moment(order.obr_7, order.times[group.places[0]]), waves)

    def _plan(
        self, observations: Sequence[Observation], slots: Sequence[int], shared_mds: frozenset[str],
        waves: frozenset[int] = frozenset(), skipped: frozenset[int] = frozenset(), kind: Kind | None = None,
    ) -> Plan:  # fmt: skip
        memory = self.memory
        return plan_of(
            observations,
            slots,
            waves,
            skipped,
            by_equipment=memory.by_equipment,
            stable_ordinals=memory.dialect.stable_ordinals,
            shared_mds=shared_mds,
            kind=kind,
        )

    def _plan_with_waves(
        self, order: Order, slots: tuple[int, ...], table: ObservationTable
    ) -> tuple[Plan, dict[int, Wave]]:
        """A wave's unit may be that of its resolution; its facets are said with it."""
        waves, used = waves_of([Sent(*row) for row in zip(order.observations, order.values, strict=True)])
        observations = list(order.observations)
        for place, wave in waves.items():
            what = observations[place]
            if wave.unit_field != what.unit_field:
                key = (what, wave.unit_field)
                if key not in table.waves:
                    table.waves[key] = with_unit_field(what, wave.unit_field)
                observations[place] = table.waves[key]
        shared_mds = self.memory.equipment.shared_mds(order.claim)
        plan_key = (tuple(observations), slots, shared_mds, tuple(waves), tuple(sorted(used)))
        plan = table.plans.get(plan_key)
        if plan is None:
            plan = self._plan(observations, slots, shared_mds, frozenset(waves), frozenset(used))
            table.plans[plan_key] = plan
        return plan, waves

    def _alarm_parts(self, order: Order, slots: tuple[int, ...]) -> Iterator[Part]:
        """IHE PCD-04: the OBX of an OBR are one alarm. What is none of its facets is a record beside it."""
        segments = [self.message.segment(line) for line in order.lines]
        moments = [self.clock.moment(order.obr_7, time) for time in order.times]
        id_ = episode_id(self.message.segment(order.obr_line)) if order.obr_line else ""
        episode = episode_of(self.source, order.claim, id_)
        device_at_us = [moment.device_at_us for moment in moments]
        alarm = alarm_of(segments, order.observations, device_at_us, episode.record if episode else None)
        if alarm is None:
            shared_mds = self.memory.equipment.shared_mds(order.claim)
            for group in self._plan(order.observations, slots, shared_mds, kind=Kind.ALARM).groups:
                yield Part(order, group, moments[group.places[0]], {})
            return
        tree = Tree(order.observations)
        words, doubtful = tree.words_of(alarm.about, stable_ordinals=self.memory.dialect.stable_ordinals)
        words = replace(words, label=alarm.label)
        entries = [ChannelEntry(alarm.about, Kind.ALARM, alarm.metric, words, doubtful, alarm.alarm.condition)]
        places = [ALARM]
        for place, what in enumerate(order.observations):
            if place not in alarm.facets.places and not what.is_bare_node:
                own_words, own_doubtful = tree.words_of(what, stable_ordinals=self.memory.dialect.stable_ordinals)
                entries.append(ChannelEntry(what, Kind.ALARM, what.code, own_words, own_doubtful))
                places.append(place)
        name = self.memory.by_equipment
        sent = (tree.equipment_of(alarm.about) or tree.only_equipment()) if name else ""
        equipment = equipment_claim(name, sent, self.message.syntax) if sent else ""
        if not equipment and episode is not None:
            equipment = episode.equipment
        yield Part(
            order,
            ObservationGroup(Kind.ALARM, equipment, tuple(entries), tuple(places)),
            moments[alarm.event_place],
            {},
            alarm,
            id_,
        )


def parts_of_match(match: Match, clock: Clock, by_connection: str) -> tuple[list[Part], Claims] | None:
    """What a message of a known shape says; None where its times fall otherwise."""
    orders = match.orders(by_connection)
    if orders is None:
        return None
    parts = [
        Part(order, group, clock.moment(order.obr_7, order.times[group.places[0]]), {})
        for order, groups in orders
        for group in groups
    ]
    claims = [(patient, by_connection if claim is None else claim) for patient, claim in match.shape.claims]
    return parts, claims


def learn_shape(
    frame: bytes, message: Hl7Message, content: MessageContent, marks: int, memory: SourceMemory, by_connection: str
) -> None:
    """Remember the message's shape, where nothing of it depends on what changes."""
    if (
        not content.parts
        or not content.has_shape
        or memory.dialect.remembers
        or content.walk.keep_lines
        or not has_shape(memory.rule)
    ):
        return
    orders = [
        (order, tuple(part.group for part in content.parts if part.order is order)) for order in content.walk.orders
    ]  # fmt: skip
    memory.shapes.learn(frame, message, marks, orders, content.claims, content.walk.unread, by_connection)
