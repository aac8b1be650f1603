"""Parameters without a code are counted while the processors run, and coverage is a metric."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import REGISTRY

from emr_store import parameters as stored
from schemas.report import AsSent, Record
from stream_processors import parameters
from stream_processors.stage import waits
from tests.making import PERCENT, SPO2, report
from tests.storing import Store
from tests.stream_processors.test_background import until, while_it_runs


def of_state(state: str) -> float | None:
    return REGISTRY.get_sample_value("vitalwire_parameters", {"state": state})


def test_what_has_no_code_is_counted_and_coverage_is_told(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "_NEWEST_SETTLED_SQL", "SELECT coalesce(max(batch), -1) FROM batch")
    monkeypatch.setattr(stored, "HEARD_WITHIN", stored.HEARD_WITHIN * 10_000)
    monkeypatch.setattr(stored, "BATCHES_AT_ONCE", 1)
    store = Store(database)
    sent = Record(mantissa=72, as_sent=AsSent("99X", "101^HR"))
    for n in range(3):
        store.emit(report(f"bed {n}", records=[Record(SPO2, PERCENT, mantissa=97), sent]))

    async def run() -> None:
        await until(lambda: store.rows("SELECT count(*) FROM unmapped_parameter") == [(3,)])
        await until(lambda: of_state("unmapped") == 3.0)

    while_it_runs(parameters.count_parameters(store.address), run())
    assert (of_state("mapped"), of_state("unit-in-doubt")) == (3.0, 0.0)


def test_a_store_that_is_away_is_waited_for() -> None:
    async def run() -> None:
        await until(lambda: "parameters wait" in waits)
        await asyncio.sleep(0)

    while_it_runs(parameters.count_parameters("host=127.0.0.1 port=1"), run())
    waits.pop("parameters wait", None)
