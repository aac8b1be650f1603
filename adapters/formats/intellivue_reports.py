"""The reports of one message of a Philips IntelliVue monitor: what ids mean, when it was said, and their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from msgspec.structs import replace

from adapters.driver import Source
from adapters.formats.instants import Instant, parse_dtm, reset_instant
from adapters.formats.intellivue_values import ClockReference, digits_of, reference_at, stated_moment
from adapters.formats.moments import StatedMoment, received, unread_time
from adapters.formats.values import text_record
from adapters.site import unit_of
from schemas.nomenclature import METRIC_BY_CODE, UNIT_BY_CODE
from schemas.report import AsSent, ClockQuality, Kind, Lane, Mark, Record, Report

SYSTEM = "Philips"
CLOCK = "clock"  # in a connection's memory: its ClockReference, None where none is known
NO_MARK = Mark(0)
METRICS, UNITS = 2 << 16, 4 << 16  # partitions of MDC
PRIVATE = 0xF000
# Where the number of a physio id is not that of the metric which it is.
_OTHER_NUMBERS = {0x4822: 149530}  # NOM_PLETH_PULS_RATE: MDC_PULS_OXIM_PULS_RATE
_TIME_UNREAD = "time unread"


class Meaning(NamedTuple):
    """A physio id and a unit in standard words; `as_sent` is set where these do not say everything."""

    code: int
    unit: int
    exponent_shift: int
    as_sent: AsSent | None


def meaning_of(physio: int, unit: int, source: Source[Any]) -> Meaning:
    """What a physio id means; by the site's row where there is none in the nomenclature."""
    code = _OTHER_NUMBERS.get(physio, METRICS | physio if physio < PRIVATE else 0)
    known_unit = UNITS | unit if UNITS | unit in UNIT_BY_CODE else 0
    sent = AsSent(SYSTEM, f"{physio:04X}", "" if known_unit else f"{unit:04X}")
    if code in METRIC_BY_CODE:
        is_whole = known_unit and physio not in _OTHER_NUMBERS
        return Meaning(code, known_unit, 0, None if is_whole else sent)
    row = source.rows.find(SYSTEM, f"{physio:04X}", "")
    if row is None:
        return Meaning(0, known_unit, 0, sent)
    return Meaning(row.code, unit_of([str(known_unit)] if known_unit else [], row), row.exponent_shift, sent)


@dataclass
class Result:
    """The reports of one message, in the making."""

    source: Source[Any]
    claim: str
    moment: StatedMoment
    base: Mark = NO_MARK  # of every record
    values: list[Record] = field(default_factory=list)
    stamped: dict[bytes, list[Record]] = field(default_factory=dict)  # values with a time of their own, by that
    waves: list[Record] = field(default_factory=list)
    alarms: list[Record] = field(default_factory=list)
    events: list[Record] = field(default_factory=list)
    settings: list[Record] = field(default_factory=list)
    context: list[Record] = field(default_factory=list)
    described: list[Record] = field(default_factory=list)

    def event(self, code: str, text: str) -> None:
        """Something to be told of the dialogue."""
        self.events.append(text_record(SYSTEM, code, text))

    def reports(self) -> list[Report]:
        """Those that hold something; contexts and descriptions first, for what follows is read by them."""
        kinds = (
            (Kind.CONTEXT, self.context),
            (Kind.DESCRIPTION, self.described),
            (Kind.EVENT, self.events),
            (Kind.SETTING, self.settings),
            (Kind.METRIC, self.values),
            (Kind.ALARM, self.alarms),
            (Kind.WAVEFORM, self.waves),
        )
        reports = [self._report(kind, records, self.moment) for kind, records in kinds if records]
        for stamp, records in self.stamped.items():
            reports.append(self._report(Kind.METRIC, records, _stamped_moment(stamp, self)))
        return reports

    def _report(self, kind: Kind, records: Sequence[Record], moment: StatedMoment) -> Report:
        lane = Lane.WAVEFORM if kind is Kind.WAVEFORM else Lane.LIVE
        return moment.report(kind, self.claim, self._marked(moment.noted(records)), lane)

    def _marked(self, records: Sequence[Record]) -> Sequence[Record]:
        return [replace(each, marks=each.marks | self.base) for each in records] if self.base else records


def moment_at(ticks: int, absolute: bytes | None, source: Source[Any]) -> StatedMoment:
    """When it was said; a local time beside the ticks says which instant they are."""
    if source.time_zone is None:
        return received(source.received_at_us)
    reference: ClockReference | None = source.memory.get(CLOCK)
    reset: Instant | None = None
    if absolute is not None:
        digits = digits_of(absolute)
        instant: Instant | None = parse_dtm(digits, source.time_zone)
        if instant is None:
            reference, reset = None, reset_instant(digits, source.time_zone)
            source.memory[_TIME_UNREAD] = unread_time("absolute time", digits)
        else:
            reference = reference_at(reference, ticks, instant)
            source.memory[_TIME_UNREAD] = ""
        source.memory[CLOCK] = reference
    if reference is None:
        return received(source.received_at_us, source.memory.get(_TIME_UNREAD, ""), None if reset is None else reset.us)
    return stated_moment(reference, ticks, source.received_at_us)


def _stamped_moment(stamp: bytes, found: Result) -> StatedMoment:
    """When a value was measured that states it."""
    zone, digits = found.source.time_zone, digits_of(stamp)
    if zone is None:
        return found.moment
    instant = parse_dtm(digits, zone)
    if instant is None:
        return received(found.source.received_at_us, unread_time("time stamp", digits))
    uncertainty_ms = max(instant.uncertainty_ms, 1000)
    return StatedMoment(
        instant.us, found.source.received_at_us, instant.us, uncertainty_ms, ClockQuality.DEVICE, own_time=True
    )
