"""The page that lets the command line in, in Debian's Chromium, in both languages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from gateway.access.words import Role
from gateway.people.command_line_routes import BEGIN, POLL
from tests.gateway.soft_browser import SoftBrowser
from tests.gateway.test_app import connect
from tests.gateway.test_page import CONTRASTS, ZONE, chromium, screenshot
from tests.gateway.test_page_sign_in import SHOWN_SMALL
from tests.gateway.ward import Page

pytestmark = pytest.mark.integration
__all__ = ["chromium"]  # a fixture


@pytest.fixture
def tab(chromium: Any, page: Page) -> Iterator[Any]:
    """Of a nurse; a script that fails fails the test."""
    assert connect(page, "/sign-in").status == 200
    page.sign_in("N1", Role.NURSE, name="王")
    context = chromium.new_context(viewport={"width": 820, "height": 1180}, timezone_id=ZONE)
    context.add_cookies([page.browser_cookie])
    opened, wrong = context.new_page(), list[str]()
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda m: wrong.append(m.text) if "Content Security Policy" in m.text else None)
    yield opened
    context.close()
    assert wrong == []


def begin(page: Page) -> tuple[SoftBrowser, Any]:
    program = SoftBrowser(page)
    status, codes = program.post(BEGIN, {"host": "ward-pc", "user": "<b>li"})
    assert status == 200
    return program, codes


def test_a_nurse_types_the_code_compares_and_agrees_by_keyboard(page: Page, tab: Any) -> None:
    program, codes = begin(page)
    tab.goto(f"{page.url}/command-line#en")
    expect(tab.locator("#command-line-title")).to_have_text("Let the command line in")
    tab.locator("#code").fill("BBBB-BBBB")
    tab.keyboard.press("Enter")
    expect(tab.locator("#refused")).to_contain_text("Nobody waits for this code.")
    tab.locator("#code").fill(codes["user_code"].lower())
    tab.keyboard.press("Enter")
    expect(tab.locator("#asked-by")).to_have_text("Asked by <b>li on ward-pc, from the address 127.0.0.1.")
    expect(tab.locator("#decline")).to_be_focused()
    expect(tab.locator("#refused")).to_be_hidden()
    assert [text for text in tab.evaluate(SHOWN_SMALL) if "It is mine" in text or "Not mine" in text] == []
    assert [c for c in tab.evaluate(CONTRASTS) if c[0] < 4.5] == []
    screenshot(tab, "command-line.png")
    tab.keyboard.press("Shift+Tab")
    tab.keyboard.press("Enter")
    expect(tab.locator("#done")).to_have_text("It is let in. The terminal goes on by itself.")
    status, found = program.post(POLL, {"device_code": codes["device_code"]})
    assert (status, found["staff"]) == (200, "N1")


def test_what_she_did_not_begin_she_refuses_in_chinese(page: Page, tab: Any) -> None:
    program, codes = begin(page)
    tab.goto(f"{page.url}/command-line#zh")
    expect(tab.locator("#command-line-title")).to_have_text("授权命令行")
    tab.locator("#code").fill(codes["user_code"])
    tab.locator("#find-code").click()
    expect(tab.locator("#asked-warning")).to_contain_text("仅当您本人刚刚发起时才可同意")
    screenshot(tab, "command-line-zh.png")
    tab.locator("#decline").click()
    expect(tab.locator("#done")).to_have_text("已拒绝。")
    assert program.post(POLL, {"device_code": codes["device_code"]}) == (400, {"refused": "access_denied"})
