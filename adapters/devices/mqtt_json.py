"""JSON over MQTT by a declared mapping: the site's rows name each value's path (`vitals.hr`, `leads.0.st`).

The payload is read exactly (37.0 stays 370e-1); NaN, Infinity and a name given twice in one object are refused. A
sender's payloads differ in their values alone: what the values of one shape are is remembered as a plan, and the next
payload is read by it. A plan gives what reading the payload afresh gives, or does not fit.

A text named `unit` or `units` beside a mapped value is the unit that the sender states: it counts where the row has
none, and where it contradicts the row's the value has no unit and is doubtful, unless the row says `unit_is_wrong`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from adapters.driver import DeviceDriver, Source, fitting
from adapters.formats.instants import Instant, parse_iso, reset_instant_iso, states_second
from adapters.formats.json_redaction import redact_json
from adapters.formats.json_values import (
    NUMERAL,
    SHAPE_VALUES_MAX,
    JsonShape,
    Leaf,
    NoValueError,
    Numeral,
    plain_text,
    read_leaves,
    read_value,
    split,
)
from adapters.formats.moments import received, unread_time
from adapters.formats.values import MARKS, is_no_reading, read_number
from adapters.quality import Quality, done, exempt, todo
from adapters.site import Mapped, SiteMapping, unit_of
from schemas.report import (
    AsSent,
    ClockQuality,
    Kind,
    Record,
    RecordKind,
    Report,
    Validity,
    decimal_parts,
)

SYSTEM = "JSON"
# A number is a time where it lies in these years: in no other unit of the four is a time of theirs there.
# What is earlier is the time of a clock that was reset, as in `instants`.
_SINCE_S, _UNTIL_S = 978_307_200, 4_102_444_800  # 2001-01-01, 2100-01-01
_TIME_CHARS_MAX = 40
# For each source: how many plans, for how many topics it is known which to try, and how many of them.
PLANS_MAX, TOPICS_MAX, PLANS_PER_TOPIC_MAX = 256, 10_000, 4
_UNMAPPED = Mapped(0, 0)
_UNIT_CHARS_MAX = 40  # a longer text is no unit: it would be repeated with each value beside it
_UNIT_NAMES = ("unit", "units")  # of a value beside another: {"temp": {"value": 98.6, "unit": "degF"}}

K = TypeVar("K")
V = TypeVar("V")


class MqttJsonSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one sender's payloads are read. A path is "name" or "name.name", and "name.0" in a list."""

    device: Annotated[
        str | None, Meta(description="path of the value that names the device; the topic does when left out")
    ] = None
    time_field: Annotated[str | None, Meta(description="path of the time")] = "ts"
    time_format: Annotated[
        Literal["iso", "epoch-ms", "epoch-s", "epoch-us", "auto"],
        Meta(description='of the time; "auto": ISO 8601, or a number that is milliseconds of 2001 to 2100'),
    ] = "auto"


@dataclass(frozen=True, eq=False)
class _Slot:
    """A value's place in a payload, and what the site says that it is."""

    mapped: Mapped  # its unit is the one that counts
    as_sent: AsSent | None  # where the site says nothing, or the payload states another unit


# --- one payload ----------------------------------------------------------------------------------------------------


def read(frame: bytes, source: Source[MqttJsonSettings]) -> Sequence[Report]:
    """One payload: one report."""
    plans = _plans(source)
    text = plain_text(frame)
    if text:
        for plan in plans.by_topic.get(source.peer, ()):
            found = plan.read(text, source)
            if found is not None:
                return (found,)
    leaves = read_leaves(frame)
    if text:
        plans.learn(text, leaves, source)
    settings = source.settings
    doubtful = _has_time_in_parts(leaves, settings)
    values = dict(leaves)
    time = values.pop(settings.time_field, None) if settings.time_field else None
    device = values.pop(settings.device, None) if settings.device else None
    if not values:
        return ()
    records = tuple([_record(_slot(path, leaves, source), leaf) for path, leaf in values.items()])
    report = _report(records, time, device, source)
    if doubtful:
        report = msgspec.structs.replace(report, clock_quality=ClockQuality.DOUBTFUL)
    return fitting((report,), frame, source)


def _has_time_in_parts(leaves: dict[str, Leaf], settings: MqttJsonSettings) -> bool:
    """Whether the time is a list or an object ([2026, 9, 21], {"$date": ...}): it is there, and cannot be read."""
    field = settings.time_field
    return field is not None and field not in leaves and any(path.startswith(f"{field}.") for path in leaves)


def _report(records: tuple[Record, ...], time: Leaf, device: Leaf, source: Source[MqttJsonSettings]) -> Report:
    settings = source.settings
    received_us = source.received_at_us
    claim = f"{source.name}/{settings.device}={device}" if device else source.claim(rule="topic")
    if time is None or time == "":
        return Report(Kind.METRIC, claim, received_us, received_us, ClockQuality.RECEIVED, records)
    at = _instant(time, source)
    if at is None:
        is_short = isinstance(time, str) and len(time) <= _TIME_CHARS_MAX
        reset = reset_instant_iso(str(time), source.time_zone) if is_short else None
        unread = unread_time(settings.time_field or "", _text(time))
        moment = received(received_us, unread, None if reset is None else reset.us)
        return moment.report(Kind.METRIC, claim, moment.noted(records))
    return Report(
        Kind.METRIC, claim, at.us, received_us, ClockQuality.DEVICE, records, at.us, at.uncertainty_ms,
        own_time=NUMERAL.fullmatch(str(time)) is not None or states_second(str(time)),
    )  # fmt: skip


