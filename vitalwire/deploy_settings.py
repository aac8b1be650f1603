"""The configuration of our own processes in `deploy/compose.yaml`, as `vitalwire deploy secrets` first writes it.

Each lies in /run/secrets of its container, beside the secrets that it names. The ports are those of compose.yaml:
tests/deploy/test_compose.py holds them together.
"""

from __future__ import annotations

from uuid import UUID

from runtime.config import to_toml

GATEWAY_PORT = 8443
KAFKA = "127.0.0.1:19094"
DATABASE = "host=127.0.0.1 port=15432 dbname=vitalwire sslmode=verify-full sslrootcert=/run/secrets/ca.crt"
_HEAD = "# Made once by `vitalwire deploy secrets`, never written again. Every key: `vitalwire config sample {}`.\n"


def processors_settings() -> str:
    """processors.toml"""
    return f"""{_HEAD.format("processors")}kafka = "{KAFKA}"
kafka_ca = "ca.crt"
kafka_cert = "processors.crt"
kafka_key = "processors.key"
database = "{DATABASE} user=vitalwire_processors"
database_password_file = "processors.password"
key_file = "platform.key"
# Stands in every checkpoint of the log: choose it before the first start.
site = "site"
"""


def gateway_settings(host: str) -> str:
    """gateway.toml; `host` is the name that browsers use."""
    return f"""{_HEAD.format("gateway")}database = "{DATABASE} user=vitalwire_page passfile=/run/secrets/page.pgpass"
listen = "0.0.0.0:{GATEWAY_PORT}"
# Security keys are enrolled for this name, for ever: choose it before the first of them.
public_origin = {to_toml(f"https://{host}:{GATEWAY_PORT}")}
# Of the authority in ca.crt, which browsers do not know: put the hospital's own in the place of both files.
tls_cert = "gateway.crt"
tls_key = "gateway.key"
metrics_port = 9469
look_journal = "/var/lib/vitalwire/looks.journal"

[machines]
token_key = "/var/lib/vitalwire/token.key"

# Issues to boxes their certificates for Kafka.
[pki]
folder = "/var/lib/vitalwire/pki"
passphrase_file = "pki.passphrase"
"""


def edge_settings(edge: UUID) -> str:
    """edge.toml, of the one edge that runs beside the broker."""
    return f"""{_HEAD.format("edge")}edge = "{edge}"
key_file = "edge.key"
platform_key_file = "platform.pub"
kafka = "{KAFKA}"
kafka_ca = "ca.crt"
kafka_cert = "edge-kafka.crt"
kafka_key = "edge-kafka.key"
spool = "/var/lib/vitalwire/spool"

# Whatever devices publish below ward/ as docs/driver.md has it; others: `vitalwire edge drivers`.
[[source]]
name = "ward MQTT"
driver = "mqtt_json"
link.type = "mqtt"
link.broker = "127.0.0.1:8883"
link.tls_ca = "ca.crt"
link.username = "edge"
link.password_file = "mqtt_edge"
"""
