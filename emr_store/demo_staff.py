"""The demo's staff, as a first staff file would have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from emr_store import acts


@dataclass(frozen=True)
class DemoMember:
    """Somebody who works in the demo. `wards`: keys (clinical/wards.py)."""

    staff: str
    name: str
    role: str
    licence: str
    wards: tuple[str, ...]


def hire(conn: psycopg.Connection, members: Sequence[DemoMember]) -> None:
    """Those whom nobody hired yet work here from now on."""
    with conn.transaction():
        rows = conn.execute("SELECT staff FROM staff WHERE staff = ANY(%s)", ([m.staff for m in members],)).fetchall()
        known = {staff for (staff,) in rows}
        new = [member for member in members if member.staff not in known]
        if not new:
            return
        at = acts.now(conn)
        author = acts.this_user("the demo's staff")
        act_id = acts.record(conn, acts.act("staff.import", author, at, staff=[member.staff for member in new]))
        for member in new:
            conn.execute(
                "INSERT INTO staff (staff, name, role, licence, wards, pool, valid, act_id)"
                " VALUES (%s, %s, %s, %s, %s, '{}', tstzrange(%s, NULL), %s)",
                (member.staff, member.name, member.role, member.licence, list(member.wards), at, act_id),
            )
