"""What the API is timed on: what is not committed is served, and a page that is not full is no figure."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from benchmarks import fhir_search
from benchmarks.whose_day import DAY, patient_key, put_places
from emr_store.connect import open_store
from schemas.report import device_id

UNTIL = datetime(2026, 3, 2, tzinfo=UTC)
DEVICES = 22


def test_a_page_of_a_day_is_served_before_it_is_committed(database: str) -> None:
    with open_store(database) as conn:
        for number in range(DEVICES):
            uuid = device_id(f"fixture:{number}")
            conn.execute("INSERT INTO device (uuid, claim, edge) VALUES (%s, NULL, %s)", (uuid, device_id("edge")))
        with conn.transaction(force_rollback=True):
            put_places(conn, UNTIL - DAY, UNTIL, DEVICES)
            fhir_search.put_entries(conn, UNTIL - DAY, UNTIL, [patient_key(7)])
            with fhir_search.served(database, conn, database) as port:
                assert fhir_search.page_ms(port, 7, UNTIL - DAY, UNTIL, "", DEVICES) > 0
                with pytest.raises(RuntimeError, match="a page with 0 of 50"):
                    fhir_search.page_ms(port, 8, UNTIL - DAY, UNTIL, "", DEVICES)
                with pytest.raises(RuntimeError, match="a page with 0 of 50"):
                    fhir_search.page_ms(port, 7, UNTIL - DAY, UNTIL, "device", DEVICES)
            looks = conn.execute("SELECT person, page, relation FROM look ORDER BY from_at").fetchall()
            assert looks == [("N1", "fhir", "own_ward"), ("N1", "fhir", "none"), ("N1", "fhir", "none")]
            with fhir_search.served(database, conn, None) as port:
                assert fhir_search.page_ms(port, 7, UNTIL - DAY, UNTIL, "", DEVICES) > 0
            assert conn.execute("SELECT count(*) FROM look").fetchone() == (3,)
        assert conn.execute("SELECT count(*) FROM chart_entry").fetchone() == (0,)
