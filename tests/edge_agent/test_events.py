"""What the edge says of itself and of its devices."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from adapters.driver import NoSettings, Source
from edge_agent import events
from edge_agent.delivery import Delivery
from edge_agent.events import SILENT_AFTER_S, EventEmitter
from schemas.report import Kind, Lane, Report
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
def emitter(clock: Clock) -> EventEmitter:
    return EventEmitter("edge:1", clock)


def delivery(at_us: int = T0_US, source: str = "bed 7") -> Delivery:
    return Delivery(b"", Source(source, NoSettings()), at_us)


def emitted(reports: list[Report]) -> list[tuple[str, str]]:
    assert all(r.kind is Kind.EVENT for r in reports)
    return [(r.claim, r.records[0].as_sent.code) for r in reports if r.records[0].as_sent]


def test_a_device_is_introduced_once_and_what_could_not_be_read_is_no_device(emitter: EventEmitter) -> None:
    both = [report("a"), report("b"), report("a", kind=Kind.CONTEXT), report("bed 7/rejected", kind=Kind.REJECTED)]
    assert emitted(emitter.heard(both, delivery())) == [("a", "connected"), ("b", "connected")]
    assert emitter.heard(both, delivery()) == []
    assert emitted(emitter.heard([report("c")], delivery())) == [("c", "connected")]


def test_the_memory_of_devices_has_a_limit(emitter: EventEmitter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "DEVICES_MAX", 3)
    for claim in "abcd":
        emitter.heard([report(claim)], delivery())
    assert len(emitter._connected) == 3
    assert emitter.heard([report("d")], delivery()) == []
    assert emitted(emitter.heard([report("a")], delivery())) == [("a", "connected")]  # the one that was forgotten


def test_silence_is_said_once_and_its_end_once(emitter: EventEmitter, clock: Clock) -> None:
    emitter.heard([], delivery())
    clock.us += int(SILENT_AFTER_S * SECOND_US)
    assert emitter.silences(["bed 7"]) == []
    clock.us += 1
    silent = emitter.silences(["bed 7"])
    assert emitted(silent) == [("source:bed 7", "silent")]
    assert silent[0].records[0].text == f"since {T0_US}"
    assert emitter.silences(["bed 7"]) == []
    assert emitted(emitter.heard([], delivery(clock.us))) == [("source:bed 7", "heard-again")]
    assert emitter.heard([], delivery(clock.us)) == []
    assert emitter.silences(["bed 7"]) == []


def test_a_source_that_never_spoke_is_silent_too(emitter: EventEmitter, clock: Clock) -> None:
    assert emitter.silences(["x", "y"]) == []
    clock.us += int(SILENT_AFTER_S * SECOND_US) + 1
    emitter.heard([], delivery(clock.us, "y"))
    assert emitted(emitter.silences(["x", "y"])) == [("source:x", "silent")]


def test_an_admission_office_is_introduced_and_never_silent(emitter: EventEmitter, clock: Clock) -> None:
    adt = replace(report("adt:his", kind=Kind.CONTEXT), lane=Lane.ADT)
    assert emitted(emitter.heard([adt, report("a")], delivery())) == [("adt:his", "connected"), ("a", "connected")]
    clock.us += 20 * SECOND_US
    assert emitter.heard([adt], delivery(clock.us)) == []
    clock.us += 20 * SECOND_US
    assert sorted(emitted(emitter.silences(["bed 7"]))) == [("a", "silent"), ("source:bed 7", "silent")]
    assert emitter.heard([adt], delivery(clock.us)) == []  # that somebody was admitted says nothing of the monitors
    clock.us += 3_601 * SECOND_US
    assert emitter.silences(["bed 7"]) == []


def test_a_step_of_the_clock_is_no_silence_and_hides_none(emitter: EventEmitter, clock: Clock) -> None:
    emitter.heard([], delivery())
    clock.us += 3600 * SECOND_US
    emitter.clock_stepped(3_600_000)
    assert emitter.silences(["bed 7"]) == []
    clock.us -= 7200 * SECOND_US
    emitter.clock_stepped(-7_200_000)
    clock.us += int(SILENT_AFTER_S * SECOND_US) + 1
    assert emitted(emitter.silences(["bed 7"])) == [("source:bed 7", "silent")]


def test_the_edge_speaks_of_itself_as_of_now(emitter: EventEmitter, clock: Clock) -> None:
    clock.us += 5
    started = emitter.emit("started", "3 sources")
    assert emitted([started]) == [("edge:1", "started")]
    assert started.observed_at_us == started.received_at_us == clock.us


def test_what_could_not_be_kept_is_emitted_again(emitter: EventEmitter, clock: Clock) -> None:
    emitter.retract(emitter.heard([report("a")], delivery()))
    assert emitted(emitter.heard([report("a")], delivery())) == [("a", "connected")]
    clock.us += 31 * SECOND_US
    for _ in range(3):
        found = emitter.silences(["bed 7"])
        assert sorted(emitted(found)) == [("a", "silent"), ("source:bed 7", "silent")]
        emitter.retract(found)
    emitter.silences(["bed 7"])  # this time it is kept
    for _ in range(3):
        found = emitter.heard([report("a")], delivery(clock.us))
        assert emitted(found) == [("source:bed 7", "heard-again"), ("a", "heard-again")]
        emitter.retract(found)


def test_one_bed_behind_a_port_has_its_own_silence(emitter: EventEmitter, clock: Clock) -> None:
    emitter.heard([report("a"), report("b")], delivery())
    for _ in range(40):
        clock.us += SECOND_US
        emitter.heard([report("a")], delivery(clock.us))
        assert emitted(emitter.silences(["bed 7"])) in ([], [("b", "silent")])
    assert "b" in emitter._silent
    assert emitted(emitter.heard([report("b")], delivery(clock.us))) == [("b", "heard-again")]


def test_who_is_silent_is_known_however_many_speak_and_what_is_looked_at_has_a_limit(
    emitter: EventEmitter, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "DEVICES_MAX", 50)
    for _ in range(20):  # twice as many as are remembered, over and over
        for n in range(100):
            emitter.heard([report(f"bed {n}")], delivery(clock.us))
        clock.us += SECOND_US
        emitter.silences(["bed 7"])
    clock.us += 31 * SECOND_US
    found = emitted(emitter.silences(["bed 7"]))
    assert len(found) == 51
    assert emitter._looks == []
    assert len(emitter._rhythms) == 51


@pytest.mark.parametrize("burst_s", [[0], [0, 0.1, 0.2], [0, 2, 4]])
def test_who_speaks_once_a_minute_is_not_silent_in_between(
    emitter: EventEmitter, clock: Clock, burst_s: list[float]
) -> None:
    found = []
    for minute in range(20):
        for second in range(60):
            clock.us = T0_US + (60 * minute + second) * SECOND_US
            if second in map(int, burst_s):
                emitter.heard([], delivery(clock.us))
            found += emitter.silences(["bed 7"])
    assert len(found) == 1  # before anything is known of it
    for _ in range(180):
        clock.us += SECOND_US
        found += emitter.silences(["bed 7"])
    assert len(found) == 2


def test_a_long_silence_is_soon_forgotten_and_never_waited_for_over_an_hour(
    emitter: EventEmitter, clock: Clock
) -> None:
    def speak(seconds: int) -> None:
        for _ in range(seconds * 5):
            clock.us += SECOND_US // 5
            emitter.heard([], delivery(clock.us))

    speak(20)
    for away_s in (31, 5 * 3600):
        clock.us += away_s * SECOND_US
        assert emitted(emitter.silences(["bed 7"])) == [("source:bed 7", "silent")]
        speak(events.PAUSES + 2)
    emitter.heard([], delivery(clock.us + 5 * 3600 * SECOND_US))
    clock.us += 6 * 3600 * SECOND_US
    assert emitter.silences(["bed 7"]) == []
    clock.us += 1
    assert emitted(emitter.silences(["bed 7"])) == [("source:bed 7", "silent")]
