"""A bedside app that scans a wristband and a device: JSON over MQTT at QoS 1, on `scans/<ward>/<scanner>`.

    {"at": "2026-11-24T10:00:00.123+08:00", "device": "mqtt/serial=SIM000003", "wristband": "000001^SIM^MR"}

Papers: RFC 8259, ISO 8601.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random

from simulators.hl7_oru import ZONE
from simulators.mqtt_json import MqttPublisher

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def topic_of(scanner: str, ward: str = "icu") -> str:
    """Where a scanner publishes."""
    return f"scans/{ward}/{scanner}"


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


async def run_scanner(
    devices: Mapping[str, str],
    number_of: Callable[[str], str | None],
    broker: tuple[str, int],
    stop: asyncio.Event,
    every_s: float = 30.0,
    seed: int = 1,
) -> int:
    """Scan somebody's wristband and the device at the bed, until `stop`; how many scans were acknowledged.

    `devices` has the claim of each bed's device. `number_of` says whose wristband is in a bed now; None: nobody's.
    """
    random, publisher, acknowledged = Random(seed), MqttPublisher(*broker), 0

    def acked() -> None:
        nonlocal acknowledged
        acknowledged += 1

    try:
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), random.uniform(0.5, 1.5) * every_s)
            bed = random.choice(sorted(devices))
            number = number_of(bed)
            if number is not None and not stop.is_set():
                now_us = time.time_ns() // 1000
                await publisher.publish(topic_of("APP-1"), payload(devices[bed], number, now_us), acked)
    finally:
        await publisher.close(2.0)
    return acknowledged
