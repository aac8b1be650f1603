"""Every page in Chromium, dark and light, Chinese and English, on a workstation and a tablet, and by keyboard alone.

VITALWIRE_SCREENSHOTS=FOLDER keeps a picture of each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.access.words import Role
from tests.attributing import Hospital
from tests.gateway.asking import name_beds
from tests.gateway.chart_ward import NUMBER, a_day
from tests.gateway.delivered import Deliveries
from tests.gateway.hospital import admit, disagree, open_hospital
from tests.gateway.test_audit import be, fill
from tests.gateway.test_page import CONTRASTS, chromium, expect, screenshot, twelve
from tests.gateway.test_page_history import hospital
from tests.gateway.ward import Page, Ward

pytestmark = pytest.mark.integration
__all__ = ["chromium", "hospital"]  # fixtures
WORKSTATION, TABLET, WALL = (1440, 900), (820, 1180), (1920, 1080)
THEMES, LANGUAGES = ("dark", "light"), ("en", "zh")
CONTROLS = "'button:not(:disabled), a[href], input, select, summary'"
SMALL = f"""() => [...document.querySelectorAll({CONTROLS})].filter(e => e.checkVisibility())
    .map(e => [e.id || e.textContent, e.getBoundingClientRect()])
    .filter(([, r]) => r.width < 44 || r.height < 44).map(([name]) => name)"""
# What stands in the head, two and two, where one lies on the other; and what is cut off at its edge.
OVERLAPS = """() => {
    const leaves = [...document.querySelectorAll('header :is(h1, p, time, a, button, input)')]
        .filter(e => e.checkVisibility() && e.textContent + e.id);
    const boxes = leaves.map(e => [e.id, e.getBoundingClientRect()]).filter(([, r]) => r.width && r.height);
    const found = [];
    boxes.forEach(([name, r], i) => boxes.slice(i + 1).forEach(([other, s]) => {
        if (r.left < s.right - 1 && s.left < r.right - 1 && r.top < s.bottom - 1 && s.top < r.bottom - 1) {
            found.push([name, other]);
        }
    }));
    const head = document.querySelector('header').getBoundingClientRect();
    const cut = boxes.filter(([, r]) => r.left < 0 || r.right > innerWidth + 1 || r.bottom > head.bottom + 1);
    return [...found, ...cut.map(([name]) => [name, "edge"])];
}"""
WATCH_FOCUS = """() => {
    window.reached = new Set();
    addEventListener('focusin', ({ target }) => window.reached.add(target));
    document.activeElement?.blur();
}"""
# A grid has one stop; arrows lead on from there (WAI-ARIA, grid).
UNREACHED = f"""() => [...document.querySelectorAll({CONTROLS})]
    .filter(e => e.checkVisibility() && !window.reached.has(e) && !(e.tabIndex < 0 && e.closest('[role=grid]')))
    .map(e => e.id || e.textContent)"""
# Of each colour in which something is drawn, its ratio to what it is drawn on.
GRAPHICS = """() => {
    const style = getComputedStyle(document.documentElement);
    const colour = name => style.getPropertyValue(`--${name}`).trim();
    const light = name => {
        const canvas = document.createElement('canvas').getContext('2d');
        canvas.fillStyle = colour(name);
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(v => v / 255)
            .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
        return .2126 * r + .7152 * g + .0722 * b;
    };
    const ratio = (a, b) => (Math.max(light(a), light(b)) + .05) / (Math.min(light(a), light(b)) + .05);
    const drawn = ['green', 'cyan', 'red', 'yellow', 'edge-yellow', 'white', 'alarm', 'quiet'];
    return drawn.flatMap(name => ['ground', 'tile', 'raised'].map(under => [name, under, ratio(name, under)]));
}"""


@pytest.fixture
def tab(page: Page, chromium: Any) -> Iterator[Any]:
    """Of a browser in which nobody is signed in; no script may fail, and nothing may break the policy of content."""
    context = chromium.new_context(timezone_id="Asia/Shanghai", reduced_motion="reduce")
    opened, wrong = context.new_page(), list[str]()
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda m: wrong.append(m.text) if "Content Security Policy" in m.text else None)
    yield opened
    context.close()
    assert wrong == []


def sit_down(tab: Any, page: Page, staff: str, role: Role) -> None:
    page.sign_in(staff, role, name="Wang Xiaoming")
    tab.context.add_cookies([page.browser_cookie])


def show_in(tab: Any, theme: str) -> None:
    if tab.locator("html").get_attribute("data-theme") != theme:
        tab.locator("#theme").click()
    expect(tab.locator("html")).to_have_attribute("data-theme", theme)


def walk(
    tab: Any, address: str, name: str, shown: str, sizes: tuple[tuple[int, int], ...] = (WORKSTATION, TABLET)
) -> None:
    """The page at this address, once `shown` is there, in every theme, language and size."""
    for language in LANGUAGES:
        tab.goto("about:blank")  # else an address that differs in its language alone is not loaded anew
        tab.goto(f"{address}#{language}")
        for theme in THEMES:
            for width, height in sizes:
                tab.set_viewport_size({"width": width, "height": height})
                expect(tab.locator(shown).first).to_be_visible()
                show_in(tab, theme)
                screenshot(tab, f"theme-{name}-{theme}-{language}-{width}.png")
                where = (theme, language, width)
                assert (where, [c for c in tab.evaluate(CONTRASTS) if c[0] < 4.5]) == (where, [])
                assert (where, tab.evaluate(SMALL)) == (where, [])
                assert (where, tab.evaluate(OVERLAPS)) == (where, [])
                assert tab.evaluate("document.documentElement.scrollWidth") <= width, where
    tab.evaluate(WATCH_FOCUS)
    for _ in range(tab.locator("button, a, input, select, summary, [tabindex='0']").count() + 2):
        tab.keyboard.press("Tab")
    assert tab.evaluate(UNREACHED) == []


def test_the_ward(ward: Ward, page: Page, tab: Any) -> None:
    twelve(ward)
    sit_down(tab, page, "D1", Role.PHYSICIAN)
    walk(tab, f"{page.url}/", "ward", ".bed.high", (WORKSTATION, TABLET, WALL))


def test_a_patient(hospital: Hospital, page: Page, tab: Any) -> None:
    sit_down(tab, page, "D1", Role.PHYSICIAN)
    walk(tab, f"{page.url}/patient/{NUMBER}", "patient", ".trend canvas")


@pytest.mark.parametrize(
    ("path", "shown"),
    [("chart/V1", "#chart tbody td"), ("sheet/V1", "#sheets img"), ("hourly/V1", "#sheets img")],
)
def test_a_stay(page: Page, tab: Any, path: str, shown: str) -> None:
    a_day(page.database)
    sit_down(tab, page, "D1", Role.PHYSICIAN)
    walk(tab, f"{page.url}/{path}", path.partition("/")[0], shown)


def test_the_worklist(page: Page, tab: Any) -> None:
    name_beds(page.database)
    office = open_hospital(page.database)
    admit(office)
    disagree(office)
    sit_down(tab, page, "R1", Role.RECORD_OFFICE)
    walk(tab, f"{page.url}/worklist", "worklist", ".item")


def test_deliveries(page: Page, tab: Any) -> None:
    office = open_hospital(page.database)
    admit(office)
    Deliveries(office)
    sit_down(tab, page, "B1", Role.BIOMEDICAL_ENGINEER)
    walk(tab, f"{page.url}/deliveries", "deliveries", "#items .item")


def test_the_audit(page: Page, tab: Any) -> None:
    fill(page)
    be(page, "A1")
    tab.context.add_cookies([page.browser_cookie])
    walk(tab, f"{page.url}/audit", "audit", "#review-list .item")
    tab.locator("#number").fill(NUMBER)
    tab.locator("#within").select_option("7d")
    tab.locator("#show").click()
    expect(tab.locator("#picture rect.look")).to_have_count(2)
    screenshot(tab, "theme-audit-found.png")
    assert [c for c in tab.evaluate(CONTRASTS) if c[0] < 4.5] == []


def test_people_and_a_key_that_is_enrolled(ward: Ward, page: Page, tab: Any) -> None:
    name_beds(ward.database)
    sit_down(tab, page, "A1", Role.ADMINISTRATOR)
    tab.context.add_cookies([{**page.browser_cookie, "url": f"http://localhost:{page.port}"}])
    address = f"http://localhost:{page.port}"  # where security keys work
    walk(tab, f"{address}/people", "people", '#staff [data-key="D1"]')
    tab.locator('#staff [data-key="D1"] button').first.click()
    expect(tab.locator("#link")).to_contain_text("/sign-in/enrol/")
    (link,) = re.findall(r"http\S+", tab.locator("#link").inner_text())
    tab.context.clear_cookies()
    walk(tab, link, "enrol", "#enrol")


def test_sign_in(page: Page, tab: Any) -> None:
    walk(tab, f"{page.url}/sign-in", "sign-in", "#emergency-title")


def test_colours_that_are_drawn_stand_out(page: Page, tab: Any) -> None:
    tab.goto(f"{page.url}/sign-in#en")
    for theme in THEMES:
        show_in(tab, theme)
        assert [found for found in tab.evaluate(GRAPHICS) if found[2] < 3] == []


def test_a_browser_that_prefers_light_gets_it_but_a_ward_is_dark_until_somebody_chooses(
    ward: Ward, page: Page, chromium: Any
) -> None:
    ward.emit("n10:1", HR="70")
    ward.store()
    context = chromium.new_context(color_scheme="light")
    context.add_cookies([page.browser_cookie])  # type: ignore[list-item]
    tab = context.new_page()
    html, button = tab.locator("html"), tab.locator("#theme")
    tab.goto(f"{page.url}/worklist#en")
    expect(html).to_have_attribute("data-theme", "light")
    tab.emulate_media(color_scheme="dark")
    expect(html).to_have_attribute("data-theme", "dark")
    tab.emulate_media(color_scheme="light")
    tab.goto(f"{page.url}/#en")
    expect(html).to_have_attribute("data-theme", "dark")
    expect(button).to_have_attribute("aria-label", "Light theme")
    button.focus()
    tab.keyboard.press("Enter")
    expect(html).to_have_attribute("data-theme", "light")
    expect(button).to_have_attribute("aria-label", "Dark theme")
    tab.locator("#language").click()
    expect(button).to_have_attribute("aria-label", "深色主题")
    tab.reload()
    expect(html).to_have_attribute("data-theme", "light")
    other = context.new_page()
    other.goto(f"{page.url}/worklist#en")
    other.locator("#theme").click()
    expect(html).to_have_attribute("data-theme", "dark")  # of the other tab too
    context.close()


LINE = """plot => {
    const canvas = plot.querySelector('canvas'), { width, height } = canvas;
    const data = canvas.getContext('2d').getImageData(0, 0, width, height).data, seen = new Set();
    for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255) seen.add(data.slice(i, i + 3).join());
    return [...seen];
}"""


def test_charts_follow_the_theme(hospital: Hospital, page: Page, tab: Any) -> None:
    sit_down(tab, page, "D1", Role.PHYSICIAN)
    tab.goto(f"{page.url}/patient/{NUMBER}#en")
    rate = tab.locator(".trend", has_text="HR").locator(".plot")
    expect(rate.locator("canvas")).to_be_visible()
    expect(tab.locator("html")).to_have_attribute("data-theme", "light")
    green = {"light": "11,112,54", "dark": "75,224,127"}
    drawn = rate.evaluate(LINE)
    assert green["light"] in drawn
    assert green["dark"] not in drawn
    tab.locator("#theme").click()
    drawn = rate.evaluate(LINE)
    assert green["dark"] in drawn
    assert green["light"] not in drawn
