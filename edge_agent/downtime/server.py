"""Serves the downtime view: one page and two answers for its script, over HTTP/1.1 out of the standard library.

Read-only. On loopback it needs no code; a name in `Host` that is not loopback's is refused there, so that no page of
another site reads it through a browser on the box (DNS rebinding). Beyond loopback it is TLS with a code.
"""

from __future__ import annotations

import base64
import re
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler
from importlib.resources import files
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from socket import AF_INET, AF_INET6, SHUT_RDWR, socket
from socketserver import TCPServer, ThreadingMixIn
from threading import BoundedSemaphore
from typing import Any

import msgspec

from edge_agent.bugs import log_bug
from edge_agent.downtime import view
from edge_agent.downtime.codes import Attempt, CodeGate
from edge_agent.downtime.ring_file import HistoryReader
from runtime.tls import is_loopback
from schemas.errors import VitalwireError

CONNECTIONS_MAX = 32
SILENT_S = 10.0  # a client that says nothing for so long is left
BODY_BYTES_MAX = 1024
_COOKIE = {True: "__Host-vitalwire-downtime", False: "vitalwire-downtime"}
_ALWAYS = {  # as the hospital's pages (gateway/security_headers.py)
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
_NOTHING_ELSE = "default-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_HOST = re.compile(r"(?:\[([^\[\]]+)\]|([^:\[\]]+))(?::\d{1,5})?")
_INLINE = re.compile(r"<(script|style)(?: [^>]*)?>(.*?)</\1>", re.DOTALL)


@dataclass(frozen=True)
class Downtime:
    """What is served: `history` is the agent's file; without `gate` nobody is asked for a code."""

    history: Path
    gate: CodeGate | None
    now_us: Callable[[], int]


def page() -> tuple[bytes, str]:
    """The page, and the policy that allows its own script and style alone (CSP 3)."""
    content = files("edge_agent.downtime").joinpath("page.html").read_text("utf-8")
    hashes: dict[str, str] = {}
    for kind, inline in _INLINE.findall(content):
        digest = base64.b64encode(sha256(inline.encode()).digest()).decode()
        hashes[kind] = f"'sha256-{digest}'"
    policy = f"{_NOTHING_ELSE}; script-src {hashes['script']}; style-src {hashes['style']}; connect-src 'self'"
    return content.encode(), policy


class DowntimeServer(ThreadingMixIn, TCPServer):
    """A thread a connection, of which there are at most CONNECTIONS_MAX. Raises OSError for an address in use."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], downtime: Downtime, tls: ssl.SSLContext | None) -> None:
        self.address_family = AF_INET6 if ":" in address[0] else AF_INET
        self.downtime, self.tls = downtime, tls
        self.is_local = tls is None
        self.page, self.policy = page()
        self._places = BoundedSemaphore(CONNECTIONS_MAX)
        super().__init__(address, _Handler)

    @property
    def port(self) -> int:
        """The one that it got."""
        return int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread, if there is a place for one more; else the connection is ended."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The handshake too: one that never ends costs its own thread alone."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Read and answer."""
        request.settimeout(SILENT_S)
        if self.tls is not None:
            request = self.tls.wrap_socket(request, server_side=True)
        try:
            super().finish_request(request, client_address)
        finally:
            if isinstance(request, ssl.SSLSocket):
                _end(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who went away, or speaks no TLS, is no news."""
        error = sys.exc_info()[1]
        if isinstance(error, Exception) and not isinstance(error, OSError):
            log_bug("the downtime view failed", error, "")


def _end(tls: ssl.SSLSocket) -> None:
    try:
        tls.shutdown(SHUT_RDWR)
    except OSError:
        pass
    finally:
        tls.close()


class _Handler(BaseHTTPRequestHandler):
    server: DowntimeServer
    protocol_version = "HTTP/1.1"
    timeout = SILENT_S
    connection: socket

    def version_string(self) -> str:
        """No word of what runs here."""
        return "vitalwire"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what was looked at is not written down on the box."""

    def do_GET(self) -> None:
        """The page, or an answer to its script; every other path is refused as it stands, none names a file."""
        if not self._is_for_us():
            self._answer_json(HTTPStatus.MISDIRECTED_REQUEST, {"refused": "host"})
        elif self.path == "/":
            self._answer(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page, policy=self.server.policy)
        elif self.path in ("/values", "/bands"):
            self._answer_values(view.view if self.path == "/values" else view.bands)
        else:
            self._answer_json(HTTPStatus.NOT_FOUND, {"refused": "path"})

    def do_POST(self) -> None:
        """The code."""
        gate = self.server.downtime.gate
        length = self.headers.get("Content-Length", "")
        body = b""
        if length.isascii() and length.isdigit() and int(length) <= BODY_BYTES_MAX:
            body = self.rfile.read(int(length))
        self.close_connection = True  # what else may be of the body is not read
        if not self._is_for_us() or self.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            self._answer_json(HTTPStatus.FORBIDDEN, {"refused": "origin"})
        elif self.path != "/code" or gate is None:
            self._answer_json(HTTPStatus.NOT_FOUND, {"refused": "path"})
        else:
            self._answer_code(gate, body)

    def _answer_code(self, gate: CodeGate, body: bytes) -> None:
        try:
            code = msgspec.json.decode(body, type=str)
        except (msgspec.MsgspecError, ValueError):
            self._answer_json(HTTPStatus.BAD_REQUEST, {"refused": "form"})
            return
        attempt, found = gate.attempt(_address(self.client_address[0]), code)
        if attempt is Attempt.OPENED:
            secure = "" if self.server.is_local else "; Secure"
            cookie = f"{_COOKIE[not self.server.is_local]}={found}; Path=/; HttpOnly; SameSite=Strict{secure}"
            self._answer_json(HTTPStatus.OK, {}, {"Set-Cookie": cookie})
        elif attempt is Attempt.WAIT:
            self._answer_json(HTTPStatus.TOO_MANY_REQUESTS, {"refused": "wait", "wait_s": found},
                              {"Retry-After": str(found)})  # fmt: skip
        else:
            self._answer_json(HTTPStatus.FORBIDDEN, {"refused": "code"})

    def _answer_values(self, of: Callable[[HistoryReader, int], dict[str, Any]]) -> None:
        downtime = self.server.downtime
        if downtime.gate is not None and not downtime.gate.is_open(self._session()):
            self._answer_json(HTTPStatus.UNAUTHORIZED, {"refused": "code"})
            return
        try:
            with HistoryReader(downtime.history) as reader:
                found = of(reader, downtime.now_us())
        except VitalwireError as error:
            self._answer_json(HTTPStatus.SERVICE_UNAVAILABLE, {"refused": "history", "why": str(error)})
            return
        self._answer_json(HTTPStatus.OK, found)

    def _session(self) -> str:
        try:
            cookies = SimpleCookie(self.headers.get("Cookie", ""))
        except CookieError:
            return ""
        name = _COOKIE[not self.server.is_local]
        return cookies[name].value if name in cookies else ""

    def _is_for_us(self) -> bool:
        """Without TLS by one of loopback's names alone."""
        if not self.server.is_local:
            return True
        match = _HOST.fullmatch(self.headers.get("Host", ""))
        return match is not None and is_loopback(match[1] or match[2])

    def _answer_json(self, status: HTTPStatus, what: dict[str, Any], more: dict[str, str] | None = None) -> None:
        self._answer(status, "application/json", msgspec.json.encode(what), more)

    def _answer(
        self, status: HTTPStatus, kind: str, content: bytes, more: dict[str, str] | None = None,
        policy: str = _NOTHING_ELSE,
    ) -> None:  # fmt: skip
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(content)), "Content-Security-Policy": policy}
        # No Strict-Transport-Security: with it browsers refuse a certificate that people compared themselves.
        for name, value in {**_ALWAYS, **headers, **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server itself refuses, a method or a line too long: with our headers."""
        self.close_connection = True
        if not hasattr(self, "headers"):
            self.headers = self.MessageClass()
        self._answer_json(HTTPStatus(code), {"refused": "request"})


def _address(host: str) -> str:
    """Whom wrong codes are counted for: of IPv6 the network, for who has one address there has all."""
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address)
