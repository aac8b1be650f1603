"""What was heard of a line so far, what the drivers made of it, and how it is listened to next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from adapters.driver import DeviceDriver
from vitalwire.doctor.port.line_settings import FASTEST, RATES, LineSettings, Sample, of_driver, views
from vitalwire.doctor.port.rates import slower_rate
from vitalwire.doctor.port.reading import Reading, noticed_share, read_sample

# A device that speaks once a second speaks within this; whoever waits in vain waits twice as long the next time round.
PATIENCE_S, PATIENCE_MAX_S = 1.25, 12.0
IN_VAIN_MAX = 2  # times at one setting, before others have their turn
UNRESTING_S = 1.6  # of a line that never rests
ERRORS_MAX = 0.2  # share of the bytes, at a setting that may be the right one
ERRORS_CLEAN = 0.04  # share that noise makes; more of it is explained by another parity first
ERRORS_OF_BYTES = 48  # a single error may spoil a short line
ODD_SHARE = 0.8  # of bytes with an error at even parity: odd parity is likely
# What makes an answer certain, all of it; each is said in docs/doctor.md.
FRAMES_CERTAIN, BYTES_CERTAIN = 2, 24
SCORE_CERTAIN, MARGIN = 0.5, 0.3
NOTICED_CERTAIN = 0.4
ASKING_BYTES_MAX, ASKED_TWICE = 16, 2
CONFIRMATIONS_MAX = 5  # listenings more at a setting at which something was read
USUAL = LineSettings(9600)  # of most drivers; and the rate whose bytes say most of slower ones:
REVEALING = LineSettings(FASTEST)
NOTHING = Sample(USUAL)


@dataclass(frozen=True)
class Window:
    """How to listen: it ends after `silent_s` without a byte, or after `most_s` on a line that never rests."""

    settings: LineSettings
    silent_s: float
    most_s: float


@dataclass
class Examination:
    """The drivers' readings of all that came, by driver and setting. `knows_rate`: the port can be set at all."""

    drivers: Sequence[DeviceDriver[Any]]
    rates: Sequence[int] = RATES
    knows_rate: bool = True
    samples: list[Sample] = field(default_factory=list)
    readings: dict[tuple[str, LineSettings], Reading] = field(default_factory=dict)
    reports_errors: bool = False  # the port was seen to report one
    seconds: float = 0.0
    asked_titles: dict[str, None] = field(default_factory=dict)  # of the families whose requests were sent
    _heard: dict[LineSettings, Sample] = field(default_factory=dict)  # the first that had bytes, as listened to
    _windows: Counter[LineSettings] = field(default_factory=Counter)
    _in_vain: Counter[LineSettings] = field(default_factory=Counter)
    _patience_s: float = PATIENCE_S
    _asked: set[tuple[str, LineSettings]] = field(default_factory=set)
    _noticed: dict[str, float] = field(default_factory=dict)
    _confirmed: Counter[LineSettings] = field(default_factory=Counter)

    @property
    def bytes(self) -> int:
        """That came in all."""
        return sum(len(sample.data) for sample in self.samples)

    def add(self, sample: Sample) -> None:
        """What came of a listening, or that nothing did."""
        self.samples.append(sample)
        self.seconds += sample.seconds
        self.reports_errors = self.reports_errors or any(sample.errors)
        if not sample.data:
            self._note_silence(sample.settings)
            return
        self._windows[sample.settings] += 1
        self._heard.setdefault(sample.settings, sample)
        for view in views(sample):
            for driver in self.drivers:
                reading = read_sample(driver, view)
                if reading.valid and self.noticed(driver.name) < NOTICED_CERTAIN:  # noise in it notices nothing
                    self._noticed[driver.name] = max(self.noticed(driver.name), noticed_share(driver, view))
                self.count(reading)

    def _note_silence(self, settings: LineSettings) -> None:
        """On a line that spoke before: it speaks rarely, and is waited for longer at the rate that may be right."""
        may_be_right = bool(self._heard) and self.likely_rate() in (None, settings.baud)
        if may_be_right and self._in_vain[settings] < IN_VAIN_MAX:
            self._in_vain[settings] += 1
            self._patience_s = min(PATIENCE_MAX_S, 2 * self._patience_s)
        else:
            self._windows[settings] += 1

    def add_answer(self, reading: Reading, sample: Sample) -> None:
        """What a family's session heard upon its own requests: that it holds for an answer means much."""
        self.samples.append(sample)
        self.seconds += sample.seconds
        self.reports_errors = self.reports_errors or reading.errors > 0
        self._asked.add((reading.driver.name, reading.settings))
        if reading.valid:
            self._noticed[reading.driver.name] = 1.0
        self.count(reading)

    def count(self, reading: Reading) -> None:
        """Add to what is known of its driver and setting."""
        key = reading.driver.name, reading.settings
        if key in self.readings:
            self.readings[key] += reading
        else:
            self.readings[key] = reading

    def noticed(self, driver: str) -> float:
        """How much of what is damaged this driver notices; 0 where it has read nothing."""
        return self._noticed.get(driver, 0.0)

    def candidates(self) -> list[Reading]:
        """Readings that may be right, the best first."""
        may_be = [r for r in self.readings.values() if r.valid and self.is_admissible(r)]
        return sorted(may_be, key=_rank, reverse=True)

    def is_admissible(self, reading: Reading) -> bool:
        """Whether the errors reported with the bytes, or their parity in bit 7, allow for this setting."""
        if reading.settings.data_bits == 8 and not self.reports_errors:
            return True
        return reading.error_share <= ERRORS_MAX

    def rival(self, best: Reading) -> Reading | None:
        """The best of another driver."""
        return next((r for r in self.candidates() if r.driver is not best.driver), None)

    def alternatives(self, best: Reading) -> list[Reading]:
        """The same driver at other settings that read as well: which of them it is cannot be told."""
        others = (r for r in self.candidates() if r.driver is best.driver and r is not best)
        equal = [r for r in others if r.score > best.score - MARGIN]
        return [r for r in equal if r.error_share <= best.error_share + ERRORS_CLEAN]

    def shortcomings(self, best: Reading) -> list[str]:
        """Why the best reading is not certain, in slugs; nothing where it is."""
        found = []
        rival = self.rival(best)
        if rival is not None and best.score - rival.score < MARGIN:
            found.append("rival")
        if self.noticed(best.driver.name) < NOTICED_CERTAIN:
            found.append("unchecked")
        if best.score < SCORE_CERTAIN or best.error_share > ERRORS_CLEAN:
            found.append("damaged")
        if best.valid < FRAMES_CERTAIN or best.valid_bytes < BYTES_CERTAIN:
            found.append("few")
        others = self.alternatives(best)
        if any(other.settings.baud != best.settings.baud for other in others):
            found.append("rate")
        elif others or self._open_question(best) is not None:
            found.append("framing")
        return found

    def asking(self) -> Reading | None:
        """Whose session would answer all that came at a setting, though none of it is a frame; None: nobody's.

        So it is with a device that asks to begin and waits: ASTM's ENQ, the ICC of MEDIBUS.
        """
        found = [
            reading for reading in self.readings.values()
            if reading.answers and not reading.valid and not reading.invalid and self.is_admissible(reading)
            and reading.error_share <= ERRORS_CLEAN and self._bytes_with(reading) <= ASKING_BYTES_MAX * reading.answered
            and reading.answered == self._windows_with(reading)
        ]  # fmt: skip
        return max(found, key=lambda r: (r.answered, r.settings == _own(r), r.answers), default=None)

    def _windows_with(self, reading: Reading) -> int:
        return sum(1 for sample in self.samples if sample.data and sample.settings == reading.settings.listened)

    def _bytes_with(self, reading: Reading) -> int:
        """All that came then, also what a listening began in the middle of: who asks says little."""
        return sum(len(sample.data) for sample in self.samples if sample.settings == reading.settings.listened)

    def is_settled(self) -> bool:
        """Whether listening on would change nothing."""
        best = next(iter(self.candidates()), None)
        if best is None:
            asking = self.asking()
            return asking is not None and asking.answered >= ASKED_TWICE
        open_ones = set(self.shortcomings(best))
        if open_ones & {"rate", "framing"} and self._open_question(best) is None:
            open_ones -= {"rate", "framing"}  # it cannot be told on this port
        return not open_ones

    # --- how it is listened to next -----------------------------------------------------------------------------------

    def next_window(self) -> Window:
        """At a setting at which something was read, to be sure of it; else at the likeliest that was listened to least.

        A line on which nothing came yet is listened to at each rate as 8N1: whatever is sent gives some bytes there.
        """
        best = next(iter(self.candidates()), None)
        if best is not None:
            settings = self._open_question(best) or best.settings.listened
            if self._confirmed[settings] < CONFIRMATIONS_MAX:
                self._confirmed[settings] += 1
                return Window(settings, 2 * self._patience_s, 2 * UNRESTING_S)
        order = list(dict.fromkeys(self._order()))
        likely = self.likely_rate()

        def rounds(settings: LineSettings) -> int:
            """A likely rate is listened to twice before another is once more, unless errors said that it is not so."""
            heard = self._heard.get(settings, NOTHING)
            is_wrong = len(heard.data) >= ERRORS_OF_BYTES and heard.error_share > ERRORS_MAX
            return self._windows[settings] // (2 if settings.baud == likely and not is_wrong else 1)

        settings = min(order, key=lambda each: (rounds(each), order.index(each)))
        silent_s = min(PATIENCE_MAX_S, max(self._patience_s, PATIENCE_S * 2 ** rounds(settings)))
        is_worth_more = rounds(settings) > 0 or settings.baud == likely
        return Window(settings, silent_s, max(silent_s, (2 if is_worth_more else 1) * UNRESTING_S))

    def _open_question(self, best: Reading) -> LineSettings | None:
        """A setting at which the port has to be listened to before the best one's is known."""
        here = best.settings.listened
        if not self.knows_rate or best.settings.data_bits == 7:
            return None
        if (best.driver.name, best.settings) in self._asked:
            parities = [replace(best.settings, parity=parity) for parity in "NEO"]
            return next((each for each in parities if (best.driver.name, each) not in self._asked), None)
        others = [] if self.reports_errors else [replace(here, parity="E" if here.parity == "N" else "N")]
        if here.parity != "N":  # each byte comes with an error there, or this port reports none
            others.append(replace(here, parity="E" if here.parity == "O" else "O"))
        elif best.error_share > ERRORS_CLEAN:  # errors with some bytes, such as those whose parity bit is 0
            others = [replace(here, parity=parity) for parity in "EO"]
        for other in others:
            if other not in self._heard:
                return other
        rates = {heard.baud for heard in self._heard}
        if self.alternatives(best) and rates == {here.baud}:  # does this port obey at all?
            return replace(here, baud=here.baud * 2 if here.baud < FASTEST else here.baud // 2)
        return None

    def likely_rate(self) -> int | None:
        """What the bytes say that came at other rates; None: nothing yet."""
        for heard in sorted((each for each in self._heard if each.parity == "N"), key=lambda s: -s.baud):
            rate = slower_rate(self._heard[heard], self.rates)
            if rate is not None and (rate < heard.baud or heard == REVEALING):
                while (further := self._slower_than(rate)) is not None:
                    rate = further
                return rate
        return None

    def _slower_than(self, rate: int) -> int | None:
        sample = self._heard.get(LineSettings(rate))
        slower = slower_rate(sample, self.rates) if sample is not None else None
        return slower if slower is not None and slower < rate else None

    def _order(self) -> Iterator[LineSettings]:
        if not self.knows_rate:
            yield LineSettings(0)
            return
        rate = self.likely_rate()
        if rate is not None:
            even = LineSettings(rate, parity="E")
            if even in self._heard and self._heard[even].error_share >= ODD_SHARE:
                yield LineSettings(rate, parity="O")
            yield LineSettings(rate)
            yield even
        yield from (USUAL, REVEALING)
        for driver in self.drivers:
            if driver.serial is not None and (self._heard or of_driver(driver.serial).listened.parity == "N"):
                yield of_driver(driver.serial).listened
        usual_first = sorted(self.rates, key=lambda each: abs(each - USUAL.baud))
        yield from map(LineSettings, usual_first)
        if self._heard:
            yield from (LineSettings(each, parity=parity) for parity in "EO" for each in usual_first)


def _rank(reading: Reading) -> tuple[float, float, int, bool]:
    return round(reading.score, 1), -round(reading.error_share, 1), reading.valid, reading.settings == _own(reading)


def _own(reading: Reading) -> LineSettings | None:
    """The family's own setting."""
    return of_driver(reading.driver.serial) if reading.driver.serial is not None else None
