"""How far each device's clock is from the edge's, from the lower envelope of (received - device time) over live frames.

A frame that says "10:00:05" and came at 10:03:07 by the edge's clock was sent at most 3:02 before its device's clock
was corrected: the correction `c`, which turns device time into the edge's, is at most received - device time, and over
many frames at most the least of these, for some come almost without delay. It is no less than that least by more than
the greatest delay of a live frame, `max_delay_s` of the source, and by what the device's time leaves open. Both bounds
widen with age by what clocks drift at most. Nothing is corrected without a declared `max_delay_s`: a gateway that sends
each minute would look like a device whose clock is a minute slow.

Within a segment the applied correction moves slowly (`SLEW_PPM`), so that times that were corrected keep their order. A
device whose clock is set (by a person, for summer time, by a lost battery) begins a new segment, which is an event. A
clock that was set forward is known at once, for no frame comes before it was sent; one that was set back looks like a
delay until nothing else has come for `WARM_UP_S`: meanwhile the stated uncertainty has room for both. Frames of a
queue, which come faster than their device spoke, say nothing of a clock; where they contradict it, it was set while the
link stood still, and they are of some moment since the last live frame.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from edge_agent.events import event
from schemas.edge_status import duration_en
from schemas.report import ClockQuality, Kind, Lane, Report

WARM_UP_S = 60.0  # of a segment: frames may still come out of a queue
LEAST_EVERY_S = 30.0  # delays that are not the least of all are remembered so far apart
WINDOW_S = 10_800.0
DRIFT_PPM_MAX = 100  # of a quartz clock against a disciplined one
SLEW_PPM = 1000
OPEN_MAX_US = 1_000_000  # a time that leaves more open says nothing of its clock
JITTER_US = 100_000  # of the edge's own clock and of its event loop
HISTORY_EVERY_S, HISTORY_S = 600.0, 86_400.0
DEVICES_MAX = 10_000
HOUR_US = 3_600_000_000
SEASON_US = 120_000_000  # by which a step of an hour may differ, set by hand
ASSUMED_DELAY_S = 60.0
LOOK_EVERY_US = 10_000_000  # whether a clock is off
UNSET_BEFORE_US = 978_307_200_000_000 + 14 * HOUR_US  # 2001-01-01 in the last zone: the clock was never set
# A device may tell its time in an event alone (MEDIBUS 28).
_MEASURED = frozenset({Kind.METRIC, Kind.WAVEFORM, Kind.ALARM, Kind.EVENT})
UNSET_WORDS = "its clock was never set: it says a year before 2001"
_UNCERTAINTY_MS_MAX = 0xFFFFFFFF


@dataclass(slots=True)
class _Least:
    """A received - device time that may be the least of those that are remembered, now or once others are forgotten."""

    at_us: int
    delay_us: int

    def most_us(self, now_us: int) -> int:
        """What the correction is at most by it."""
        return self.delay_us + _drifted_us(now_us - self.at_us)


@dataclass(slots=True)
class _Doubt:
    """Frames that came later than any live one should: a queue, or a clock that was set back."""

    since_us: int
    least_us: int
    most_us: int


@dataclass(frozen=True, slots=True)
class Corrected:
    """A device's time by the edge's clock, and how far off it is at most."""

    observed_at_us: int
    uncertainty_us: int


def is_faster(device_gap_us: int, gap_us: int) -> bool:
    """Whether two frames came closer together than their device spoke: they waited in a queue."""
    return device_gap_us < OPEN_MAX_US // 2 or gap_us < device_gap_us // 4


def _drifted_us(age_us: int) -> int:
    return max(age_us, 0) * DRIFT_PPM_MAX // 1_000_000


class DeviceClock:
    """One device's clock. Times are microseconds; it has no clock of its own."""

    def __init__(self, max_delay_s: float) -> None:
        self._max_delay_us = int(max_delay_s * 1e6)
        self._leasts: deque[_Least] = deque()  # the one that binds first, then the later ones by what they bind
        self._open_us = 0  # what the device's times leave open: those that end in whole seconds, a second
        self._settled_since_us = 0
        self._doubt: _Doubt | None = None
        self._before: tuple[int, int] | None = None  # device's time and receipt of the frame before
        self._is_queued = self._is_contradicted = False
        self._live_at_us = 0  # when a frame came last that waited in no queue
        self._applied_us: int | None = None  # None: nothing is corrected yet
        self._applied_at_us = 0
        self._history: deque[tuple[int, int]] = deque()  # (at, correction), ten minutes apart

    def hear(self, device_at_us: int, received_at_us: int, open_us: int) -> int | None:
        """A frame came; the step in microseconds where its device's clock is found to have been set, else None."""
        delay_us = received_at_us - device_at_us
        self._open_us = max(self._open_us, min(open_us, OPEN_MAX_US))
        if not self._leasts:
            self._begin(received_at_us, delay_us)
            return None
        most_us, before, self._before = self._most_us(received_at_us), self._before, (device_at_us, received_at_us)
        gap_us = 0 if before is None else received_at_us - before[1]
        contradicts = (
            self._applied_us is not None
            and delay_us < most_us - self._width_us - self._aged_us(received_at_us) - JITTER_US
        )
        if self._is_queued:
            self._is_queued = before is None or is_faster(device_at_us - before[0], gap_us)
        elif self._applied_us is not None:
            is_late = delay_us > most_us + self._width_us + JITTER_US
            self._is_queued = is_late or (contradicts and gap_us > self._width_us)
        if self._is_queued:
            self._is_contradicted |= contradicts
            return None if contradicts else self._judge(delay_us, received_at_us, most_us)
        self._is_contradicted = False
        if contradicts:
            return self._step(received_at_us, delay_us, delay_us - most_us)
        step_us = self._judge(delay_us, received_at_us, most_us)
        if step_us is not None or self._doubt is not None:
            return step_us
        self._live_at_us = received_at_us
        if delay_us < most_us - self._width_us:  # a queue that is being emptied
            self._settled_since_us = received_at_us
        self._note(received_at_us, delay_us)
        self._slew(received_at_us)
        return None

    def correct(self, device_at_us: int, received_at_us: int, open_us: int) -> Corrected | None:
        """A device's time by the edge's clock; None while too little is known."""
        if self._applied_us is None:
            return None
        observed_us = min(device_at_us + self._applied_us, received_at_us)  # nothing comes before it was
        if self._is_contradicted:
            return Corrected(observed_us, received_at_us - self._live_at_us + self._max_delay_us + JITTER_US)
        most_us = self._most_us(received_at_us)
        earliest_us = device_at_us + most_us - self._width_us - self._aged_us(received_at_us)
        latest_us = device_at_us + most_us + open_us
        if self._doubt is None:
            latest_us = min(latest_us, received_at_us)
            if received_at_us - device_at_us <= most_us + self._width_us:  # a live frame was sent within max_delay_s
                earliest_us = max(earliest_us, received_at_us - self._max_delay_us)
        else:  # or its clock was set back, and it was sent just now
            latest_us = max(latest_us, received_at_us)
        uncertainty_us = max(latest_us - observed_us, observed_us - earliest_us) + JITTER_US
        return Corrected(observed_us, max(uncertainty_us, open_us))

    @property
    def offset_us(self) -> int | None:
        """How far the device's clock is ahead of the edge's; None while too little is known."""
        return None if self._applied_us is None else -self._applied_us

    def offset_bounds_us(self, now_us: int) -> tuple[int, int] | None:
        """Between which offsets the device's clock is certainly, ahead positive; None while too little is known."""
        if self._applied_us is None:
            return None
        most_us = self._most_us(now_us)
        return -most_us, self._width_us + self._aged_us(now_us) - most_us

    @property
    def drift_ppm(self) -> float | None:
        """How much the device's clock gains, over what is remembered of a day; None for the first hour."""
        if len(self._history) < 2:
            return None
        (first_us, first), (last_us, last) = self._history[0], self._history[-1]
        return None if last_us - first_us < HOUR_US else -(last - first) / (last_us - first_us) * 1e6

    def clock_stepped(self, step_us: int) -> None:
        """The edge's own clock was set: the device's was not."""
        for least in self._leasts:
            least.at_us += step_us
            least.delay_us += step_us
        self._settled_since_us += step_us
        self._live_at_us += step_us
        if self._before is not None:
            self._before = (self._before[0], self._before[1] + step_us)
        self._applied_at_us += step_us
        self._doubt = None
        if self._applied_us is not None:
            self._applied_us += step_us
        self._history = deque((at + step_us, correction + step_us) for at, correction in self._history)

    @property
    def _width_us(self) -> int:
        """How far apart received - device time of two live frames can be."""
        return self._max_delay_us + self._open_us

    def _most_us(self, now_us: int) -> int:
        """The greatest that the correction can be."""
        return self._leasts[0].most_us(now_us)

    def _aged_us(self, now_us: int) -> int:
        """What the correction may have drifted away from it."""
        return 2 * _drifted_us(now_us - self._leasts[0].at_us)

    def _begin(self, now_us: int, delay_us: int) -> None:
        self._leasts.clear()
        self._leasts.append(_Least(now_us, delay_us))
        self._settled_since_us = self._live_at_us = now_us
        self._doubt = None
        self._history.clear()

    def _judge(self, delay_us: int, now_us: int, most_us: int) -> int | None:
        """A frame that is too late for a live one is a doubt; the step, once nothing else has come for long."""
        if self._applied_us is None or delay_us <= most_us + self._width_us + JITTER_US:
            self._doubt = None
            return None
        doubt = self._doubt
        if doubt is None:
            self._doubt = _Doubt(now_us, delay_us, delay_us)
            return None
        doubt.least_us, doubt.most_us = min(doubt.least_us, delay_us), max(doubt.most_us, delay_us)
        if doubt.most_us - doubt.least_us > self._width_us + JITTER_US:  # a queue that is being emptied
            self._doubt = _Doubt(now_us, delay_us, delay_us)
            return None
        if self._is_queued or now_us - doubt.since_us < WARM_UP_S * 1e6:
            return None
        return self._step(now_us, doubt.least_us, doubt.least_us - most_us)

    def _step(self, now_us: int, delay_us: int, step_us: int) -> int:
        """A new segment, which is applied at once. Positive: the clock was set forward."""
        self._begin(now_us, delay_us)
        self._applied_us, self._applied_at_us = self._target_us(now_us), now_us
        return -step_us

    def _note(self, now_us: int, delay_us: int) -> None:
        """Those that bind less than this newer one bind nothing any more."""
        leasts = self._leasts
        while leasts and leasts[-1].most_us(now_us) >= delay_us:
            leasts.pop()
        if not leasts or now_us - leasts[-1].at_us >= LEAST_EVERY_S * 1e6:
            leasts.append(_Least(now_us, delay_us))
        while len(leasts) > 1 and now_us - leasts[0].at_us > WINDOW_S * 1e6:
            leasts.popleft()

    def _target_us(self, now_us: int) -> int:
        return self._most_us(now_us) - self._max_delay_us // 2

    def _slew(self, now_us: int) -> None:
        target_us = self._target_us(now_us)
        if self._applied_us is None:
            if now_us - self._settled_since_us < WARM_UP_S * 1e6:
                return
            self._applied_us = target_us
        else:
            at_most_us = max(now_us - self._applied_at_us, 0) * SLEW_PPM // 1_000_000
            self._applied_us += max(-at_most_us, min(at_most_us, target_us - self._applied_us))
        self._applied_at_us = now_us
        if not self._history or now_us - self._history[-1][0] >= HISTORY_EVERY_S * 1e6:
            self._history.append((now_us, target_us))
            while now_us - self._history[0][0] > HISTORY_S * 1e6:
                self._history.popleft()


