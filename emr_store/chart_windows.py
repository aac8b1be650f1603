"""What was measured in many slots, and whose it was: for all of them one query over `report`, never one a slot.

Values come from `report`; the summaries of minutes are for drawing alone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from clinical.attribution import State
from clinical.chart import Belonging, EntryKey, Measured, Source, Window
from emr_store.instants import moment, us_of
from schemas.block import ValidationResult
from schemas.nomenclature import METRIC_BY_CODE, METRIC_BY_REFERENCE_ID, UNIT_BY_CODE, canonical_unit
from schemas.report import Kind, Mark

_AMBIGUOUS, _CORRECTION = Mark.AMBIGUOUS << 4, Mark.CORRECTION << 4
_WITHDRAWAL, _TRAINING = Mark.WITHDRAWAL << 4, Mark.TRAINING << 4
_RESULTS = {int(result): result for result in ValidationResult}
_EVER_US = 2**62


class Asked(NamedTuple):
    """A slot of one encounter and metric: [from, until) is what may stand there."""

    key: EntryKey
    from_us: int
    until_us: int


class Span(NamedTuple):
    """[from, until) of a device's time."""

    device: str
    from_us: int
    until_us: int


@dataclass(frozen=True)
class Readings:
    """The values of some devices, by device and metric, by time."""

    by_device_and_metric: dict[tuple[str, str], list[Measured]]
    moments: dict[tuple[str, str], list[int]]

    def between(self, device: str, metric: str, from_us: int, until_us: int) -> list[Measured]:
        """Those that were measured in [from, until)."""
        of = self.moments.get((device, metric))
        if of is None:
            return []
        return self.by_device_and_metric[device, metric][bisect_left(of, from_us) : bisect_left(of, until_us)]


# --- whose -----------------------------------------------------------------------------------------------------------


def belongings_of(
    conn: psycopg.Connection, encounters: Collection[str], from_us: int, until_us: int
) -> dict[str, list[Belonging]]:
    """By encounter: of each device that was the encounter's at some moment of [from, until), all of its time there,
    what was another's or nobody's included."""
    rows = conn.execute(_ENCOUNTERS_SQL, (list(encounters), moment(until_us), moment(from_us))).fetchall()
    devices = sorted({device for _, device in rows})
    by_device: dict[str, list[Belonging]] = defaultdict(list)
    for belonging in belongings_of_devices(conn, [str(device) for device in devices], from_us, until_us):
        by_device[belonging.device].append(belonging)
    found: dict[str, list[Belonging]] = defaultdict(list)
    for encounter, device in sorted(set(rows)):
        found[encounter] += by_device[str(device)]
    return found


_ENCOUNTERS_SQL = """
SELECT encounter, device FROM whose WHERE encounter = ANY(%s) AND upper_inf(recorded)
    AND lower(valid) < %s AND (upper_inf(valid) OR upper(valid) > %s)
"""


def belongings_of_devices(
    conn: psycopg.Connection, devices: Collection[str], from_us: int, until_us: int
) -> list[Belonging]:
    """Whose the values of these devices are at each moment of [from, until), as believed now."""
    rows = conn.execute(_DEVICES_SQL, ([UUID(each) for each in devices], moment(until_us), moment(from_us)))
    return [
        Belonging(device=str(device), from_us=us_of(from_at), until_us=us_of(until_at), state=State(state),
                  encounter=encounter)
        for device, from_at, until_at, state, encounter in rows
    ]  # fmt: skip


_DEVICES_SQL = """
SELECT device, lower(valid), upper(valid), state, encounter FROM whose WHERE device = ANY(%s) AND upper_inf(recorded)
    AND lower(valid) < %s AND (upper_inf(valid) OR upper(valid) > %s) ORDER BY device, lower(valid)
"""


# --- values ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Heard:
    """A device as it is heard through one edge, and when it is believed through it (None: always)."""

    device: str
    believed: list[tuple[int, int]] | None

    def is_foreign(self, at_us: int) -> bool:
        return self.believed is not None and not any(since <= at_us < until for since, until in self.believed)


