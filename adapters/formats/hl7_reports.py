"""From the parts of one HL7 v2 message to its reports: contexts, descriptions, then what the devices say, in order.

What was emitted is remembered with the connection, so that it is taken back where the frame could not be kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from adapters.driver import Source
from adapters.formats.hl7_alarms import MessageAlarm
from adapters.formats.hl7_channels import ChannelEntry, Resolved, ResolvedChannel, channels_of
from adapters.formats.hl7_clock import Clock
from adapters.formats.hl7_episodes import episode_of, joined, remember_episode
from adapters.formats.hl7_limits import limit_records
from adapters.formats.hl7_observation import record_of
from adapters.formats.hl7_parts import ALARM, DEVICES_MAX, PATIENT, PREFIX, Claims, Part, SourceMemory
from adapters.formats.hl7_patients import Patient, context_of
from adapters.formats.hl7_waves import Wave
from adapters.formats.hl7v2 import Syntax
from adapters.formats.moments import StatedMoment
from adapters.formats.values import MARKS, printable, text_record
from schemas.errors import FrameError
from schemas.report import LATE_CONTEXT, AlarmState, Kind, Lane, Mark, Record, RecordKind, Report

MEMORY_MAX = 20_000  # things remembered of a connection; beyond it contexts and words are emitted once more
NEWEST = "hl7 newest message"  # in what lasts of a source: its moment by claim
LATE_MAX_US = 3_600_000_000
DESCRIBED_MAX = 2_000  # channels of a device
DESCRIBED_AT_ONCE_MAX = 500
COUNTED_NAMES_MAX = 100
# Cuff pressures and their pulse rate, cardiac output: what is measured now and then, in messages of its own.
_APERIODIC = frozenset({150021, 150022, 150023, 150301, 150302, 150303, 149546, 150276})


@dataclass
class Emitter:
    """Makes the reports of one message of a source."""

    source: Source[Any]
    memory: SourceMemory
    syntax: Syntax
    clock: Clock
    marks: int  # of every record: TRAINING, or nothing

    def reports(self, parts: Sequence[Part], claims: Claims) -> list[Report]:
        """Everything that is to be emitted."""
        self._bound_memory()
        described: list[Report] = []
        emitted: list[Report] = []
        moments = self._moments(parts)
        if len(moments) > 1:
            self._learn_twins(parts)
        for (_, claim, _), same in moments.items():
            emitted += self._emitted(claim, same, self._resolve(claim, same, described))
        if self.memory.dialect.restates_alarms:
            emitted = self._with_ended_alarms(emitted)
        ambiguous: list[Report] = []
        if self.memory.rows.ambiguous:
            ambiguous = self.source.ambiguous_rows(claims[0][1] if claims else self.source.claim())
        return [*self._contexts(claims), *ambiguous, *described, *emitted, *self._changed_limits(parts)]

    def _with_ended_alarms(self, emitted: list[Report]) -> list[Report]:
        """With the end of the alarms that a device named before and does not name any more."""
        found = list(emitted)
        for claim in dict.fromkeys(report.claim for report in emitted):
            of_device = [report for report in emitted if report.claim == claim]
            records = [record for report in of_device for record in report.records]
            now = {each.alarm.condition: each for each in records if each.alarm is not None}
            key = f"{PREFIX}alarms {claim}"
            before: Mapping[str, Record] = self.source.emitted_once(key) or {}
            if not _is_periodic(of_device):
                now = {**before, **now}
            if before.keys() != now.keys():
                self.source.remember_emitted(key, now, once=True)
            over = tuple(_ended(record) for name, record in before.items() if name not in now)
            if over:
                beside = next((report for report in of_device if report.kind is Kind.ALARM), None)
                if beside is None:
                    found.append(replace(of_device[0], kind=Kind.ALARM, lane=Lane.LIVE, records=over))
                else:
                    found[found.index(beside)] = replace(beside, records=(*beside.records, *over))
        return found

    def _changed_limits(self, parts: Sequence[Part]) -> list[Report]:
        """The limits beside values as settings, where they are others than this connection said last."""
        if not self.memory.dialect.states_limits:
            return []
        changed: dict[str, tuple[Part, list[Record]]] = {}
        for part in parts:
            claim = part.group.equipment or part.order.claim
            for entry in part.group.entries:
                limits, key = entry.what.limits, f"{PREFIX}limits {claim} {entry.what.label}"
                if limits and self.source.memory.get(key) != limits:
                    self.source.remember_emitted(key, limits)
                    changed.setdefault(claim, (part, []))[1].extend(limit_records(entry.what))
        return [
            self._report(Kind.SETTING, claim, part.moment, self._marked(tuple(records)))
            for claim, (part, records) in changed.items()
        ]

    def whole(self, msh_9: str, frame: bytes, lane: Lane, patients: Claims) -> list[Report]:
        """A message that is no observation, kept as it is with its first patient; each further one in a report."""
        if len(patients) > DEVICES_MAX:
            raise FrameError("too-many-devices", f"more than {DEVICES_MAX} patients")
        patient, claim = patients[0] if patients else (Patient(), self.source.claim())
        records = (text_record("HL7", "MSH-9", printable(msh_9)), *context_of(patient, self.syntax))
        kept = self._report(Kind.CONTEXT, claim, self.clock.of_message, self._marked(records))
        reports = [replace(kept, frame=frame, lane=lane)]
        for patient, claim in patients[1:]:
            records = context_of(patient, self.syntax)
            if records:
                of_patient = self._report(Kind.CONTEXT, claim, self.clock.of_message, self._marked(records))
                reports.append(replace(of_patient, lane=lane))
        return reports

    def count(self, unread: Mapping[str, int]) -> None:
        """Segments that are not read, by name."""
        counts = self.source.counts
        for name, count in unread.items():
            counts[name if name in counts or len(counts) < COUNTED_NAMES_MAX else "segment:?"] += count

    def remember_patient(self, patients: Sequence[Patient]) -> None:
        """What a later message of the connection is of, where the dialect says it once."""
        remembers = self.memory.dialect.remembers
        if remembers and patients:
            lines = patients[-1].lines
            self.source.memory[PATIENT] = {name: lines[name] for name in remembers if name in lines}

    def _moments(self, parts: Sequence[Part]) -> dict[tuple[Kind, str, int], list[Part]]:
        """What one device says of one kind at one moment, under whatever OBR and patient."""
        moments: dict[tuple[Kind, str, int], list[Part]] = {}
        for part in parts:
            claim = part.group.equipment or part.order.claim
            moments.setdefault((part.group.kind, claim, part.moment.at_us), []).append(part)
        return moments

    def _learn_twins(self, parts: Sequence[Part]) -> None:
        """Like values of one OBR that were measured at several moments."""
        orders: dict[tuple[Kind, str, int], list[Part]] = {}
        for part in parts:
            claim = part.group.equipment or part.order.claim
            orders.setdefault((part.group.kind, claim, id(part.order)), []).append(part)
        for (_, claim, _), same in orders.items():
            if len(same) > 1:
                device = channels_of(self.memory.devices, claim)
                device.learn_twins([entry for part in same for entry in part.group.entries])

    # --- patients and devices

    def _bound_memory(self) -> None:
        memory = self.source.memory
        if len(memory) > MEMORY_MAX:
            for key in [key for key in memory if key.startswith(PREFIX)]:
                del memory[key]

    def _contexts(self, claims: Claims) -> list[Report]:
        """The identifiers of patient and place, where they are others than this connection said last.

        Of a message that is older than one before it they are said anyhow, marked, and so are those of the next one:
        they hold for what it says itself.
        """
        reports = []
        moment = self.clock.of_message
        for patient, claim in claims:
            records = context_of(patient, self.syntax)
            key = f"{PREFIX}context {claim}"
            is_late = self._is_late(claim, moment.at_us)
            if records and (is_late or self.source.memory.get(key) != records):
                self.source.remember_emitted(key, None if is_late else records)
                late = (text_record("vitalwire", LATE_CONTEXT, ""),) if is_late else ()
                reports.append(self._report(Kind.CONTEXT, claim, moment, self._marked((*records, *late))))
        return reports

    def _is_late(self, claim: str, at_us: int) -> bool:
        """Whether the source said something later of this device before, on whatever connection.

        By more than LATE_MAX_US it is the sender's clock that was set back.
        """
        newest = self.source.lasting.setdefault(NEWEST, {})
        if newest.get(claim, at_us) - LATE_MAX_US < at_us < newest.get(claim, at_us):
            return True
        if claim not in newest and len(newest) >= MEMORY_MAX:
            del newest[next(iter(newest))]
        newest[claim] = at_us
        return False

    # --- channels and records

    def _resolve(self, claim: str, same: list[Part], described: list[Report]) -> Resolved:
        """The channels of what a device says at one moment; `described` grows by what was not described yet."""
        device = channels_of(self.memory.devices, claim)
        key: object = same[0].group if len(same) == 1 else tuple(part.group for part in same)
        if self.marks:  # which the records have
            key = (key, self.marks)
        resolved = device.resolved.get(key)
        if resolved is None:
            entries = [entry for part in same for entry in part.group.entries]
            channels = device.resolve(entries)
            of = self.memory.records.of
            records = [of(e.what, c.number, c.marks | self.marks) for e, c in zip(entries, channels, strict=True)]
            resolved = device.resolved[key] = Resolved(channels, records)
        emitted_key = f"{PREFIX}words {claim}"
        known = self.source.emitted_once(emitted_key)
        if device.described is not known:
            device.described = known
            device.described_groups.clear()
        if key not in device.described_groups:
            entries = [entry for part in same for entry in part.group.entries]
            new = self._describe(claim, known or frozenset(), entries, resolved.channels, emitted_key, described)
            if not new:
                device.described_groups.add(key)
        return resolved

    def _describe(
        self, claim: str, known: frozenset[tuple[int, int]], entries: Sequence[ChannelEntry],
        channels: Sequence[ResolvedChannel], emitted_key: str, described: list[Report],
    ) -> bool:  # fmt: skip
        """A report of the words of each channel that has not been described; whether there is one."""
        new: dict[tuple[int, int], Record] = {}
        for entry, channel in zip(entries, channels, strict=True):
            key = (entry.code, channel.number)
            if entry.what.alarm is not None:  # it is of no channel
                continue
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
        self.source.remember_emitted(emitted_key, known | new.keys(), once=True)
        described.append(self._report(Kind.DESCRIPTION, claim, self.clock.of_message, tuple(new.values())))
        return True

    def _emitted(self, claim: str, same: list[Part], resolved: Resolved) -> Iterator[Report]:
        """The reports of one device and moment, one for each OBR."""
        start = 0
        for part in same:
            group = part.group
            end = start + len(group.places)
            if part.waves or part.alarm is not None or part.order.notes:
                records = self._records(claim, part, resolved.channels[start:end])
            else:
                values = part.order.values
                made_before = resolved.records[start:end]
                records = [made[values[place]] for made, place in zip(made_before, group.places, strict=True)]
            start = end
            yield self._report(group.kind, claim, part.moment, part.moment.noted(records))

    def _records(self, claim: str, part: Part, channels: Sequence[ResolvedChannel]) -> list[Record]:
        order, base = part.order, self.marks
        found = []
        for entry, place, channel in zip(part.group.entries, part.group.places, channels, strict=True):
            marks, note = channel.marks | base, printable(order.notes.get(place, "")) or None
            if place == ALARM and part.alarm is not None:
                found += self._alarm_records(part, part.alarm, channel, marks)
            elif place in part.waves:
                found.append(self._wave_record(claim, entry, part.waves[place], channel, marks, note))
            else:
                found.append(record_of(entry.what, order.values[place], channel.number, marks, note))
        return found

    def _alarm_records(
        self, part: Part, alarm: MessageAlarm, channel: ResolvedChannel, marks: int
    ) -> list[Record]:  # fmt: skip
        """The alarm, with what its episode knows; before it the end of what it was, where it goes on as another."""
        unit = alarm.about.unit if alarm.facets.source is not None else 0
        marks |= int(Mark.TRAINING) if alarm.is_test else 0
        record = Record(
            alarm.metric, unit, channel.number, RecordKind.ALARM, mantissa=alarm.condition_code, marks=MARKS[marks],
            alarm=alarm.alarm,
        )  # fmt: skip
        place, id_ = part.order.claim, part.episode_id
        episode, ended = episode_of(self.source, place, id_), None
        if episode is not None:
            if not alarm.names_source:
                known = episode.record
                record = replace(record, code=known.code, unit=known.unit, channel=known.channel)
            record, ended = joined(record, episode)
        remember_episode(self.source, place, id_, part.group.equipment, record)
        return [record] if ended is None else [ended, record]

    def _wave_record(
        self, claim: str, entry: ChannelEntry, wave: Wave, channel: ResolvedChannel, marks: int, note: str | None
    ) -> Record:
        """With the number of its first sample since the connection began."""
        what = entry.what
        key = f"{PREFIX}samples {claim} {what.code} {channel.number}"
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
    def _report(kind: Kind, claim: str, moment: StatedMoment, records: Sequence[Record]) -> Report:
        lane = Lane.WAVEFORM if kind is Kind.WAVEFORM else Lane.LIVE
        return moment.report(kind, claim, records, lane)


def _is_periodic(reports: Sequence[Report]) -> bool:
    """Whether a device says something that it measures all the time."""
    records = (record for report in reports if report.kind is Kind.METRIC for record in report.records)
    return any(record.kind is RecordKind.NUMERIC and record.code not in _APERIODIC for record in records)


def _ended(record: Record) -> Record:
    """The same alarm, which is over."""
    alarm = record.alarm
    return record if alarm is None else replace(record, alarm=replace(alarm, state=AlarmState.INACTIVE))
