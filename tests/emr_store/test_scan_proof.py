"""A scan that somebody changed, added or took away is a finding of `verify`."""

from __future__ import annotations

import pytest

from emr_store import scan_proof
from emr_store.verification import NUMBER_MIN, Verification
from tests.attributing import Hospital
from tests.emr_store.test_scans import admitted, emit, hospital, scan

__all__ = ["hospital"]  # a fixture


def found(hospital: Hospital, *changes: str, dropped: bool = False) -> list[str]:
    result = Verification()
    with hospital.store.open() as conn, conn.transaction():
        for change in changes:
            assert conn.execute(change.encode()).rowcount, change
        scan_proof.check_scans(conn, NUMBER_MIN, dropped, result)
    assert result.counts["device_scan"] or result.findings
    return [finding.what for finding in result.findings]


@pytest.fixture
def scanned(hospital: Hospital) -> Hospital:
    """Two scans, an end, one that a broker retained, and one that came twice."""
    admitted(hospital)
    emit(hospital, scan(10, "V2"), scan(20, "V1"), scan(30), scan(20, "V1", retained=True))
    emit(hospital, scan(10, "V2"))
    return hospital


def test_scans_that_nobody_changed_give_no_finding(scanned: Hospital) -> None:
    assert found(scanned) == []


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("device", "gen_random_uuid()"),
        ("number", "'V9'"),
        ("action", "'disassociate'"),
        ("at", "at + interval '1 s'"),
        ("received_at", "received_at + interval '1 s'"),
        ("retained", "NOT retained"),
        ("effective", "NOT effective"),
        ("said", "replace(said, 'V2', 'V1')"),
    ],
)
def test_a_changed_scan_is_named(scanned: Hospital, column: str, value: str) -> None:
    changed = found(scanned, f"UPDATE device_scan SET {column} = {value} WHERE number = 'V2'")
    assert changed == [f"its {column} is not what was sealed"]


def test_a_scan_that_was_invented_or_taken_away_is_named(scanned: Hospital) -> None:
    gone = found(scanned, "DELETE FROM device_encounter", "DELETE FROM device_scan WHERE number = 'V2'")
    assert gone == ["its row is gone"]
    invented = (
        "INSERT INTO device_scan SELECT sha256('x'), batch_id, 999, device, number, action, at, received_at, retained,"
        " effective, taken_at, said FROM device_scan LIMIT 1"
    )
    assert sorted(found(scanned, invented)) == ["its row is gone", "no report stands behind it"]
    assert found(scanned, "SELECT", dropped=True) == ["its row is gone"]


def test_a_scan_that_waits_to_be_taken_is_not_missing(hospital: Hospital) -> None:
    admitted(hospital)
    emit(hospital, scan(10, "V2"))
    hospital.store.emit(scan(40, "V1"), lane=scan(40).lane)
    assert found(hospital) == []
