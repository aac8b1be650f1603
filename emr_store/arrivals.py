"""One value followed from the port through the chart into other systems, and which of them took something."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import class_row


class Arrival(NamedTuple):
    """The newest version of an entry that a destination accepted, with its value and its stages.

    `received_at` None: by no device. `bed` "": not known. `version` of `entry` went as `control_id`.
    """

    item: str
    value: float | None
    decimals: int
    text: str
    unit: str
    bed: str
    entry: UUID
    version: int
    received_at: datetime | None
    recorded_at: datetime
    destination: str
    settled_at: datetime
    control_id: str


def newest_arrivals(conn: psycopg.Connection) -> list[Arrival]:
    """The newest of each destination that accepted any, by name."""
    return conn.cursor(row_factory=class_row(Arrival)).execute(_ARRIVALS_SQL).fetchall()


def destinations_with_arrivals(conn: psycopg.Connection, since: datetime) -> dict[str, bool]:
    """Whether each destination accepted something since then."""
    rows = conn.execute("SELECT name, coalesce(last_accepted_at >= %s, false) FROM destination ORDER BY name", (since,))
    return dict(rows.fetchall())


_ARRIVALS_SQL = """
SELECT c.item, c.value, c.decimals, c.text, c.unit, coalesce(w.bed, '') AS bed, c.entry, c.version, r.received_at,
    c.recorded_at, n.name AS destination, d.settled_at, d.control_id
FROM destination n
CROSS JOIN LATERAL (
    SELECT * FROM delivery a WHERE a.destination = n.destination AND a.state = 'accepted'
    ORDER BY a.delivery DESC LIMIT 1) AS d
JOIN chart_entry c ON c.entry = d.entries[1] AND c.version = d.versions[1]
LEFT JOIN batch b ON b.batch_id = c.source_batch[1]
LEFT JOIN report r ON r.batch = b.batch AND r.leaf = c.source_leaf[1] AND r.observed_at = c.observed_at
LEFT JOIN device_bed_believed w ON w.device = r.device AND w.valid @> c.observed_at
WHERE n.last_accepted_at IS NOT NULL ORDER BY n.name
"""
