"""The figures of the chart are taken, of answers that are right."""

from __future__ import annotations

from datetime import UTC, datetime

from benchmarks.chart import SLOTS, core_fraction_on, flowsheet_on
from benchmarks.goals import GOALS
from emr_store.connect import open_store
from schemas.report import device_id

UNTIL = datetime(2026, 3, 2, 0, 2, tzinfo=UTC)
PATIENTS = 25  # more beds than a patient sees in a day


def test_a_small_ward_is_measured(database: str) -> None:
    figures = core_fraction_on(database, 3)
    assert figures.keys() == {"chart_core_fraction_1000"}
    assert figures.keys() <= GOALS.keys()
    assert all(value > 0 for value in figures.values())


def test_a_small_day_is_measured(database: str) -> None:
    with open_store(database) as conn:
        for number in range(PATIENTS):
            uuid = device_id(f"fixture:{number}")
            conn.execute("INSERT INTO device (uuid, claim, edge) VALUES (%s, NULL, %s)", (uuid, device_id("edge")))
        kept = []
        for _ in range(2):  # entries are kept, places are not
            figures = flowsheet_on(database, UNTIL, PATIENTS, 3)
            kept += conn.execute("SELECT count(DISTINCT entry), count(*) FROM chart_entry").fetchall()
            assert conn.execute("SELECT count(*) FROM whose").fetchone() == (0,)
    (entries, versions), second = kept
    assert second == (entries, versions)
    assert entries == PATIENTS * SLOTS * 12 < versions
    assert figures.keys() == {"flowsheet_day_p95_ms"}
    assert figures.keys() <= GOALS.keys()
