"""People of a test's hospital, and their sessions, as the staff file and a sign-in would make them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from emr_store import acts
from emr_store.connect import open_store
from emr_store.login_sessions import NewSession
from gateway.access.viewer import Licence
from gateway.access.words import Role
from gateway.people.sessions import COOKIE, Factor, Sessions

SITE_WARD = "h^icu"  # of the beds in tests/attributing.py


def hire(
    address: str, staff: str, role: Role = Role.NURSE, wards: Collection[str] = (SITE_WARD,),
    licence: Licence = Licence.HERE, name: str = "",
) -> None:  # fmt: skip
    """Somebody works here since a year, or longer."""
    with open_store(address) as conn, conn.transaction():
        at = acts.now(conn)
        act_id = acts.record(conn, acts.act("staff.import", None, at, staff=staff))
        conn.execute(
            "INSERT INTO staff (staff, name, role, licence, wards, pool, valid, act_id)"
            " VALUES (%s, %s, %s, %s, %s, '{}', tstzrange(%s, NULL), %s) ON CONFLICT DO NOTHING",
            (staff, name or staff, role, licence, list(wards), at - timedelta(days=365), act_id),
        )


def sign_in(address: str, staff: str, hours: float = 12) -> str:
    """The Cookie header of a session of theirs."""
    ends_at = datetime.now(UTC) + timedelta(hours=hours)
    new = NewSession(staff, Factor.DEMO_LINK, "test", "127.0.0.1", "test", None, ends_at)
    return f"{COOKIE}={Sessions(address, address).begin(new)}"
