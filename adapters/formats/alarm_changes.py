"""Which alarms have begun, changed or ended, for devices that repeat all that are present."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from adapters.driver import Source
from schemas.report import Alarm, AlarmState

_KEY = "alarms"


def changed_alarms(present: Mapping[str, Alarm], source: Source[Any], key: str = _KEY) -> list[tuple[str, Alarm]]:
    """Those that are not as they were emitted before, on whatever connection; what is gone is INACTIVE.

    `key` tells apart the lists of a device that has several.
    """
    before: Mapping[str, Alarm] = source.emitted_once(key) or {}
    if present == before:
        return []
    source.remember_emitted(key, dict(present), once=True)
    changed = [(name, alarm) for name, alarm in present.items() if before.get(name) != alarm]
    ended = [(name, replace(alarm, state=AlarmState.INACTIVE)) for name, alarm in before.items() if name not in present]
    return changed + ended
