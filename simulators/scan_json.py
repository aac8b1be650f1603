"""A bedside app that scans a wristband and a device: JSON over MQTT at QoS 1, on `ward/<ward>/scans/<scanner>`.

    {"at": "2026-11-24T10:00:00.123+08:00", "device": "mqtt/serial=SIM000003", "wristband": "000001^SIM^MR"}

Papers: RFC 8259, ISO 8601.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from simulators.hl7_oru import ZONE

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def topic_of(scanner: str, ward: str = "icu") -> str:
    """Where a scanner publishes."""
    return f"ward/{ward}/scans/{scanner}"


def payload(device: str, wristband: str, at_us: int, scanner: str = "APP-1") -> bytes:
    """A scan of the two."""
    return _encoded({"at": _iso(at_us), "device": device, "wristband": wristband, "scanner": scanner})


def end_payload(device: str, at_us: int, scanner: str = "APP-1") -> bytes:
    """The device was taken off."""
    return _encoded({"at": _iso(at_us), "device": device, "action": "disassociate", "scanner": scanner})


def _iso(at_us: int) -> str:
    return (_EPOCH + timedelta(microseconds=at_us)).astimezone(ZONE).isoformat(timespec="milliseconds")


def _encoded(members: dict[str, str]) -> bytes:
    return json.dumps(members, ensure_ascii=False).encode()
