"""The page of deliveries, and an entry's way into the EMR, in Chromium; VITALWIRE_SCREENSHOTS=docs: its pictures."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from emr_store import acts, chart_sequence, deliver
from gateway.access.words import Role
from tests.delivering import accepted, made, take_all
from tests.gateway.chart_ward import a_day
from tests.gateway.delivered import Deliveries
from tests.gateway.hospital import admit, open_hospital
from tests.gateway.test_page import CONTRASTS, SMALL, Look, chromium, expect, look, screenshot
from tests.gateway.ward import Page, Ward

pytestmark = pytest.mark.integration
__all__ = ["chromium", "look"]  # fixtures
# A page's modules are one script: what is asked here are other copies of them, with a language of their own.
SHOW_ENTRY = """async ids => {
    const from = document.querySelector('script[type=module]').src;
    const { choose } = await import(new URL('words.mjs', from));
    choose(document.documentElement.lang.slice(0, 2));
    const { showEntry } = await import(new URL('chart-entry.mjs', from));
    showEntry(ids, '', () => {});
}"""


@pytest.fixture
def sent(ward: Ward, page: Page) -> Deliveries:
    """A biomedical engineer looks on."""
    page.sign_in("B1", Role.BIOMEDICAL_ENGINEER)
    hospital = open_hospital(ward.database)
    admit(hospital)
    return Deliveries(hospital)


def destination(tab: Any, name: str) -> Any:
    return tab.locator(f'#destinations [data-key="{name}"]')


def test_what_went_where_in_both_languages(sent: Deliveries, page: Page, look: Look) -> None:
    tab = look()
    tab.keyboard.press("d")
    expect(tab).to_have_url(f"{page.url}/deliveries#en")
    expect(tab.locator('#pages [aria-current="page"]')).to_have_text("Deliveries")
    expect(destination(tab, "hl7").locator(".about")).to_have_text(re.compile(r"^1 accepted, the last at .* parked$"))
    expect(destination(tab, "fhir").locator(".now")).to_contain_text("it refuses connections")
    items = tab.locator("#items .item")
    expect(items).to_have_count(2)
    expect(items.nth(1)).to_contain_text("AE: required field missing (101) at PID-3")
    expect(items.nth(0)).to_contain_text(f"waits for delivery {sent.parked}, which is parked")
    expect(items.nth(0).locator("form")).to_be_hidden()
    assert "张" not in tab.content()
    assert tab.evaluate(SMALL) == []
    assert [c for c in tab.evaluate(CONTRASTS) if c[0] < 4.5] == []
    screenshot(tab, "deliveries.png")
    tab.locator("#language").click()
    expect(items.nth(1)).to_contain_text("AE：缺少必填字段 (101) 位于 PID-3")
    expect(destination(tab, "fhir").locator(".now")).to_contain_text("拒绝连接")
    expect(tab.locator("#states button").first).to_have_text("已搁置 (2)")
    assert tab.evaluate(SMALL) == []
    screenshot(tab, "deliveries-zh.png")
    tab.locator("#states button", has_text="等待").click()
    expect(items).to_have_count(5)
    expect(items.filter(has_text="HTTP 503")).to_contain_text("对方暂时无法处理")
    tab.locator("#of button", has_text="hl7").click()
    expect(items).to_have_count(1)


def test_a_person_decides_by_the_keyboard(sent: Deliveries, page: Page, look: Look) -> None:
    tab = look()
    tab.goto(f"{page.url}/deliveries#en")
    item = tab.locator("#items .item").nth(1)
    item.get_by_role("button", name="Skip").focus()
    tab.keyboard.press("Enter")
    expect(item.locator(".refusal")).to_have_text("Say why it is skipped: it stands in the record.")
    look.printed.clear()  # type: ignore[attr-defined]  # the refusal
    item.locator("input").fill("mended")
    tab.keyboard.press("Enter")
    expect(tab.locator("#empty")).to_have_text("Nothing is parked.")
    expect(tab.locator("#said")).to_have_text(f"Delivery {sent.parked} waits to be sent.")
    assert sent.states(sent.hl7) == ["accepted", "waiting", "waiting", "waiting"]
    button = destination(tab, "hl7").get_by_role("button")
    button.focus()
    tab.keyboard.press("Enter")
    expect(destination(tab, "hl7").locator(".now")).to_contain_text("paused since")
    expect(button).to_have_text("Resume")
    tab.keyboard.press("Enter")
    expect(destination(tab, "hl7").locator(".now")).to_have_text("is served")


def test_who_may_not_see_deliveries_is_told_so(sent: Deliveries, page: Page, look: Look) -> None:
    page.sign_in("N1", Role.NURSE)
    tab = look()
    tab.goto(f"{page.url}/deliveries#en")
    expect(tab.locator("#problem")).to_have_text("You may not see this.")
    expect(tab.locator("#items .item")).to_have_count(0)
    look.printed.clear()  # type: ignore[attr-defined]  # the refusal


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits(sent: Deliveries, page: Page, look: Look, width: int) -> None:
    tab = look(viewport={"width": width, "height": 800})
    for language in ("en", "zh"):
        tab.goto(f"{page.url}/deliveries#{language}")
        expect(tab.locator("#items .item")).to_have_count(2)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.evaluate(SMALL) == []


def test_an_entry_says_where_it_went(database: str, page: Page, chromium: Any) -> None:
    stay = a_day(database)
    with stay.store.open() as conn:
        number = deliver.open_destination(conn, "emr", acts.now(conn) - timedelta(days=9))
        while chart_sequence.sequence(conn):
            pass
        take_all(conn, number)
        (message,) = deliver.next_messages(conn, number, (), 1)
        deliver.keep_bodies(conn, [made(message)])
        (sent,) = deliver.next_messages(conn, number, (), 1)
        deliver.settle(conn, number, [accepted(sent)])
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, timezone_id="Asia/Shanghai")
    context.add_cookies([page.browser_cookie])  # type: ignore[list-item]
    said = {
        "en": rf"^delivered to emr at \d{{4}}-.* as {re.escape(sent.control_id)}$",
        "zh": "^已于 .* 送达 emr，消息号 ",
    }
    for language, words in said.items():
        tab = context.new_page()
        tab.goto(f"{page.url}/chart/V1#{language}")
        tab.locator("#chart tbody td").first.wait_for()
        tab.evaluate(SHOW_ENTRY, [str(message.entries[0])])
        expect(tab.locator("#detail .sent .accepted")).to_have_text(re.compile(words))
    context.close()
