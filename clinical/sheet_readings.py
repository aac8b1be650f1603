"""What of a chart's entries a 体温单 shows: curves of a slot, rows of a day, words, absences."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta

from clinical.chart import Entry, Origin, Status, Version
from clinical.chart_items import item_of
from clinical.chart_totals import total
from clinical.sheet.content import Absence, DayEntry, DayValue, Event, Metric, Pressure, Reading, Stool, Volume
from clinical.sheet.days import distance_s, local, slot_of
from clinical.sheet.style import Style

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The route that a metric itself names; "": its entry beside it does, or nobody.
TEMPERATURES: Mapping[str, str] = {
    "MDC_TEMP": "", "MDC_TEMP_BODY": "", "MDC_TEMP_AXIL": "axillary", "MDC_TEMP_AXILLA": "axillary",
    "MDC_TEMP_ORAL": "oral", "MDC_TEMP_RECT": "rectal", "MDC_TEMP_EAR": "ear", "MDC_TEMP_TYMP": "ear",
    "MDC_TEMP_CORE": "core", "MDC_TEMP_ESOPH": "oesophageal", "MDC_TEMP_FOLEY": "bladder", "MDC_TEMP_BLD": "core",
}  # fmt: skip
# Of several in one slot the first is drawn, unless a person confirmed another one.
RATES: Mapping[str, Metric] = {
    "MDC_PULS_RATE": "pulse", "MDC_PULS_OXIM_PULS_RATE": "pulse", "MDC_PULS_RATE_NON_INV": "pulse",
    "MDC_ECG_HEART_RATE": "heart_rate", "MDC_RESP_RATE": "breaths", "MDC_TTHOR_RESP_RATE": "breaths",
    "MDC_CO2_RESP_RATE": "breaths", "MDC_VENT_RESP_RATE": "breaths", "pain": "pain", "MDC_PULS_OXIM_SAT_O2": "spo2",
}  # fmt: skip
_IN_ROWS = ("pain", "spo2")  # only where the site's sheet has the row
_VOLUMES = {"intake": "intake", "output": "output", "urine": "urine", "drain": "drainage", "vomit": "vomit"}
_EVENTS = {
    "admitted": "admission", "transferred": "transfer_in", "operation": "operation", "birth": "birth",
    "discharged": "discharge", "died": "death",
}  # fmt: skip
_NOT_MEASURED = {"refused": "refused", "away": "out", "leave": "leave", "absent": "away"}
_SYSTOLIC, _DIASTOLIC = "MDC_PRESS_BLD_NONINV_SYS", "MDC_PRESS_BLD_NONINV_DIA"
_STOOL = re.compile(r"(?:(?P<own>\d+) )?(?P<count>\d+)(?:/(?P<enemas>\d*)E)?")


def instant(at_us: int) -> datetime:
    """Of microseconds since 1970, aware."""
    return _EPOCH + timedelta(microseconds=at_us)


def standing(entries: Iterable[Entry]) -> list[Entry]:
    """What was not entered in error, by time."""
    return sorted(
        (entry for entry in entries if entry.now.status is not Status.ENTERED_IN_ERROR),
        key=lambda entry: (entry.key.at_us, entry.key.item, entry.entry),
    )


def edition(entries: Iterable[Entry]) -> int:
    """1 while nothing changed that a person had confirmed, one more with each change: what a reprint is told by."""
    changed = 0
    for entry in entries:
        confirmed = False
        for version in entry.versions:
            changed += confirmed
            confirmed = confirmed or version.confirmed
    return 1 + changed


# --- curves ----------------------------------------------------------------------------------------------------------


def readings(entries: Sequence[Entry], style: Style) -> tuple[Reading, ...]:
    """Of entries that stand, by time: all by hand, and of devices one a slot."""
    beside: dict[tuple[int, str], str] = {(e.key.at_us, e.key.item): e.now.text for e in entries if e.now.value is None}
    found = [*_temperatures(entries, beside), *_rates(entries, style)]
    return tuple(sorted(_one_a_slot(found, style), key=lambda reading: (reading.observed_at, reading.id)))


def _temperatures(entries: Sequence[Entry], beside: Mapping[tuple[int, str], str]) -> Iterator[Reading]:
    before = ""  # the id of the last one that is not after cooling
    measured = set()
    for entry in entries:
        if entry.key.item not in TEMPERATURES or entry.now.value is None:
            continue
        at_us = entry.key.at_us
        measured.add(at_us)
        mark = beside.get((at_us, "temperature-mark"), "")
        yield Reading(
            id=entry.entry, confirmed=entry.now.confirmed, version=entry.now.number, metric="temperature",
            observed_at=instant(at_us), value=None if mark == "low" else entry.now.value,
            route=TEMPERATURES[entry.key.item] or beside.get((at_us, "temperature-route"), ""),
            by_hand=entry.now.origin is Origin.HAND, cooled_from=before if mark == "cooled" else "",
            rechecked=mark == "repeated",
        )  # fmt: skip
        if mark != "cooled":
            before = entry.entry
    for entry in entries:
        if entry.key.item == "temperature-mark" and entry.now.text == "low" and entry.key.at_us not in measured:
            yield Reading(
                id=entry.entry, confirmed=entry.now.confirmed, version=entry.now.number, metric="temperature",
                observed_at=instant(entry.key.at_us), value=None, by_hand=True,
            )  # fmt: skip


def _rates(entries: Sequence[Entry], style: Style) -> Iterator[Reading]:
    ventilated = False  # until another way of oxygen is written
    for entry in entries:
        if entry.key.item == "oxygen-route":
            ventilated = entry.now.text == "ventilator"
        metric = RATES.get(entry.key.item)
        if metric is None or entry.now.value is None or (metric in _IN_ROWS and metric not in style.rows.order):
            continue
        yield Reading(
            id=entry.entry, confirmed=entry.now.confirmed, version=entry.now.number, metric=metric,
            observed_at=instant(entry.key.at_us), value=entry.now.value, by_hand=entry.now.origin is Origin.HAND,
            ventilated=metric == "breaths" and ventilated,
        )  # fmt: skip


def _one_a_slot(found: Iterable[Reading], style: Style) -> Iterator[Reading]:
    """What a nurse wrote, else what somebody confirmed, else what is nearest to the label.

    An ECG's rate is left out where the slot has a pulse: both would be drawn as a deficit.
    """
    by_slot: dict[tuple[date, int], dict[Metric, list[Reading]]] = defaultdict(lambda: defaultdict(list))
    for reading in found:
        slot = slot_of(reading.observed_at, style)
        by_slot[slot.day, slot.index][reading.metric].append(reading)
    for of_slot in by_slot.values():
        for metric, there in of_slot.items():
            by_hand = [reading for reading in there if reading.by_hand]
            if by_hand:
                yield from by_hand
            elif metric != "heart_rate" or "pulse" not in of_slot:
                yield min(there, key=lambda reading: _rank(reading, style))


def _rank(reading: Reading, style: Style) -> tuple[bool, float, str]:
    slot = slot_of(reading.observed_at, style)
    return not reading.confirmed, distance_s(reading.observed_at, slot, style), reading.id


# --- words -----------------------------------------------------------------------------------------------------------


def events(entries: Sequence[Entry], derived: Sequence[Event]) -> tuple[Event, ...]:
    """What a nurse wrote, and what ADT says but for those of the same kind that hers stand for."""
    written = [
        Event(id=e.entry, confirmed=e.now.confirmed, version=e.now.number, kind=_EVENTS[e.now.text],
              at=instant(e.key.at_us))
        for e in entries if e.key.item == "event"
    ]  # fmt: skip
    left = list(derived)
    for event in written:
        alike = [other for other in left if other.kind == event.kind]
        if alike:
            left.remove(min(alike, key=lambda other: abs((other.at - event.at).total_seconds())))
    return tuple(sorted([*written, *left], key=lambda event: (event.at, event.id)))


def absences(entries: Sequence[Entry]) -> tuple[Absence, ...]:
    """Why nothing was measured, as a nurse wrote it."""
    return tuple(
        Absence(id=e.entry, confirmed=e.now.confirmed, version=e.now.number, kind=_NOT_MEASURED[e.now.text],
                since=instant(e.key.at_us))
        for e in entries if e.key.item == "not-measured"
    )  # fmt: skip


# --- rows of days ----------------------------------------------------------------------------------------------------


def day_entries(entries: Sequence[Entry], style: Style, until: datetime | None = None) -> tuple[DayEntry, ...]:
    """Of the rows that the site's sheet has; volumes of the days that were over by `until`, the moment of printing."""
    rows = set(style.rows.order)
    found = [*_pressures(entries, style), *_totals(entries, style, until)]
    for item, row, value_of in _ROWS:
        found += _last_of_days(entries, style, item, row, value_of)
    return tuple(entry for entry in found if entry.row in rows)


