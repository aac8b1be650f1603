"""The page of devices in Chromium; VITALWIRE_SCREENSHOTS=docs: its pictures."""

from __future__ import annotations

import re
from typing import Any

import pytest

from emr_store import acts, places
from emr_store.connect import open_store
from gateway.access.words import Role
from schemas.report import device_id
from tests.gateway.asking import name_beds
from tests.gateway.test_page import CONTRASTS, SMALL, Look, chromium, expect, look, screenshot, twelve
from tests.gateway.ward import Page, Ward
from tests.making import report
from tests.storing import Store, event

pytestmark = pytest.mark.integration
__all__ = ["chromium", "look"]  # fixtures
STRANGER = "10.0.4.17/OBX-18=N10-4711"
CLEAR = "document.documentElement.scrollWidth <= window.innerWidth"


@pytest.fixture
def tab(ward: Ward, page: Page, look: Look) -> Any:
    """A ward of eleven monitors and one that nobody registered; a nurse looks on."""
    twelve(ward)
    Store(ward.database, b"O" * 16).emit(event("n10:3", "connected", ""), report("n10:3"))
    name_beds(ward.database, {f"h^icu^^{n + 10}": f"ICU-{n:02}" for n in range(1, 15)})
    page.sign_in("N1", Role.NURSE)
    opened = look()
    opened.goto(f"{page.url}/#en")
    opened.locator("#to-devices").click()
    expect(opened.locator("#items .item")).to_have_count(12)
    return opened


def item(tab: Any, name: str) -> Any:
    return tab.locator("#items .item").filter(has=tab.locator("h2", has_text=re.compile(f"^{re.escape(name)}$")))


def is_well_drawn(tab: Any) -> None:
    assert tab.evaluate(CLEAR)
    assert tab.evaluate(SMALL) == []
    assert [c for c in tab.evaluate(CONTRASTS) if c[0] < 4.5] == []


def test_a_scanned_device_is_put_on_a_bed_and_moved_by_the_keyboard(tab: Any, page: Page) -> None:
    expect(tab.locator('#to-devices[aria-current="page"]')).to_have_text("Devices")
    expect(item(tab, "监护仪3").locator(".now")).to_have_text(re.compile(r"^ICU-03 · ward icu · since \d{4}-"))
    expect(item(tab, "监护仪3").locator(".about")).to_contain_text(
        re.compile(r"last heard \d+ .* through box on ward 3")
    )
    expect(item(tab, "监护仪3").locator(".warning")).to_have_text(re.compile("^Also heard through box 2"))
    is_well_drawn(tab)
    screenshot(tab, "devices.png")
    tab.locator("#search-text").focus()
    tab.keyboard.type("n10-4711")
    tab.keyboard.press("Enter")  # as a scanner does
    expect(item(tab, STRANGER).get_by_role("button", name="Put on a bed")).to_be_focused()
    tab.keyboard.press("Enter")
    dialog = tab.locator("#placing")
    expect(dialog.get_by_label("Bed")).to_be_focused()
    tab.keyboard.type("ICU-12")
    tab.keyboard.press("Tab")
    tab.keyboard.type("N10 12")
    tab.keyboard.press("Enter")
    expect(dialog.locator(".follows li")).to_have_text([
        "Values of N10 12 from now on will be of bed ICU-12.", "It becomes registered, and belongs to box on ward 3.",
    ])  # fmt: skip
    expect(dialog.get_by_role("button", name="Put it there")).to_be_focused()
    tab.keyboard.press("Enter")
    expect(tab.locator("#said")).to_have_text("N10 12 is at ICU-12.")
    expect(dialog).to_be_hidden()
    expect(item(tab, "N10 12").locator(".now")).to_contain_text("ICU-12 · ward icu")
    with open_store(page.database) as conn:
        assert [act.kind for act in acts.acts(conn) if act.by == "staff:N1"] == ["device.assign"]


