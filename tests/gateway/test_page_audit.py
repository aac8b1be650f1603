"""The auditor's page and the band of reminders in Chromium; VITALWIRE_SCREENSHOTS=docs: its pictures."""

from __future__ import annotations

import re

import pytest

from tests.gateway.hospital import NUMBER
from tests.gateway.test_audit import be, fill
from tests.gateway.test_page import CONTRASTS, SMALL, Look, chromium, expect, look, screenshot
from tests.gateway.ward import Page

pytestmark = pytest.mark.integration
__all__ = ["chromium", "look"]  # fixtures


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_auditor_asks_who_saw_a_patient_and_closes_a_review(page: Page, look: Look, language: str) -> None:
    fill(page)
    tab = look(language)
    be(page, "A1")
    tab.context.add_cookies([page.browser_cookie])
    tab.goto(f"{page.url}/audit#{language}")
    expect(tab.locator("#title")).to_have_text("Who saw what" if language == "en" else "查看留痕")
    tab.locator("#number").fill(NUMBER)
    tab.locator("#within").select_option("7d")
    tab.locator("#show").click()
    rows = tab.locator("#traces tbody tr")
    expect(rows).to_have_count(3)  # the newest is of the ward's page, with which the browser began
    expect(rows.nth(1)).to_contain_text("N1 name N1")
    expect(rows.nth(1)).to_contain_text("own ward" if language == "en" else "本病区")
    expect(tab.locator("#picture rect.look")).to_have_count(3)
    items = tab.locator("#review-list .item")
    expect(items).to_have_count(2)
    own = items.filter(has_text="A1")
    expect(own.locator("form")).to_be_hidden()
    assert tab.evaluate(SMALL) == []
    assert [c for c in tab.evaluate(CONTRASTS) if c[0] < 4.5] == []
    screenshot(tab, f"audit-{language}.png")
    other = items.filter(has_text="N1")
    other.locator("input").fill("a round")
    other.locator("button").click()
    expect(items).to_have_count(1)
    tab.locator("#closed").click()
    expect(items.filter(has_text="N1")).to_contain_text(re.compile("Closed by staff:A1|staff:A1 于"))


def test_a_reminder_stands_above_the_page_until_it_is_dismissed(page: Page, look: Look) -> None:
    fill(page)
    tab = look()
    reminder = {"id": "1", "kind": "outside_relations", "at": 0, "stays": 0, "until": None}
    answer = {"now": 0, "reminders": [reminder]}  # what the server says of a look is tested in test_reminders.py
    tab.route("**/reminders", lambda route: route.fulfill(json=answer))
    tab.goto(f"{page.url}/worklist#en")
    band = tab.locator("#reminders .reminder")
    expect(band).to_contain_text("not of your ward or team")
    assert tab.evaluate(SMALL) == []
    assert [c for c in tab.evaluate(CONTRASTS) if c[0] < 4.5] == []
    tab.locator("#language").click()
    expect(band).to_contain_text("非本病区")
    band.locator("button").click()
    expect(band).to_have_count(0)
    tab.reload()
    expect(tab.locator("#title")).to_be_visible()
    expect(band).to_have_count(0)
