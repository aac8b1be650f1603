"""Alarm episodes of IHE PCD-04: the messages of one alarm, from its start to its end.

OBR-3 is the number of an event of an alarm (IHE PCD ACM supplement, 2012). OBR-29, where it is sent, is taken for that
of the event with which the alarm began; no page that says so was seen. Without it OBR-3 names the alarm: senders that
number each event anew and name no first one have no episodes, and each message is what it says alone.

A later message may leave out what an earlier one said: condition, source, priority, limits, beginning. What it says
itself counts. An alarm that goes on as another condition (it escalates) ends as the one before.

What is known of an episode is remembered of the source, not of the connection: after a reconnect a reporter goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from adapters.driver import Source
from adapters.formats.hl7v2 import NULL, Segment
from schemas.report import Alarm, AlarmKind, AlarmPriority, AlarmState, Record

_PREFIX = "hl7 episode "


@dataclass(frozen=True)
class Episode:
    """An alarm that was said to be there: its device (""; the place's own), and its record as it was emitted last."""

    equipment: str
    record: Record


def episode_id(obr: Segment) -> str:
    """What the OBR's alarm is known by among those of its place; "" where it names none."""
    parent, own = (_sent(obr, number) for number in (29, 3))
    # EIP: placer and filler, each an EI with subcomponents; OBR-3 is an EI with components.
    placer, _, filler = parent.partition(obr.syntax.component)
    named = filler.partition(obr.syntax.component)[0] or placer
    parts = named.split(obr.syntax.subcomponent) if named else own.split(obr.syntax.component)
    words = [part.strip() for part in parts]
    while words and words[-1] in ("", NULL):
        words.pop()
    return "^".join(words)


def _sent(segment: Segment, number: int) -> str:
    text = segment.fields[number] if len(segment.fields) > number else ""
    first = text.partition(segment.syntax.repetition)[0].strip()
    return "" if first == NULL else first


def episode_of(source: Source[Any], place: str, id_: str) -> Episode | None:
    """What is known of it; None where it did not begin, or is over."""
    found = source.emitted_once(_key(place, id_)) if id_ else None
    return found if isinstance(found, Episode) else None


def remember_episode(source: Source[Any], place: str, id_: str, equipment: str, record: Record) -> None:
    """Remember the alarm until it is over."""
    if not id_ or record.alarm is None:
        return
    is_over = record.alarm.state is AlarmState.INACTIVE
    if is_over and episode_of(source, place, id_) is None:
        return
    source.remember_emitted(_key(place, id_), None if is_over else Episode(equipment, record), once=True)


def joined(record: Record, episode: Episode) -> tuple[Record, Record | None]:
    """The record with what its episode knows; and the end of what it was before, where it goes on as another."""
    before, alarm = episode.record.alarm, record.alarm
    if before is None or alarm is None:
        return record, None
    found = replace(record, alarm=_filled(alarm, before))
    was, now = (_identity(each) for each in (episode.record, found))
    if was == now:
        return found, None
    return found, replace(episode.record, alarm=replace(before, state=AlarmState.INACTIVE))


def _filled(alarm: Alarm, before: Alarm) -> Alarm:
    has_limits = alarm.low is not None or alarm.high is not None
    return replace(
        alarm,
        condition=alarm.condition or before.condition,
        priority=before.priority if alarm.priority is AlarmPriority.UNKNOWN else alarm.priority,
        kind=before.kind if alarm.kind is AlarmKind.UNKNOWN else alarm.kind,
        since_us=before.since_us if alarm.since_us is None else alarm.since_us,
        low=alarm.low if has_limits else before.low,
        high=alarm.high if has_limits else before.high,
        text=alarm.text or before.text,
    )


def _identity(record: Record) -> tuple[int, int, str]:
    return record.code, record.channel, record.alarm.condition if record.alarm else ""


def _key(place: str, id_: str) -> str:
    return f"{_PREFIX}{place} {id_}"
