"""The places that a patient's day is measured on: everybody changes beds at once, and each value is one patient's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from benchmarks.whose_day import DAY, EARLIER, HANDOVERS, put_places
from clinical.attribution import State
from emr_store import patients
from emr_store.connect import open_store
from schemas.report import device_id

UNTIL = datetime(2026, 3, 2, tzinfo=UTC)
DEVICES = 30  # more than a patient sees in a day


def test_each_patient_has_twenty_handovers_a_day_and_nobody_shares_a_bed(database: str) -> None:
    with open_store(database) as conn:
        for number in range(DEVICES):
            uuid = device_id(f"fixture:{number}")
            conn.execute("INSERT INTO device (uuid, claim, edge) VALUES (%s, NULL, %s)", (uuid, device_id("edge")))
        with conn.transaction(force_rollback=True):
            put_places(conn, UNTIL - DAY, UNTIL, DEVICES)
            (total,) = conn.execute("SELECT count(*) FROM whose").fetchone() or ()
            assert total == DEVICES * (EARLIER + 1 + HANDOVERS)
            assert conn.execute("SELECT count(*) FROM encounter_bed").fetchone() == (total,)
            for number in range(DEVICES):
                day = patients.intervals_of(conn, f"P{number:04}^B^", UNTIL - DAY, UNTIL)
                assert len(day) == len({interval.device for interval in day}) == HANDOVERS + 1
            at = UNTIL - timedelta(hours=7)
            found = [patients.whose_at(conn, device_id(f"fixture:{number}"), at) for number in range(DEVICES)]
            assert all(believed is not None and believed.whose.state is State.ATTRIBUTED for believed in found)
            assert len({believed.whose.patient for believed in found if believed is not None}) == DEVICES
        assert conn.execute("SELECT count(*) FROM whose").fetchone() == (0,)
