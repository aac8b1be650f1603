from __future__ import annotations

from benchmarks.signed_in import asking, browser_cookie, sign_in
from emr_store.connect import open_store
from gateway.access.words import Action, DataClass, Role
from gateway.people.sessions import COOKIE, Sessions

BEDS_SQL = """
INSERT INTO bed_name (bed, label) VALUES ('H^ICU^^1', 'ICU 1'), ('H^ICU^^2', 'ICU 2');
INSERT INTO encounter_bed SELECT 'visit:V1^H', 'H^OR^^3', '[2026-01-01,)', '[2026-01-01,)', '', NULL, false;
"""
WARDS = {"H^ICU", "H^OR"}


def test_somebody_of_every_ward_with_beds_is_in(database: str) -> None:
    with open_store(database) as conn:
        conn.execute(BEDS_SQL)
    secret = sign_in(database).removeprefix(f"{COOKIE}=")
    found = Sessions(database, database).current(secret)
    assert found is not None
    assert found.viewer.role is Role.PHYSICIAN
    assert found.viewer.wards == WARDS
    assert browser_cookie(f"{COOKIE}={secret}")["value"] == secret


def test_a_second_session_hires_nobody_anew(database: str) -> None:
    assert sign_in(database) != sign_in(database)


def test_without_http_it_asks_for_the_same_wards(database: str) -> None:
    with open_store(database) as conn:
        conn.execute(BEDS_SQL)
        asked = asking(conn, database)
    assert asked.sight(Action.SEE, DataClass.CHART).wards == WARDS
