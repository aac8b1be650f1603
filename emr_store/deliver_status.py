"""What went where, what waits, and what is parked and why: for commands and pages."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

import psycopg
from psycopg.rows import class_row

from schemas.errors import VitalwireError

STATES = ("waiting", "parked", "accepted", "skipped")
WAITING_COUNTED = 1_000_000  # of one destination; more are not counted


class DestinationRow(NamedTuple):
    """A destination. `paused_at` None: it is served. `away_since` None: it answers. `behind`: versions of the record
    that no message was made of yet. `parked`: without those that wait behind them (`parked_behind`)."""

    name: str
    began_at: datetime
    paused_at: datetime | None
    away_since: datetime | None
    away_reason: str
    behind: int
    waiting: int
    oldest_waiting: datetime | None  # when its newest version was recorded
    parked: int
    parked_behind: int
    last_accepted_at: datetime | None


class DeliveryRow(NamedTuple):
    """A message. `recorded_at`: its newest version. `next_at`: when it is sent again at the earliest, where it waits.
    `behind`: parked because this one is."""

    delivery: int
    destination: str
    state: str
    encounter: str
    slot: datetime
    entries: list[str]
    versions: list[int]
    recorded_at: datetime
    control_id: str
    attempts: int
    next_at: datetime | None
    behind: int | None
    code: str
    reason: str
    settled_at: datetime | None


class DeliveryBytes(NamedTuple):
    """A message with what was sent and what was answered; None: not made yet, or removed once it was accepted."""

    row: DeliveryRow
    body: bytes | None
    answer: bytes | None


def destinations(conn: psycopg.Connection) -> list[DestinationRow]:
    """Each that ever began, by name."""
    cursor = conn.cursor(row_factory=class_row(DestinationRow))
    return cursor.execute(_DESTINATIONS_SQL, {"most": WAITING_COUNTED}).fetchall()


def deliveries(
    conn: psycopg.Connection, *, destination: str = "", states: Collection[str] = ("waiting", "parked"),
    before: int | None = None, limit: int = 100,
) -> list[DeliveryRow]:  # fmt: skip
    """The newest first, of one destination or ("") of all; `before`: those with lower numbers, for the next page."""
    named = {"destination": destination, "states": list(states), "before": before, "limit": limit}
    return conn.cursor(row_factory=class_row(DeliveryRow)).execute(_LIST_SQL.encode(), named).fetchall()


def of_slot(conn: psycopg.Connection, encounter: str, slot: datetime) -> list[DeliveryRow]:
    """Where what a slot says went, oldest first."""
    named = {"encounter": encounter, "slot": slot}
    return conn.cursor(row_factory=class_row(DeliveryRow)).execute(_SLOT_SQL.encode(), named).fetchall()


def delivery(conn: psycopg.Connection, number: int) -> DeliveryBytes:
    """One message. Raises VitalwireError where there is none."""
    cursor = conn.cursor(row_factory=class_row(DeliveryRow))
    row = cursor.execute(_ONE_SQL.encode(), {"delivery": number}).fetchone()
    kept = conn.execute("SELECT body, answer FROM delivery WHERE delivery = %s", (number,)).fetchone()
    if row is None or kept is None:
        raise VitalwireError(f"there is no delivery {number}: see `vitalwire deliver list`")
    body, answer = (None if each is None else bytes(each) for each in kept)
    return DeliveryBytes(row, body, answer)


_DESTINATIONS_SQL = """
SELECT d.name, d.began_at, d.paused_at, d.away_since, d.away_reason,
    greatest((SELECT coalesce(max(position), 0) FROM chart_sequence) - d.position, 0) AS behind,
    (SELECT count(*) FROM (SELECT FROM delivery w WHERE w.destination = d.destination AND w.state = 'waiting'
        LIMIT %(most)s) AS n) AS waiting,
    (SELECT recorded_at FROM delivery w WHERE w.destination = d.destination AND w.state = 'waiting'
        ORDER BY w.delivery LIMIT 1) AS oldest_waiting,
    p.parked, p.parked_behind,
    (SELECT a.settled_at FROM delivery a WHERE a.destination = d.destination AND a.state = 'accepted'
        ORDER BY a.delivery DESC LIMIT 1) AS last_accepted_at
FROM destination d CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE behind IS NULL) AS parked, count(behind) AS parked_behind
    FROM delivery p WHERE p.destination = d.destination AND p.state = 'parked') AS p
ORDER BY d.name
"""
_ROW = """
SELECT d.delivery, n.name AS destination, d.state, d.encounter, d.slot, d.entries::text[] AS entries, d.versions,
    d.recorded_at, d.control_id, d.attempts, d.next_at, d.behind, d.code, d.reason, d.settled_at
FROM delivery d JOIN destination n USING (destination)
"""
_LIST_SQL = f"""{_ROW}
WHERE (%(destination)s = '' OR n.name = %(destination)s) AND d.state = ANY(%(states)s)
    AND (%(before)s::int8 IS NULL OR d.delivery < %(before)s)
ORDER BY d.delivery DESC LIMIT %(limit)s
"""
_SLOT_SQL = f"{_ROW} WHERE d.encounter = %(encounter)s AND d.slot = %(slot)s ORDER BY d.delivery"
_ONE_SQL = f"{_ROW} WHERE d.delivery = %(delivery)s"
