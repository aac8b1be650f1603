"""A small ward for fault cases: two monitors, a device over MQTT and an oximeter, on the real mosquitto."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.oracles import flowing, footprint
from tests.faults.senders import MllpSender, MqttSender, Sender, SerialSender, mqtt_client
from tests.faults.system import System

START_S = 40  # topics are made, workers join their groups
WARM_S = 3  # caches and connections that come with the first work
LIMITS = '[[limits]]\nmetric = "MDC_PULS_OXIM_SAT_O2"\nlow = 60\n'
MAPPING = '[[mapping]]\nsender = "ward"\ncode = "hr"\nmetric = "MDC_ECG_HEART_RATE"\nunit = "MDC_DIM_BEAT_PER_MIN"\n'
EDGE = """
mapping = "site.toml"
[[source]]
name = "oximeter"
driver = "nonin_ascii"
settings.device = "faults:nonin:1"
link.type = "serial"
link.port = "{port}"
[[source]]
name = "icu"
driver = "hl7_oru"
time_zone = "UTC"
settings.device = "PV1-3"
link.type = "tcp"
link.listen = "127.0.0.1:{{mllp}}"
[[source]]
name = "ward"
driver = "mqtt_json"
time_zone = "UTC"
link.type = "mqtt"
link.broker = "{mqtt}"
link.topics = ["{topic}/#"]
link.username = "{username}"
link.password_file = "{password}"
"""


@contextmanager
def running(
    folder: Path, kafka: str, database: str, mqtt_rate_hz: float = 40, more_sources: str = "", edge_settings: str = "",
    broker: str = "",
) -> Iterator[tuple[System, list[Sender]]]:  # fmt: skip
    """The system and its ward at work: what each sender sends is being stored. `broker` as for `Wire`."""
    topic = f"ward-{uuid.uuid4().hex[:8]}"
    mqtt, username = os.environ["VITALWIRE_MQTT"], os.environ["VITALWIRE_MQTT_USERNAME"]
    password = os.environ["VITALWIRE_MQTT_PASSWORD_FILE"]
    serial = SerialSender("faults:nonin:1")
    (folder / "site.toml").write_text(MAPPING)

    sources = EDGE.format(port=serial.path, mqtt=mqtt, topic=topic, username=username, password=password)
    sources = edge_settings + sources + more_sources
    host, _, port = mqtt.rpartition(":")
    client = mqtt_client(username, Path(password).read_text())
    with System(folder, kafka, database, sources, LIMITS, broker) as system:
        icu = ("127.0.0.1", system.mllp)
        senders = [
            MllpSender(icu, "icu", "01"),
            MllpSender(icu, "icu", "02", enhanced=True),
            MqttSender(client, (host, int(port)), "ward", f"{topic}/bed3", mqtt_rate_hz),
            serial,
        ]
        for sender in senders:
            sender.start()
        flowing(system, senders, START_S)
        time.sleep(WARM_S)
        system.footprint = footprint(system)
        yield system, senders