@dataclass(frozen=True)
class _Place:
    """Where a metric stands among the channels of a list."""

    metric: str
    channel: int
    unit: str


@dataclass
class ValueReader:
    """Reads values; remembers lists of channels, which never change, and the public ids of batches."""

    conn: psycopg.Connection
    _places: dict[int, list[_Place | None]] = field(default_factory=dict)

    def read(self, spans: Collection[Span], metrics: Collection[str]) -> Readings:
        """What these devices measured of these metrics in these spans, which may overlap."""
        merged = merged_spans(spans)
        heard = self._heard({span.device for span in merged})
        rows = self._rows(merged, heard, metrics)
        self._learn({row[3] for row in rows})
        batch_ids = self._batch_ids({row[8] for row in rows})
        wanted = frozenset(metrics)
        found: dict[tuple[str, str], list[Measured]] = defaultdict(list)
        for row in rows:
            batch_id = batch_ids.get(row[8])
            if batch_id is None:  # a row that no batch stands behind has no public identity
                continue
            for measured in self._measured(row, heard[row[2]], batch_id, wanted):
                found[measured.device, measured.metric].append(measured)
        moments = {}
        for key, values in found.items():
            values.sort(key=_observed_at_us)
            moments[key] = [value.observed_at_us for value in values]
        return Readings(dict(found), moments)

    def windows(self, asked: Sequence[Asked]) -> list[Window]:
        """Each slot with what may stand in it: values of the encounter's own time alone."""
        if not asked:
            return []
        from_us, until_us = _bounds_of(asked)
        belongings = belongings_of(self.conn, {each.key.encounter for each in asked}, from_us, until_us)
        own = [list(_own_spans(each, belongings[each.key.encounter])) for each in asked]
        return self._windows(asked, belongings, own)

    def whole_windows(self, asked: Sequence[Asked]) -> list[Window]:
        """Each slot with all that its devices measured in it, also for others; devices that stood at the encounter's
        beds are among them. For those who ask why nothing stands there."""
        if not asked:
            return []
        from_us, until_us = _bounds_of(asked)
        encounters = {each.key.encounter for each in asked}
        belongings = belongings_of(self.conn, encounters, from_us, until_us)
        for encounter in encounters:
            known = {each.device for each in belongings[encounter]}
            there = self.conn.execute(
                _AT_BEDS_SQL, {"encounter": encounter, "since": moment(from_us), "until": moment(until_us)}
            )
            others = {str(row[0]) for row in there} - known
            belongings[encounter] += belongings_of_devices(self.conn, others, from_us, until_us)
        whole = [
            [Span(device, each.from_us, each.until_us) for device in {b.device for b in belongings[each.key.encounter]}]
            for each in asked
        ]
        return self._windows(asked, belongings, whole)

    def _windows(
        self, asked: Sequence[Asked], belongings: dict[str, list[Belonging]], spans: Sequence[Sequence[Span]]
    ) -> list[Window]:
        readings = self.read({span for each in spans for span in each}, {each.key.item for each in asked})
        return [
            Window(
                key=each.key,
                from_us=each.from_us,
                until_us=each.until_us,
                belongings=[b for b in belongings[each.key.encounter] if _meets(b, each.from_us, each.until_us)],
                measured=[value for span in of_slot
                          for value in readings.between(span.device, each.key.item, span.from_us, span.until_us)],
            )
            for each, of_slot in zip(asked, spans, strict=True)
        ]  # fmt: skip

    def _rows(self, spans: Sequence[Span], heard: dict[int, _Heard], metrics: Collection[str]) -> list[tuple[Any, ...]]:
        numbers: dict[str, list[int]] = defaultdict(list)
        for number, each in heard.items():
            numbers[each.device].append(number)
        asked = [(number, span) for span in spans for number in numbers[span.device]]
        if not asked:
            return []
        named = {
            "devices": [number for number, _ in asked],
            "since": [moment(span.from_us) for _, span in asked],
            "until": [moment(span.until_us) for _, span in asked],
            "sets": self._sets_with(metrics),
            "first": moment(min(span.from_us for _, span in asked)),
            "last": moment(max(span.until_us for _, span in asked)),
        }
        return self.conn.cursor(binary=True).execute(_VALUES_SQL, named).fetchall()

    def _sets_with(self, metrics: Collection[str]) -> list[int]:
        """The lists of channels that any of these metrics is in."""
        codes = [METRIC_BY_REFERENCE_ID[each].code for each in metrics if each in METRIC_BY_REFERENCE_ID]
        rows = self.conn.execute("SELECT channel_set FROM channel_set WHERE code && %s::int8[]", (codes,))
        return [row[0] for row in rows]

    def _heard(self, devices: Collection[str]) -> dict[int, _Heard]:
        rows = self.conn.execute(_HEARD_SQL, ([UUID(each) for each in devices],))
        return {
            number: _Heard(str(uuid), [_bounds(each) for each in believed] if registered else None)
            for number, uuid, registered, believed in rows
        }

    def _learn(self, channel_sets: Collection[int]) -> None:
        unknown = [each for each in channel_sets if each not in self._places]
        if not unknown:
            return
        for number, codes, units, channels in self.conn.execute(_SETS_SQL, (unknown,)):
            self._places[number] = [_place(*each) for each in zip(codes, units, channels, strict=True)]

    def _batch_ids(self, batches: Collection[int]) -> dict[int, bytes]:
        rows = self.conn.cursor(binary=True).execute(
            "SELECT batch, batch_id FROM batch WHERE batch = ANY(%s)", (list(batches),)
        )
        return dict(rows.fetchall())

    def _measured(
        self, row: tuple[Any, ...], heard: _Heard, batch_id: bytes, metrics: frozenset[str]
    ) -> Iterator[Measured]:
        (observed_at, received_at, _, channel_set, values, decimals, validities, results, _, leaf, index) = row
        places = self._places[channel_set]
        observed_at_us, received_at_us = us_of(observed_at), us_of(received_at)
        foreign = heard.is_foreign(observed_at_us)
        for record, value in enumerate(values):
            place = places[record if index is None else index[record] - 1]
            if place is None or place.metric not in metrics:
                continue
            validity = validities[record] if validities is not None else 0
            result = results[record] if results is not None else 0
            yield Measured(
                observed_at_us=observed_at_us,
                received_at_us=received_at_us,
                device=heard.device,
                metric=place.metric,
                channel=place.channel,
                value=value,
                decimals=max(0, 128 - decimals[record]) if decimals is not None else 0,
                unit=place.unit,
                validation_result=_RESULTS[result],
                ambiguous=bool(validity & _AMBIGUOUS),
                correction=bool(validity & _CORRECTION),
                withdrawal=bool(validity & _WITHDRAWAL),
                training=bool(validity & _TRAINING),
                foreign_edge=foreign,
                source=Source(batch_id, leaf, record),
            )


