"""How the ward opens, in Debian's Chromium: with a picture in the page, and without what the browser has already."""

from __future__ import annotations

import pytest

from tests.gateway.test_page import AGE, LOST_S, Look, chromium, expect, look, value
from tests.gateway.ward import Ward

pytestmark = pytest.mark.integration
__all__ = ["chromium", "look"]  # fixtures


def test_a_page_is_drawn_before_its_feed_says_anything(ward: Ward, look: Look) -> None:
    ward.emit("ICU-10", HR="70", SpO2="97")
    ward.emit("icu-9", HR="80")
    ward.store()
    tab = look(before="window.EventSource = class extends EventTarget { close() {} };")
    expect(tab.locator(".bed h2")).to_have_text(["icu-9", "ICU-10"])
    expect(value(tab, "ICU-10", "HR").locator(".number")).to_have_text("70")
    expect(value(tab, "ICU-10", "HR").locator(".age")).to_have_text(AGE)
    expect(tab.locator("#lost")).to_be_hidden()
    expect(tab.locator("#lost")).to_be_visible(timeout=LOST_S * 1000)  # as long as nothing follows it is not live


def test_who_has_a_page_s_files_is_sent_the_page_alone(ward: Ward, look: Look) -> None:
    ward.emit("n10:1", HR="70")
    ward.store()
    tab = look()
    files = "() => performance.getEntriesByType('resource').filter(e => e.name.includes('/static/'))"
    sent = f"({files})().map(e => e.transferSize).reduce((a, b) => a + b)"
    assert tab.evaluate(sent) > 10_000
    tab.goto(f"{tab.url.partition('#')[0]}worklist#en")
    tab.goto(tab.url.replace("worklist", ""))
    tab.locator(".bed").first.wait_for()
    assert tab.evaluate(sent) == 0
