"""One source's chain, as it flows.

    transport -> (frame, ack) -> driver -> reports -> spool -> ack

What follows after the spool (cut, publish, receipt) runs beside it in threads of its own: see publisher.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import structlog
from prometheus_client import Counter

from adapters.driver import DeviceDriver
from adapters.formats.hl7_ack import Outcome
from edge_agent.delivery import Delivery
from edge_agent.events import Voice, event
from edge_agent.spool import Kept, Spool
from schemas.errors import FrameError
from schemas.report import AsSent, Kind, Record, RecordKind, Report

_log = structlog.get_logger("agent")
frames = Counter("vitalwire_frames", "Frames by what became of them", ["source", "outcome"])
NOT_UNDERSTOOD = {"unsupported-type": Outcome.UNSUPPORTED, "unsupported-version": Outcome.UNSUPPORTED}


def carry(delivery: Delivery, driver: DeviceDriver, spool: Spool, voice: Voice) -> None:
    """Carry a delivery into the spool; its sender is answered when it is there. Runs on the event loop."""
    loop = asyncio.get_running_loop()
    outcome, reason, reports = read(driver, delivery)
    if not reports:  # a heartbeat: received, and nothing to keep; it may overtake frames that wait for the disk
        answer(delivery, outcome, reason, Kept.KEPT)
        return
    if delivery.retained:
        reports = [as_old(r) for r in reports]
    tell(voice.introduce(reports, delivery), spool, voice)  # apart, for they are none of what a repeat repeats
    spool.put(reports, delivery, lambda kept: loop.call_soon_threadsafe(answer, delivery, outcome, reason, kept))


def tell(events: Sequence[Report], spool: Spool, voice: Voice) -> None:
    """Keep what the voice has said; what cannot be kept now it has not said."""
    loop = asyncio.get_running_loop()

    def settle(kept: Kept) -> None:
        if kept is Kept.FULL:
            loop.call_soon_threadsafe(voice.unsay, events)

    if events:
        spool.put(events, done=settle)


def read(driver: DeviceDriver, delivery: Delivery) -> tuple[Outcome, str, Sequence[Report]]:
    """A frame's reports and how its sender is to be answered; what cannot be read is a `rejected` report."""
    source, at_us = delivery.source, delivery.received_at_us
    source.received_at_us = at_us
    reason, detail = delivery.reason, ""
    if not reason:
        try:
            return Outcome.KEPT, "", driver.read(delivery.frame, source)
        except FrameError as error:
            reason, detail = error.reason, error.detail
        except Exception as error:  # noqa: BLE001 - a driver's bug costs its frame's meaning, not its bytes or the feed
            reason, detail = "driver-error", type(error).__name__
            # Its text may hold what the device sent; runtime.logs shows its type and place alone.
            _log.error("driver failed", source=source.name, driver=driver.name, exc_info=error)
    rejected = event(f"{source.name}/rejected", reason, detail, at_us, Kind.REJECTED, delivery.frame)
    return NOT_UNDERSTOOD.get(reason, Outcome.MALFORMED), reason, [rejected]


def as_old(report: Report) -> Report:
    """A retained MQTT message is what somebody once said: kept, marked, and never charted as new."""
    if report.kind is Kind.REJECTED:
        return report
    mark = Record(kind=RecordKind.TEXT, text="retained", as_sent=AsSent("MQTT", "retain"))
    return msgspec.structs.replace(report, kind=Kind.CONTEXT, records=(*report.records, mark))


def answer(delivery: Delivery, outcome: Outcome, reason: str, kept: Kept) -> None:
    """Answer the sender, after the COMMIT. A repeat was kept before: it gets what the first one should have got."""
    label = reason or "kept" if kept is Kept.KEPT else kept.value
    if kept is Kept.FULL:
        outcome, reason = Outcome.CANNOT_KEEP, "the edge cannot keep it now; send it again"
    frames.labels(delivery.source.name, label).inc()
    try:
        delivery.ack(outcome, reason)
    except OSError as error:  # the sender has gone: it will send again, and be a repeat
        _log.info("not answered", source=delivery.source.name, error=type(error).__name__)
