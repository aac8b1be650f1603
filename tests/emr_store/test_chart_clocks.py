"""Which steps of boxes' clocks stand on an encounter's paper."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from clinical.sheet.content import ClockStep
from clinical.sheet.layout import lay_out
from clinical.sheet.style_file import shipped_style
from clinical.sheet.svg import svg
from emr_store import chart_sheet
from emr_store.chart_clocks import clock_steps
from emr_store.instants import moment
from tests.gateway.chart_ward import ENCOUNTER, MINUTE_US, ChartWard
from tests.storing import Store, event


@pytest.fixture
def stay(database: str) -> ChartWard:
    return ChartWard(database, hours=6)


def step(stay: ChartWard, minute: int, step_ms: int, store: Store | None = None) -> None:
    """As edge_agent/process.py says it of itself."""
    at_us = stay.since_us + minute * MINUTE_US
    emitter = store or stay.store
    claim = f"edge:{UUID(bytes=emitter.edge)}"
    emitter.emit(event(claim, "clock-step", f"the edge's clock stepped by {step_ms} ms", at_us))


def found(stay: ChartWard) -> list[tuple[float, float]]:
    """Minutes into the stay, and by how many seconds."""
    since = moment(stay.since_us)
    with stay.store.open() as conn:
        steps = clock_steps(conn, ENCOUNTER, since - timedelta(days=1), since + timedelta(days=1))
    return [((each.at - since).total_seconds() / 60, each.step_s) for each in steps]


def test_a_clock_that_was_set_is_on_paper_and_seconds_are_not(stay: ChartWard) -> None:
    step(stay, 60, -1_800_000)
    step(stay, 90, 700)
    step(stay, 120, 600_000)
    assert found(stay) == [(60, -1800), (120, 600)]
    with stay.store.open() as conn:
        data = chart_sheet.sheet_data(conn, "V1", shipped_style("standard"))
    assert data.clock_steps[1] == ClockStep(at=moment(stay.since_us + 120 * MINUTE_US), step_s=600)
    assert "时钟改变 -30 分钟" in svg(lay_out(data, shipped_style("standard"), 1))


def test_a_box_that_the_patient_s_devices_are_not_heard_through_says_nothing(stay: ChartWard, database: str) -> None:
    step(stay, 60, 600_000, Store(database, b"P" * 16))
    step(stay, -30, 600_000)  # before the patient lay there
    assert found(stay) == []
