"""What of a chart's entries the 重症护理记录单 shows: a row an hour, corrected rows struck, sums of a day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta

from clinical.chart import Entry, Status, Version
from clinical.chart_items import item_of
from clinical.chart_totals import Total, total
from clinical.sheet.content import Pressure
from clinical.sheet.days import local
from clinical.sheet.hourly import Fluid, HourlyRow, Totals
from clinical.sheet.style import Style
from clinical.sheet_readings import TEMPERATURES, instant

HOUR_US = 3_600_000_000
DAY_BEGINS = time(7)  # of the sums of 24 hours: when the night shift hands over
DIAGNOSIS = "diagnosis"
DIAGNOSIS_CHARS_MAX = 40  # one line of the header, which would shrink for more
_INTAKE, _OUTPUT = ("intake",), ("urine", "drain", "vomit", "output")
_PULSES = ("MDC_PULS_RATE", "MDC_PULS_OXIM_PULS_RATE", "MDC_PULS_RATE_NON_INV")
_BREATHS = ("MDC_RESP_RATE", "MDC_TTHOR_RESP_RATE", "MDC_CO2_RESP_RATE", "MDC_VENT_RESP_RATE")
_SYSTOLIC = ("MDC_PRESS_BLD_ART_SYS", "MDC_PRESS_BLD_NONINV_SYS")
_DIASTOLIC = ("MDC_PRESS_BLD_ART_DIA", "MDC_PRESS_BLD_NONINV_DIA")
_Said = Mapping[str, Version]


def hourly_rows(entries: Sequence[Entry], names: Mapping[bytes, str], style: Style) -> tuple[HourlyRow, ...]:
    """Of entries that stand, by time; `names`: who did an act, by its id. A diagnosis stands in the header alone."""
    by_hour: dict[int, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.key.item == DIAGNOSIS:
            continue
        by_hour[entry.key.at_us // HOUR_US * HOUR_US].append(entry)
    return tuple(row for hour_us in sorted(by_hour) for row in _rows_of_hour(hour_us, by_hour[hour_us], names, style))


def _rows_of_hour(
    hour_us: int, there: Sequence[Entry], names: Mapping[bytes, str], style: Style
) -> Iterator[HourlyRow]:  # fmt: skip
    first: dict[str, Entry] = {}
    for entry in there:  # what a person confirmed stands before what comes first
        kept = first.get(entry.key.item)
        if kept is None or (entry.now.confirmed and not kept.now.confirmed):
            first[entry.key.item] = entry
    at_us = min(entry.key.at_us for entry in first.values())
    corrected = {item: entry for item, entry in first.items() if _before(entry) is not None}
    if corrected:
        newest = max((entry.now for entry in corrected.values()), key=lambda version: version.recorded_at_us)
        at = local(instant(newest.recorded_at_us), style)
        struck = f"{names.get(newest.act_id or b'', '')} {at:%m-%d %H:%M}".strip()
        before = {item: version for item, entry in corrected.items() if (version := _before(entry)) is not None}
        yield _row(f"{hour_us}:before", at_us, before, style, struck=struck)
    yield _row(str(hour_us), at_us, {item: entry.now for item, entry in first.items()}, style)


def _before(entry: Entry) -> Version | None:
    """What a person had confirmed first, where it was changed since."""
    if entry.now.status is not Status.AMENDED:
        return None
    confirmed = next((version for version in entry.versions if version.confirmed), None)
    return confirmed if confirmed is not entry.now else None


def _row(name: str, at_us: int, said: _Said, style: Style, struck: str = "") -> HourlyRow:
    systolic, diastolic = _number(said, _SYSTOLIC), _number(said, _DIASTOLIC)
    pressure = None if systolic is None or diastolic is None else Pressure(round(systolic), round(diastolic))
    return HourlyRow(
        id=f"hour:{name}", confirmed=all(version.confirmed for version in said.values()),
        version=max(version.number for version in said.values()), at=instant(at_us),
        consciousness=_choice(said, "acvpu", style), temperature=_number(said, tuple(TEMPERATURES)),
        pulse=_number(said, _PULSES), heart_rate=_number(said, ("MDC_ECG_HEART_RATE",)),
        breaths=_number(said, _BREATHS), pressure=pressure, spo2=_number(said, ("MDC_PULS_OXIM_SAT_O2",)),
        oxygen=_oxygen(said, style), intake=_fluids(said, _INTAKE, style), output=_fluids(said, _OUTPUT, style),
        tubes=_text(said, "tubes"), skin=_text(said, "skin"), course=_course(said, style), struck=struck,
    )  # fmt: skip


def _number(said: _Said, items: Sequence[str]) -> float | None:
    return next((said[item].value for item in items if item in said and said[item].value is not None), None)


def _text(said: _Said, item: str) -> str:
    return said[item].text if item in said else ""


def _choice(said: _Said, item: str, style: Style) -> str:
    key = _text(said, item)
    en, zh = (item_of(item).choices or {}).get(key, (key, key))
    return zh if style.language == "zh" else en


def _oxygen(said: _Said, style: Style) -> str:
    flow = _number(said, ("oxygen-flow",))
    return " ".join(filter(None, ["" if flow is None else f"{flow:g} L/min", _choice(said, "oxygen-route", style)]))


def _course(said: _Said, style: Style) -> str:
    pain = _number(said, ("pain",))
    parts = [_choice(said, "event", style), _text(said, "observation")]
    if pain is not None:
        parts.append(f"{_name('pain', style)} {pain:g}")
    if "stool" in said:
        parts.append(f"{_name('stool', style)} {said['stool'].text}")
    return ("；" if style.language == "zh" else "; ").join(filter(None, parts))


def _name(item: str, style: Style) -> str:
    kind = item_of(item)
    return kind.zh if style.language == "zh" else kind.en


def _fluids(said: _Said, items: Sequence[str], style: Style) -> tuple[Fluid, ...]:
    return tuple(Fluid(item=_name(item, style), ml=said[item].value) for item in items if item in said)


def diagnosis(entries: Sequence[Entry]) -> str:
    """Of entries that stand, by time, the last one, as much as the header has room for; "": nobody wrote one."""
    written = [entry.now.text for entry in entries if entry.key.item == DIAGNOSIS]
    text = " ".join(written[-1].split()) if written else ""
    return text if len(text) <= DIAGNOSIS_CHARS_MAX else f"{text[: DIAGNOSIS_CHARS_MAX - 1]}…"


def daily_totals(entries: Sequence[Entry], since_us: int, until_us: int, style: Style) -> tuple[Totals, ...]:
    """Of each 24 hours from `DAY_BEGINS` that ended in (since, until], and of those that still run."""
    zone, found = style.local_zone(), []
    day: date = local(instant(since_us), style).date() - timedelta(days=1)
    while (begin_us := _us(datetime.combine(day, DAY_BEGINS, zone))) < until_us:
        end_us = _us(datetime.combine(day + timedelta(days=1), DAY_BEGINS, zone))
        if end_us > since_us:
            found += _totals(entries, max(begin_us, since_us), min(end_us, until_us))
        day += timedelta(days=1)
    return tuple(found)


def _totals(entries: Sequence[Entry], begin_us: int, end_us: int) -> list[Totals]:
    sums = {}
    for item in (*_INTAKE, *_OUTPUT):
        of_item = total(entries, item, begin_us, end_us)
        if of_item is not None:
            sums[item] = of_item
    if not sums:
        return []
    counted = [e for e in entries if e.key.item in sums and begin_us < e.key.at_us <= end_us]
    return [
        Totals(
            id=f"totals:{begin_us}",
            confirmed=all(e.now.confirmed for e in counted),
            version=max(e.now.number for e in counted),
            since=instant(begin_us),
            until=instant(end_us),
            intake_ml=sum(found.volume_ml for item, found in sums.items() if item in _INTAKE),
            output_ml=sum(found.volume_ml for item, found in sums.items() if item in _OUTPUT),
            complete=_are_whole(sums),
        )
    ]


def _are_whole(sums: Mapping[str, Total]) -> bool:
    """Where nobody wrote what came in, or what went out, nothing is known of the balance: a 0 would say that it is."""
    both = any(item in sums for item in _INTAKE) and any(item in sums for item in _OUTPUT)
    return both and all(found.is_complete for found in sums.values())


def _us(at: datetime) -> int:
    return (at.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