def _instant(time: Leaf, source: Source[MqttJsonSettings]) -> Instant | None:
    """The time as sent; None if it is none in the form declared, or if its zone is known to nobody."""
    if not isinstance(time, str) or len(time) > _TIME_CHARS_MAX:
        return None
    form = source.settings.time_format
    if NUMERAL.fullmatch(time) is None:
        return parse_iso(time, source.time_zone) if form in ("iso", "auto") else None
    return None if form == "iso" else _instant_of_number(time, {"epoch-s": 6, "epoch-us": 0}.get(form, 3))


def _instant_of_number(time: str, power_to_us: int) -> Instant | None:
    parts = decimal_parts(time)
    if parts is None:
        return None
    mantissa, exponent = parts
    power = exponent + power_to_us
    if not -40 <= power <= 40:
        return None
    us = mantissa * 10**power if power >= 0 else mantissa // 10**-power
    if not _SINCE_S * 1_000_000 <= us < _UNTIL_S * 1_000_000:
        return None
    return Instant(us, 1_000 if power_to_us == 6 and exponent >= 0 else 0)


def _slot(path: str, leaves: dict[str, Leaf], source: Source[MqttJsonSettings]) -> _Slot:
    found = source.site.find(SYSTEM, path)
    if found is None:
        return _Slot(_UNMAPPED, AsSent(SYSTEM, path))
    texts = [leaves[each] for each in _unit_paths(path, leaves)]
    stated = [text for text in texts if isinstance(text, str) and not isinstance(text, Numeral)]
    stated = [text for text in stated if 0 < len(text) <= _UNIT_CHARS_MAX]
    if not stated:
        return _Slot(found, None)
    unit = unit_of(stated, found)
    return _Slot(found._replace(unit=unit), None if unit else AsSent(SYSTEM, path, "^".join(stated)))


def _unit_paths(path: str, leaves: dict[str, Leaf]) -> list[str]:
    """Where the payload states a value's unit. At the top `unit` is as likely a ward, but beside `value`."""
    parent, dot, name = path.rpartition(".")
    if name in _UNIT_NAMES or not (dot or name == "value"):
        return []
    return [each for unit in _UNIT_NAMES if (each := f"{parent}{dot}{unit}") in leaves]


def _record(slot: _Slot, leaf: Leaf) -> Record:
    """The value as its slot has it: a number, a bound, a text, or no reading."""
    mapped, as_sent = slot.mapped, slot.as_sent
    code, unit = mapped.code, mapped.unit
    if leaf is None:
        return Record(code, unit, 0, RecordKind.NUMERIC, Validity.NOT_AVAILABLE, as_sent=as_sent)
    if isinstance(leaf, str) and (code or isinstance(leaf, Numeral)):
        is_missing = leaf.strip() in mapped.missing
        number = read_number(leaf, mapped.exponent_shift, decimal_comma=mapped.decimal_comma)
        if is_missing or (number is None and is_no_reading(leaf)):
            return Record(code, unit, 0, RecordKind.NUMERIC, Validity.NOT_AVAILABLE, text=leaf or None, as_sent=as_sent)
        if number is not None:
            mantissa, exponent, marks = number
            return Record(
                code, unit, 0, number.kind, Validity.VALID, mantissa, exponent, MARKS[marks], None, None, as_sent
            )  # fmt: skip
    return Record(code, unit, 0, RecordKind.TEXT, text=_text(leaf), as_sent=as_sent)


def _text(leaf: str | bool) -> str:
    return str(leaf) if isinstance(leaf, str) else json.dumps(leaf)


# --- plans ----------------------------------------------------------------------------------------------------------


class _Role(Enum):
    RECORD = "a value"
    TIME = "the time"
    DEVICE = "names the device"


class _Gap(NamedTuple):
    """What becomes of the value in a gap."""

    role: _Role
    slot: _Slot


class _Plan:
    """How payloads of one shape are read: what their values are. `units` are the values that stay the same."""

    def __init__(self, shape: JsonShape, gaps: Sequence[_Gap], units: Sequence[tuple[int, str]]) -> None:
        self._shape = shape
        self._units = units
        self._slots = tuple([gap.slot for gap in gaps if gap.role is _Role.RECORD])
        roles = [gap.role for gap in gaps]
        self._time_at = roles.index(_Role.TIME) if _Role.TIME in roles else None
        self._device_at = roles.index(_Role.DEVICE) if _Role.DEVICE in roles else None
        # Deleted from behind, so that each place still holds.
        self._others_at = sorted((at for at in (self._time_at, self._device_at) if at is not None), reverse=True)

    def read(self, text: str, source: Source[MqttJsonSettings]) -> Report | None:
        """The report of a payload, None where it does not fit."""
        values = self._shape.values(text)
        if values is None:
            return None
        for at, unit in self._units:
            if values[at] != unit:
                return None
        try:
            time = None if self._time_at is None else read_value(values[self._time_at])
            device = None if self._device_at is None else read_value(values[self._device_at])
            for at in self._others_at:
                del values[at]
            records = tuple(map(_record_of_value, self._slots, values))
        except NoValueError:
            return None
        return _report(records, time, device, source)


