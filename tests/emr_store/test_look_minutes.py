"""Looks become acts minute by minute, and `verify` finds what somebody changed of them by SQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest

from emr_store import acts, look_minutes, looks, proof, reviews
from emr_store.acts import Author
from emr_store.connect import open_store
from emr_store.instants import moment
from emr_store.looks import Look, LookEnd
from emr_store.reviews import Review, ReviewKind
from tests.storing import Store
from tests.verifying import revalidate

FROM = moment(1_795_000_020_000_000)
LOOK = Look(
    look=UUID(int=1), person="N1", role="nurse", action="see", page="patient", encounters=("V1",), patients=("P1",),
    stays=1, detail="", relation="own_ward", restricted=False, session="s", address="10.0.0.1", reason="",
    from_at=FROM, until_at=FROM + timedelta(minutes=15),
)  # fmt: skip
REVIEW = Review(UUID(int=9), ReviewKind.BULK, "N1", "nurse", None, None, None, "stays=50", FROM)


def look(number: int, after_s: float = 0.0) -> Look:
    return replace(LOOK, look=UUID(int=number), from_at=FROM + timedelta(seconds=after_s))


@pytest.fixture
def store(database: str) -> Store:
    """Two minutes with looks, an end, one that came home late, and a review that is closed."""
    made = Store(database)
    with made.open() as conn:
        for each in (look(1), look(2, 5), look(3, 70), LookEnd(UUID(int=1), FROM + timedelta(seconds=80))):
            looks.write(conn, each)
        assert look_minutes.seal_minutes(conn) == 4
        looks.write(conn, look(4, 6))
        assert look_minutes.seal_minutes(conn) == 1
        reviews.open_review(conn, REVIEW)
        reviews.close_review(conn, REVIEW.review, Author("staff:A1", "a round"))
    made.seal_log()
    return made


def test_each_closed_minute_is_an_act_and_what_comes_late_a_further_one(store: Store) -> None:
    with store.open() as conn:
        found = [act.details for act in acts.acts(conn) if act.kind == "look.minute"]
        minute_us = 1_795_000_020_000_000
        assert sorted((each["minute_us"] - minute_us, each["looks"], each["ends"]) for each in found) == [
            (0, 1, 0), (0, 2, 0), (60_000_000, 1, 1)
        ]  # fmt: skip
        assert look_minutes.seal_minutes(conn) == 0
    assert store.rows("SELECT count(*) FROM look_unsealed") == [(0,)]


def test_a_minute_that_is_not_over_waits(database: str) -> None:
    with Store(database).open() as conn:
        looks.write(conn, LOOK)
        minute = FROM.replace(second=0)
        assert minute <= FROM
        assert look_minutes.seal_minutes(conn, minute + timedelta(seconds=69)) == 0
        looks.write(conn, LOOK)  # what is there already
        assert look_minutes.seal_minutes(conn, minute + timedelta(seconds=70)) == 1


def test_one_process_seals_at_a_time(database: str) -> None:
    with Store(database).open() as conn, open_store(database) as other:
        looks.write(conn, LOOK)
        other.execute("SELECT pg_advisory_lock(%s)", (look_minutes._LOCK,))
        assert look_minutes.seal_minutes(conn) == 0
        other.execute("SELECT pg_advisory_unlock(%s)", (look_minutes._LOCK,))
        assert look_minutes.seal_minutes(conn) == 1


def test_an_end_without_its_look_is_none(database: str) -> None:
    store = Store(database)
    with store.open() as conn:
        looks.write(conn, LookEnd(UUID(int=7), FROM))
    assert store.rows("SELECT count(*) FROM look_end") == [(0,)]


def findings(conn: psycopg.Connection) -> list[str]:
    return [f"{finding.where}: {finding.what}" for finding in proof.verify(conn, revalidate=revalidate).findings]


def test_honest_looks_have_no_finding(store: Store) -> None:
    with store.open() as conn:
        result = proof.verify(conn, revalidate=revalidate)
        assert result.findings == []
        assert (result.counts["look"], result.counts["review_closed"]) == (4, 1)
        looks.write(conn, look(5, 90))
        result = proof.verify(conn, revalidate=revalidate)
        assert result.findings == []
        assert any("1 looks and ends of looks: no act says them yet" in line for line in result.not_proved)


NEW = (
    "INSERT INTO look SELECT '00000000-0000-0000-0000-00000000000b', person, role, action, page, encounters, patients,"
    " stays, detail, relation, restricted, session, address, reason, from_at, until_at FROM look LIMIT 1"
)


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("UPDATE look SET person = 'N2' WHERE stays = 1", "were changed"),
        ("UPDATE look SET patients = '{P2}'", "were changed"),
        ("UPDATE look SET from_at = from_at + interval '1 us'", "were changed"),
        ("UPDATE look_end SET until_at = until_at + interval '1 us'", "were changed"),
        ("DELETE FROM look_end", "1 looks and 0 ends, and not 1 and 1"),
        ("DELETE FROM look", "0 looks and"),
        ("DELETE FROM look_sealed", "the looks that the act says are gone"),
        ("DELETE FROM look_sealed WHERE is_end", "no act of a minute says them, and none is to"),
        (NEW, "1 looks: no act of a minute says them, and none is to"),
        (
            f"WITH n AS ({NEW} RETURNING look) INSERT INTO look_sealed SELECT n.look, false, act_id"
            " FROM n, (SELECT act_id FROM look_minute LIMIT 1) AS m",
            "looks and",
        ),
        ("UPDATE look_minute SET looks = looks + 1", "its row of look_minute is not what the act says"),
        ("DELETE FROM look_minute", "its row of look_minute is gone"),
        ("UPDATE review_closed SET word = 'nothing'", "it was not closed as an act in the log says"),
        ("DELETE FROM review_closed", "says that staff:A1 closed it, and it stands open"),
    ],
)
def test_what_was_changed_is_found(store: Store, sql: str, found: str) -> None:
    with store.open() as conn, conn.transaction(force_rollback=True):
        for table in ("look", "look_end", "look_sealed", "look_minute", "look_unsealed"):
            conn.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL".encode())
        assert conn.execute(sql.encode()).rowcount > 0
        said = findings(conn)
        assert any(found in each for each in said), said
