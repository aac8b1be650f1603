"""The real mosquitto's listener for client certificates: the certificate is who one is, and no password is asked."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from queue import SimpleQueue

import pytest

from runtime.tls import client_context
from tests.faults.senders import MqttSender, mqtt_client
from tests.integration.test_wire import SITE, WARD, values
from tests.runtime.conftest import Certified
from tests.wire import Wire, eventually

pytestmark = pytest.mark.integration
LIMIT_S = 20


@pytest.fixture
def address() -> tuple[str, int]:
    """The listener that wants a certificate."""
    host, _, port = os.environ["VITALWIRE_MQTT_MTLS"].rpartition(":")
    return host, int(port)


@pytest.fixture
def files() -> tuple[Path, Path, Path]:
    """CA, client certificate, its key."""
    ca, cert, key = (Path(os.environ[f"VITALWIRE_MQTT_{name}"]) for name in ("CA", "CERT", "KEY"))
    return ca, cert, key


def answer(address: tuple[str, int], context: ssl.SSLContext) -> str:
    """What a client with this context is told first: of its CONNECT, or that it is cut off."""
    answers: SimpleQueue[str] = SimpleQueue()
    client = mqtt_client()
    client.tls_set_context(context)
    client.on_connect = lambda _, __, ___, reason, ____: answers.put(f"CONNACK {reason}")
    client.on_disconnect = lambda _, __, ___, reason, ____: answers.put("cut off")
    client.connect(*address)
    client.loop_start()
    try:
        return answers.get(timeout=LIMIT_S)
    finally:
        client.disconnect()
        client.loop_stop()


def test_a_client_is_served_with_our_certificate_alone(
    address: tuple[str, int], files: tuple[Path, Path, Path], theirs: Certified
) -> None:
    ca = files[0]
    assert answer(address, client_context(*files)) == "CONNACK Success"
    assert answer(address, client_context(ca)) == "cut off"
    assert answer(address, client_context(ca, theirs.cert, theirs.key)) == "cut off"


def test_a_source_reads_over_mutual_tls(
    tmp_path: Path, kafka: str, database: str, address: tuple[str, int], files: tuple[Path, Path, Path]
) -> None:
    (tmp_path / "site.toml").write_text(SITE)
    ca, cert, key = files
    client = mqtt_client()
    client.tls_set_context(client_context(*files))
    device = MqttSender(client, address, "ward", f"wire/{tmp_path.name}", rate_hz=5)
    link = f'link.tls_ca = "{ca}"\nlink.tls_cert = "{cert}"\nlink.tls_key = "{key}"\n'
    sources = f'mapping = "site.toml"\n{WARD}link.broker = "{address[0]}:{address[1]}"\n{link}'
    with Wire(tmp_path, kafka, database, sources) as wire:
        device.start()
        eventually(lambda: bool(values(wire, device)), LIMIT_S, "a row")
        assert {row[1] for row in values(wire, device)} <= set(device.sent.values())
        device.stop()
        eventually(wire.released, LIMIT_S, "receipts")
