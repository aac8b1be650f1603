"""What waits for the attributor: batches that say whose values are, or where somebody is."""

from __future__ import annotations

from schemas.report import ClockQuality, Kind, Lane, Record, RecordKind, Report
from tests.making import T0_US, report
from tests.storing import Store

CONTEXT = Report(
    Kind.CONTEXT, "bed", T0_US, T0_US, ClockQuality.RECEIVED, (Record(kind=RecordKind.TEXT, text="PID-3"),)
)  # fmt: skip


def test_batches_of_values_alone_do_not_wait(database: str) -> None:
    store = Store(database)
    store.emit(report())
    assert store.rows("SELECT batch FROM attribution_batch") == []
    store.emit(report(), CONTEXT)
    store.emit(CONTEXT, lane=Lane.ADT)
    waiting = store.rows("SELECT b.lane, b.reports FROM attribution_batch JOIN batch b USING (batch, lane) ORDER BY 1")
    assert waiting == [(int(Lane.LIVE), 2), (int(Lane.ADT), 1)]
