from __future__ import annotations

from datetime import UTC, datetime, timedelta

from emr_store.idle_connections import IdleConnections
from emr_store.login_sessions import NewSession
from emr_store.migrate import migrate
from gateway.access.words import Role
from gateway.people.sessions import COOKIE, Factor, Sessions
from tests.gateway.signing_in import SITE_WARD, hire, sign_in


def test_a_session_stands_for_a_member_of_staff_until_it_ends(database: str) -> None:
    migrate(database)
    hire(database, "N1", Role.NURSE)
    secret = sign_in(database, "N1").removeprefix(f"{COOKIE}=")
    sessions = Sessions(database, database)
    found = sessions.current(secret)
    assert found is not None
    assert (found.viewer.id, found.viewer.role, found.viewer.wards) == ("N1", Role.NURSE, {SITE_WARD})
    sessions.end(found.row.session, "N1", "signed out")
    assert sessions.current(secret) is None
    assert Sessions(database, database).current("another") is None


def test_silence_and_time_end_a_session(database: str) -> None:
    migrate(database)
    hire(database, "N1")
    now = [datetime.now(UTC)]
    sessions = Sessions(database, database, lambda: now[0])
    new = NewSession("N1", Factor.DEMO_LINK, "w", "127.0.0.1", "test", 600, now[0] + timedelta(hours=1))
    secret = sessions.begin(new)
    for _ in range(7):
        now[0] += timedelta(minutes=9)
        if now[0] < new.ends_at:
            found = sessions.current(secret)
            assert found is not None
            sessions.touch(found)
    assert sessions.current(secret) is None  # its time is over
    silent = sessions.begin(NewSession("N1", Factor.DEMO_LINK, "w", "a", "t", 600, now[0] + timedelta(hours=1)))
    assert sessions.current(silent) is not None
    now[0] += timedelta(minutes=11)
    assert sessions.current(silent) is None


def test_whoever_is_in_stays_in_while_the_store_is_away(database: str) -> None:
    migrate(database)
    hire(database, "N1")
    secret = sign_in(database, "N1").removeprefix(f"{COOKIE}=")
    sessions = Sessions(database, database)
    found = sessions.current(secret)
    assert found is not None
    sessions.forget(found.row.session)
    sessions._reading = IdleConnections("postgresql://127.0.0.1:1/none?connect_timeout=1")
    assert sessions.current(secret) == found


def test_secrets_of_nobody_are_not_kept(database: str) -> None:
    migrate(database)
    hire(database, "N1")
    sessions = Sessions(database, database)
    secret = sign_in(database, "N1").removeprefix(f"{COOKIE}=")
    found = sessions.current(secret)
    assert found is not None
    for guess in range(20):
        assert sessions.current(f"guess {guess}") is None
    assert len(sessions._known) == 1
    sessions.end(found.row.session, "N1", "signed out")
    assert sessions.current(secret) is None
    assert len(sessions._known) == 0


def test_a_touch_counts_while_the_store_is_away(database: str) -> None:
    migrate(database)
    hire(database, "N1")
    now = [datetime.now(UTC)]
    sessions = Sessions(database, database, lambda: now[0])
    new = NewSession("N1", Factor.DEMO_LINK, "w", "127.0.0.1", "test", 600, now[0] + timedelta(hours=1))
    secret = sessions.begin(new)
    assert sessions.current(secret) is not None
    sessions._clerk = "postgresql://127.0.0.1:1/none?connect_timeout=1"
    sessions._reading = IdleConnections(sessions._clerk)
    for _ in range(3):
        now[0] += timedelta(minutes=9)
        found = sessions.current(secret)
        assert found is not None
        sessions.touch(found)
        sessions.forget(found.row.session)
    now[0] += timedelta(minutes=11)
    assert sessions.current(secret) is None
