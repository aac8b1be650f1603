"""What the edge says of itself and its devices: connected, silent, gap, clock step, its own counts. All are reports."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edge_agent.delivery import Delivery
from schemas.report import AsSent, ClockQuality, Kind, Record, RecordKind, Report

SILENT_AFTER_S, SILENT_MAX_S = 30.0, 3600.0  # a source is silent after three of its pauses, within these bounds
PAUSES = 8  # remembered of each source; what comes within a second is one burst
BURST_US = 1_000_000
DEVICES_MAX = 10_000  # remembered as introduced; one that is forgotten is introduced again


def event(
    claim: str, code: str, text: str, at_us: int, kind: Kind = Kind.EVENT, frame: bytes | None = None
) -> Report:  # fmt: skip
    """An event, or with its kind and frame a rejection: `code` is a word of ours, `text` is for people or JSON."""
    record = Record(kind=RecordKind.TEXT, text=text, as_sent=AsSent("vitalwire", code))
    return Report(kind, claim, at_us, at_us, ClockQuality.RECEIVED, (record,), frame=frame)


@dataclass
class _Rhythm:
    """When a source spoke last, and how long it has been quiet between its last bursts."""

    heard_us: int
    burst_us: int
    pauses_us: deque[int] = field(default_factory=lambda: deque(maxlen=PAUSES))

    def hear(self, at_us: int) -> None:
        if at_us - self.burst_us >= BURST_US:
            self.pauses_us.append(at_us - self.burst_us)
            self.burst_us = at_us
        self.heard_us = at_us

    def is_over(self, now_us: int) -> bool:
        patience_us = max(SILENT_AFTER_S * 1e6, 3 * max(self.pauses_us, default=0))
        return now_us - self.heard_us > min(patience_us, SILENT_MAX_S * 1e6)


class Voice:
    """Knows which devices have been introduced and which sources are silent; without a clock of its own."""

    def __init__(self, edge_claim: str, now_us: Callable[[], int]) -> None:
        self._edge_claim, self._now_us = edge_claim, now_us
        self._introduced: dict[str, None] = {}
        self._rhythms: dict[str, _Rhythm] = {}  # by the source's claim
        self._silent: set[str] = set()

    def introduce(self, reports: Sequence[Report], delivery: Delivery) -> list[Report]:
        """Events before a delivery's reports: a device's first words, or its source's first after silence."""
        source, at_us, out = f"source:{delivery.source.name}", delivery.received_at_us, []
        self._rhythms.setdefault(source, _Rhythm(at_us, at_us)).hear(at_us)
        if source in self._silent:
            self._silent.discard(source)
            out.append(event(source, "heard-again", "", at_us))
        for claim in dict.fromkeys(r.claim for r in reports if r.kind is not Kind.REJECTED):  # that names no device
            if claim not in self._introduced:
                if len(self._introduced) >= DEVICES_MAX:
                    del self._introduced[next(iter(self._introduced))]
                self._introduced[claim] = None
                out.append(event(claim, "connected", f"through {delivery.source.name}", at_us))
        return out

    def silences(self, sources: Sequence[str]) -> list[Report]:
        """An event for each source that has just fallen silent."""
        now_us, out = self._now_us(), []
        for source in (f"source:{name}" for name in sources):
            rhythm = self._rhythms.setdefault(source, _Rhythm(now_us, now_us))
            if source not in self._silent and rhythm.is_over(now_us):
                self._silent.add(source)
                out.append(event(source, "silent", f"since {rhythm.heard_us}", now_us))
        return out

    def unsay(self, events: Sequence[Report]) -> None:
        """These could not be kept: what they said is said again at the next occasion."""
        for claim in (e.claim for e in events):
            if claim in self._rhythms:
                self._silent ^= {claim}
            else:
                self._introduced.pop(claim, None)

    def clock_stepped(self, step_ms: int) -> None:
        """Move what was heard along with the clock: a step is no silence."""
        for rhythm in self._rhythms.values():
            rhythm.heard_us += step_ms * 1000
            rhythm.burst_us += step_ms * 1000

    def say(self, code: str, text: str) -> Report:
        """An event of the edge itself."""
        return event(self._edge_claim, code, text, self._now_us())
