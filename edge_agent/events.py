"""What the edge says of itself and its devices: connected, silent, gap, clock step, its own counts. All are reports."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from edge_agent.delivery import Delivery
from schemas.report import AsSent, ClockQuality, Kind, Record, RecordKind, Report

SILENT_AFTER_S = 30.0
DEVICES_MAX = 10_000  # remembered as introduced; one that is forgotten is introduced again


def event(claim: str, code: str, text: str, at_us: int) -> Report:
    """An event report: `code` is a word of ours, `text` is for people or, for `counts`, JSON."""
    record = Record(kind=RecordKind.TEXT, text=text, as_sent=AsSent("vitalwire", code))
    return Report(Kind.EVENT, claim, at_us, at_us, ClockQuality.RECEIVED, (record,))


class Voice:
    """Knows which devices have been introduced and which sources are silent; without a clock of its own."""

    def __init__(self, edge_claim: str, now_us: Callable[[], int]) -> None:
        self.edge_claim = edge_claim
        self._now_us = now_us
        self._introduced: dict[str, None] = {}
        self._heard_at_us: dict[str, int] = {}
        self._silent: set[str] = set()

    def introduce(self, reports: Sequence[Report], delivery: Delivery) -> list[Report]:
        """Events before a delivery's reports: a device's first words, or its source's first after silence."""
        name = delivery.source.name
        out = []
        if name in self._silent:
            self._silent.discard(name)
            out.append(event(f"source:{name}", "heard-again", "", delivery.received_at_us))
        self._heard_at_us[name] = delivery.received_at_us
        for claim in dict.fromkeys(r.claim for r in reports if r.kind is not Kind.REJECTED):  # that names no device
            if claim not in self._introduced:
                if len(self._introduced) >= DEVICES_MAX:
                    del self._introduced[next(iter(self._introduced))]
                self._introduced[claim] = None
                out.append(event(claim, "connected", f"through {name}", delivery.received_at_us))
        return out

    def silences(self, sources: Sequence[str]) -> list[Report]:
        """An event for each source that has just fallen silent."""
        now_us, out = self._now_us(), []
        for name in sources:
            heard = self._heard_at_us.setdefault(name, now_us)
            if now_us - heard > SILENT_AFTER_S * 1_000_000 and name not in self._silent:
                self._silent.add(name)
                out.append(event(f"source:{name}", "silent", f"since {heard}", now_us))
        return out

    def clock_stepped(self, step_ms: int) -> None:
        """Move what was heard along with the clock: a step is no silence."""
        self._heard_at_us = {name: at_us + step_ms * 1000 for name, at_us in self._heard_at_us.items()}

    def counts(self, numbers: Mapping[str, int]) -> Report:
        """The edge's own counts, which travel as it counted them: one side of the equation for frames."""
        return event(self.edge_claim, "counts", json.dumps(dict(numbers), sort_keys=True), self._now_us())

    def say(self, code: str, text: str) -> Report:
        """An event of the edge itself."""
        return event(self.edge_claim, code, text, self._now_us())
