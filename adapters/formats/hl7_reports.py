"""From one HL7 v2 message to its reports: contexts, descriptions, then what the devices say, in order.

What is remembered of a source (`SourceMemory`) outlives its connections: what its OBX mean, its devices' channels. What
was emitted is remembered with the connection, so that it is taken back where the frame could not be kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec.structs import replace

from adapters.driver import Source
from adapters.formats.hl7_alarms import DeviceAlarm, alarm_of
from adapters.formats.hl7_channels import Channel, Channels, Entry, Tree, channels_of
from adapters.formats.hl7_charset import printable
from adapters.formats.hl7_clock import Clock, Moment
from adapters.formats.hl7_dialects import Dialect
from adapters.formats.hl7_groups import PLANS_MAX, Group, Order, Plan, Rows, Table, Tables, Walk, plan_of, time_slots
from adapters.formats.hl7_observation import MARKS, Observation, Reading, record_of, with_unit_field
from adapters.formats.hl7_patients import FieldRule, Patient, context_of, equipment_claim, text_record
from adapters.formats.hl7_waves import Sent, Wave, waves_of
from adapters.formats.hl7v2 import Message
from schemas.errors import FrameError
from schemas.report import ClockQuality, Kind, Lane, Record, RecordKind, Report

DEVICES_MAX = 100  # in one message; each gets its context
MEMORY_MAX = 20_000  # things remembered of a connection; beyond it contexts and words are emitted once more
DESCRIBED_MAX = 2_000  # channels of a device
DESCRIBED_AT_ONCE_MAX = 500
EMITTED_MAX = 20_000
COUNTED_NAMES_MAX = 100
_ALARM = -1  # the place of an alarm among an OBR's OBX: it is none of them
_PREFIX = "hl7 "


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
    emitted: dict[str, dict[str, Any]] = field(default_factory=dict)  # by key: the connection's memory that holds it

    def forget_meanings(self) -> None:
        """What OBX mean is worked out anew: a row of the site's mapping is not applied any more."""
        self.tables.forget()
        for device in self.devices.values():
            device.resolved.clear()
            device.described_groups.clear()


@dataclass(eq=False, slots=True)
class Part:
    """A group of one OBR with its moment; and what cannot be read from its OBX alone."""

    order: Order
    group: Group
    moment: Moment
    waves: dict[int, Wave]
    alarm: DeviceAlarm | None = None


