"""What the simulated app scans, the driver reads."""

from __future__ import annotations

import asyncio
import queue
import threading

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from adapters.devices.scan_json import ScanSettings, read
from adapters.driver import Source
from schemas.adt import Identifier
from schemas.scan import Scan, ScanAction, decode_scan
from simulators.scan_json import end_payload, payload, run_scanner, topic_of
from vitalwire.embedded import Addresses

AT_US = 1_790_000_000_123_000


def scan_of(frame: bytes) -> Scan:
    (report,) = read(frame, Source("scans", ScanSettings(), peer=topic_of("APP-1"), received_at_us=AT_US + 50_000))
    (record,) = report.records
    assert record.text is not None
    return decode_scan(record.text)


def test_the_driver_reads_a_scan_and_its_end() -> None:
    begun, ended = (
        scan_of(payload("mqtt/serial=1", "000001^SIM^MR", AT_US)),
        scan_of(end_payload("mqtt/serial=1", AT_US)),
    )
    assert (begun.action, begun.device, begun.at_us) == (ScanAction.ASSOCIATE, "mqtt/serial=1", AT_US)
    assert begun.wristband == Identifier(value="000001", authority="SIM", type="MR")
    assert (ended.action, ended.wristband, ended.at_us) == (ScanAction.DISASSOCIATE, None, AT_US)


def test_the_app_scans_who_lies_at_a_device_and_nobody_s_bed_never(embedded: Addresses) -> None:
    heard: queue.SimpleQueue[bytes | bytearray] = queue.SimpleQueue()
    listening = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.on_subscribe = lambda *_: listening.set()
    client.on_message = lambda c, u, message: heard.put(message.payload)
    client.connect(*embedded.mqtt5)
    client.loop_start()
    client.subscribe("scans/#", qos=1)
    assert listening.wait(20)

    async def three() -> int:
        stop = asyncio.Event()
        asked: list[str] = []

        def number_of(bed: str) -> str | None:
            asked.append(bed)
            if asked.count("bed-01") > 3:
                stop.set()
            return "1^SIM^MR" if bed == "bed-01" else None

        devices = {"bed-01": "mqtt/a", "bed-02": "mqtt/b"}
        return await run_scanner(devices, number_of, embedded.mqtt5, stop, every_s=0.01)

    count = asyncio.run(asyncio.wait_for(three(), 60))
    scans = [scan_of(bytes(heard.get(timeout=20))) for _ in range(count)]
    client.disconnect()
    client.loop_stop()
    assert count == 3
    assert {scan.device for scan in scans} == {"mqtt/a"}
