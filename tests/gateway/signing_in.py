"""People of a test's hospital, and their sessions, as the staff file and a sign-in would make them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from emr_store import staff as staff_file
from emr_store.connect import open_store
from emr_store.login_sessions import NewSession
from emr_store.staff import StaffRow
from gateway.access.viewer import Licence
from gateway.access.words import Role
from gateway.people.sessions import COOKIE, Factor, Sessions

SITE_WARD = "h^icu"  # of the beds in tests/adt.py


def hire(
    address: str, staff: str, role: Role = Role.NURSE, wards: Collection[str] = (SITE_WARD,),
    licence: Licence = Licence.HERE, name: str = "",
) -> None:  # fmt: skip
    """Somebody works here since a year, or longer."""
    first_day = datetime.now().astimezone().date() - timedelta(days=365)
    with open_store(address) as conn:
        staff_file.add(conn, [
            StaffRow(staff, name or staff, role, licence, wards=tuple(wards), first_day=first_day)
        ])  # fmt: skip


def sign_in(address: str, staff: str, hours: float = 12) -> str:
    """The Cookie header of a session of theirs."""
    ends_at = datetime.now(UTC) + timedelta(hours=hours)
    new = NewSession(staff, Factor.DEMO_LINK, "test", "127.0.0.1", "test", None, ends_at)
    return f"{COOKIE}={Sessions(address, address).begin(new)}"
