"""A small ward for fault cases: two monitors, a device over MQTT and an oximeter, on the real mosquitto."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from pathlib import Path

from tests.faults.senders import MllpSender, MqttSender, Sender, SerialSender, mqtt_client
from tests.faults.system import System

LIMITS = '[[limits]]\nmetric = "MDC_PULS_OXIM_SAT_O2"\nlow = 60\n'
MAPPING = '[[mapping]]\nsender = "ward"\ncode = "hr"\nmetric = "MDC_ECG_HEART_RATE"\nunit = "MDC_DIM_BEAT_PER_MIN"\n'
EDGE = """
mapping = "site.toml"
[[serial]]
name = "oximeter"
driver = "nonin_ascii"
port = "{port}"
device = "faults:nonin:1"
[[mllp]]
name = "icu"
driver = "hl7_oru"
listen = "{host}:{mllp}"
device = "PV1-3"
time_zone = "UTC"
[[mqtt]]
name = "ward"
driver = "mqtt_json"
broker = "{mqtt}"
topics = ["{topic}/#"]
time_zone = "UTC"
username = "{username}"
password_file = "{password}"
"""


def make(folder: Path, kafka: str, database: str) -> tuple[System, Sequence[Sender]]:
    """The system, not started, and its senders, not started either."""
    topic = f"ward-{uuid.uuid4().hex[:8]}"
    mqtt, username = os.environ["VITALWIRE_MQTT"], os.environ["VITALWIRE_MQTT_USERNAME"]
    password = os.environ["VITALWIRE_MQTT_PASSWORD_FILE"]
    serial = SerialSender("faults:nonin:1")
    (folder / "site.toml").write_text(MAPPING)

    def sources(system: System) -> str:
        host, port = system.mllp
        return EDGE.format(
            port=serial.path, host=host, mllp=port, mqtt=mqtt, topic=topic, username=username, password=password
        )

    system = System(folder, kafka, database, sources, LIMITS)
    host, _, port = mqtt.rpartition(":")
    client = mqtt_client(username, Path(password).read_text())
    return system, [
        MllpSender(system.mllp, "icu", "01"),
        MllpSender(system.mllp, "icu", "02", enhanced=True),
        MqttSender(client, (host, int(port)), "ward", f"{topic}/bed3"),
        serial,
    ]
