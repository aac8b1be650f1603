"""What the edge says of itself and of its devices."""

from __future__ import annotations

import pytest

from adapters.driver import Source
from edge_agent import events
from edge_agent.delivery import Delivery
from edge_agent.events import SILENT_AFTER_S, Voice
from schemas.report import Kind, Report
from tests.making import T0_US, report

SECOND_US = 1_000_000


class Clock:
    us = T0_US

    def __call__(self) -> int:
        return self.us


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def voice(clock: Clock) -> Voice:
    return Voice("edge:1", clock)


def delivery(at_us: int = T0_US, source: str = "bed 7") -> Delivery:
    return Delivery(b"", Source(source), at_us, lambda outcome, reason: None)


def said(reports: list[Report]) -> list[tuple[str, str]]:
    assert all(r.kind is Kind.EVENT for r in reports)
    return [(r.claim, r.records[0].as_sent.code) for r in reports if r.records[0].as_sent]


def test_a_device_is_introduced_once_and_what_could_not_be_read_is_no_device(voice: Voice) -> None:
    both = [report("a"), report("b"), report("a", kind=Kind.CONTEXT), report("bed 7/rejected", kind=Kind.REJECTED)]
    assert said(voice.introduce(both, delivery())) == [("a", "connected"), ("b", "connected")]
    assert voice.introduce(both, delivery()) == []
    assert said(voice.introduce([report("c")], delivery())) == [("c", "connected")]


def test_the_memory_of_devices_has_a_limit(voice: Voice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "DEVICES_MAX", 3)
    for claim in "abcd":
        voice.introduce([report(claim)], delivery())
    assert len(voice._introduced) == 3
    assert voice.introduce([report("d")], delivery()) == []
    assert said(voice.introduce([report("a")], delivery())) == [("a", "connected")]  # the one that was forgotten


def test_silence_is_said_once_and_its_end_once(voice: Voice, clock: Clock) -> None:
    voice.introduce([report("a")], delivery())
    clock.us += int(SILENT_AFTER_S * SECOND_US)
    assert voice.silences(["bed 7"]) == []
    clock.us += 1
    silent = voice.silences(["bed 7"])
    assert said(silent) == [("source:bed 7", "silent")]
    assert silent[0].records[0].text == f"since {T0_US}"
    assert voice.silences(["bed 7"]) == []
    assert said(voice.introduce([report("a")], delivery(clock.us))) == [("source:bed 7", "heard-again")]
    assert voice.introduce([report("a")], delivery(clock.us)) == []
    assert voice.silences(["bed 7"]) == []


def test_a_source_that_never_spoke_is_silent_too(voice: Voice, clock: Clock) -> None:
    assert voice.silences(["x", "y"]) == []
    clock.us += int(SILENT_AFTER_S * SECOND_US) + 1
    voice.introduce([report("a")], delivery(clock.us, "y"))
    assert said(voice.silences(["x", "y"])) == [("source:x", "silent")]


def test_a_step_of_the_clock_is_no_silence_and_hides_none(voice: Voice, clock: Clock) -> None:
    voice.introduce([report("a")], delivery())
    clock.us += 3600 * SECOND_US
    voice.clock_stepped(3_600_000)
    assert voice.silences(["bed 7"]) == []
    clock.us -= 7200 * SECOND_US
    voice.clock_stepped(-7_200_000)
    clock.us += int(SILENT_AFTER_S * SECOND_US) + 1
    assert said(voice.silences(["bed 7"])) == [("source:bed 7", "silent")]


def test_the_edge_speaks_of_itself_as_of_now(voice: Voice, clock: Clock) -> None:
    clock.us += 5
    started = voice.say("started", "3 sources")
    assert said([started]) == [("edge:1", "started")]
    assert started.observed_at_us == started.received_at_us == clock.us


def test_what_could_not_be_kept_was_not_said(voice: Voice, clock: Clock) -> None:
    voice.unsay(voice.introduce([report("a")], delivery()))
    assert said(voice.introduce([report("a")], delivery())) == [("a", "connected")]
    clock.us += 31 * SECOND_US
    for code in ("silent", "heard-again"):
        for _ in range(3):
            events = voice.silences(["bed 7"]) if code == "silent" else voice.introduce([], delivery(clock.us))
            assert said(events) == [("source:bed 7", code)]
            voice.unsay(events)
        voice._silent ^= {"source:bed 7"}  # this time it was kept


@pytest.mark.parametrize("burst_s", [[0], [0, 0.1, 0.2], [0, 2, 4]])
def test_who_speaks_once_a_minute_is_not_silent_in_between(voice: Voice, clock: Clock, burst_s: list[float]) -> None:
    events = []
    for minute in range(20):
        for second in range(60):
            clock.us = T0_US + (60 * minute + second) * SECOND_US
            if second in map(int, burst_s):
                voice.introduce([], delivery(clock.us))
            events += voice.silences(["bed 7"])
    assert len(events) == 1  # before anything is known of it
    for _ in range(180):
        clock.us += SECOND_US
        events += voice.silences(["bed 7"])
    assert len(events) == 2


def test_a_long_silence_is_soon_forgotten_and_never_waited_for_over_an_hour(voice: Voice, clock: Clock) -> None:
    def speak(seconds: int) -> None:
        for _ in range(seconds * 5):
            clock.us += SECOND_US // 5
            voice.introduce([], delivery(clock.us))

    speak(20)
    for away_s in (31, 5 * 3600):
        clock.us += away_s * SECOND_US
        assert said(voice.silences(["bed 7"])) == [("source:bed 7", "silent")]
        speak(events.PAUSES + 2)
    voice.introduce([], delivery(clock.us + 5 * 3600 * SECOND_US))
    clock.us += 6 * 3600 * SECOND_US
    assert voice.silences(["bed 7"]) == []
    clock.us += 1
    assert said(voice.silences(["bed 7"])) == [("source:bed 7", "silent")]