def _bounds_of(asked: Iterable[Asked]) -> tuple[int, int]:
    listed = list(asked)
    return min(each.from_us for each in listed), max(each.until_us for each in listed)


def _observed_at_us(value: Measured) -> int:
    return value.observed_at_us


def _place(code: int, unit: int, channel: int) -> _Place | None:
    metric = METRIC_BY_CODE.get(code)
    if metric is None:
        return None
    stored = canonical_unit(code, unit) or UNIT_BY_CODE.get(unit)
    return _Place(metric.reference_id, channel, stored.ucum if stored else "")


def _bounds(span: Any) -> tuple[int, int]:
    return (
        -_EVER_US if span.lower is None else us_of(span.lower),
        _EVER_US if span.upper is None else us_of(span.upper),
    )


def _own_spans(asked: Asked, belongings: Iterable[Belonging]) -> Iterator[Span]:
    for each in belongings:
        if each.encounter == asked.key.encounter and _meets(each, asked.from_us, asked.until_us):
            until_us = asked.until_us if each.until_us is None else min(each.until_us, asked.until_us)
            yield Span(each.device, max(each.from_us, asked.from_us), until_us)


def _meets(belonging: Belonging, from_us: int, until_us: int) -> bool:
    return belonging.from_us < until_us and (belonging.until_us is None or belonging.until_us > from_us)


