"""The thin thread, on the embedded parts and on the real ones: from a socket to a row, and back to a released batch."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from emr_store import proof
from emr_store.connect import open_store
from evidence.seal import batch_id, open_sealed
from runtime.tls import client_context
from tests.faults.senders import HEART_RATE, MllpSender, MqttSender, Sender, mqtt_client
from tests.runtime.conftest import certify
from tests.wire import Wire, eventually
from vitalwire.embedded import Addresses

LIMIT_S = 20
ICU = """
[[source]]
name = "icu"
driver = "hl7_oru"
time_zone = "UTC"
settings.device = "PV1-3"
link.type = "tcp"
link.listen = "127.0.0.1:{mllp}"
"""
SECURE = ICU.replace("icu", "secure") + (
    'link.tls_cert = "ours.crt"\nlink.tls_key = "ours.key"\nlink.tls_ca = "monitor.crt"\n'
)
WARD = """
[[source]]
name = "ward"
driver = "mqtt_json"
time_zone = "UTC"
link.type = "mqtt"
link.topics = ["wire/#"]
"""
SITE = '[[mapping]]\ncode = "hr"\nmetric = "MDC_ECG_HEART_RATE"\nunit = "MDC_DIM_BEAT_PER_MIN"\n'
on_both_parts = pytest.mark.parametrize("parts", ["embedded", pytest.param("real", marks=pytest.mark.integration)])


def values(wire: Wire, sender: Sender) -> list[tuple[object, ...]]:
    """What the record shows of a sender's device."""
    return wire.rows("SELECT metric, value, unit, validation_result FROM observation WHERE device = %s", sender.device)


@on_both_parts
def test_one_message_goes_all_the_way_and_its_batch_is_released(
    parts: str, tmp_path: Path, kafka: str, database: str
) -> None:
    with Wire(tmp_path, kafka, database, ICU) as wire:
        sender = MllpSender(("127.0.0.1", wire.mllp), "icu", "07", enhanced=True)
        sender.send(HEART_RATE, 71.5)  # returns with its acknowledgement
        eventually(lambda: bool(values(wire, sender)), LIMIT_S, "a row")
        assert values(wire, sender) == [("MDC_ECG_HEART_RATE", 71.5, "/min", 0)]
        eventually(wire.released, LIMIT_S, "a receipt")
        wire.stop("edge")
        sql = (
            "SELECT o.sealed, b.batch_id, b.edge FROM batch b JOIN batch_body o USING (lane, batch)"
            " ORDER BY b.lane, b.batch_no"
        )
        kept: list[tuple[Any, ...]] = wire.rows(sql)
        assert all(UUID(bytes=open_sealed(sealed)[0].edge) == wire.edge_id == edge for sealed, _, edge in kept)
        with closing(sqlite3.connect(tmp_path / "spool" / "spool.db")) as spool:
            sql = "SELECT batch_id FROM batch WHERE NOT unreceipted ORDER BY lane, batch_no"
            released = spool.execute(sql).fetchall()
        assert released == [(ident,) for _, ident, _ in kept][: len(released)]
        assert all(batch_id(sealed) == ident for sealed, ident, _ in kept)
        assert released
        assert wire.rows("SELECT sum(quarantined_reports), sum(duplicates) FROM ledger") == [(0, 0)]
        with open_store(database) as conn:
            assert proof.verify(conn, datetime(2000, 1, 1, tzinfo=UTC)).findings == []


@pytest.fixture
def mqtt(request: pytest.FixtureRequest, parts: str, tmp_path: Path) -> Iterator[tuple[str, MqttSender]]:
    """TOML of the broker's address, and a device on it: over TLS and with a password where the broker is mosquitto."""
    if parts == "embedded":
        addresses: Addresses = request.getfixturevalue("embedded")
        address, settings, client = addresses.mqtt5, "", mqtt_client()
    else:
        host, _, port = os.environ["VITALWIRE_MQTT_TLS"].rpartition(":")
        username, password = os.environ["VITALWIRE_MQTT_USERNAME"], os.environ["VITALWIRE_MQTT_PASSWORD_FILE"]
        address, ca = (host, int(port)), os.environ["VITALWIRE_MQTT_CA"]
        settings = f'link.tls_ca = "{ca}"\nlink.username = "{username}"\nlink.password_file = "{password}"\n'
        client = mqtt_client(username, Path(password).read_text())
        client.tls_set(ca)
    sender = MqttSender(client, address, "ward", f"wire/{tmp_path.name}", rate_hz=5)
    yield f'{WARD}link.broker = "{address[0]}:{address[1]}"\n{settings}', sender
    sender.stop()


@on_both_parts
def test_tls_both_ways(parts: str, tmp_path: Path, kafka: str, database: str, mqtt: tuple[str, MqttSender]) -> None:
    ours, monitor = certify(tmp_path, "ours"), certify(tmp_path, "monitor")
    (tmp_path / "site.toml").write_text(SITE)
    settings, device = mqtt
    with Wire(tmp_path, kafka, database, f'mapping = "site.toml"\n{SECURE}{settings}') as wire:
        address = ("127.0.0.1", wire.mllp)
        nobody = MllpSender(address, "secure", "01", tls=client_context(ours.cert))
        assert not nobody.exchange(b"\x0bMSH|^~\\&|\x1c\r", b"MSA")
        sender = MllpSender(address, "secure", "07", tls=client_context(ours.cert, monitor.cert, monitor.key))
        sender.send(HEART_RATE, 71.5)
        device.start()  # what nobody has subscribed to yet is nobody's
        eventually(lambda: bool(values(wire, sender) and values(wire, device)), LIMIT_S, "a row of each")
        assert values(wire, sender) == [("MDC_ECG_HEART_RATE", 71.5, "/min", 0)]
        assert {row[1] for row in values(wire, device)} <= set(device.sent.values())
        assert values(wire, nobody) == []
        device.stop()
        eventually(wire.released, LIMIT_S, "receipts")
