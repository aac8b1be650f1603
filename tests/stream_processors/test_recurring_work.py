"""Work that is done over and over: what fails is retried, seen and logged, but no patient's number with it."""

from __future__ import annotations

import asyncio

import pytest
import structlog
from structlog.testing import capture_logs

from emr_store.connect import StoreError
from schemas.errors import VitalwireError
from stream_processors import recurring_work
from stream_processors.recurring_work import keep_doing
from stream_processors.stage import waits

WAITS = "the work waits"


class Work:
    """Fails with these, one after another, then is done."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.done = 0
        self.waited: list[str] = []  # what /readyz said while it was done anew

    def __call__(self) -> None:
        self.waited.append(waits.get(WAITS, ""))
        if self.failures:
            raise self.failures.pop(0)
        self.done += 1


def _run(work: Work, times: int) -> list[dict[str, object]]:
    async def until_done() -> None:
        task = asyncio.ensure_future(keep_doing(work, every_s=0.001, waits_as=WAITS, log=structlog.get_logger("work")))
        while work.done < times:
            await asyncio.sleep(0.001)
        task.cancel()

    with capture_logs() as logged:
        asyncio.run(asyncio.wait_for(until_done(), 20))
    return [dict(entry) for entry in logged]


def test_what_fails_is_retried_and_seen_until_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurring_work, "RETRY_AFTER_S", 0.001)
    work = Work(ZeroDivisionError(), StoreError("the database does not answer\nat 127.0.0.1"))
    logged = _run(work, 3)
    assert work.waited[:4] == ["", f"{WAITS}: ZeroDivisionError", f"{WAITS}: Error", ""]
    assert WAITS not in waits
    assert [(entry["event"], entry["error"], entry["detail"]) for entry in logged] == [
        (WAITS, "ZeroDivisionError", ""),
        (WAITS, "Error", "the database does not answer"),
    ]


def test_of_another_error_than_the_store_s_nothing_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurring_work, "RETRY_AFTER_S", 0.001)
    logged = _run(Work(VitalwireError("no visit of P0815")), 1)
    assert "P0815" not in str(logged)
    assert [entry["error"] for entry in logged] == ["VitalwireError"]
