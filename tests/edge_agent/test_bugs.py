"""Bugs in the log: each place once in a while."""

from __future__ import annotations

from functools import partial

import pytest
import structlog

from edge_agent import bugs
from edge_agent.bugs import log_bug


def met(where: int, kind: type[Exception] = ValueError) -> Exception:
    try:
        if where == 1:
            raise kind("DOE^JANE")
        raise kind("DOE^JANE")
    except kind as error:
        return error


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bugs, "_logged_at_s", {})


def test_each_place_of_each_source_is_logged_once_in_ten_seconds() -> None:
    with structlog.testing.capture_logs() as logs:
        for now_s in (100.0, 105.0, 110.0):
            for source, error in (("a", met(1)), ("b", met(1)), ("a", met(2)), ("a", met(1, KeyError))):
                log_bug("driver x failed", error, source, partial(float, now_s))
    assert len(logs) == 8
    assert {(entry["event"], entry["log_level"]) for entry in logs} == {("driver x failed", "error")}


def test_places_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bugs, "PLACES_MAX", 5)
    with structlog.testing.capture_logs():
        for n in range(20):
            log_bug(f"driver {n} failed", met(1), "a")
    assert len(bugs._logged_at_s) <= 5
