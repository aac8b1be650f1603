"""Under which address browsers find the pages: https with a DNS name, or plain HTTP on this machine alone."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from runtime.errors import UserError

LOOPBACK = ("127.0.0.1", "::1")
_LOOPBACK_NAMES = ("127.0.0.1", "localhost")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class PublicOrigin:
    """`origin` as browsers send it ("https://icu.hospital.example"); "": HTTP on loopback, at any port and name."""

    origin: str = ""

    @property
    def is_https(self) -> bool:
        """Whether browsers come over TLS."""
        return self.origin != ""

    @property
    def host(self) -> str:
        """The DNS name: the RP ID of security keys, for ever."""
        return urlsplit(self.origin).hostname or "localhost"

    @property
    def allowed_hosts(self) -> list[str]:
        """Who else gives a name to this address gets nothing (DNS rebinding)."""
        return [self.host] if self.is_https else list(_LOOPBACK_NAMES)

    def url(self, path: str, connection: HTTPConnection) -> str:
        """The address of a path of ours as the browser that asks knows it."""
        return f"{self.origin or _loopback_origin(connection)}{path}"

    def is_origin_of(self, connection: HTTPConnection) -> bool:
        """Whether a page of ours sent this. Who sends no Origin is no browser, or an old one, and is refused."""
        origin = connection.headers.get("origin", "")
        if self.is_https:
            return origin == self.origin
        is_here = connection.client is not None and connection.client.host in LOOPBACK
        return is_here and origin == _loopback_origin(connection)


def _loopback_origin(connection: HTTPConnection) -> str:
    return f"http://{connection.headers.get('host', '')}"


def public_origin_of(connection: HTTPConnection) -> PublicOrigin:
    """Of the pages that were asked (gateway/people/sign_in_required.py puts it there)."""
    found: PublicOrigin = connection.state.public_origin
    return found


def parse_public_origin(text: str) -> PublicOrigin:
    """Raises UserError, with the reason, for what browsers and security keys cannot keep to."""
    parts = urlsplit(text.rstrip("/"))
    host = parts.hostname or ""
    if parts.scheme != "https" or not host:
        raise UserError(f"public_origin = {text!r}: write https:// and the DNS name that browsers use")
    if parts.path or parts.query or parts.fragment or parts.username is not None:
        raise UserError(f"public_origin = {text!r}: nothing may follow the name but a port")
    if _is_address(host):
        raise UserError(
            f"public_origin = {text!r} is an IP address: security keys are enrolled for a DNS name, and for that name"
            " alone as long as they are used; give this host a name in the hospital's DNS"
        )
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise UserError(f"public_origin = {text!r}: {host!r} is no DNS name")
    try:
        port = parts.port
    except ValueError:
        raise UserError(f"public_origin = {text!r}: its port is none") from None
    return PublicOrigin(f"https://{host}" + (f":{port}" if port not in (None, 443) else ""))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host.replace(".", "").isdigit()
    return True
