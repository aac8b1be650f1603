"""Alarms of the device in HL7 v2: IHE PCD-04 (ORU^R40), one alarm an OBR (IHE PCD ACM supplement, 2012).

The OBX of an OBR are facets of one alarm. They are known by OBX-3, under the numbers of the supplement and those that
Draeger and GE's gateways write, or by their reference ids:

    196616   MDC_EVT_ALARM               event: its code in OBX-5, or in OBX-3 itself (partition 3), its words in OBX-5
    68480, 68164  ..._ALERT_SOURCE       source: the metric, or with a metric's own code its value, unit and limits
    68481, 68165  MDC_ATTR_EVENT_PHASE   start continue update escalate ... end
    68482, 68166  MDC_ATTR_ALARM_STATE   off inactive active latched
    68483, 68167  ..._INACTIVATION_STATE audio-paused audio-off alarm-paused alarm-off ...
    68484, 68168  MDC_ATTR_ALARM_PRIORITY  PN PL PM PH
    68485         MDC_ATTR_ALERT_TYPE    SP ST SA
    68546         MDC_ATTR_ALERT_TEXT

A latched alarm is open until the device says that it is over. Where the state is not said, the phase `end` closes it.
Limits are in the source's OBX-7. What a message leaves out that an earlier one of its episode said: `hl7_episodes`.
A person's acknowledgement (alert-acknowledged) is no state of the alarm: it stays a record beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from adapters.formats.hl7_limits import limits_of
from adapters.formats.hl7_observation import NOTHING, Observation, code_of_triplets, label_of, triplets_of
from adapters.formats.hl7v2 import Segment, Syntax
from adapters.formats.values import printable
from schemas.report import Alarm, AlarmKind, AlarmPriority, AlarmState, Record

_EVENT_PARTITION = range(3 << 16, 4 << 16)
_FACETS = {
    **dict.fromkeys(("196616", "MDC_EVT_ALARM"), "event"),
    **dict.fromkeys(("68480", "68164", "MDC_ATTR_ALERT_SOURCE", "MDCX_ATTR_ALERT_SOURCE"), "source"),
    **dict.fromkeys(("68481", "68165", "MDC_ATTR_EVENT_PHASE", "MDCX_ATTR_EVENT_PHASE"), "phase"),
    **dict.fromkeys(("68482", "68166", "MDC_ATTR_ALARM_STATE", "MDCX_ATTR_ALARM_STATE"), "state"),
    **dict.fromkeys(
        ("68483", "68167", "MDC_ATTR_ALARM_INACTIVATION_STATE", "MDCX_ATTR_ALARM_INACTIVATION_STATE"), "inactivation"
    ),
    **dict.fromkeys(("68484", "68168", "MDC_ATTR_ALARM_PRIORITY", "MDCX_ATTR_ALARM_PRIORITY"), "priority"),
    **dict.fromkeys(("68485", "MDC_ATTR_ALERT_TYPE", "MDCX_ATTR_ALERT_TYPE"), "type"),
    **dict.fromkeys(("68546", "MDC_ATTR_ALERT_TEXT", "MDCX_ATTR_ALERT_TEXT"), "text"),
}
_PRIORITIES = {"PL": AlarmPriority.LOW, "PM": AlarmPriority.MEDIUM, "PH": AlarmPriority.HIGH}
_KINDS = {"SP": AlarmKind.PHYSIOLOGICAL, "ST": AlarmKind.TECHNICAL, "SA": AlarmKind.ADVISORY}
_STATES = {
    "active": AlarmState.ACTIVE, "latched": AlarmState.ACTIVE,
    "inactive": AlarmState.INACTIVE, "off": AlarmState.INACTIVE,
}  # fmt: skip
_TEST_FLAGS = frozenset({"TEST", "DEMO"})
_SILENT = frozenset({"audio-paused", "audio-off", "alarm-paused", "alarm-off"})
_ACKNOWLEDGED = "alert-acknowledged"


@dataclass
class Facets:
    """The OBX of one alarm by what they say; `places` are theirs, and `source_place` that of the source's own OBX."""

    event: Segment | None = None
    source: Segment | None = None
    source_place: int | None = None
    words: dict[str, Segment] = field(default_factory=dict)
    places: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class MessageAlarm:
    """An alarm with the code of its condition (0: none is known) and of the metric that it is about (0: none)."""

    alarm: Alarm
    condition_code: int
    metric: int
    facets: Facets
    about: Observation  # where it stands in the tree
    event_place: int
    label: str  # the sender's own words for what it is about
    is_test: bool = False  # the device says that it is no patient's (OBX-8)

    @property
    def names_source(self) -> bool:
        """Whether the message says what the alarm is about."""
        return self.facets.source is not None or "source" in self.facets.words


