"""The hospital's own authority before a real Kafka: it takes boxes that were issued a certificate, and no other."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from edge_agent.publisher import Publisher
from edge_agent.spool import Spool
from evidence.seal import seal
from runtime import keys
from runtime.errors import UserError
from runtime.pki import Pki, request_for
from runtime.tls import librdkafka_tls
from runtime.whole_file import replace_file
from tests.edge_agent.publisher.bench import EDGE, EDGE_KEY, PLATFORM, Hospital, TestBroker, put_batches, until
from vitalwire import broker
from vitalwire.broker import topics_of
from vitalwire.embedded.services import free_port

pytestmark = pytest.mark.integration
SERVICES = Path(__file__).parents[2] / "deploy" / "services" / "services"
PASSPHRASE = "correct horse battery"


@dataclass(frozen=True)
class Trusting:
    """A broker of its own, whose authority for clients and for itself is `pki`."""

    pki: Pki
    address: str

    @property
    def ca(self) -> Path:
        """By which it is believed."""
        return self.pki.folder / "ca.crt"


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trusting]:
    folder = tmp_path_factory.mktemp("trusting")
    passphrase = folder / "passphrase"
    passphrase.touch(0o600)
    passphrase.write_text(PASSPHRASE)
    pki = Pki.create(folder / "pki", "Hospital X", passphrase)
    kafka = folder / "services" / "kafka"
    kafka.mkdir(parents=True)
    (kafka / "ca.crt").write_text(pki.ca_pem)
    serve_as(pki, kafka)
    (kafka / "client.crt").touch()  # `services` makes certificates where this is absent
    ports = {name: free_port() for name in ("KAFKA", "KAFKA_CONTROLLER", "KAFKA_TLS")}
    environment = os.environ | {f"VITALWIRE_{name}_PORT": str(port) for name, port in ports.items()}
    environment |= {"VITALWIRE_SERVICES_DIR": str(folder / "services")}
    subprocess.run([SERVICES, "start", "kafka"], env=environment, check=True, timeout=110)
    try:
        yield Trusting(pki, f"127.0.0.1:{ports['KAFKA_TLS']}")
    finally:
        subprocess.run([SERVICES, "stop", "kafka"], env=environment, check=True, timeout=60)


def serve_as(pki: Pki, kafka: Path) -> None:
    """The broker's own certificate, which `vitalwire pki` does not issue: by the same authority."""
    pem = (pki.folder / "ca.key").read_bytes()
    ca_key = serialization.load_pem_private_key(pem, PASSPHRASE.encode())
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    ca, key = x509.load_pem_x509_certificate(pki.ca_pem.encode()), ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder(
            ca.subject, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")]), key.public_key(),
            x509.random_serial_number(),
        )
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(ca_key, SHA256())
    )  # fmt: skip
    (kafka / "server.crt").write_bytes(cert.public_bytes(Encoding.PEM))
    replace_file(kafka / "server.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)


@pytest.fixture
def tls_key(tmp_path: Path) -> Path:
    keys.generate(tmp_path / "kafka.key")
    return tmp_path / "kafka.key"


def test_who_was_issued_a_certificate_connects_and_no_other(
    trusting: Trusting, tls_key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "LOOK_LIMIT_S", 5.0)
    ours, theirs = tmp_path / "kafka.crt", tmp_path / "theirs.crt"
    ours.write_text(trusting.pki.issue(request_for(tls_key), "edge-1").pem)
    assert topics_of(trusting.address, trusting.ca, ours, tls_key) is not None
    other = Pki.create(tmp_path / "other", "Hospital X", trusting.pki.folder.parent / "passphrase")  # of one name
    theirs.write_text(other.issue(request_for(tls_key), "edge-1").pem)
    for cert, key in ((None, None), (theirs, tls_key)):
        with pytest.raises(UserError, match="is not reached"):
            topics_of(trusting.address, trusting.ca, cert, key)


def test_a_renewed_certificate_takes_over_without_a_gap(trusting: Trusting, tls_key: Path, tmp_path: Path) -> None:
    """The publisher sends by the old one, then by the new one; every batch has its receipt."""
    cert = tmp_path / "kafka.crt"
    cert.write_text(trusting.pki.issue(request_for(tls_key), "edge-1").pem)
    security = librdkafka_tls(trusting.ca, cert, tls_key)
    topics = TestBroker(tmp_path / "unused.log")
    topics.advertised = trusting.address
    topics.create_topics(security)
    events: list[str] = []
    with ExitStack() as at_end:
        hospital = Hospital(trusting.address, security=security)
        at_end.callback(hospital.stop)
        spool = Spool(
            tmp_path / "spool", bytes_max=1 << 26, receipt_hold_s=1000, cut_after_s=0.05,
            on_event=lambda code, text: events.append(code),
        )  # fmt: skip
        at_end.callback(spool.close)
        publisher = Publisher(
            spool, partial(seal, edge=EDGE, config_hash=bytes(32), key_id=EDGE_KEY.key_id, sign=EDGE_KEY.sign),
            PLATFORM.public_der, edge=EDGE, kafka=trusting.address, ca=trusting.ca, cert=cert, key=tls_key,
            on_event=lambda code, text: events.append(code),
        )  # fmt: skip
        publisher.start()
        at_end.callback(publisher.stop)
        put_batches(spool, 2)
        until(lambda: publisher.counts["released"] == 2, "receipts by the old certificate")
        replace_file(cert, trusting.pki.issue(request_for(tls_key), "edge-1").pem.encode())
        publisher.reconnect()
        put_batches(spool, 3)
        until(lambda: publisher.counts["released"] == 5, "receipts by the new certificate")
        until(lambda: publisher.counts["rebuilt"] == 1, "clients are new")
        assert set(hospital.numbers()) == {1, 2, 3, 4, 5}
        assert events == ["broker-reached"]
