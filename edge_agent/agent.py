"""One source's chain, as it flows.

    link -> bytes -> session -> frame -> driver -> reports -> spool -> outcome -> session -> answer -> link

Link and session meet in conversation.py; what follows after the spool (cut, publish, receipt) runs beside it in threads
of its own: see publisher/.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import Counter

from adapters.session import Outcome
from edge_agent.bugs import log_bug
from edge_agent.delivery import Answer, Delivery
from edge_agent.device_clock import DeviceClocks
from edge_agent.events import EventEmitter, as_old, rejection
from edge_agent.recording import RejectedNote, Tap
from edge_agent.sources import SourcePlan, message_type
from edge_agent.spool import Kept, Spool
from schemas.errors import FrameError
from schemas.report import Report

frames = Counter("vitalwire_frames", "Frames by what became of them", ["source", "outcome"])
NOT_UNDERSTOOD = {"unsupported-type": Outcome.UNSUPPORTED, "unsupported-version": Outcome.UNSUPPORTED}
CANNOT_KEEP = "the edge cannot keep it now; send it again"
OnArrived = Callable[[str, Sequence[Report]], object]  # a source's name, and reports that came for the first time


def keep_events(events: Sequence[Report], emitter: EventEmitter, spool: Spool) -> None:
    """Keep events, apart from frames: a resend does not repeat them. What cannot be kept now is emitted again."""
    if events:
        spool.put(events, None, lambda kept: emitter.retract(events) if kept is Kept.FULL else None)


class Chain:
    """What keeps the frames of one source. All calls are on the event loop."""

    keeps = True

    def __init__(
        self, plan: SourcePlan, spool: Spool, emitter: EventEmitter, on_failure: Callable[[Exception], object],
        on_arrived: OnArrived = lambda _, __: None, tap: Tap | None = None,
    ) -> None:  # fmt: skip
        self.tap = tap or Tap()
        self._plan, self._spool, self._emitter, self._on_arrived = plan, spool, emitter, on_arrived
        self.session_failed = on_failure
        self.device_clocks = DeviceClocks(plan.config.max_delay_s, plan.config.clock_limit_s)
        self.frames = 0
        self._counters: dict[str, Counter] = {}

    def carry(self, delivery: Delivery, answer: Answer) -> None:
        """Carry a frame into the spool; its sender is answered when it is there, and not before."""
        self.frames += 1
        outcome, reason, reports = read_frame(self._plan, delivery)
        if self.tap.is_used and reason and not delivery.reason:
            note = RejectedNote.of(delivery.frame, reason, delivery.received_at_us)
            self.tap.rejected(delivery.connection, note)
        emitted = delivery.source.take_emitted()
        if not reports:  # a heartbeat: received, and nothing to keep; it may overtake frames that wait for the disk
            self._count(reason or "kept")
            answer(outcome, reason)
            return
        clock_events: list[Report] = []
        if delivery.retained:
            reports = [as_old(report) for report in reports]
        else:
            reports, clock_events = self.device_clocks.correct(reports, delivery.received_at_us)
        keep_events([*self._emitter.heard(reports, delivery), *clock_events], self._emitter, self._spool)

        def settled(kept: Kept) -> None:
            if kept is not Kept.DUPLICATE and not delivery.retained:
                self._on_arrived(delivery.source.name, reports)
            if kept is not Kept.KEPT:  # nothing of this copy is there: neither a context nor a count of samples
                delivery.source.retract(emitted)
            if kept is Kept.FULL:
                self._count("full")
                answer(Outcome.CANNOT_KEEP, CANNOT_KEEP)
            else:  # a duplicate was kept before: it gets what the first one should have got
                self._count(reason or "kept" if kept is Kept.KEPT else "duplicate")
                answer(outcome, reason)

        self._spool.put(reports, delivery, settled)

    def prove(self, connection: int, tokens: range) -> None:
        """The answers to these tokens have arrived: their frames will not be sent again."""
        self._spool.prove(connection, tokens)

    def _count(self, label: str) -> None:
        if label not in self._counters:
            self._counters[label] = frames.labels(self._plan.name, label)
        self._counters[label].inc()


def read_frame(plan: SourcePlan, delivery: Delivery) -> tuple[Outcome, str, Sequence[Report]]:
    """A frame's reports, and how its sender is to be answered; what cannot be read is a `rejected` report."""
    source, reason, detail = delivery.source, delivery.reason, ""
    source.received_at_us = delivery.received_at_us
    if not reason:
        driver = plan.driver
        if plan.routes:
            driver, source = plan.routed(source, message_type(delivery.frame))
        try:
            return Outcome.KEPT, "", driver.read(delivery.frame, source)
        except FrameError as error:
            reason, detail = error.reason, error.detail
        except Exception as error:  # noqa: BLE001 - a driver's bug costs its frame's meaning, not its bytes or the feed
            reason, detail = "driver-error", type(error).__name__
            log_bug(f"driver {driver.name} failed", error, source.name)
    lane = plan.rejected_lane(delivery.frame)
    return NOT_UNDERSTOOD.get(reason, Outcome.MALFORMED), reason, [rejection(delivery, reason, detail, lane)]