def test_what_follows_of_a_correction_is_said_in_both_languages(tab: Any, page: Page) -> None:
    tab.locator("#search-text").fill("ICU-05")
    item(tab, "监护仪5").get_by_role("button", name="Move").click()
    dialog = tab.locator("#placing")
    dialog.get_by_label("Bed").fill("ICU-99")
    dialog.get_by_label("Since when").select_option("past")
    moment = dialog.get_by_role("textbox", name="Moment")
    moment.fill("yesterday")
    dialog.get_by_role("button", name="Go on").click()
    expect(dialog.locator(".refusal")).to_have_text("That is no moment: type 14:05, or 2026-11-24 14:05.")
    is_well_drawn(tab)
    moment.fill("09:05")  # it is noon there
    dialog.get_by_role("button", name="Go on").click()
    expect(dialog.locator(".follows li")).to_have_text([
        "Values of 监护仪5 since 09:05 will be of bed ICU-99.",
        "ICU-99 is not in the site’s list of beds: is it spelt as it stands at the bed?",
        "What it measured before 09:05 stays of ICU-05.", "No longer believed: at ICU-05 from 09:05 to now.",
        "This corrects the past: values that are stored already change their bed, and with it whose they are.",
    ])  # fmt: skip
    screenshot(tab, "devices-move.png")
    tab.keyboard.press("Escape")
    tab.locator("#language").click()
    expect(item(tab, "监护仪5").locator(".now")).to_have_text(re.compile("^ICU-05 · icu 病区 · 自 "))
    is_well_drawn(tab)
    screenshot(tab, "devices-zh.png")
    item(tab, "监护仪5").get_by_role("button", name="移至他床").click()
    dialog.get_by_role("combobox", name="床位").fill("ICU-13")
    dialog.get_by_label("自何时起").select_option("past")
    dialog.get_by_role("textbox", name="时刻").fill("09:05")
    dialog.get_by_role("button", name="下一步").click()
    expect(dialog.locator(".follows li").first).to_have_text("监护仪5 自 09:05 起的数值将归入床位 ICU-13。")
    screenshot(tab, "devices-move-zh.png")
    dialog.get_by_role("button", name="确认移动").click()
    expect(tab.locator("#said")).to_have_text("监护仪5 已移至 ICU-13。")
    with open_store(page.database) as conn:
        stays = places.stays(conn, device_id("n10:5"))
    assert [stay.bed for stay in stays] == ["ICU-05", "ICU-13"]
    assert stays[1].since is not None
    assert (stays[1].since.minute, stays[1].since.second) == (5, 0)


def test_who_was_slower_is_told_so(tab: Any, page: Page, look: Look) -> None:
    item(tab, "监护仪1").get_by_role("button", name="Release").click()
    dialog = tab.locator("#placing")
    dialog.get_by_role("button", name="Go on").click()
    expect(dialog.locator(".follows li")).to_have_text(
        "Values of 监护仪1 from now on will be of no bed, no more of ICU-01."
    )
    with open_store(page.database) as conn:
        places.move(conn, "n10:1", "ICU-14")
    dialog.get_by_role("button", name="Release it").click()
    expect(dialog.locator(".refusal")).to_have_text(re.compile("somebody was faster"))
    look.printed.clear()  # type: ignore[attr-defined]  # the refusal
    tab.keyboard.press("Escape")
    tab.set_viewport_size({"width": 390, "height": 800})
    is_well_drawn(tab)
    screenshot(tab, "devices-390.png")
    tab.locator("#kinds button", has_text="Not registered (1)").click()
    expect(tab.locator("#items .item")).to_have_count(1)


def test_who_may_only_see_has_no_buttons_and_others_no_way_there(tab: Any, page: Page, look: Look) -> None:
    for staff, role, count in (("T1", Role.TRAINEE, 12), ("A1", Role.AUDITOR, 0)):
        page.sign_in(staff, role)
        tab.context.add_cookies([page.browser_cookie])
        tab.goto(f"{page.url}/devices#en")
        tab.reload()
        expect(tab.locator("#sign-out")).to_be_visible()
        expect(tab.locator("#items .item")).to_have_count(count)
        expect(tab.locator("#items button:visible")).to_have_count(0)
        expect(tab.locator("#to-devices")).to_have_count(1 if count else 0)
    expect(tab.locator("#problem")).to_have_text("You may not see this.")
    look.printed.clear()  # type: ignore[attr-defined]  # the refusal