def alarm_of(
    segments: Sequence[Segment], observations: Sequence[Observation], device_at_us: Sequence[int | None],
    episode: Record | None = None,
) -> MessageAlarm | None:  # fmt: skip
    """The alarm of one OBR; `device_at_us` is the moment that each OBX states.

    None where no OBX names an event, unless it tells how one goes on that is known: `episode`, as it was said last.
    """
    facets = _facets(segments, observations)
    event = facets.event or facets.words.get("phase") or facets.words.get("state")
    if event is None or (facets.event is None and (episode is None or episode.alarm is None)):
        return None
    event_place = segments.index(event)
    at_us = device_at_us[event_place]
    if facets.event is not None:
        condition_code, condition, text = _condition(facets.event)
    else:
        condition_code, condition, text = _of_episode(episode)
    about = observations[event_place if facets.source_place is None else facets.source_place]
    flags = _flags(facets)
    phases, states = _words(facets, "phase"), _words(facets, "state")
    limits = facets.source.field(7) if facets.source is not None else ""
    low, high = limits_of(limits, about.exponent_shift)
    stated_text = facets.words.get("text")
    alarm = Alarm(
        condition=condition,
        state=_state(states, phases),
        priority=next((_PRIORITIES[flag] for flag in flags if flag in _PRIORITIES), AlarmPriority.UNKNOWN),
        kind=next((_KINDS[flag] for flag in flags if flag in _KINDS), AlarmKind.UNKNOWN),
        since_us=at_us if "start" in phases else None,
        low=low,
        high=high,
        latched="latched" in states,
        audio_paused=not _SILENT.isdisjoint(_words(facets, "inactivation")),
        text=_text(stated_text) if stated_text is not None else text,
    )
    metric, label = _metric(facets, about)
    is_test = not _TEST_FLAGS.isdisjoint(flags)
    return MessageAlarm(alarm, condition_code, metric, facets, about, event_place, label, is_test)


def _of_episode(episode: Record | None) -> tuple[int, str, str]:
    known = episode.alarm if episode is not None else None
    return (episode.mantissa, known.condition, "") if episode is not None and known is not None else (0, "", "")


def _facets(segments: Sequence[Segment], observations: Sequence[Observation]) -> Facets:
    """The first OBX of each facet; what is none stays a record of its own."""
    found = Facets()
    for place, (segment, what) in enumerate(zip(segments, observations, strict=True)):
        identifier, name, _ = triplets_of(_sent(segment, 3), segment.syntax)[0]
        facet = _FACETS.get(identifier) or _FACETS.get(name)
        if facet is None and (_is_event(identifier) or name.startswith("MDC_EVT_")):
            facet = "event"
        if facet == "event":
            if found.event is None:
                found.event = segment
                found.places.add(place)
        elif facet is not None:
            if facet not in found.words:
                found.words[facet] = segment
                if facet != "inactivation" or _ACKNOWLEDGED not in _words(found, facet):
                    found.places.add(place)
        elif what.code and found.source is None:  # a metric's own code: value, unit, limits
            found.source, found.source_place = segment, place
            if _sent(segment, 5) in NOTHING:
                found.places.add(place)
    return found


def _sent(segment: Segment, n: int) -> str:
    """The field as it was sent, escapes and all."""
    return segment.fields[n] if len(segment.fields) > n else ""


def _is_event(identifier: str) -> bool:
    return (
        identifier.isascii() and identifier.isdecimal() and len(identifier) < 8 and int(identifier) in _EVENT_PARTITION
    )


def _condition(event: Segment) -> tuple[int, str, str]:
    """The condition's code, its name, and the words beside it."""
    named = triplets_of(_sent(event, 3), event.syntax)[0]
    value = _sent(event, 5)
    if _FACETS.get(named[0]) or _FACETS.get(named[1]):
        coded = triplets_of(value, event.syntax)[0]
        if coded[1] or coded[0].isdecimal():
            return _number(coded[0]), printable(coded[1] or coded[0]), ""
        return 0, printable(value.strip()) or named[1], printable(_text(event))
    return _number(named[0]), printable(named[1] or named[0]), printable(_text(event))


def _number(identifier: str) -> int:
    return int(identifier) if identifier.isascii() and identifier.isdecimal() and len(identifier) < 11 else 0


def _text(segment: Segment) -> str:
    text = segment.field(5)
    return printable("" if text in NOTHING else text.strip())


def _flags(facets: Facets) -> list[str]:
    """Priority and type: their own facets, else OBX-8 of the event (L, PM, SP in any number and order)."""
    flags = [word.upper() for name in ("priority", "type") for word in _words(facets, name)]
    if facets.event is not None:
        syntax = facets.event.syntax
        flags += [_first(flag, syntax).upper() for flag in _sent(facets.event, 8).split(syntax.repetition)]
    return flags


def _first(text: str, syntax: Syntax) -> str:
    return text.partition(syntax.component)[0].strip()


def _words(facets: Facets, name: str) -> set[str]:
    segment = facets.words.get(name)
    if segment is None:
        return set()
    return {_first(part, segment.syntax).lower() for part in _sent(segment, 5).split(segment.syntax.repetition)}


def _state(states: set[str], phases: set[str]) -> AlarmState:
    """Active where the device says so, whatever it says beside it; inactive where it says that or the phase `end`."""
    found = {_STATES[word] for word in states if word in _STATES}
    if not found:
        return AlarmState.INACTIVE if phases == {"end"} else AlarmState.ACTIVE
    return AlarmState.ACTIVE if AlarmState.ACTIVE in found else AlarmState.INACTIVE


def _metric(facets: Facets, about: Observation) -> tuple[int, str]:
    """The metric that the alarm is about, and the sender's words: of its source's OBX, else what its source names."""
    if facets.source is not None:
        return about.code, about.label
    named = facets.words.get("source")
    if named is None:
        return 0, ""
    triplets = triplets_of(_sent(named, 5), named.syntax)
    metric = code_of_triplets(triplets)
    return metric, printable(label_of(triplets, metric))
