"""The chart on TimescaleDB: values in a hypertable, late ones, another patient, and what `verify` says of it."""

from __future__ import annotations

import pytest

from clinical.chart_policy import read_policies
from emr_store import chart_acts, chart_gaps, proof
from emr_store.acts import Author
from emr_store.chart_acts import Person
from emr_store.instants import moment
from emr_store.migrate import has_timescaledb
from tests.adt import group, us
from tests.charting import LATER, POLICIES, PULSE_ID, SLOT, SPO2_ID, V1, V2, Ward, pulse, spo2
from tests.verifying import revalidate

pytestmark = pytest.mark.integration
NURSE = Person(Author("os:nurse@ward"), "Li")


def test_values_become_a_chart_that_holds(database: str) -> None:
    ward = Ward(database, read_policies(POLICIES))
    ward.place()
    ward.hospital.emit_records([group("A01", 0)])
    ward.emit(spo2(50, 97), spo2(350, 90), pulse(40, 70))
    ward.chart()
    assert ward.said() == [(SLOT, "preliminary", 97, 1), (SLOT + 300, "preliminary", 90, 1)]
    assert ward.said(item=PULSE_ID) == [(40, "preliminary", 70, 1)]
    ward.emit(spo2(60, 91))
    ward.chart()
    with ward.store.open() as conn:
        chart_acts.confirm(conn, ward.entries()[1].entry, NURSE)
    ward.hospital.emit_records(
        [group("A03", 900, happened=200), group("A01", 910, visit="V2", patient="P2", happened=200)]
    )
    ward.chart()
    assert ward.said(V1) == [(SLOT, "final", 91, 3), (SLOT + 300, "entered-in-error", 90, 2)]
    assert ward.said(V2) == [(SLOT + 300, "preliminary", 90, 1)]
    ward.store.seal_log()
    with ward.store.open() as conn:
        assert has_timescaledb(conn)
        assert conn.execute("SELECT relkind::text FROM pg_class WHERE relname = 'report'").fetchone() == ("r",)
        gaps = chart_gaps.gaps(
            conn, ward.policies, V1, moment(us(0)), moment(us(1000)), us(LATER), [SPO2_ID]
        )  # fmt: skip
        assert [gap.gaps[0].reason.value for gap in gaps] == ["cut by a move", "no device"]
        result = proof.verify(conn, revalidate=revalidate)
    assert result.findings == []
    assert result.counts["chart_entry"] == 7