@dataclass(slots=True)
class _Known:
    """What is remembered of one device."""

    clock: DeviceClock
    is_off: bool = False
    is_unset: bool = False
    looked_at_us: int = 0  # whether it is off


class DeviceClocks:
    """The clocks of a source's devices: corrects their reports, and says what happened to them.

    `max_delay_s`: how late a live frame of the source comes at most; None where nobody declared it: then clocks are
    watched as if it were `ASSUMED_DELAY_S`, and nothing is corrected. `limit_s`: how far off a clock is when people are
    told.
    """

    def __init__(self, max_delay_s: float | None, limit_s: float) -> None:
        self._max_delay_s, self._limit_us = max_delay_s, int(limit_s * 1e6)
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def correct(self, reports: Sequence[Report], received_at_us: int) -> tuple[Sequence[Report], list[Report]]:
        """The reports of one frame with their moments by the edge's clock, and the events that the frame shows."""
        stated, reset = _stated(reports)
        if not stated and not reset:  # most devices have no clock
            return reports, []
        events: list[Report] = []
        for claim in reset:
            events += self._hear_reset(claim, received_at_us)
        for claim, (device_at_us, open_us) in stated.items():
            events += self._hear(claim, device_at_us, received_at_us, open_us)
        if self._max_delay_s is None:
            return reports, events
        return [self._corrected(report) for report in reports], events

    def offsets_us(self) -> dict[str, int]:
        """By claim, of the clocks that are off by more than the limit: how far they are ahead."""
        return {
            claim: offset_us
            for claim, known in self._known.items()
            if known.is_off and (offset_us := known.clock.offset_us) is not None
        }

    def clock_stepped(self, step_ms: int) -> None:
        """The edge's own clock was set."""
        for known in self._known.values():
            known.clock.clock_stepped(step_ms * 1000)

    def _known_of(self, claim: str) -> _Known:
        known = self._known.get(claim)
        if known is None:
            delay_s = ASSUMED_DELAY_S if self._max_delay_s is None else self._max_delay_s
            known = self._known[claim] = _Known(DeviceClock(delay_s))
            if len(self._known) > DEVICES_MAX:
                self._known.popitem(last=False)
        return known

    def _hear_reset(self, claim: str, received_at_us: int) -> list[Report]:
        """Its clock lost its time: that is told once, and it is not measured by what it says."""
        known = self._known_of(claim)
        was_unset, known.is_unset = known.is_unset, True
        return [] if was_unset else [event(claim, "device-clock-unset", UNSET_WORDS, received_at_us)]

    def _hear(self, claim: str, device_at_us: int, received_at_us: int, open_us: int) -> list[Report]:
        known = self._known_of(claim)
        events = []
        step_us = known.clock.hear(device_at_us, received_at_us, open_us)
        if step_us is not None:
            events.append(event(claim, "device-clock-step", step_words(step_us), received_at_us))
        is_unset = device_at_us < UNSET_BEFORE_US
        if is_unset and not known.is_unset:
            events.append(event(claim, "device-clock-unset", UNSET_WORDS, received_at_us))
        known.is_unset = is_unset
        if 0 <= received_at_us - known.looked_at_us < LOOK_EVERY_US and step_us is None:
            return events
        known.looked_at_us = received_at_us
        bounds = known.clock.offset_bounds_us(received_at_us)
        if bounds is not None:
            is_off = bounds[0] > self._limit_us or bounds[1] < -self._limit_us
            if is_off != known.is_off:
                known.is_off = is_off
                words = offset_words(bounds)
                if is_off:
                    events.append(event(claim, "device-clock-off", words, received_at_us))
                else:
                    events.append(event(claim, "device-clock-right", words, received_at_us))
        return events

    def _corrected(self, report: Report) -> Report:
        if report.device_at_us is None or report.clock_quality is not ClockQuality.DEVICE or report.lane is Lane.ADT:
            return report
        known = self._known.get(report.claim)
        if known is None:
            return report
        found = known.clock.correct(report.device_at_us, report.received_at_us, report.uncertainty_ms * 1000)
        if found is None:
            return report
        uncertainty_ms = min(-(-found.uncertainty_us // 1000), _UNCERTAINTY_MS_MAX)
        return replace(report, observed_at_us=found.observed_at_us, uncertainty_ms=uncertainty_ms)


def step_words(step_us: int) -> str:
    """For people: "set forward by 1 h 0 min: summer time?"."""
    direction = "forward" if step_us > 0 else "back"
    season = ": summer time?" if abs(abs(step_us) - HOUR_US) < SEASON_US else ""
    return f"its clock was set {direction} by {duration_en(abs(step_us) / 1e6)}{season}"


def offset_words(bounds_us: tuple[int, int]) -> str:
    """For people: between which offsets the clock is. Positive is ahead."""
    middle_us = (bounds_us[0] + bounds_us[1]) // 2
    if abs(middle_us) < 1_000_000:
        return "its clock agrees with this box's"
    if middle_us > 0:
        return f"its clock is {duration_en(middle_us / 1e6)} ahead of this box's"
    return f"its times are {duration_en(-middle_us / 1e6)} behind this box's: its clock, or its values come late"


def _stated(reports: Sequence[Report]) -> tuple[dict[str, tuple[int, int]], dict[str, None]]:
    """Of each claim the latest time that its device states in the frame, and what that leaves open.

    Then the claims whose clock says a time that no value can have.
    """
    latest: dict[str, tuple[int, int]] = {}
    reset: dict[str, None] = {}
    for report in reports:
        device_at_us, quality = report.device_at_us, report.clock_quality
        if device_at_us is None or report.lane is Lane.ADT:
            continue
        if quality is ClockQuality.DOUBTFUL and device_at_us < UNSET_BEFORE_US:
            reset[report.claim] = None
        open_us = report.uncertainty_ms * 1000
        if quality is not ClockQuality.DEVICE or report.kind not in _MEASURED or open_us > OPEN_MAX_US:
            continue
        known = latest.get(report.claim)
        if known is None or known < (device_at_us, open_us):
            latest[report.claim] = (device_at_us, open_us)
    return latest, reset
