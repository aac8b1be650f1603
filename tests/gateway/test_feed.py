"""Who comes to look does not wait for the feed's next second."""

from __future__ import annotations

import asyncio
import json
import socket
import threading

import pytest

from gateway import feed
from gateway.pages import ward as pages_ward
from gateway.picture import Picture
from tests.gateway.asking import feed_viewer, name_beds
from tests.gateway.ward import Page, Ward

LIMIT_S = 20.0


def look(page: Page) -> bytes:
    """The first picture that comes."""
    with socket.create_connection(("127.0.0.1", _listening(page)), LIMIT_S) as viewer:
        viewer.sendall(_request(page))
        with viewer.makefile("rb") as lines:
            return next(line for line in lines if line.startswith(b'data: {"number"'))


def test_who_comes_gets_a_whole_picture_at_once(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "EVERY_S", 600.0)
    ward.emit("monitor", HR="71")
    ward.store()
    page = Page(ward.database)
    page.start()
    try:
        assert b'"whole":true' in look(page)
    finally:
        page.stop()


def test_what_is_stored_is_shown_before_the_next_second(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "EVERY_S", 600.0)
    ward.emit("monitor", HR="71")
    ward.store()
    page = Page(ward.database)
    page.start()
    try:
        with socket.create_connection(("127.0.0.1", _listening(page)), LIMIT_S) as viewer:
            viewer.sendall(_request(page))
            with viewer.makefile("rb") as lines:
                pictures = (line for line in lines if line.startswith(b'data: {"number"'))
                assert json.loads(next(pictures)[6:])["whole"]
                ward.emit("monitor", HR="72")
                ward.store()
                followed = json.loads(next(pictures)[6:])
    finally:
        page.stop()
    assert not followed["whole"]
    assert followed["beds"]


def test_a_page_opens_with_a_whole_picture_of_what_its_viewer_may_see(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "OPENING_S", LIMIT_S)
    for claim in ("monitor", "hidden"):
        ward.emit(claim, HR="71")
    ward.store()
    name_beds(ward.database, {"hosp^ward 5^^1": "W5-1"})
    ward.assign("hidden", "W5-1", "")
    picture = json.loads(_opening(ward.database) or b"null")
    assert picture["whole"]
    assert [bed["structure"]["label"] for bed in picture["beds"]] == ["monitor"]


def test_while_the_store_is_away_a_page_opens_without_a_picture(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "OPENING_S", 0.05)
    away = ward.database.rpartition("/")[0] + "/nothing_of_this_name"
    assert _opening(ward.database, away) is None


def _opening(database: str, read_from: str = "") -> bytes | None:
    viewer = feed_viewer(database)

    async def opened() -> bytes | None:
        one = feed.Feed(read_from or database)
        async with one.running():
            return await one.opening(viewer)

    return asyncio.run(opened())


def test_who_comes_gets_no_picture_that_was_read_before(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader is slow: it has read a picture, and not shown it yet, when a value is stored and somebody comes."""
    has_read, goes_on = threading.Event(), threading.Event()

    class SlowWard(pages_ward.Ward):
        def read(self, number: int, *, whole: bool) -> Picture:
            picture = super().read(number, whole=whole)
            has_read.set()
            assert goes_on.wait(LIMIT_S)
            return picture

    monkeypatch.setattr(feed, "Ward", SlowWard)
    ward.emit("monitor", HR="71")
    ward.store()
    page = Page(ward.database)
    page.start()
    try:
        port = _listening(page)
        assert has_read.wait(LIMIT_S)
        ward.emit("monitor-2", HR="72")
        ward.store()
        with socket.create_connection(("127.0.0.1", port), LIMIT_S) as viewer:
            viewer.sendall(_request(page))
            with viewer.makefile("rb") as lines:
                next(line for line in lines if line == b"event: hello\n")
                goes_on.set()
                picture = json.loads(next(line for line in lines if line.startswith(b'data: {"number"'))[6:])
    finally:
        goes_on.set()
        page.stop()
    assert picture["whole"]
    assert len(picture["beds"]) == 2


def _request(page: Page) -> bytes:
    return f"GET /events HTTP/1.0\r\nHost: 127.0.0.1\r\nCookie: {page.cookie}\r\n\r\n".encode()


def _listening(page: Page) -> int:
    while True:
        try:
            socket.create_connection(("127.0.0.1", page.port), LIMIT_S).close()
        except ConnectionRefusedError:
            continue
        return page.port
