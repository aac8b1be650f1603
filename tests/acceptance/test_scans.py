"""A scan from the broker to the answer: MQTT, edge, Kafka, store, attributor, `vitalwire whose`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from adapters.formats.instants import parse_iso
from emr_store import places, proof
from emr_store.connect import open_store
from schemas.report import device_id
from simulators import scan_json
from tests.commands import vitalwire
from tests.wire import MllpSender, Wire, eventually
from vitalwire.embedded import Addresses

pytestmark = pytest.mark.timeout(240)
SOURCES = """
[[source]]
name = "his"
driver = "hl7_oru"
drivers_by_msh9 = {{ ADT = "hl7_adt" }}
time_zone = "UTC"
link.type = "tcp"
link.listen = "127.0.0.1:{mllp}"
[[source]]
name = "scans"
driver = "scan_json"
time_zone = "UTC"
link.type = "mqtt"
link.broker = "BROKER"
link.topics = ["TOPIC/#"]
"""
SITE = """
[[adt_source]]
name = "his"
authority = "HOSP"
patient_type = "MR"
[[bed]]
name = "ICU-07"
location = "ICU^^7^HOSP"
[[bed]]
name = "ICU-08"
location = "ICU^^8^HOSP"
"""
DEVICE = "his/PV1-3=ICU^^7"
AT = "2026-09-21T10:00:30.000+00:00"


def admission(bed: int) -> bytes:
    return (
        rf"MSH|^~\&|HIS|HOSP|||20260921100000+0000||ADT^A01|A01.{bed}|P|2.5"
        "\r"
        f"EVN||20260921100000+0000\rPID|||00{bed}^^^HOSP^MR||Zhang^San\r"
        f"PV1||I|ICU^^{bed}||||||||||||||||V{bed}^^^HOSP^VN\r"
    ).encode()


def vital_sign(second: int) -> bytes:
    return (
        rf"MSH|^~\&|MON|ICU|||202609211001{second:02}+0000||ORU^R01|oru.{second}|P|2.5"
        "\r"
        "PV1||I|ICU^^7\rOBR|1\r"
        "OBX|1|NM|150456^MDC_PULS_OXIM_SAT_O2^MDC||97|262688^MDC_DIM_PERCENT^MDC|||||F\r"
    ).encode()


def us_of(text: str) -> int:
    instant = parse_iso(text, None)
    assert instant is not None
    return instant.us


@pytest.mark.parametrize("parts", ["embedded", pytest.param("real", marks=pytest.mark.integration)])
def test_a_scan_over_mqtt_says_whose_the_values_are(
    parts: str, tmp_path: Path, kafka: str, database: str, embedded: Addresses
) -> None:
    topic = tmp_path.name  # no other test's retained messages
    sources = SOURCES.replace("BROKER", "{}:{}".format(*embedded.mqtt5)).replace("TOPIC", topic)
    retained = scan_json.payload(DEVICE, "008^HOSP^MR", us_of("2026-09-21T10:00:50+00:00"))
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.connect(*embedded.mqtt5)
    client.loop_start()
    client.publish(f"{topic}/icu/old", retained, qos=1, retain=True).wait_for_publish(20)
    with Wire(tmp_path, kafka, database, sources, limits=SITE) as wire:
        sender = MllpSender(wire.mllp)
        for message in (admission(7), admission(8), vital_sign(1)):
            assert b"MSA|AA|" in sender.ask(message)
        for body in (
            scan_json.payload(DEVICE, "008^HOSP^MR", us_of(AT)),
            json.dumps({"device": DEVICE, "wristband": "007"}).encode(),  # when?
            scan_json.payload(DEVICE, "009", us_of(AT)),  # who?
            b'{"wristband": "007"}',
        ):
            client.publish(f"{topic}/icu/app", body, qos=1).wait_for_publish(20)
        eventually(lambda: wire.rows("SELECT count(*) FROM device_scan") == [(4,)], 60, "the scans are stored")
        with open_store(database) as conn:
            places.assign(conn, str(device_id(DEVICE)), "ICU-07", since=datetime(2026, 9, 21, tzinfo=UTC))
        eventually(lambda: wire.rows(_BY_SCAN) != [], 60, "the device is the scanned patient's")
        client.publish(f"{topic}/icu/app", scan_json.end_payload(DEVICE, us_of(AT) + 60_000_000), qos=1)
        eventually(lambda: wire.rows(_BY_SCAN) == [("visit:V8^HOSP", True)], 60, "the scan ended")
        _, answered = vitalwire("whose", DEVICE, "2026-09-21T10:01:01Z", "--database", database)
        answered = " ".join(answered.split())
        assert "008^HOSP^MR (Zhang San), visit V8, by a scan" in answered
        assert f"a scan of the wristband 008 and the device {DEVICE}, by APP-1" in answered
        asked = {row[0] for row in wire.rows("SELECT kind FROM worklist_item WHERE scope = 'scan'")}
        assert asked == {"scan_retained", "scan_without_time", "scan_of_unknown_wristband"}
        assert wire.rows("SELECT count(*) FROM report WHERE kind = 8") == [(1,)]  # what names no device
        eventually(lambda: wire.rows("SELECT FROM unlogged") == [], 20, "the log has everything")
        with open_store(database) as conn:
            assert proof.verify(conn, datetime(2000, 1, 1, tzinfo=UTC)).findings == []
    client.publish(f"{topic}/icu/old", b"", qos=1, retain=True).wait_for_publish(20)
    client.disconnect()
    client.loop_stop()


_BY_SCAN = """
SELECT encounter, NOT upper_inf(valid) FROM whose WHERE basis = 'scan' AND upper_inf(recorded)
"""
