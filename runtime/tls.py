"""TLS contexts, and the rule that nothing beyond loopback goes without one unless it is asked for by name."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Sequence
from pathlib import Path

from runtime.config import read_secret
from runtime.errors import UserError


def server_context(cert: Path, key: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    """TLS 1.2 or newer with our certificate; with `client_ca`, only clients that have one of its certificates."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, client_ca, cert, key)
    context.verify_mode = ssl.CERT_REQUIRED if client_ca else ssl.CERT_NONE
    return context


def client_context(ca: Path | None, cert: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """TLS 1.2 or newer towards a server whose certificate this CA signed (the system's CAs where none is named)."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, ca, cert, key)
    if ca is None:
        context.load_default_certs()
    return context


def _context(protocol: int, ca: Path | None, cert: Path | None, key: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if (cert is None) != (key is None):
        raise UserError(f"{cert or key} stands alone: tls_cert and tls_key need each other")
    what = f"CA file {ca}"
    try:
        if ca:
            context.load_verify_locations(ca)
        what = f"certificate {cert} with key {key}"
        if cert and key:
            read_secret(key)  # refuses one that others can read
            context.load_cert_chain(cert, key, password="")  # an encrypted key is an error, not a question at start
    except OSError as error:
        raise UserError(f"{what} cannot be used: {error}") from None
    return context


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_listener(host: str, *, tls: bool, insecure: bool) -> None:
    """Raise UserError for a listener beyond loopback without TLS, unless it is asked for by name."""
    if not (is_loopback(host) or tls or insecure):
        raise UserError(
            f"a listener on {host or 'all addresses'} needs tls_cert and tls_key (or, knowingly, insecure = true)"
        )


def check_client(host: str, *, tls: bool, insecure: bool, mend: str = "set tls_ca") -> None:
    """Raise UserError for plaintext to a host beyond loopback, unless it is asked for by name; `mend` gives it TLS."""
    if not (is_loopback(host) or tls or insecure):
        raise UserError(f"plaintext to {host} can be read on the way: {mend} (or, knowingly, insecure = true)")


# --- clients of Kafka and of the database -----------------------------------------------------------------------------

# What libpq verifies the server's certificate under (PostgreSQL's manual, libpq, "SSL Support", table of SSL modes).
# `require` encrypts for whoever answers: somebody in the middle reads as much as without it.
VERIFYING_SSL_MODES = ("verify-full", "verify-ca")


def kafka_problem(servers: str, *, tls: bool, insecure: bool) -> str | None:
    """Why these bootstrap servers ("host:port,host:port") must not be spoken to, with the remedy; None: they may be.

    Loopback is what is so by its very name: what a hostname resolves to may change after the look at it.
    """
    beyond = next((host for host in map(_kafka_host, servers.split(",")) if not is_loopback(host)), None)
    if tls or insecure or beyond is None:
        return None
    return (
        f"plaintext to the broker at {beyond or '(no host)'} can be read and changed on the way: {_remedy('kafka_ca')}"
    )


def database_problem(hosts: Sequence[str], ssl_mode: str, *, insecure: bool) -> str | None:
    """Why a database must not be spoken to, with the remedy; None: it may be.

    `hosts` as libpq takes them: none, an empty one, a path and a name that begins with @ are Unix sockets.
    """
    beyond = next((host for host in hosts if not (host[:1] in ("", "/", "@") or is_loopback(host))), None)
    if ssl_mode in VERIFYING_SSL_MODES or insecure or beyond is None:
        return None
    what = "does not check who answers" if ssl_mode == "require" else "allows plaintext"
    return (
        f"sslmode={ssl_mode} to the database at {beyond} {what}: what is sent can be read and changed on the way: "
        f"{_remedy('sslmode=verify-full and sslrootcert=<CA file>')}"
    )


def librdkafka_tls(ca: Path | None, cert: Path | None = None, key: Path | None = None) -> dict[str, str]:
    """Settings of a librdkafka client that speaks TLS, where `ca` is given, with our client certificate, if any.

    Raises UserError for files that cannot be used: librdkafka itself says less, and takes a key that others can read.
    """
    if (cert is None) != (key is None):
        raise UserError(f"{cert or key} stands alone: a client certificate and its key need each other")
    if ca is None:
        if cert:
            raise UserError(f"{cert} is of no use without the CA file of the broker: name it too")
        return {}
    client_context(ca, cert, key)
    files = {"ssl.ca.location": ca, "ssl.certificate.location": cert, "ssl.key.location": key}
    return {"security.protocol": "ssl"} | {name: str(file) for name, file in files.items() if file}


def _kafka_host(server: str) -> str:
    """The host of "host:port", "[host]:port" or a bare host; the whole where it is none of them, which is no host."""
    server = server.strip()
    host, colon, port = server.rpartition(":")
    return host.removeprefix("[").removesuffix("]") if colon and port.isdigit() and not is_loopback(server) else server


def _remedy(tls: str) -> str:
    return f"give {tls}, or, knowingly, set insecure = true"
