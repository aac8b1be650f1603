"""What is answered before there is a request that the application could answer."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import pytest

from gateway.security_headers import security_headers
from tests.gateway.test_app import connect
from tests.gateway.ward import Page
from vitalwire import page as pages

NO_REQUEST = b"\x00\x01 nonsense\r\n\r\n"
ASKED = b"GET /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


@pytest.fixture
def page(module_database: str) -> Iterator[Page]:
    served = Page(module_database)
    yield served
    served.stop()


def answer_of(port: int, sent: bytes, context: ssl.SSLContext | None = None) -> tuple[int, dict[str, str], bytes]:
    """Status, headers with small letters, body."""
    plain = socket.create_connection(("127.0.0.1", port), 20)
    with context.wrap_socket(plain, server_hostname="localhost") if context else plain as connection:
        connection.sendall(sent)
        found = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = found.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return int(status.split()[1]), {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}, body


def missing(headers: dict[str, str], *, is_https: bool) -> dict[str, str]:
    """Of those that each answer has."""
    expected = security_headers(is_https=is_https)
    return {name: text for name, text in expected.items() if headers.get(name.lower()) != text}


def test_bytes_that_are_no_request_get_the_headers_of_every_answer(page: Page) -> None:
    page.start()
    assert connect(page, "/sign-in").status == 200
    status, headers, body = answer_of(page.port, NO_REQUEST)
    assert (status, body, headers["connection"]) == (400, b'{"refused":"unreadable"}', "close")
    assert missing(headers, is_https=False) == {}


def test_and_so_does_one_too_many(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    page.start()
    assert connect(page, "/sign-in").status == 200
    page.stop()
    monkeypatch.setattr(pages, "CONNECTIONS_MAX", 1)
    page.start()
    assert connect(page, "/sign-in").status == 200
    with socket.create_connection(("127.0.0.1", page.port), 20) as first:
        first.sendall(ASKED[:20])
        found = answer_of(page.port, ASKED)
    assert (found[0], found[1]["connection"]) == (503, "close")
    assert missing(found[1], is_https=False) == {}
