"""What the simulated app scans, the driver reads."""

from __future__ import annotations

from adapters.devices.scan_json import ScanSettings, read
from adapters.driver import Source
from schemas.adt import Identifier
from schemas.scan import Scan, ScanAction, decode_scan
from simulators.scan_json import end_payload, payload, topic_of

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
