"""Changes that the database's owner can make to who works here and who may see what, and what `verify` says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from emr_store import acts, archive, grants, people_proof, provider_accounts, restricted, second_person, staff
from emr_store.acts import Author
from emr_store.connect import open_store
from emr_store.second_person import Kind
from emr_store.staff import StaffRow
from emr_store.verification import Verification
from evidence.act import parse_act
from tests.adt import patient_of, visit_of
from tests.gateway.hospital import admit, open_hospital

STAY, PATIENT = visit_of("V2"), patient_of("P2")
BOB = Author("os:bob@office")


@pytest.fixture
def conn(database: str) -> Iterator[psycopg.Connection]:
    """People who did everything that there is to do."""
    admit(open_hospital(database))
    with open_store(database) as conn:
        rows = [
            StaffRow("N1", "李娜", "nurse", "here", None, ("hosp^3a",), pool=("hosp^icu",)),
            StaffRow("D1", "王伟", "physician", "here", None, ("hosp^icu",)),
            StaffRow("T1", "赵敏", "trainee", "none"),
            StaffRow("T2", "Tom", "trainee", "none"),
        ]
        staff.import_file(conn, rows, b"f" * 32)
        staff.import_file(conn, [*rows[:2], StaffRow("T1", "赵敏", "nurse", "here"), rows[3]], b"g" * 32)
        staff.import_file(conn, rows[:3], b"h" * 32)
        assert staff.add(conn, [rows[0], StaffRow("A1", "added", "auditor", "none")], BOB) == ["A1"]
        assert staff.add(conn, rows) == []
        until = acts.now(conn) + timedelta(hours=1)
        grant = grants.give(conn, "team", "N1", STAY, until=until, by="D1", reason="dialysis")
        grants.end(conn, grant, by="D1", reason="done")
        grants.break_glass(conn, "N1", STAY, until=until, reason="help")
        grants.supervise(conn, "D1", "T1", until=until, author=BOB)
        grants.declare_ward(conn, "N1", "hosp^icu", until=until)
        restricted.restrict(conn, PATIENT, by="R1", reason="a colleague")
        restricted.lift(conn, PATIENT, by="R1", reason="left")
        restricted.restrict(conn, PATIENT, by="R1", reason="back")
        archive.reopen(conn, STAY, acts.now(conn) + timedelta(hours=1), Author("staff:R1", "a late result"))
        second_person.agree(conn, second_person.ask(conn, Kind.CUSTODY_COPY, {"copy": 1}), BOB)
        staff.end(conn, "T1", Author(BOB.by, "left"))
        for subject in ("s1", "s2"):
            assert provider_accounts.bind(conn, "https://id.example", subject, "N1")
            if subject == "s1":
                provider_accounts.unbind(conn, "N1", Author(BOB.by, "a new account"))
        yield conn


def findings(conn: psycopg.Connection) -> list[str]:
    result = Verification()
    stated = [parse_act(bytes(body)) for (body,) in conn.execute("SELECT body FROM act")]
    people_proof.check_people(conn, stated, result)
    assert (result.counts["staff"], result.counts["people"]) != (0, 0)
    return [f"{finding.where}: {finding.what}" for finding in result.findings]


def test_what_nobody_changed_holds(conn: psycopg.Connection) -> None:
    assert findings(conn) == []
    conn.execute("SET TIME ZONE 'Asia/Shanghai'")
    assert findings(conn) == []


CHANGES = {
    "UPDATE staff SET role = 'administrator' WHERE staff = 'N1'": "staff: N1: no act in the log says so",
    "UPDATE staff SET wards = '{hosp^icu}' WHERE staff = 'N1'": "staff: N1: an act in the log says so, and",
    "UPDATE staff SET ended_at = NULL WHERE staff = 'T1'": "staff: T1: no act in the log says so",
    "UPDATE staff SET ended_at = NULL WHERE staff = 'T2'": "staff: T2: no act in the log says so",
    "UPDATE staff SET valid = '(,)', name = 'x' WHERE staff = 'D1'": "staff: D1: no act in the log says so",
    "INSERT INTO staff SELECT 'X', name, role, licence, licence_until, wards, pool, valid, ended_at, act_id FROM staff"
    " WHERE staff = 'D1'": "staff: X: no act in the log says so",
    "UPDATE access_grant SET valid = tstzrange(lower(valid), upper(valid) + interval '1 year')": "no act in the log",
    "UPDATE provider_account SET subject = 's3' WHERE subject = 's2'": "provider_account: the account of N1 at https:",
    "UPDATE provider_account SET unbound_at = now() WHERE subject = 's2'": "provider_account: the account of N1",
    "DELETE FROM provider_account WHERE subject = 's1'": "provider_account: the account of N1",
    "UPDATE access_grant SET staff = 'T1' WHERE relation = 'break_glass'": "access_grant: grant ",
    "UPDATE access_grant SET by = 'D1', relation = 'team'": "access_grant: grant ",
    "UPDATE access_grant SET reason = 'nothing' WHERE relation = 'break_glass'": "an act in the log says so, and",
    "DELETE FROM access_grant WHERE relation = 'break_glass'": "an act in the log says so, and the table does not",
    "DELETE FROM review": f"N1 on {STAY}: an act in the log broke the glass, and no review of it is there",
    "UPDATE review SET person = 'D1'": f"N1 on {STAY}: an act in the log broke the glass, and no review of it is",
    "DELETE FROM access_grant_end": "access_grant_end: the end of grant",
    "UPDATE supervision SET trainee = 'N1'": "supervision: D1 answering for N1: no act in the log says so",
    "UPDATE ward_shift SET ward = 'hosp^3b'": "ward_shift: the shift of N1 on hosp^3b: no act in the log says so",
    "DELETE FROM restricted_record WHERE upper_inf(valid)": f"restricted_record: the record of {PATIENT}: an act",
    "UPDATE restricted_record SET valid = tstzrange(lower(valid), now()) WHERE upper_inf(valid)": "no act in the log",
    "UPDATE archive_reopening SET valid = tstzrange(lower(valid), upper(valid) + interval '1 day')": "the chart of",
    "DELETE FROM archive_reopening": f"archive_reopening: the chart of {STAY}: an act in the log says so, and",
    "UPDATE second_person SET details = '{\"copy\":2}'": "second_person: request ",
    "UPDATE second_person SET kind = 'nothing'": "second_person: request ",
    "UPDATE second_person_answer SET by = 'os:eve@office'": "second_person_answer: the answer to request ",
}


def test_what_the_database_s_owner_changes_is_found(conn: psycopg.Connection) -> None:
    for sql, words in CHANGES.items():
        with conn.transaction(force_rollback=True):
            assert conn.execute(sql.encode()).rowcount, sql
            found = findings(conn)
            assert any(words in each for each in found), (sql, found)


def test_an_act_that_cannot_be_read_is_a_finding(conn: psycopg.Connection) -> None:
    with conn.transaction(force_rollback=True):
        acts.record(conn, acts.act("staff.rows", BOB, acts.now(conn), of="x", rows={"N1": "y"}))
        assert any("(staff.rows): what it says cannot be read" in each for each in findings(conn))
