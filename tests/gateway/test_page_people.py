"""Pages by who looks on: one stream a browser, a reason for another ward's patient, names that stay away."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from emr_store.connect import open_store
from gateway import feed
from gateway.access.words import Role
from gateway.feed_viewer import FeedViewer
from tests.attributing import Hospital
from tests.gateway.asking import name_beds
from tests.gateway.hospital import NUMBER, admit, open_hospital
from tests.gateway.test_page import Chromium, chromium  # noqa: F401  a fixture
from tests.gateway.ward import Page

pytestmark = pytest.mark.integration


@pytest.fixture
def hospital(page: Page) -> Hospital:
    made = open_hospital(page.database)
    admit(made)
    name_beds(page.database)
    return made


@pytest.fixture
def context(page: Page, hospital: Hospital, chromium: Chromium) -> Iterator[Any]:  # noqa: F811
    made = chromium.new_context(viewport={"width": 1280, "height": 720})
    yield made
    made.close()


def sit_down(context: Any, page: Page, staff: str, role: Role, wards: tuple[str, ...] = ()) -> Any:
    page.sign_in(staff, role, wards)
    context.clear_cookies()
    context.add_cookies([page.browser_cookie])
    return context.new_page()


def test_two_tabs_of_a_browser_are_one_stream(page: Page, context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    streams: list[int] = []
    lock, events = threading.Lock(), feed.Feed.events

    async def counted(of: feed.Feed, hello: bytes, viewer: FeedViewer) -> AsyncIterator[bytes]:
        with lock:
            streams.append(1)
        try:
            async for part in events(of, hello, viewer):
                yield part
        finally:
            with lock:
                streams.pop()

    monkeypatch.setattr(feed.Feed, "events", counted)
    first = sit_down(context, page, "N1", Role.NURSE, ("h^icu",))
    first.goto(f"{page.url}/#en")
    expect(first.locator(".bed .patient b")).to_have_text("张** …2345")
    second = context.new_page()
    second.goto(f"{page.url}/#en")
    for tab in (first, second):
        expect(tab.locator(".bed")).to_have_count(1)
        expect(tab.locator("#lost")).to_be_hidden()
    with open_store(page.database) as conn:
        conn.execute("UPDATE patient_person SET name = '赵五', family = '', given = ''")
        conn.execute("UPDATE login_session SET locked_at = now()")
    for tab in (first, second):  # a lock shows within seconds, in each
        expect(tab.locator(".bed .patient")).to_be_hidden(timeout=20_000)
        expect(tab.locator(".bed")).to_have_count(1)
    assert len(streams) == 1


def test_a_patient_of_another_ward_opens_to_a_reason_alone(page: Page, context: Any) -> None:
    tab = sit_down(context, page, "N2", Role.NURSE, ("h^w5",))
    tab.goto(f"{page.url}/patient/{NUMBER}#en")
    dialog = tab.locator("#glass")
    expect(dialog).to_contain_text("give a reason")
    expect(tab.locator("#glass-reason")).to_be_focused()
    assert "张三" not in tab.content()
    dialog.locator("button", has_text="Close").click()
    expect(tab.locator("#problem")).to_have_text("You may not see this.")
    tab.goto(f"{page.url}/#en")
    tab.locator("#other-wards summary").click()
    expect(tab.locator("#other-wards button")).to_have_text(["ICU-1"])
    tab.locator("#other-wards button").click()
    expect(dialog).to_be_visible()


def test_an_engineer_sees_numbers_and_no_name(page: Page, context: Any) -> None:
    tab = sit_down(context, page, "B1", Role.BIOMEDICAL_ENGINEER)
    tab.goto(f"{page.url}/#en")
    expect(tab.locator(".bed")).to_have_count(1)
    expect(tab.locator(".bed .patient")).to_be_hidden()
    assert "张" not in tab.content()


def test_who_signs_out_elsewhere_is_taken_to_sign_in(page: Page, context: Any) -> None:
    tab = sit_down(context, page, "N1", Role.NURSE, ("h^icu",))
    tab.goto(f"{page.url}/#en")
    expect(tab.locator(".bed")).to_have_count(1)
    with open_store(page.database) as conn:
        conn.execute("UPDATE login_session SET ended_at = now()")
    tab.wait_for_url("**/sign-in?to=*", timeout=20_000)
