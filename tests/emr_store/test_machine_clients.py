"""Registered machines: by act, once by name, with wards as the site writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from emr_store import machine_clients
from emr_store.acts import Author
from emr_store.connect import open_store
from emr_store.migrate import migrate
from schemas.errors import VitalwireError

ADMIN = Author("os:admin@ward", "the EMR polls")


def test_a_client_is_registered_and_revoked_by_act(database: str) -> None:
    migrate(database)
    with open_store(database) as conn:
        conn.execute("INSERT INTO bed_name VALUES ('h^icu^^1', 'ICU-1'), ('a^er^^1', 'ER-1'), ('b^er^^1', 'ER-2')")
        machine_clients.register(conn, "emr", b"key", ["system/Patient.r"], ["ICU", "ER^B"], ADMIN)
        found = machine_clients.find(conn, "emr")
        assert found is not None
        assert (found.wards, found.scopes, found.revoked_at) == (["b^er", "h^icu"], ["system/Patient.r"], None)
        for ward in ("ER", "NICU", "ICU^X"):
            with pytest.raises(VitalwireError, match="the ward"):
                machine_clients.register(conn, "other", b"key", ["system/Patient.r"], [ward], ADMIN)
        machine_clients.revoke(conn, "emr", ADMIN)
        with pytest.raises(VitalwireError, match="no client emr may ask now"):
            machine_clients.revoke(conn, "emr", ADMIN)
        with pytest.raises(VitalwireError, match="never used again"):
            machine_clients.register(conn, "emr", b"key", ["system/Patient.r"], [], ADMIN)
        assert [each.client for each in machine_clients.listed(conn)] == ["emr"]
        acts = conn.execute("SELECT kind FROM act ORDER BY at").fetchall()
        assert acts == [("client.register",), ("client.revoke",)]


def test_an_assertion_is_used_once(database: str) -> None:
    migrate(database)
    until = datetime.now(UTC) + timedelta(minutes=5)
    with open_store(database) as conn:
        for name in ("emr", "other"):
            machine_clients.register(conn, name, b"key", ["system/Patient.r"], [], ADMIN)
        assert machine_clients.use_assertion(conn, "emr", "1", until)
        assert not machine_clients.use_assertion(conn, "emr", "1", until)
        assert machine_clients.use_assertion(conn, "other", "1", until)
