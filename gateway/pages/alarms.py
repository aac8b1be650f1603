"""Alarms: those that are open, by device, and those that a device itself says are active."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from emr_store import alarms
from emr_store.device_alarms import active_alarms
from gateway.pages.moments import milliseconds

OpenAlarms = dict[UUID, list[dict[str, Any]]]


def open_by_device(conn: Any) -> OpenAlarms:
    """Each device's open episodes, the oldest first; raises StoreError."""
    found: OpenAlarms = {}
    for a in alarms.open_now(conn):
        found.setdefault(a.device, []).append({**a._asdict(), "opened_at": milliseconds(a.opened_at)})
    return found


def of_device(conn: Any, device: UUID) -> dict[str, Any]:
    """What this device itself says is active; raises StoreError."""
    active = active_alarms(conn, device)
    return {"alarms": [{**a._asdict(), "since": milliseconds(a.since)} for a in active]}
