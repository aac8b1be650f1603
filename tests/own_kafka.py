"""A Kafka of a test's own, by deploy/services: its folder, its ports, its authority; the one that all share runs on."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from runtime.certificates import unsigned_certificate
from runtime.pki import Pki
from runtime.whole_file import replace_file
from vitalwire.embedded.services import free_port

SERVICES = Path(__file__).parents[1] / "deploy" / "services" / "services"
START_S = 110
HOUR = timedelta(hours=1)
PASSPHRASE = "correct horse battery"


class OwnKafka:
    """`folder`, which is empty or has what `deploy/services` looks for in `kafka`; ends with the block."""

    def __init__(self, folder: Path) -> None:
        self.kafka = folder / "kafka"
        ports = {name: free_port() for name in ("KAFKA", "KAFKA_CONTROLLER", "KAFKA_TLS")}
        self.address, self.tls_address = (f"127.0.0.1:{ports[name]}" for name in ("KAFKA", "KAFKA_TLS"))
        self._environment = os.environ | {f"VITALWIRE_{name}_PORT": str(port) for name, port in ports.items()}
        self._environment |= {"VITALWIRE_SERVICES_DIR": str(folder)}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when it answers; harmless when it does."""
        self._do("start")

    def stop(self) -> None:
        """In good order; one that has ended by itself is left alone."""
        self._do("stop")

    def answers(self) -> bool:
        """Now."""
        return subprocess.run([SERVICES, "status", "kafka"], env=self._environment, capture_output=True).returncode == 0

    def _do(self, verb: str) -> None:
        subprocess.run([SERVICES, verb, "kafka"], env=self._environment, check=True, timeout=START_S)


class TrustingKafka(OwnKafka):
    """Over TLS it takes clients that `pki` gave a certificate; its own is of the same authority."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "services")
        passphrase = folder / "passphrase"
        passphrase.touch(0o600)
        passphrase.write_text(PASSPHRASE)
        self.pki = Pki.create(folder / "pki", "Hospital X", passphrase)
        self.kafka.mkdir(parents=True)
        (self.kafka / "ca.crt").write_text(self.pki.ca_pem)
        self.serve_for(HOUR)
        (self.kafka / "client.crt").touch()  # `services` makes certificates where this is absent

    @property
    def ca(self) -> Path:
        """By which it is believed."""
        return self.pki.folder / "ca.crt"

    def serve_for(self, lasts: timedelta) -> None:
        """With a certificate that ends then, which `vitalwire pki` does not issue, from its next start on."""
        pem = (self.pki.folder / "ca.key").read_bytes()
        ca_key = serialization.load_pem_private_key(pem, PASSPHRASE.encode())
        assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
        ca, key = x509.load_pem_x509_certificate(self.pki.ca_pem.encode()), ec.generate_private_key(ec.SECP256R1())
        unsigned = unsigned_certificate(ca, key.public_key(), "127.0.0.1", datetime.now(UTC), lasts)
        assert unsigned is not None
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        cert = unsigned.add_extension(names, critical=False).sign(ca_key, SHA256())
        (self.kafka / "server.crt").write_bytes(cert.public_bytes(Encoding.PEM))
        replace_file(
            self.kafka / "server.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600
        )
