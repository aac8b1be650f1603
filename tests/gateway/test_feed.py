"""Who comes to look does not wait for the feed's next second."""

from __future__ import annotations

import socket

import pytest

from gateway import feed
from tests.gateway.ward import Page, Ward

LIMIT_S = 20.0


def look(port: int) -> bytes:
    """The first picture that comes."""
    with socket.create_connection(("127.0.0.1", port), LIMIT_S) as viewer:
        viewer.sendall(b"GET /events HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        with viewer.makefile("rb") as lines:
            return next(line for line in lines if line.startswith(b'data: {"number"'))


def test_who_comes_gets_a_whole_picture_at_once(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "EVERY_S", 600.0)
    ward.emit("monitor", HR="71")
    ward.store()
    page = Page(ward.database)
    page.start()
    try:
        assert b'"whole":true' in look(_listening(page))
    finally:
        page.stop()


def _listening(page: Page) -> int:
    while True:
        try:
            socket.create_connection(("127.0.0.1", page.port), LIMIT_S).close()
        except ConnectionRefusedError:
            continue
        return page.port
