"""The alarms that devices themselves say are active."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import class_row


class DeviceAlarm(NamedTuple):
    """An alarm of the device itself that is active, as it said last."""

    code: int
    channel: int
    condition: str
    text: str
    priority: int
    since: datetime
    audio_paused: bool


# Of what was said of each condition within a day the newest: a device repeats what is active. Nothing is newer than its
# storing: what an edge said whose clock was ahead gives way to what comes after the clock was put right.
_DEVICE_ALARMS_SQL = """
SELECT code, channel, condition, text, priority, coalesce(since, observed_at) AS since, audio_paused
FROM (SELECT DISTINCT ON (a.code, a.channel, a.condition) a.* FROM device_alarm a JOIN device_shown v USING (device)
      WHERE v.shown_as = %s AND a.observed_at > now() - interval '1 day' AND a.validity & 1024 = 0
      ORDER BY a.code, a.channel, a.condition,
          least(a.observed_at, (SELECT b.stored_at FROM batch b WHERE b.batch = a.batch)) DESC,
          a.batch DESC, a.leaf DESC, a.record DESC) AS newest
WHERE state = 1 ORDER BY priority DESC, since
"""


def active_alarms(conn: psycopg.Connection, device: UUID) -> list[DeviceAlarm]:
    """The alarms that this device (`DeviceRow.shown_as`) itself says are active."""
    return conn.cursor(row_factory=class_row(DeviceAlarm)).execute(_DEVICE_ALARMS_SQL, (device,)).fetchall()
