"""Which alarms have begun, changed or ended, for devices that repeat all that are present."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from adapters.driver import Source
from schemas.report import Alarm, AlarmState


def changed_alarms(present: Mapping[str, Alarm], source: Source[Any], claim: str) -> list[tuple[str, Alarm]]:
    """Those that are not as they were emitted before of this device, on whatever connection; what is gone is INACTIVE.

    A source may have several devices, each with its claim: behind a terminal server each is a connection.
    """
    key = f"alarms {claim}"
    before: Mapping[str, Alarm] = source.emitted_once(key) or {}
    if present == before:
        return []
    source.remember_emitted(key, dict(present), once=True)
    changed = [(name, alarm) for name, alarm in present.items() if before.get(name) != alarm]
    ended = [(name, replace(alarm, state=AlarmState.INACTIVE)) for name, alarm in before.items() if name not in present]
    return changed + ended