@lru_cache(16_384)  # a record is some 200 bytes; what devices say repeats itself
def _record_of_value(slot: _Slot, value: str) -> Record:
    return _record(slot, read_value(value))


@dataclass
class _Plans:
    """The plans of a source, by the text between the values and the units, and which its topics use, newest first."""

    settings: MqttJsonSettings
    site: SiteMapping
    by_text: dict[object, _Plan] = field(default_factory=dict)
    by_topic: dict[str, list[_Plan]] = field(default_factory=dict)
    seen_once: dict[int, None] = field(default_factory=dict)  # hashes of texts: a plan is made for the second payload

    def learn(self, text: str, leaves: dict[str, Leaf], source: Source[MqttJsonSettings]) -> None:
        """Remember how this payload is read, and that its topic sends such."""
        between, values = split(text)
        if len(values) != len(leaves) or len(values) > SHAPE_VALUES_MAX:
            return
        units = _units(values, leaves, source)
        key = (between, units)
        plan = self.by_text.pop(key, None)
        if plan is None and self._is_second(key):
            plan = self._make(between, values, units, leaves, source)
        if plan is None:
            return
        _with_space(self.by_text, PLANS_MAX)[key] = plan  # last: the first was not used for longest
        if source.peer not in self.by_topic:
            _with_space(self.by_topic, TOPICS_MAX)[source.peer] = []
        of_topic = self.by_topic[source.peer]
        if plan not in of_topic:
            of_topic.insert(0, plan)
            del of_topic[PLANS_PER_TOPIC_MAX:]

    def _is_second(self, key: object) -> bool:
        if hash(key) in self.seen_once:
            return True
        _with_space(self.seen_once, PLANS_MAX)[hash(key)] = None
        return False

    def _make(
        self, between: tuple[str, ...], values: list[str], units: Sequence[tuple[int, str]], leaves: dict[str, Leaf],
        source: Source[MqttJsonSettings],
    ) -> _Plan | None:  # fmt: skip
        gaps = [_gap(path, leaves, source) for path in leaves]
        if all(gap.role is not _Role.RECORD for gap in gaps) or _has_time_in_parts(leaves, self.settings):
            return None
        return _Plan(JsonShape(between, values), gaps, units)


def _plans(source: Source[MqttJsonSettings]) -> _Plans:
    plans: _Plans | None = source.lasting.get("plans")
    if plans is None or plans.settings != source.settings or plans.site is not source.site:
        plans = source.lasting["plans"] = _Plans(source.settings, source.site)
    return plans


def _units(values: list[str], leaves: dict[str, Leaf], source: Source[MqttJsonSettings]) -> tuple[tuple[int, str], ...]:
    """The places of a payload's values that state the unit of a mapped one, and what stands there."""
    if not any(path.endswith(_UNIT_NAMES) for path in leaves):
        return ()
    mapped = [path for path in leaves if source.site.find(SYSTEM, path) is not None]
    paths = {unit for path in mapped for unit in _unit_paths(path, leaves)}
    return tuple((at, values[at]) for at, path in enumerate(leaves) if path in paths)


def _gap(path: str, leaves: dict[str, Leaf], source: Source[MqttJsonSettings]) -> _Gap:
    settings = source.settings
    if settings.time_field and path == settings.time_field:
        return _Gap(_Role.TIME, _slot(path, leaves, source))
    if settings.device and path == settings.device:
        return _Gap(_Role.DEVICE, _slot(path, leaves, source))
    return _Gap(_Role.RECORD, _slot(path, leaves, source))


def _with_space(table: dict[K, V], limit: int) -> dict[K, V]:
    """The table with space for one more: the oldest is evicted."""
    if len(table) >= limit:
        del table[next(iter(table))]
    return table


QUALITY = Quality(
    numerics=done("each path that the site's rows name; all others are kept under their path"),
    waves=todo("an array is kept as a text: no sender that has waves in JSON was seen"),
    alarms=todo("a member that tells an alarm is kept as a text: no sender's members are documented"),
    settings=exempt("the mapping has no row that calls a path a setting"),
    clock=done("the member that the source declares, in seconds, milliseconds, microseconds or ISO 8601"),
    no_reading=done("null, words for it, and what the site's row calls missing"),
    disconnect=done("the broker keeps what comes meanwhile; the agent subscribes again"),
)
DRIVER = DeviceDriver(
    name="mqtt_json",
    title="JSON over MQTT by a declared mapping",
    manual="RFC 8259; the site's mapping",
    redact=redact_json,
    settings=MqttJsonSettings,
    read=read,
    has_local_times=lambda settings: settings.time_field is not None,
    quality=QUALITY,
)