def merged_spans(spans: Collection[Span]) -> list[Span]:
    """The same time without overlaps, so that no row is read twice."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and found[-1].device == span.device and span.from_us <= found[-1].until_us:
            last = found.pop()
            span = Span(span.device, last.from_us, max(last.until_us, span.until_us))
        found.append(span)
    return found


# `first` and `last` say the same again, so that the planner opens the partitions of these moments alone; OFFSET 0: a
# span at a time, by the index over device and moment.
_VALUES_SQL = f"""
SELECT r.* FROM unnest(%(devices)s::int4[], %(since)s::timestamptz[], %(until)s::timestamptz[])
    AS t(device, since, until)
CROSS JOIN LATERAL (
    SELECT r.observed_at, r.received_at, r.device, r.channel_set, r.value, r.decimals, r.validity, r.validation_result,
        r.batch, r.leaf, r.channel_index
    FROM report r WHERE r.device = t.device AND r.observed_at >= t.since AND r.observed_at < t.until
        AND r.observed_at >= %(first)s AND r.observed_at < %(last)s AND r.kind = {int(Kind.METRIC)}
        AND r.channel_set = ANY(%(sets)s)
    OFFSET 0) AS r
"""
# Devices that were the encounter's at another time, and whose values of this time are nobody's or in conflict.
_AT_BEDS_SQL = """
SELECT DISTINCT o.device FROM whose w JOIN whose o ON o.device = w.device AND upper_inf(o.recorded)
WHERE w.encounter = %(encounter)s AND upper_inf(w.recorded)
    AND o.valid && tstzrange(%(since)s, %(until)s) AND o.encounter IS NULL
"""
_HEARD_SQL = """
SELECT d.device, d.uuid, g.uuid IS NOT NULL,
    ARRAY(SELECT e.valid FROM device_edge_believed e WHERE e.device = d.device) FROM device d
LEFT JOIN registered_device g USING (uuid) WHERE d.uuid = ANY(%s)
"""
_SETS_SQL = "SELECT channel_set, code, unit, channel FROM channel_set WHERE channel_set = ANY(%s)"


# --- where -----------------------------------------------------------------------------------------------------------


class WardStay(NamedTuple):
    """An encounter in a ward, as its bed's key names it."""

    from_us: int
    until_us: int | None
    ward: str


def wards_of(conn: psycopg.Connection, encounters: Collection[str]) -> dict[str, list[WardStay]]:
    """By encounter, by time: where it was, as believed now. A bed's key is facility^ward^room^bed."""
    rows: Iterable[tuple[str, str, datetime, datetime | None]] = conn.execute(
        "SELECT encounter, bed, lower(valid), upper(valid) FROM encounter_bed WHERE encounter = ANY(%s)"
        " AND upper_inf(recorded) ORDER BY encounter, lower(valid)",
        (list(encounters),),
    )
    found: dict[str, list[WardStay]] = defaultdict(list)
    for encounter, bed, from_at, until_at in rows:
        found[encounter].append(WardStay(us_of(from_at), us_of(until_at), bed.split("^")[1]))
    return found


def ward_during(stays: Sequence[WardStay], from_us: int, until_us: int) -> str:
    """The last ward of [from, until); "" where the patient was in none."""
    there = [s for s in stays if s.from_us < until_us and (s.until_us is None or s.until_us > from_us)]
    return there[-1].ward if there else ""
