"""The certificates inside one hospital deployment: an authority of its own, servers, and our own clients of Kafka.

Boxes are not given theirs here, but by `runtime/pki.py`, whose authority issues to requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from runtime.certificates import authority_certificate, unsigned_certificate
from runtime.config import read_secret
from runtime.errors import UserError

LASTS = timedelta(days=825)  # what browsers and their kin take at most of an authority of one's own
# By which every process on the machine itself reaches the others.
HERE = ("127.0.0.1", "localhost")
BROKER = "kafka"


@dataclass(frozen=True)
class Authority:
    """Signs what is below; its key lies in the folder, readable by root alone."""

    key: ec.EllipticCurvePrivateKey
    cert: x509.Certificate


def new_key() -> bytes:
    """A P-256 key in PEM (PKCS#8), without a password: its file is readable by one user."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Raises UserError for what is no such key."""
    try:
        key = serialization.load_pem_private_key(read_secret(path).encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UserError(f"{path} is no P-256 key in PEM: delete it with its .crt, and run this again")
    return key


def read_cert(path: Path) -> x509.Certificate:
    """Raises UserError for what is no certificate."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        raise UserError(f"{path} is no certificate in PEM: delete it, and run this again") from None


def authority_cert(key: ec.EllipticCurvePrivateKey, now: datetime) -> bytes:
    """Of the authority itself."""
    return authority_certificate(key, "vitalwire deployment", now).public_bytes(Encoding.PEM)


def server_cert(
    authority: Authority, key: ec.EllipticCurvePrivateKey, name: str, hosts: Sequence[str], now: datetime
) -> bytes:
    """For a server that is reached by these names and addresses, and from its own machine.

    A broker is a client of its peers, of which it is one: Kafka does not start with a certificate for servers alone.
    """
    names = [_general_name(host) for host in dict.fromkeys((*hosts, *HERE))]
    builder = _unsigned(authority, key, name, now).add_extension(x509.SubjectAlternativeName(names), critical=False)
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH]
    if name == BROKER:
        purposes.append(ExtendedKeyUsageOID.CLIENT_AUTH)
    purpose = x509.ExtendedKeyUsage(purposes)
    return builder.add_extension(purpose, critical=False).sign(authority.key, SHA256()).public_bytes(Encoding.PEM)


def client_cert(authority: Authority, key: ec.EllipticCurvePrivateKey, name: str, now: datetime) -> bytes:
    """For a client whom the broker knows by this name."""
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    builder = _unsigned(authority, key, name, now).add_extension(purpose, critical=False)
    return builder.sign(authority.key, SHA256()).public_bytes(Encoding.PEM)


def missing_hosts(cert: x509.Certificate, hosts: Sequence[str]) -> list[str]:
    """Those that a server's certificate is not for."""
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [host for host in hosts if _general_name(host) not in names]


def check_host(host: str) -> None:
    """Raise UserError for what can be neither a DNS name nor an address."""
    if not host or not all(letter.isascii() and (letter.isalnum() or letter in ".-:") for letter in host):
        raise UserError(f"{host!r} is no DNS name and no address: --hosts icu.hospital.example,10.1.2.3")


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _unsigned(
    authority: Authority, key: ec.EllipticCurvePrivateKey, name: str, now: datetime
) -> x509.CertificateBuilder:
    unsigned = unsigned_certificate(authority.cert, key.public_key(), name, now, LASTS)
    if unsigned is None:
        raise UserError("the authority in ca.crt has ended: make a new folder, and let boxes be given its ca.crt")
    return unsigned


def utc_now() -> datetime:
    """Of the clock of this machine."""
    return datetime.now(UTC)
