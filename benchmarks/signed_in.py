"""Who looks on in a measurement: a physician of every ward that has beds, for each page asks who that is."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg

from emr_store import acts
from emr_store.connect import open_store
from emr_store.login_sessions import NewSession
from gateway.access.viewer import Licence, Viewer
from gateway.access.words import Role
from gateway.asking import Asking
from gateway.looks import Looks
from gateway.people.sessions import COOKIE, Factor, Sessions

if TYPE_CHECKING:
    from playwright._impl._api_structures import SetCookieParam

STAFF, ADDRESS, LASTS = "bench", "127.0.0.1", timedelta(hours=12)
WORKS_SINCE = timedelta(days=365)


def sign_in(address: str) -> str:
    """The Cookie header of a new session, in a store that has its schema and its beds."""
    with open_store(address) as conn, conn.transaction():
        now = acts.now(conn)
        _hire(conn, wards_of(conn))
    new = NewSession(STAFF, Factor.DEMO_LINK, "benchmark", ADDRESS, "benchmark", None, now + LASTS)
    return f"{COOKIE}={Sessions(address, address).begin(new)}"


def browser_cookie(cookie: str) -> SetCookieParam:
    """A Cookie header as Playwright's `add_cookies` takes one, for every path of this machine."""
    name, _, value = cookie.partition("=")
    return {"name": name, "value": value, "domain": ADDRESS, "path": "/"}


def asking(conn: psycopg.Connection, address: str) -> Asking:
    """As a request would bring it, for what is measured without HTTP; of the wards that `conn` sees.

    Looks are noted over connections of their own.
    """
    viewer = Viewer(
        id=STAFF, name=STAFF, role=Role.PHYSICIAN, licence=Licence.HERE, wards=frozenset(wards_of(conn)),
        session=str(uuid4()),
    )  # fmt: skip
    at = acts.now(conn)
    return Asking(viewer, ADDRESS, int(at.timestamp() * 1_000_000), Looks(address))


def wards_of(conn: psycopg.Connection) -> list[str]:
    """Where somebody lies, or may."""
    rows = conn.execute(
        "SELECT DISTINCT ward_of_bed(bed) FROM"
        " (SELECT bed FROM encounter_bed WHERE upper_inf(recorded) UNION SELECT bed FROM bed_name) AS known"
        " WHERE bed <> ''"
    )
    return [ward for (ward,) in rows]


def _hire(conn: psycopg.Connection, wards: list[str]) -> None:
    """As the staff file does."""
    now = acts.now(conn)
    act_id = acts.record(conn, acts.act("staff.import", None, now, staff=STAFF))
    conn.execute(
        "INSERT INTO staff (staff, name, role, licence, wards, pool, valid, act_id)"
        " VALUES (%s, %s, %s, %s, %s, '{}', tstzrange(%s, NULL), %s) ON CONFLICT DO NOTHING",
        (STAFF, STAFF, Role.PHYSICIAN, Licence.HERE, wards, now - WORKS_SINCE, act_id),
    )
