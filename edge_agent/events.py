"""What the edge says of itself and its devices: connected, silent, gap, clock step, its own counts. All are reports."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

import msgspec

from edge_agent.delivery import Delivery
from schemas.report import AsSent, ClockQuality, Kind, Lane, Record, RecordKind, Report

# Who has spoken is silent after three of the longest of its last pauses, within these bounds.
SILENT_AFTER_S, SILENT_MAX_S = 30.0, 3600.0
PAUSES = 8  # remembered of each; what comes within a second is one burst
BURST_US = 1_000_000
PEER_SYSTEM, PEER = "edge", "peer"  # a record of a rejected report: who sent the frame
DEVICES_MAX = 10_000  # remembered; one that is forgotten is introduced again


def event(
    claim: str, code: str, text: str, at_us: int, kind: Kind = Kind.EVENT, frame: bytes | None = None
) -> Report:  # fmt: skip
    """An event, or with its kind and frame a rejection: `code` is a word of ours, `text` is for people or JSON."""
    record = Record(kind=RecordKind.TEXT, text=text, as_sent=AsSent("vitalwire", code))
    return Report(kind, claim, at_us, at_us, ClockQuality.RECEIVED, (record,), frame=frame)


def rejection(delivery: Delivery, reason: str, detail: str, lane: Lane = Lane.LIVE) -> Report:
    """A frame that could not be read: its bytes, and why."""
    claim = f"{delivery.source.name}/rejected"
    report = event(claim, reason, detail, delivery.received_at_us, Kind.REJECTED, delivery.frame)
    if not delivery.reason:  # a frame that its driver refused: it may be read again one day, and then by whose it was
        peer = Record(kind=RecordKind.TEXT, text=delivery.source.peer, as_sent=AsSent(PEER_SYSTEM, PEER))
        report = msgspec.structs.replace(report, records=(*report.records, peer))
    return report if lane is Lane.LIVE else msgspec.structs.replace(report, lane=lane)


def as_old(report: Report) -> Report:
    """A retained MQTT message is what somebody once said: kept, marked, and never charted as new."""
    if report.kind is Kind.REJECTED:
        return report
    mark = Record(kind=RecordKind.TEXT, text="retained", as_sent=AsSent("MQTT", "retain"))
    return msgspec.structs.replace(report, kind=Kind.CONTEXT, records=(*report.records, mark))


@dataclass(slots=True)
class _Rhythm:
    """When a source or a device spoke last, and how long it has been quiet between its last bursts."""

    heard_us: int
    burst_us: int
    pauses_us: deque[int] = field(default_factory=lambda: deque(maxlen=PAUSES))

    def hear(self, at_us: int) -> None:
        if at_us - self.burst_us >= BURST_US:
            self.pauses_us.append(at_us - self.burst_us)
            self.burst_us = at_us
        self.heard_us = at_us

    def over_at_us(self) -> int:
        """From when on it is silent, unless it speaks until then."""
        patience_us = max(SILENT_AFTER_S * 1e6, 3 * max(self.pauses_us, default=0))
        return self.heard_us + int(min(patience_us, SILENT_MAX_S * 1e6))


class _Look(NamedTuple):
    """When to look next whether a claim is silent; `number` orders those of one moment."""

    at_us: int
    number: int
    claim: str
    rhythm: _Rhythm


class EventEmitter:
    """Knows which devices are connected, and who is silent; without a clock of its own.

    Sources and devices have a rhythm each: one bed behind a port that fell silent shows, though its neighbours speak.
    """

    def __init__(self, edge_claim: str, now_us: Callable[[], int]) -> None:
        self._edge_claim, self._now_us = edge_claim, now_us
        self._rhythms: dict[str, _Rhythm] = {}  # by the claim of a source or a device
        self._connected: dict[str, None] = {}  # devices, the earliest first
        self._silent: set[str] = set()
        self._looks: list[_Look] = []  # a heap
        self._look_numbers = count()

    def emit(self, code: str, text: str) -> Report:
        """An event of the edge itself."""
        return event(self._edge_claim, code, text, self._now_us())

    def heard(self, reports: Sequence[Report], delivery: Delivery) -> list[Report]:
        """Events before a delivery's reports: a device's first words, or the first after a silence."""
        at_us, events = delivery.received_at_us, list[Report]()
        if not reports or any(report.lane is not Lane.ADT for report in reports):
            self._hear(f"source:{delivery.source.name}", at_us, events)
        previous = ""
        for report in reports:
            claim = report.claim
            if claim == previous or report.kind is Kind.REJECTED:  # which names no device
                continue
            previous = claim
            if claim not in self._connected:
                self._connect(claim)
                events.append(event(claim, "connected", f"through {delivery.source.name}", at_us))
            if report.lane is not Lane.ADT:  # an admission office speaks when somebody comes or goes
                self._hear(claim, at_us, events)
        return events

    def silences(self, sources: Sequence[str]) -> list[Report]:
        """An event for each source or device that has just fallen silent; of `sources` those that never spoke too."""
        now_us, events = self._now_us(), list[Report]()
        for source in sources:
            self._rhythm(f"source:{source}", now_us)
        while self._looks and self._looks[0].at_us < now_us:
            look = heapq.heappop(self._looks)
            rhythm = self._rhythms.get(look.claim)
            if rhythm is not look.rhythm or look.claim in self._silent:
                continue  # forgotten meanwhile, or said already
            if rhythm.over_at_us() >= now_us:
                self._look(look.claim)
                continue
            self._silent.add(look.claim)
            events.append(event(look.claim, "silent", f"since {rhythm.heard_us}", now_us))
        return events

    def retract(self, events: Sequence[Report]) -> None:
        """These could not be kept: they are emitted again at the next occasion."""
        for each in events:
            as_sent = each.records[0].as_sent
            code = as_sent.code if as_sent else ""
            if code == "connected":
                self._connected.pop(each.claim, None)
            elif code == "silent":
                self._silent.discard(each.claim)
                self._look(each.claim)
            elif code == "heard-again" and each.claim in self._rhythms:
                self._silent.add(each.claim)

    def clock_stepped(self, step_ms: int) -> None:
        """Move what was heard along with the clock: a step is no silence."""
        for rhythm in self._rhythms.values():
            rhythm.heard_us += step_ms * 1000
            rhythm.burst_us += step_ms * 1000
        self._looks = [look._replace(at_us=look.at_us + step_ms * 1000) for look in self._looks]

    def _hear(self, claim: str, at_us: int, events: list[Report]) -> None:
        self._rhythm(claim, at_us).hear(at_us)
        if claim in self._silent:
            self._silent.discard(claim)
            self._look(claim)
            events.append(event(claim, "heard-again", "", at_us))

    def _rhythm(self, claim: str, at_us: int) -> _Rhythm:
        found = self._rhythms.get(claim)
        if found is None:
            found = self._rhythms[claim] = _Rhythm(at_us, at_us)
            self._look(claim)
        return found

    def _look(self, claim: str) -> None:
        rhythm = self._rhythms.get(claim)
        if rhythm is not None:
            heapq.heappush(self._looks, _Look(rhythm.over_at_us(), next(self._look_numbers), claim, rhythm))

    def _connect(self, claim: str) -> None:
        if len(self._connected) >= DEVICES_MAX:
            forgotten = next(iter(self._connected))
            del self._connected[forgotten]
            self._rhythms.pop(forgotten, None)
            self._silent.discard(forgotten)
        self._connected[claim] = None
