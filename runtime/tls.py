"""TLS contexts, and the rule that nothing beyond loopback goes without one unless it is asked for by name."""

from __future__ import annotations

import ipaddress
import ssl
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