@dataclass
class Reader:
    """Reads one message of a source."""

    message: Message
    source: Source[Any]
    memory: SourceMemory
    marks: int  # of every record: TRAINING, or nothing
    event: str  # MSH-9.2

    def reports(self) -> list[Report]:
        """Everything that the message says; raises FrameError where it says nothing."""
        walk = self._walk()
        self._count(walk)
        self._clock = self._make_clock()
        parts = [part for order in walk.orders for part in self._parts(order, walk.table)]
        named = [(patient, claim) for patient, claim in walk.patients if patient.is_named]
        if walk.malformed and (parts or named):
            raise FrameError("malformed-segment", f"{walk.malformed} is indented, or not in capitals")
        if not parts and not named:
            if self.message.msh[10].strip() in self.memory.dialect.heartbeats:
                return []
            raise FrameError("no-observations", "no segment of it says anything that can be read")
        moments = self._moments(parts)
        claims = self._claims(parts, walk)
        self._remember_patient(walk)
        self._bound_memory()
        described: list[Report] = []
        told: list[Report] = []
        for (_, claim, _), same in moments.items():
            channels = self._resolve(claim, same, described)
            told += self._told(claim, same, channels)
        return [*self._contexts(claims), *self._ambiguous_rows(claims), *described, *told]

    def whole(self, msh_9: str, frame: bytes, lane: Lane) -> Report:
        """A message that is no observation, kept as it is."""
        walk = self._walk()
        self._count(walk)
        patient, claim = walk.patients[0] if walk.patients else (Patient(), self.source.claim())
        clock = self._make_clock()
        records = (text_record("MSH-9", printable(msh_9)), *context_of(patient, self.message.syntax))
        kept = self._report(Kind.CONTEXT, claim, clock.of_message, self._marked(records))
        return replace(kept, frame=frame, lane=lane)

    # --- what is said, and by whom

    def _walk(self) -> Walk:
        """The segments in order; once more where that taught that a row of the site's mapping is ambiguous."""
        memory, message = self.memory, self.message
        while True:
            memory.rows.changed = False
            walk = Walk(
                message=message,
                table=memory.tables.of(message.syntax),
                reading=memory.reading,
                rows=memory.rows,
                rule=memory.rule,
                source_name=self.source.name,
                by_connection=self.source.claim(),
                remembered=self.source.memory.get(f"{_PREFIX}patient", {}) if memory.dialect.remembers else {},
                keep_lines=self.event == "R40",
            )
            walk.run()
            if not memory.rows.changed:
                return walk
            memory.forget_meanings()

    def _count(self, walk: Walk) -> None:
        counts = self.source.counts
        for name, count in walk.unread.items():
            counts[name if name in counts or len(counts) < COUNTED_NAMES_MAX else "segment:?"] += count

    def _make_clock(self) -> Clock:
        source, msh = self.source, self.message.msh
        return Clock(
            msh[7] if len(msh) > 7 else "",
            self.message.syntax,
            source.time_zone,
            source.received_at_us,
            clockless=self.memory.dialect.clockless,
        )

    def _parts(self, order: Order, table: Table) -> Iterator[Part]:
        slots = time_slots(order.times)
        if self.event == "R40":
            yield from self._alert_parts(order, slots)
            return
        key = (tuple(order.observations), slots)
        plan = table.plans.get(key)
        if plan is None:
            plan = self._plan(order.observations, slots)
            if len(table.plans) >= PLANS_MAX:
                table.plans.clear()
            table.plans[key] = plan
        waves: dict[int, Wave] = {}
        if plan.has_waves:
            plan, waves = self._plan_with_waves(order, slots, table)
        for group in plan.groups:
            yield Part(order, group, self._clock.moment(order.obr_7, order.times[group.places[0]]), waves)

    def _plan(
        self, observations: Sequence[Observation], slots: Sequence[int], waves: frozenset[int] = frozenset(),
        skipped: frozenset[int] = frozenset(), kind: Kind | None = None,
    ) -> Plan:  # fmt: skip
        memory = self.memory
        return plan_of(
            observations,
            slots,
            waves,
            skipped,
            by_equipment=memory.by_equipment,
            stable_ordinals=memory.dialect.stable_ordinals,
            kind=kind,
        )

    def _plan_with_waves(self, order: Order, slots: tuple[int, ...], table: Table) -> tuple[Plan, dict[int, Wave]]:
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
        plan_key = (tuple(observations), slots, tuple(waves), tuple(sorted(used)))
        plan = table.plans.get(plan_key)
        if plan is None:
            plan = self._plan(observations, slots, frozenset(waves), frozenset(used))
            table.plans[plan_key] = plan
        return plan, waves

    def _alert_parts(self, order: Order, slots: tuple[int, ...]) -> Iterator[Part]:
        """IHE PCD-04: the OBX of an OBR are one alarm. What is none of its facets is a record beside it."""
        segments = [self.message.segment(line) for line in order.lines]
        moments = [self._clock.moment(order.obr_7, time) for time in order.times]
        alarm = alarm_of(segments, order.observations, [moment.device_at_us for moment in moments])
        if alarm is None:
            for group in self._plan(order.observations, slots, kind=Kind.ALERT).groups:
                yield Part(order, group, moments[group.places[0]], {})
            return
        tree = Tree(order.observations)
        words, doubtful = tree.words_of(alarm.about, stable_ordinals=self.memory.dialect.stable_ordinals)
        words = replace(words, label=alarm.label)
        entries = [Entry(alarm.about, Kind.ALERT, alarm.metric, words, doubtful, alarm.alarm.condition)]
        places = [_ALARM]
        for place, what in enumerate(order.observations):
            if place not in alarm.facets.places and not what.is_bare_node:
                own_words, own_doubt = tree.words_of(what, stable_ordinals=self.memory.dialect.stable_ordinals)
                entries.append(Entry(what, Kind.ALERT, what.code, own_words, own_doubt))
                places.append(place)
        name = self.memory.by_equipment
        sent = tree.equipment_of(alarm.about) if name else ""
        equipment = equipment_claim(name, sent, self.message.syntax) if sent else ""
        yield Part(
            order, Group(Kind.ALERT, equipment, tuple(entries), tuple(places)), moments[alarm.event_place], {}, alarm
        )

    def _moments(self, parts: list[Part]) -> dict[tuple[Kind, str, int], list[Part]]:
        """What one device says of one kind at one moment, under whatever OBR and patient."""
        moments: dict[tuple[Kind, str, int], list[Part]] = {}
        for part in parts:
            claim = part.group.equipment or part.order.claim
            moments.setdefault((part.group.kind, claim, part.moment.at_us), []).append(part)
        return moments

    # --- patients and devices

    def _claims(self, parts: list[Part], walk: Walk) -> list[tuple[Patient, str]]:
        """Each patient with the devices of their values, or with the one that their own fields name."""
        found: dict[tuple[int, str], tuple[Patient, str]] = {}
        for patient, own_claim in walk.patients:
            claims = [p.group.equipment or p.order.claim for p in parts if p.order.patient is patient]
            for claim in claims or [own_claim]:
                found.setdefault((id(patient), claim), (patient, claim))
        if len({claim for _, claim in found.values()}) > DEVICES_MAX:
            raise FrameError("too-many-devices", f"more than {DEVICES_MAX}")
        return list(found.values())

    def _remember_patient(self, walk: Walk) -> None:
        remembers = self.memory.dialect.remembers
        if remembers and walk.patients:
            lines = walk.patients[-1][0].lines
            self.source.memory[f"{_PREFIX}patient"] = {name: lines[name] for name in remembers if name in lines}

    def _bound_memory(self) -> None:
        memory = self.source.memory
        if len(memory) > MEMORY_MAX:
            for key in [key for key in memory if key.startswith(_PREFIX)]:
                del memory[key]

    def _contexts(self, claims: list[tuple[Patient, str]]) -> list[Report]:
        """The identifiers of patient and place, where they are others than this connection said last."""
        reports = []
        for patient, claim in claims:
            records = context_of(patient, self.message.syntax)
            key = f"{_PREFIX}context {claim}"
            if records and self.source.memory.get(key) != records:
                self.source.remember_emitted(key, records)
                reports.append(self._report(Kind.CONTEXT, claim, self._clock.of_message, self._marked(records)))
        return reports

    def _ambiguous_rows(self, claims: list[tuple[Patient, str]]) -> list[Report]:
        """An event for each row of the site's mapping that is not applied any more, once."""
        reports = []
        for row, texts in self.memory.rows.ambiguous.items():
            key = f"{_PREFIX}ambiguous {row}"
            if self._emitted(key) is None:
                self._emit(key, texts)
                text = (
                    f"{row} is not applied: it came as {texts[0]!r} and as {texts[1]!r}; give each a row with its text"
                )
                claim = claims[0][1] if claims else self.source.claim()
                record = text_record("mapping-ambiguous", printable(text), system="vitalwire")
                at_us = self.source.received_at_us
                reports.append(Report(Kind.EVENT, claim, at_us, at_us, ClockQuality.RECEIVED, (record,)))
        return reports

    def _emitted(self, key: str) -> Any:
        """What was emitted under this key, on whatever connection, and not taken back."""
        memory = self.memory.emitted.get(key)
        return memory.get(key) if memory is not None else None

    def _emit(self, key: str, value: object) -> None:
        emitted = self.memory.emitted
        if key not in emitted and len(emitted) >= EMITTED_MAX:
            del emitted[next(iter(emitted))]
        emitted[key] = self.source.memory
        self.source.remember_emitted(key, value)

    # --- channels and records

    def _resolve(self, claim: str, same: list[Part], described: list[Report]) -> Sequence[Channel]:
        """The channels of what a device says at one moment; `described` grows by what was not described yet."""
        device = channels_of(self.memory.devices, claim)
        key: object = same[0].group if len(same) == 1 else tuple(part.group for part in same)
        channels = device.resolved.get(key)
        if channels is None:
            channels = device.resolve([entry for part in same for entry in part.group.entries])
            device.resolved[key] = channels
        emitted_key = f"{_PREFIX}words {claim}"
        known = self._emitted(emitted_key)
        if device.described is not known:
            device.described = known
            device.described_groups.clear()
        if key not in device.described_groups:
            entries = [entry for part in same for entry in part.group.entries]
            new = self._describe(claim, known or frozenset(), entries, channels, emitted_key, described)
            if not new:
                device.described_groups.add(key)
        return channels

    def _describe(
        self, claim: str, known: frozenset[tuple[int, int]], entries: Sequence[Entry], channels: Sequence[Channel],
        emitted_key: str, described: list[Report],
    ) -> bool:  # fmt: skip
        """A report of the words of each channel that has not been described; whether there is one."""
        new: dict[tuple[int, int], Record] = {}
        for entry, channel in zip(entries, channels, strict=True):
            key = (entry.code, channel.number)
            if channel.number and key not in known and key not in new:
                text = msgspec.json.encode(channel.words).decode()
                marks = MARKS[channel.marks | self.marks]
                new[key] = Record(
                    entry.code, entry.what.unit, channel.number, RecordKind.TEXT, marks=marks, text=text,
                    as_sent=entry.what.as_sent,
                )  # fmt: skip
            if len(new) >= DESCRIBED_AT_ONCE_MAX:
                break
        if not new or len(known) + len(new) > DESCRIBED_MAX:
            return False
        self._emit(emitted_key, known | new.keys())
        described.append(self._report(Kind.DESCRIPTION, claim, self._clock.of_message, tuple(new.values())))
        return True

    def _told(self, claim: str, same: list[Part], channels: Sequence[Channel]) -> Iterator[Report]:
        """The reports of one device and moment, one for each OBR."""
        start = 0
        for part in same:
            group = part.group
            end = start + len(group.places)
            records = self._records(claim, part, channels[start:end])
            start = end
            if part.moment.unread:
                first = records[0]
                note = part.moment.unread if first.note is None else f"{first.note}\n{part.moment.unread}"
                records[0] = replace(first, note=note)
            yield self._report(group.kind, claim, part.moment, tuple(records))

    def _records(self, claim: str, part: Part, channels: Sequence[Channel]) -> list[Record]:
        order, base = part.order, self.marks
        if not part.waves and part.alarm is None:
            values = order.values
            if not order.notes:
                return [
                    record_of(entry.what, values[place], channel.number, channel.marks | base)
                    for entry, place, channel in zip(part.group.entries, part.group.places, channels, strict=True)
                ]
        found = []
        for entry, place, channel in zip(part.group.entries, part.group.places, channels, strict=True):
            marks, note = channel.marks | base, printable(order.notes.get(place, "")) or None
            if place == _ALARM and part.alarm is not None:
                found.append(self._alarm_record(part.alarm, channel, marks))
            elif place in part.waves:
                found.append(self._wave_record(claim, entry, part.waves[place], channel, marks, note))
            else:
                found.append(record_of(entry.what, order.values[place], channel.number, marks, note))
        return found

    @staticmethod
    def _alarm_record(alarm: DeviceAlarm, channel: Channel, marks: int) -> Record:
        unit = alarm.about.unit if alarm.facets.source is not None else 0
        return Record(
            alarm.metric, unit, channel.number, RecordKind.ALARM, mantissa=alarm.condition_code, marks=MARKS[marks],
            alarm=alarm.alarm,
        )  # fmt: skip

    def _wave_record(
        self, claim: str, entry: Entry, wave: Wave, channel: Channel, marks: int, note: str | None
    ) -> Record:
        """With the number of its first sample since the connection began."""
        what = entry.what
        key = f"{_PREFIX}samples {claim} {what.code} {channel.number}"
        first: int = self.source.memory.get(key, 0)
        self.source.remember_emitted(key, first + wave.samples.count)
        return Record(
            what.code, what.unit, channel.number, RecordKind.SAMPLES, what.validity, marks=MARKS[marks | what.marks],
            note=note, as_sent=what.as_sent, samples=replace(wave.samples, first_sample=first),
        )  # fmt: skip

    def _marked(self, records: tuple[Record, ...]) -> tuple[Record, ...]:
        if not self.marks:
            return records
        return tuple(replace(record, marks=MARKS[int(record.marks) | self.marks]) for record in records)

    @staticmethod
    def _report(kind: Kind, claim: str, moment: Moment, records: tuple[Record, ...]) -> Report:
        lane = Lane.WAVEFORM if kind is Kind.WAVEFORM else Lane.LIVE
        return Report(
            kind, claim, moment.at_us, moment.received_at_us, moment.quality, records, moment.device_at_us,
            moment.uncertainty_ms, moment.own_time, None, lane,
        )  # fmt: skip
