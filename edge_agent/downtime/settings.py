"""What `[downtime]` says of the page: where it listens, with which certificate, behind which code."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from edge_agent.config import DowntimeConfig
from edge_agent.downtime.codes import CODE_CHARS_MIN
from edge_agent.links.address import split_address
from runtime.certificates import own_certificate
from runtime.config import read_secret
from runtime.errors import UserError
from runtime.tls import is_loopback, server_context

CODE_DIGITS = 10
PREPARE = "`vitalwire edge downtime --prepare` makes what is missing"


@dataclass(frozen=True)
class Opened:
    """What the page is served with; `code` is "" on loopback without a code."""

    host: str
    port: int
    code: str
    fingerprint: str  # of the certificate; "" without


def opened(config: DowntimeConfig) -> Opened:
    """Checked. Raises UserError with the remedy."""
    if not config.enabled:
        raise UserError("[downtime] enabled is false: the agent keeps nothing that could be shown; set it to true")
    try:
        host, port = split_address(config.listen)
    except ValueError:
        raise UserError(f"[downtime] listen: {config.listen!r} is no address: write host:port") from None
    has_tls = config.certificate is not None and config.certificate_key is not None
    if not is_loopback(host) and not (has_tls and config.code_file is not None):
        raise UserError(
            f"[downtime] listen = {config.listen!r} is beyond loopback: set certificate, certificate_key and"
            f" code_file; {PREPARE}"
        )
    for path in (config.certificate, config.certificate_key, config.code_file):
        if path is not None and not os.path.exists(path):
            raise UserError(f"{path} does not exist: {PREPARE}")
    code = "" if config.code_file is None else read_secret(config.code_file)
    if config.code_file is not None and len(code) < CODE_CHARS_MIN:
        raise UserError(f"{config.code_file}: a code has {CODE_CHARS_MIN} letters or more: remove it; {PREPARE}")
    if config.certificate is None or config.certificate_key is None:
        if config.certificate is not config.certificate_key:
            raise UserError("[downtime] certificate and certificate_key need each other: set both, or neither")
        return Opened(host, port, code, "")
    server_context(config.certificate, config.certificate_key)
    return Opened(host, port, code, fingerprint_of(config.certificate))


def fingerprint_of(path: Path) -> str:
    """As browsers show it: SHA-256 of the certificate, in pairs of digits. Raises UserError."""
    digest = read_certificate(path).fingerprint(SHA256())
    return digest.hex(":").upper()


def read_certificate(path: Path) -> x509.Certificate:
    """Raises UserError."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise UserError(f"{path} is no certificate: remove it; {PREPARE}") from None


def prepare(config: DowntimeConfig, now: datetime) -> Iterator[str]:
    """Make what is configured and not there: a certificate with its key, and a code; what was made, in words.

    Raises UserError.
    """
    certificate, key_file, code_file = config.certificate, config.certificate_key, config.code_file
    if certificate is None and key_file is None and code_file is None:
        raise UserError("nothing to make: [downtime] names no certificate, certificate_key and code_file")
    if certificate is not None and key_file is not None:
        if not certificate.exists() and not key_file.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            made = own_certificate(key, socket.gethostname()[:64], _names(config.listen), now)
            _write(key_file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
            _write(certificate, made.public_bytes(Encoding.PEM), 0o644)
            yield f"{certificate} and {key_file} are made"
        elif not (certificate.exists() and key_file.exists()):
            raise UserError(
                f"of {certificate} and {key_file} one is there alone: remove it, or put the other one there"
            )
    if code_file is not None and not code_file.exists():
        _write(code_file, f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}\n".encode(), 0o600)
        yield f"{code_file} is made: give the code in it to who may look, by a sealed envelope at the box"


def _names(listen: str) -> list[x509.GeneralName]:
    """Under which browsers may ask."""
    names: list[x509.GeneralName] = [x509.DNSName(socket.gethostname()), x509.DNSName("localhost")]
    host = split_address(listen)[0]
    try:
        address = ip_address(host)
    except ValueError:
        return [*names, x509.DNSName(host)]
    return names if address.is_unspecified else [*names, x509.IPAddress(address)]


def _write(path: Path, content: bytes, mode: int) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}; run this as the agent's user") from None
