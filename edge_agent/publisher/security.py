"""How the broker is spoken to: over TLS with a client certificate, or in plaintext on this machine alone."""

from __future__ import annotations

from pathlib import Path

from edge_agent.config import EdgeConfig
from runtime.config import read_secret
from runtime.tls import is_loopback

ClientSettings = dict[str, str | int | float | bool]


def kafka_problem(config: EdgeConfig) -> str:
    """What is wrong with the configuration's words about the broker, and the remedy; "" where nothing is."""
    return problem(config.kafka, config.kafka_ca, config.kafka_cert, config.kafka_key, insecure=config.insecure)


def problem(kafka: str, ca: Path | None, cert: Path | None, key: Path | None, *, insecure: bool) -> str:
    """As `kafka_problem`, of the values themselves."""
    servers = [server.strip() for server in kafka.split(",")]
    for server in servers:
        host, colon, port = server.rpartition(":")
        if not (host and colon and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            return f"kafka: {server!r} is no address: write host:port, with a comma between several"
    if (cert is None) != (key is None):
        missing = "kafka_cert" if cert is None else "kafka_key"
        return f"kafka: {cert or key} stands alone: set {missing} too"
    if cert is not None and ca is None:
        return f"kafka: {cert} is used over TLS alone: set kafka_ca, the CA of the broker's certificate"
    if ca is None and not insecure:
        for server in servers:
            if not is_loopback(server.rpartition(":")[0].removeprefix("[").removesuffix("]")):
                return (
                    f"kafka: plaintext to {server} leaves this machine:"
                    " set kafka_ca (and kafka_cert and kafka_key) or, knowingly, insecure = true"
                )
    return ""


def client_settings(kafka: str, ca: Path | None, cert: Path | None, key: Path | None) -> ClientSettings:
    """What each client is told; raises UserError for a key that others can read."""
    settings: ClientSettings = {
        "bootstrap.servers": kafka,
        "log_level": 2,
        "reconnect.backoff.max.ms": 2000,
        "socket.keepalive.enable": True,
    }
    if ca is not None:
        settings |= {"security.protocol": "ssl", "ssl.ca.location": str(ca)}
    if cert is not None and key is not None:
        read_secret(key)
        settings |= {"ssl.certificate.location": str(cert), "ssl.key.location": str(key)}
    return settings
