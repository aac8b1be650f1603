"""The flowsheet in Debian's Chromium, as a nurse sees it; VITALWIRE_SCREENSHOTS=docs makes the pictures anew."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from clinical.chart import Origin, Status
from emr_store.connect import open_store
from emr_store.instants import moment
from tests.gateway.chart_ward import NUMBER, ChartWard, a_day, said
from tests.gateway.test_page import CONTRASTS, SMALL, chromium, expect, screenshot
from tests.gateway.ward import Page

pytestmark = pytest.mark.integration
__all__ = ["chromium"]  # a fixture
SMALL_CELLS = """() => [...document.querySelectorAll('#chart tbody td')].map(b => b.getBoundingClientRect())
    .filter(r => r.width < 44 || r.height < 44).length"""
SIZE = {"width": 1440, "height": 900}


@pytest.fixture
def stay(database: str) -> ChartWard:
    return a_day(database)


@pytest.fixture
def tab(stay: ChartWard, page: Page, chromium: Any) -> Iterator[Any]:
    """The chart of the stay; at the end nothing may have failed."""
    printed: list[str] = []
    context = chromium.new_context(viewport=SIZE, timezone_id="Asia/Shanghai")
    context.add_cookies([page.browser_cookie])  # type: ignore[list-item]
    opened = context.new_page()
    opened.on("pageerror", lambda e: printed.append(str(e)))
    opened.on(
        "console", lambda m: printed.append(m.text) if m.type == "error" and "status of 4" not in m.text else None
    )
    opened.goto(f"{page.url}/chart/V1#en")
    opened.locator("#chart tbody td").first.wait_for()
    yield opened
    context.close()
    assert printed == []


def cell(tab: Any, item: str, column: int) -> Any:
    return tab.locator(f'#chart tr[data-key="{item}"] > :nth-child({column + 2})')


def column_of(tab: Any, stay: ChartWard, hour: int) -> int:
    """Of that hour of the stay, while columns are hours."""
    keys = tab.locator("#chart thead tr > *").evaluate_all("all => all.map(e => e.dataset.key)")
    return int(keys.index(str((stay.since_us + hour * 3_600_000_000) // 1000))) - 1


def test_the_flowsheet_in_both_languages(stay: ChartWard, tab: Any) -> None:
    hour = column_of(tab, stay, 2)
    expect(cell(tab, "MDC_ECG_HEART_RATE", hour)).to_contain_text("李娜 unsigned")
    expect(cell(tab, "MDC_PULS_OXIM_SAT_O2", hour)).to_contain_text("amended")
    expect(cell(tab, "acvpu", column_of(tab, stay, 1))).to_contain_text("hand")
    style = "e => { const s = getComputedStyle(e); return [s.fontStyle, s.fontWeight, s.textDecorationLine]; }"
    preliminary = cell(tab, "MDC_ECG_HEART_RATE", column_of(tab, stay, 6)).locator(".shown")
    assert preliminary.evaluate(style)[0] == "italic"
    assert cell(tab, "MDC_ECG_HEART_RATE", hour).locator(".shown").evaluate(style)[0] == "normal"
    for language, system in (("en", "Circulation"), ("zh", "循环")):
        expect(tab.locator("#chart .system th").first).to_have_text(system)
        assert [c for c in tab.evaluate(CONTRASTS) if c[0] < 4.5] == []
        assert tab.evaluate(SMALL) == []
        assert tab.evaluate(SMALL_CELLS) == 0
        screenshot(tab, "chart.png" if language == "en" else "chart-zh.png")
        if language == "en":
            tab.locator("#language").click()
    expect(cell(tab, "MDC_ECG_HEART_RATE", hour)).to_contain_text("李娜 未签名")


def test_columns_and_windows(stay: ChartWard, tab: Any) -> None:
    for step, count in ((5, 144), (15, 48), (30, 24), (60, 12)):
        tab.locator("#steps button", has_text=re.compile(f"^{step} min")).click()
        expect(tab.locator("#chart thead th")).to_have_count(count + 1)
    tab.locator("#spans button", has_text="24 h").click()
    expect(tab.locator("#chart thead th")).to_have_count(25)
    before = tab.locator("#span").inner_text()
    tab.locator("#earlier").click()
    expect(tab.locator("#span")).not_to_have_text(before)
    tab.locator("#now").click()
    expect(tab.locator("#span")).to_have_text(before)


def test_a_column_is_confirmed_by_who_is_signed_in(stay: ChartWard, tab: Any) -> None:
    hour = column_of(tab, stay, 6)
    confirm = tab.locator(f"#chart thead tr > :nth-child({hour + 2}) button")
    confirm.click()
    expect(cell(tab, "MDC_ECG_HEART_RATE", hour)).to_contain_text("Li unsigned")
    expect(tab.locator("#refusal")).to_have_text("")
    expect(confirm).to_be_disabled()
    assert stay.at("MDC_ECG_HEART_RATE", 6).now.status is Status.FINAL


def test_by_keyboard_alone(stay: ChartWard, tab: Any) -> None:
    hour = column_of(tab, stay, 6)
    cell(tab, "MDC_PULS_OXIM_PULS_RATE", hour).focus()
    tab.keyboard.press("ArrowUp")
    tab.keyboard.press("Shift+ArrowDown")
    expect(tab.locator('#chart [aria-selected="true"]')).to_have_count(2)
    tab.keyboard.press("v")
    expect(cell(tab, "MDC_ECG_HEART_RATE", hour)).to_contain_text("Li unsigned")
    expect(cell(tab, "MDC_PULS_OXIM_PULS_RATE", hour)).to_contain_text("Li unsigned")
    tab.keyboard.press("ArrowUp")
    tab.keyboard.press("e")
    field = tab.locator("#detail form input").first
    expect(field).to_be_focused()
    field.fill("90")
    tab.keyboard.press("Enter")
    expect(tab.locator("#detail .refusal")).to_have_text("Say why.")
    tab.locator("#detail form input").nth(1).fill("counted")
    tab.keyboard.press("Enter")
    expect(tab.locator("#detail")).to_be_hidden()
    changed = tab.locator('#chart td[tabindex="0"]')
    expect(changed).to_contain_text("90")
    expect(changed).to_contain_text("amended")
    tab.keyboard.press("r")
    expect(tab.locator("#detail form input").nth(1)).to_be_focused()
    tab.keyboard.type("of the next bed")
    tab.locator("#detail button", has_text="Withdraw").click()
    expect(changed).not_to_contain_text("90")


def test_what_it_said_and_the_way_back(stay: ChartWard, tab: Any, page: Page) -> None:
    cell(tab, "MDC_PULS_OXIM_SAT_O2", column_of(tab, stay, 2)).click()
    detail = tab.locator("#detail")
    expect(detail.locator(".entry").first.locator("tbody tr")).to_have_count(3)
    expect(detail).to_contain_text("探头松脱")
    expect(detail).to_contain_text("unsigned")
    href = detail.locator(".ways a").first.get_attribute("href")
    assert [c for c in tab.evaluate(CONTRASTS) if c[0] < 4.5] == []
    screenshot(tab, "chart-entry.png")
    answer = tab.request.get(f"{page.url}{href}")
    assert answer.status == 200
    assert answer.json()["batch_no"] >= 1


def test_an_empty_slot_says_why(stay: ChartWard, tab: Any) -> None:
    tab.locator("#steps button", has_text=re.compile("^30 min")).click()
    expect(tab.locator("#chart thead th")).to_have_count(25)
    keys = tab.locator("#chart thead tr > *").evaluate_all("all => all.map(e => e.dataset.key)")
    column = keys.index(str((stay.since_us + 210 * 60_000_000) // 1000)) - 1
    empty = cell(tab, "MDC_PULS_OXIM_SAT_O2", column)
    expect(empty).to_contain_text("?")
    empty.click()
    expect(tab.locator("#detail")).to_contain_text("why nothing stands here")
    expect(tab.locator("#detail .gaps li").first).to_be_visible()
    screenshot(tab, "chart-gap.png")
    tab.keyboard.press("Escape")
    tab.locator("#language").click()
    empty.click()
    expect(tab.locator("#detail")).to_contain_text("为何无值")


def test_a_value_by_hand(stay: ChartWard, tab: Any) -> None:
    tab.keyboard.press("n")
    form = tab.locator("#form")
    form.locator("select").first.select_option("pain")
    form.locator("input").first.fill("11")
    form.locator("button", has_text="Write it").click()
    expect(form.locator(".refusal")).to_contain_text("not possible")
    assert tab.evaluate(SMALL) == []
    screenshot(tab, "chart-form.png")
    form.locator("input").first.fill("7")
    form.locator("button", has_text="Write it").click()
    expect(form).to_be_hidden()
    expect(tab.locator('#chart tr[data-key="pain"]')).to_contain_text("7")


def test_an_event_by_hand_has_its_own_time(stay: ChartWard, tab: Any) -> None:
    at_us = stay.since_us + 30 * 60_000_000
    tab.locator("#by-hand").click()
    form = tab.locator("#form")
    form.locator("select").first.select_option("event")
    form.locator("select").last.select_option("admitted")
    form.locator("input").fill(f"{moment(at_us).astimezone(ZoneInfo('Asia/Shanghai')):%Y-%m-%d %H:%M}")
    form.locator("button", has_text="Write it").click()
    expect(form).to_be_hidden()
    events = [(e.key.at_us, e.now.text) for e in stay.entries() if e.key.item == "event"]
    assert events == [(stay.since_us, "admitted"), (at_us, "admitted")]


def test_a_late_value_is_shown_beside_what_was_confirmed(stay: ChartWard, tab: Any) -> None:
    late = cell(tab, "MDC_ECG_HEART_RATE", column_of(tab, stay, 5))
    expect(late).to_contain_text("other value came")
    late.click()
    expect(tab.locator("#detail")).to_contain_text("131")


def test_a_late_value_is_accepted_by_one_press(stay: ChartWard, tab: Any) -> None:
    late = cell(tab, "MDC_ECG_HEART_RATE", column_of(tab, stay, 5))
    late.click()
    accept = tab.locator("#detail .accept button")
    expect(accept).to_have_text("Take 131 in its place")
    assert tab.evaluate(SMALL) == []
    screenshot(tab, "chart-accept.png")
    accept.click()
    expect(tab.locator("#detail")).to_be_hidden()
    expect(late).to_contain_text("131")
    expect(late).to_contain_text("Li unsigned")
    newest = stay.at("MDC_ECG_HEART_RATE", 5).now
    assert (newest.status, newest.origin, newest.value) == (Status.AMENDED, Origin.DEVICE, 131)
    assert newest.sources


def test_what_is_charted_on_demand_is_taken(stay: ChartWard, tab: Any) -> None:
    stay.emit([said(stay.since_us + 238 * 60_000_000, {"MDC_CONC_AWAY_CO2_ET": "38"})])
    empty = cell(tab, "MDC_CONC_AWAY_CO2_ET", column_of(tab, stay, 4))
    empty.click()
    take = tab.locator("#detail .take button")
    expect(take).to_contain_text("Take what was measured by")
    screenshot(tab, "chart-take.png")
    take.click()
    expect(tab.locator("#detail")).to_be_hidden()
    expect(empty).to_contain_text("38")


def test_from_the_patient_s_page_to_the_chart(stay: ChartWard, tab: Any, page: Page) -> None:
    tab.goto(f"{page.url}/patient/{NUMBER}#en")
    expect(tab.locator("#charts a")).to_have_text(["chart · visit V1", "access · visit V1"])
    tab.keyboard.press("c")
    expect(tab).to_have_url(re.compile("/chart/visit%3AV1%5EHOSP#en$"))
    expect(tab.locator("#title")).to_have_text("张三 · Chart")
    tab.locator("#to-patient").click()
    expect(tab.locator("#title")).to_have_text("张三")


@pytest.mark.parametrize("path", ["chart", "sheet", "hourly"])
def test_it_fits_a_telephone(stay: ChartWard, tab: Any, page: Page, path: str) -> None:
    tab.set_viewport_size({"width": 390, "height": 844})
    for language in ("en", "zh"):
        tab.goto(f"{page.url}/{path}/V1#{language}")
        expect(tab.locator("#chart td, #sheets img").first).to_be_visible()
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        assert tab.evaluate(SMALL) == []
        screenshot(tab, f"bar-{path}-390-{language}.png")


def test_what_is_half_written_waits_for_its_author(stay: ChartWard, page: Page, tab: Any) -> None:
    tab.keyboard.press("n")
    form = tab.locator("#form")
    form.locator("select").first.select_option("pain")
    form.locator("input").first.fill("7")
    tab.evaluate("document.querySelector('#lock').click()")
    expect(tab).to_have_url(f"{page.url}/#en")
    expect(tab.locator("#lock-band")).to_be_visible()
    tab.goto(f"{page.url}/chart/V1#en")
    expect(tab).to_have_url(f"{page.url}/#en")  # no name stands on a locked screen
    tab.goto("about:blank")  # it would ask a server that is not there
    page.stop()  # what it knows of sessions is seconds old
    with open_store(page.database) as conn:
        conn.execute("UPDATE login_session SET locked_at = NULL")  # as the same person's key does
    page.start()
    tab.goto(f"{page.url}/chart/V1#en")
    expect(form.locator("select").first).to_have_value("pain")
    expect(form.locator("input").first).to_have_value("7")
    tab.keyboard.press("Escape")
    tab.reload()
    tab.locator("#chart tbody td").first.wait_for()
    expect(form).to_be_hidden()
