"""TLS contexts, and the rule that a listener beyond loopback needs one."""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path

from runtime.errors import UserError


def server_context(cert: Path, key: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    """TLS 1.2 or newer with our certificate; with `client_ca`, only clients that have one of its certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, cert, key)
    if client_ca is not None:
        _trust(context, client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(ca: Path | None, cert: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """TLS 1.2 or newer towards a server whose certificate this CA signed (the system's CAs where none is named)."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        _trust(context, ca)
    if cert is not None and key is not None:
        _load(context, cert, key)
    return context


def _load(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise UserError(f"certificate {cert} with key {key} cannot be used: {error}") from None


def _trust(context: ssl.SSLContext, ca: Path) -> None:
    try:
        context.load_verify_locations(ca)
    except (OSError, ssl.SSLError) as error:
        raise UserError(f"CA file {ca} cannot be used: {error}") from None


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
