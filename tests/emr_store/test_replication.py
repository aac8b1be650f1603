"""The history of a timeline, as a replication connection tells it."""

from __future__ import annotations

import secrets

import pytest

from emr_store.connect import open_store
from emr_store.replication import ensure_slot, timeline_history
from schemas.errors import VitalwireError


def test_the_first_timeline_came_from_none(database: str) -> None:
    assert timeline_history(database, 1) == ""


def test_a_slot_keeps_the_log_from_its_making(database: str) -> None:
    name = f"t{secrets.token_hex(4)}"
    with open_store(database) as conn:
        for _ in range(2):
            ensure_slot(conn, name)
        found = conn.execute("SELECT restart_lsn IS NOT NULL FROM pg_replication_slots WHERE slot_name = %s", (name,))
        assert found.fetchall() == [(True,)]
        conn.execute("SELECT pg_drop_replication_slot(%s)", (name,))


def test_a_timeline_that_the_server_does_not_know(database: str) -> None:
    with pytest.raises(VitalwireError, match="history of timeline 9"):
        timeline_history(database, 9)
