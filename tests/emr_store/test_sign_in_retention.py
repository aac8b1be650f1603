"""What sign-in keeps no longer, and what no purge takes: what a throttle or a guard against replay still needs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from emr_store import machine_clients, provider_logouts, security_keys, sign_in_attempts, sign_in_retention
from emr_store.acts import Author
from emr_store.connect import open_store, open_store_async
from emr_store.sign_in_retention import Purged
from gateway.people.attempts import SignInAttempts
from gateway.people.factors import Factor
from gateway.people.throttle import ADDRESS_FREE, WINDOW_S
from tests.conftest import Databases, address_of

HOST, ISSUER = "10.0.0.7", "https://provider.example"
NOW = datetime.now(UTC)
TABLES = ("sign_in_attempt", "machine_assertion", "provider_logout", "key_challenge")


@pytest.fixture(scope="module")
def address(databases: Databases) -> Iterator[str]:
    name = databases.make_migrated()
    found = address_of(databases.server, name)
    with open_store(found) as conn:
        machine_clients.register(conn, "emr", b"key", ["system/Patient.r"], [], Author("os:admin@ward"))
    yield found
    databases.end(name)


@pytest.fixture
def conn(address: str) -> Iterator[psycopg.Connection]:
    """With none of the rows that are purged."""
    with open_store(address) as opened:
        for table in TABLES:
            opened.execute(f"DELETE FROM {table}".encode())
        yield opened


def purge(address: str, days: int, **bounds: int) -> Purged:
    async def run() -> Purged:
        async with await open_store_async(address) as opened:
            return await sign_in_retention.purge(opened, days, **bounds)

    return asyncio.run(run())


def keep_at(conn: psycopg.Connection, at: datetime, name: str) -> None:
    """A row of each kind, of this moment."""
    sign_in_attempts.note(conn, name, HOST, at, factor="security_key", succeeded=False)
    assert machine_clients.use_assertion(conn, "emr", name, at)
    assert provider_logouts.end_sessions(conn, ISSUER, name, "sid", None, at) == []
    conn.execute("INSERT INTO key_challenge VALUES (%s, 'browser', %s, NULL)", (name.encode(), at))


def names(conn: psycopg.Connection) -> list[list[str]]:
    """Which rows of each kind are left."""
    columns = ("account", "jti", "jti", "convert_from(challenge, 'UTF8')")
    return [
        [name for (name,) in conn.execute(f"SELECT {column} FROM {table} ORDER BY 1".encode())]
        for table, column in zip(TABLES, columns, strict=True)
    ]


def test_what_is_out_of_date_goes_and_tries_go_when_they_are_as_old_as_was_said(
    conn: psycopg.Connection, address: str
) -> None:
    keep_at(conn, NOW - timedelta(days=366), "year")
    keep_at(conn, NOW - timedelta(days=2), "days")
    keep_at(conn, NOW - timedelta(hours=23), "hours")
    assert purge(address, 365) == Purged(attempts=1, assertions=2, logouts=2, challenges=2)
    assert names(conn) == [["days", "hours"], ["hours"], ["hours"], ["hours"]]
    assert purge(address, 365) == Purged()
    assert purge(address, 0) == Purged()
    assert purge(address, 1) == Purged(attempts=1)


def test_tries_stay_for_ever_where_that_was_said(conn: psycopg.Connection, address: str) -> None:
    keep_at(conn, NOW - timedelta(days=4000), "old")
    assert purge(address, 0) == Purged(assertions=1, logouts=1, challenges=1)
    assert names(conn)[0] == ["old"]


def test_no_purge_opens_a_door_that_is_closed(conn: psycopg.Connection, address: str) -> None:
    """Whatever age is asked for, of the owner's function itself too."""
    attempts = SignInAttempts(address)
    for _ in range(ADDRESS_FREE + 1):
        attempts.note(Factor.SECURITY_KEY, "", HOST, succeeded=False)
        attempts.begin(Factor.PROVIDER, "10.0.0.8")
    expires_at = NOW + timedelta(minutes=5)
    assert machine_clients.use_assertion(conn, "emr", "once", expires_at)
    assert provider_logouts.end_sessions(conn, ISSUER, "once", "sid", None, NOW) == []
    security_keys.put_challenge(conn, b"c" * 32, "browser", NOW)
    assert security_keys.take_challenge(conn, b"c" * 32, "browser", NOW)
    conn.execute("SELECT purge_sign_in_rows(interval '0', 1000000)")
    conn.execute("SELECT purge_sign_in_rows(interval '-1 year', 1000000)")
    assert attempts.wait_s(Factor.SECURITY_KEY, "", HOST) > 0
    assert attempts.begin(Factor.PROVIDER, "10.0.0.8") > 0
    assert not machine_clients.use_assertion(conn, "emr", "once", expires_at)
    assert provider_logouts.end_sessions(conn, ISSUER, "once", "sid", None, NOW) is None
    assert not security_keys.take_challenge(conn, b"c" * 32, "browser", NOW)
    assert timedelta(seconds=WINDOW_S) < timedelta(days=1)


def test_a_chunk_is_bounded_and_chunks_follow_until_all_is_gone(conn: psycopg.Connection, address: str) -> None:
    for number in range(7):
        keep_at(conn, NOW - timedelta(days=400 + number), str(number))
    row = conn.execute("SELECT * FROM purge_sign_in_rows(interval '365 days', 2)").fetchone()
    assert row == (2, 2, 2, 2)
    assert names(conn)[0] == ["0", "1", "2", "3", "4"]  # the oldest go first
    assert purge(address, 365, chunk_rows=2) == Purged(5, 5, 5, 5)


def test_what_somebody_writes_now_is_left_for_another_time(conn: psycopg.Connection, address: str) -> None:
    keep_at(conn, NOW - timedelta(days=2), "old")
    with open_store(address) as other, other.transaction():
        security_keys.put_challenge(other, b"n" * 32, "browser", NOW)  # takes the place of the old one
        assert purge(address, 365) == Purged(assertions=1, logouts=1)
    assert security_keys.take_challenge(conn, b"n" * 32, "browser", NOW)


def test_sessions_and_acts_are_never_removed(conn: psycopg.Connection, address: str) -> None:
    long_ago = NOW - timedelta(days=4000)
    conn.execute(
        "INSERT INTO login_session (session, principal, factor, workstation, address, agent, began_at, seen_at,"
        " ends_at, ended_at) VALUES ('s', 'N1', 'provider', 'w', %(host)s, '', %(at)s, %(at)s, %(at)s, %(at)s)",
        {"host": HOST, "at": long_ago},
    )
    acts = conn.execute("SELECT count(*) FROM act").fetchone()
    purge(address, 1)
    assert conn.execute("SELECT count(*) FROM login_session").fetchone() == (1,)
    assert conn.execute("SELECT count(*) FROM act").fetchone() == acts
