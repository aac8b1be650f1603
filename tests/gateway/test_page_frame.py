"""What every page stands in, in Debian's Chromium: the bar, keys, their help, the search for a patient."""

from __future__ import annotations

import re

import pytest

from gateway.access.words import Role
from tests.attributing import Hospital
from tests.gateway.asking import name_beds
from tests.gateway.hospital import NUMBER, admit, disagree, open_hospital
from tests.gateway.test_page import CONTRASTS, SMALL, Look, chromium, expect, look, screenshot
from tests.gateway.ward import Page, Ward

pytestmark = pytest.mark.integration
__all__ = ["chromium", "look"]  # fixtures


@pytest.fixture
def hospital(ward: Ward) -> Hospital:
    name_beds(ward.database)
    made = open_hospital(ward.database)
    admit(made)
    return made


def test_every_page_has_the_same_bar_and_keys(hospital: Hospital, page: Page, look: Look) -> None:
    tab = look()
    expect(tab.locator('#pages [aria-current="page"]')).to_have_text("Beds")
    tab.keyboard.press("w")
    expect(tab).to_have_url(f"{page.url}/worklist#en")
    expect(tab.locator('#pages [aria-current="page"]')).to_have_text(re.compile("Worklist"))
    tab.keyboard.press("/")
    expect(tab.locator("#find-number")).to_be_focused()
    tab.keyboard.type("wb?")  # a field is typed into
    expect(tab).to_have_url(f"{page.url}/worklist#en")
    expect(tab.locator("#keys")).to_be_hidden()
    tab.keyboard.press("Enter")  # not a number: no name goes into an address
    expect(tab).to_have_url(f"{page.url}/worklist#en")
    tab.locator("#find-number").fill(NUMBER)
    tab.keyboard.press("Enter")
    expect(tab.locator("#title")).to_have_text("张三")
    tab.keyboard.press("b")
    expect(tab).to_have_url(f"{page.url}/#en")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_help_has_every_key(hospital: Hospital, page: Page, look: Look, language: str) -> None:
    tab = look(language)
    tab.keyboard.press("?")
    keys = tab.locator("#keys")
    expect(keys.locator("kbd")).to_have_text(["1–9", "B", "W", "D", "/", "?", "Esc"])
    expect(keys.locator("dd").nth(2)).to_have_text("worklist" if language == "en" else "工作列表")
    tab.keyboard.press("w")  # a dialog that is open is left first
    expect(tab).to_have_url(f"{page.url}/#{language}")
    assert tab.evaluate(SMALL) == []
    screenshot(tab, f"keys-{language}.png")
    tab.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    tab.keyboard.press("w")
    expect(tab).to_have_url(f"{page.url}/worklist#{language}")
    expect(tab.locator('#to-worklist[aria-current="page"]')).to_have_count(1)
    tab.locator("#help").click()
    expect(keys.locator("kbd")).to_have_text(["B", "W", "D", "/", "?", "Esc"])


def test_from_a_doubt_on_a_tile_to_the_worklist_and_the_patient(hospital: Hospital, page: Page, look: Look) -> None:
    disagree(hospital)
    tab = look()
    expect(tab.locator("#to-worklist")).to_have_text("Worklist (1)", timeout=15_000)
    tab.locator('[data-bed="ICU-1"] .patient.doubt').click()
    tab.locator("#detail a", has_text="Worklist").click()
    expect(tab.locator(".item")).to_have_count(1)
    expect(tab.locator("#to-worklist")).to_have_text("Worklist (1)")
    tab.goto(f"{page.url}/patient/{NUMBER}#en")
    tab.locator("#to-worklist").click()
    expect(tab.locator(".item")).to_have_count(1)


@pytest.mark.parametrize("path", ["/", "/worklist", "/deliveries", f"/patient/{NUMBER}"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_bar_fits_and_can_be_read(hospital: Hospital, page: Page, look: Look, path: str, width: int) -> None:
    if path == "/deliveries":
        page.sign_in("B1", Role.BIOMEDICAL_ENGINEER)
    tab = look(viewport={"width": width, "height": 720})
    for language in ("en", "zh"):
        tab.goto(f"{page.url}{path}#{language}")
        expect(tab.locator("#find-number")).to_be_visible()
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.evaluate(SMALL) == []
        assert [c for c in tab.evaluate(CONTRASTS) if c[0] < 4.5] == []
        name = path.strip("/").partition("/")[0] or "ward"
        screenshot(tab, f"bar-{name}-{width}-{language}.png")