def _pressures(entries: Sequence[Entry], style: Style) -> Iterator[DayEntry]:
    """As many a day as the row has room for: of each part of the day what a person confirmed, else the first."""
    diastolic = {entry.key.at_us: entry for entry in entries if entry.key.item == _DIASTOLIC}
    parts: dict[tuple[date, int], list[DayEntry]] = defaultdict(list)
    for entry in entries:
        other = diastolic.get(entry.key.at_us)
        if entry.key.item != _SYSTOLIC or other is None or entry.now.value is None or other.now.value is None:
            continue
        at = local(instant(entry.key.at_us), style)
        part = at.hour * style.rows.pressures_per_day // 24
        parts[at.date(), part].append(DayEntry(
            id=entry.entry, confirmed=entry.now.confirmed and other.now.confirmed,
            version=max(entry.now.number, other.now.number), row="pressure", day=at.date(), at=at,
            value=Pressure(round(entry.now.value), round(other.now.value)),
        ))  # fmt: skip
    for there in parts.values():
        yield min(there, key=lambda entry: (not entry.confirmed, entry.at or _EPOCH, entry.id))


def _totals(entries: Sequence[Entry], style: Style, until: datetime | None) -> Iterator[DayEntry]:
    """A day's volumes, from midnight to midnight; incomplete ones say from when to when."""
    zone = style.local_zone()
    for item, row in _VOLUMES.items():
        of_item = [entry for entry in entries if entry.key.item == item]
        days = sorted({local(instant(entry.key.at_us - 1), style).date() for entry in of_item})
        for day in days:
            begin = datetime.combine(day, time(), zone).astimezone(UTC)
            end = datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)
            if until is not None and end > until:
                continue
            found = total(of_item, item, _us(begin), _us(end))
            if found is None:
                continue
            counted = [e for e in of_item if found.from_us < e.key.at_us <= found.until_us]
            span = tuple(f"{local(instant(at_us), style):%H:%M}" for at_us in (found.from_us, found.until_us))
            yield DayEntry(
                id=f"{item}:{day.isoformat()}", row=row, day=day, confirmed=all(e.now.confirmed for e in counted),
                version=max(e.now.number for e in counted),
                value=Volume(found.volume_ml, incomplete=None if found.is_complete else (span[0], span[1])),
            )  # fmt: skip


def _us(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _last_of_days(
    entries: Sequence[Entry], style: Style, item: str, row: str, value_of: Callable[[Version, Style], DayValue]
) -> Iterator[DayEntry]:
    """A row that is about yesterday is asked today: what is written today stands under today."""
    by_day = {local(instant(entry.key.at_us), style).date(): entry for entry in entries if entry.key.item == item}
    back = timedelta(days=1 if row in style.rows.about_yesterday else 0)
    for day, entry in by_day.items():
        yield DayEntry(
            id=entry.entry, confirmed=entry.now.confirmed, version=entry.now.number, row=row, day=day - back,
            value=value_of(entry.now, style), at=instant(entry.key.at_us),
        )  # fmt: skip


def _stool(version: Version, style: Style) -> DayValue:
    text = version.text.strip()
    if text in ("※", "☆"):
        return Stool(incontinent=text == "※", stoma=text == "☆")
    found = _STOOL.fullmatch(text)
    if found is None:
        return text
    enemas = 0 if found["enemas"] is None else int(found["enemas"] or 1)
    count, own = int(found["count"]), int(found["own"] or 0)
    return Stool(own=own, enemas=enemas, after_enema=count) if enemas else Stool(own=count)


def _number(version: Version, style: Style) -> DayValue:
    return version.text if version.value is None else f"{version.value:.{version.decimals}f}".removesuffix(".0")


def _words(version: Version, style: Style) -> DayValue:
    en, zh = (item_of("weighed-as").choices or {}).get(version.text, (version.text, version.text))
    return zh if style.language == "zh" else en


_ROWS: tuple[tuple[str, str, Callable[[Version, Style], DayValue]], ...] = (
    ("stool", "stool", _stool), ("weight", "weight", _number), ("weighed-as", "weight", _words),
    ("height", "height", _number), ("skin-test", "skin_test", _number),
)  # fmt: skip
