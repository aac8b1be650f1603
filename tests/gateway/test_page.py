"""The page in Debian's Chromium, as a nurse sees it; VITALWIRE_SCREENSHOTS=docs makes README's pictures anew."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.report import (
    Alarm,
    AlarmPriority,
    ChannelWords,
    Kind,
    Mark,
    Record,
    RecordKind,
)
from tests.gateway.ward import Page, Ward

pytestmark = pytest.mark.integration
CHROMIUM = Path("/usr/bin/chromium")
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync"]  # fmt: skip
LOST_S = 10
REFUSED = re.compile("ERR_|502")  # what a server that was ended causes; nothing else may fail
# Where it is noon, whenever the tests run: the page shows the date beside what was before midnight. Westward counts up.
WEST_H = datetime.now(UTC).hour - 12
ZONE = f"Etc/GMT{WEST_H:+d}" if WEST_H else "UTC"
AGE = re.compile(r"^\d{1,2} s$")
# Each text with its colour against what is painted under it (WCAG 2.2, 1.4.3): [ratio, text].
CONTRASTS = """() => {
    const rgb = colour => {
        const canvas = document.createElement('canvas').getContext('2d');
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => .2126 * linear(r / 255) + .7152 * linear(g / 255) + .0722 * linear(b / 255);
    const under = e => {
        const painted = rgb(getComputedStyle(e).backgroundColor);
        return painted[3] === 255 ? painted : under(e.parentElement);
    };
    return [...document.querySelectorAll('#page *')]
        .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
        .map(e => {
            const [a, b] = [light(rgb(getComputedStyle(e).color)), light(under(e))].sort((x, y) => y - x);
            return [(a + .05) / (b + .05), e.textContent];
        });
}"""
# How each value's number is drawn.
LOOKS = """() => Object.fromEntries([...document.querySelectorAll('.value')].map(v => {
    const cell = getComputedStyle(v), number = getComputedStyle(v.querySelector('.number'));
    return [`${v.closest('.bed').dataset.bed} ${v.dataset.name}`,
        [cell.borderStyle, cell.backgroundImage, number.fontStyle, number.color, number.fontWeight].join()];
}))"""
SMALL = """() => [...document.querySelectorAll(':is(button, a, input):not([hidden])')]
    .map(b => [b.textContent, b.getBoundingClientRect()])
    .filter(([, r]) => r.width < 44 || r.height < 44).map(([text]) => text)"""
SIZES = "selector => [...document.querySelectorAll(selector)].map(e => parseFloat(getComputedStyle(e).fontSize))"
CUT_OFF = """() => [...document.querySelectorAll('.value')].filter(e => e.scrollWidth > e.clientWidth + 1)
    .map(e => e.textContent)"""
HOLD_SOURCE = """window.EventSource = class extends EventSource {
    constructor(...of) {
        super(...of);
        window.source = this;
        this.addEventListener('message', event => {
            window.last = event.data;
            document.documentElement.classList.add('fed');
        });
    }
};"""
try:
    from playwright.sync_api import Browser as Chromium
    from playwright.sync_api import Page as Tab
    from playwright.sync_api import expect, sync_playwright
except ImportError:
    sync_playwright = None  # type: ignore[assignment]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    if sync_playwright is None or not CHROMIUM.exists():
        missing = f"needs {CHROMIUM} and the Python package playwright"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        browser.close()


Look = Callable[..., "Tab"]


@pytest.fixture
def look(chromium: Chromium, page: Page) -> Iterator[Look]:
    """Opens the page in a new context; at the end nothing may have been blocked, failed or fetched from elsewhere."""
    printed: list[str] = []
    contexts = []

    def open_tab(language: str = "en", before: str = "", **options: Any) -> Tab:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 720}, "timezone_id": ZONE, **options})
        context.add_cookies([page.browser_cookie])  # type: ignore[list-item]
        contexts.append(context)
        tab = context.new_page()
        tab.add_init_script("delete window.SharedWorker;\n" + before)  # a stream of its own, which a test can hold
        tab.on("console", lambda m: printed.append(m.text) if m.type in ("error", "warning") else None)
        tab.on("pageerror", lambda e: printed.append(str(e)))
        tab.on("request", lambda r: None if r.url.startswith((page.url, "data:")) else printed.append(f"asked {r.url}"))
        tab.goto(f"{page.url}/#{language}")
        tab.locator(".bed").first.wait_for()
        return tab

    open_tab.printed = printed  # type: ignore[attr-defined]
    yield open_tab
    for context in contexts:
        context.close()
    assert [text for text in printed if not REFUSED.search(text)] == []


def twelve(ward: Ward) -> None:
    """What a ward looks like: an alarm of each priority, a silent device, a doubtful value, one without a reading."""
    usual = {"SpO2": "97", "PR": "74", "RR": "14", "T": "36.8", "NIBP_S": "124", "NIBP_D": "78", "NIBP_M": "93"}
    arterial = {"ABP_S": "121", "ABP_D": "64", "ABP_M": "83", "EtCO2": "38"}
    for i in range(1, 12):
        rate = str(62 + 7 * i % 31)
        own = {"HR": rate, "PR": rate, "SpO2": str(99 - i % 5), "RR": str(11 + i), "NIBP_S": str(108 + 3 * i)}
        printed = {**usual, **own, **(arterial if i % 3 else {})}
        changed: dict[int, dict[str, str | None]] = {
            2: {"SpO2": "85"}, 4: {"SpO2": None, "PR": None}, 5: {"HR": "134", "PR": "133"}, 6: {"HR": "450"},
            8: {"T": "38.4"},
        }  # fmt: skip
        ward.emit(f"n10:{i}", ago_s=400 if i == 9 else 0, **{**printed, **changed.get(i, {})})
    ward.emit("10.0.4.17/OBX-18=N10-4711", **{**usual, "HR": "71"})
    ward.store()
    for i in range(1, 12):
        ward.assign(f"n10:{i}", "重症-07" if i == 7 else f"ICU-{i:02}", f"监护仪{i}")
    ward.alarm("n10:2", "SpO2", "SpO2 85 < 90", "high")
    ward.alarm("n10:5", "HR", "HR 134 > 120", "medium")
    ward.alarm("n10:8", "T", "T 38.4 > 38", "low")


def value(tab: Tab, bed: str, name: str) -> Any:
    return tab.locator(f'[data-bed="{bed}"] .value[data-name="{name}"]')


def test_a_ward_at_one_glance(ward: Ward, look: Look) -> None:
    twelve(ward)
    tab = look()
    expect(tab.locator(".bed h2")).to_have_text(
        [f"ICU-{i:02}" for i in (1, 2, 3, 4, 5, 6, 8, 9, 10, 11)] + ["重症-07", "10.0.4.17/OBX-18=N10-4711"]
    )
    usual = value(tab, "ICU-01", "SpO2")
    for part, text in {"number": "98", "unit": "%", "age": AGE, "state": ""}.items():
        expect(usual.locator(f".{part}")).to_have_text(text)
    expect(value(tab, "ICU-01", "T").locator(".number")).to_have_text("36.8")
    for part, text in {"number": "111/78", "unit": "(93) mmHg", "age": re.compile(r"^\d\d:\d\d \d+ s$")}.items():
        expect(value(tab, "ICU-01", "NIBP").locator(f".{part}")).to_have_text(text)

    for bed, priority, text in (
        ("ICU-02", "high", "*** SpO2 85 < 90"), ("ICU-05", "medium", "** HR 134 > 120"),
        ("ICU-08", "low", "* T 38.4 > 38"),
    ):  # fmt: skip
        expect(tab.locator(f'.bed.{priority}[data-bed="{bed}"] .alarm.{priority} b')).to_have_text(text)
    expect(value(tab, "ICU-02", "SpO2").locator(".name")).to_have_text("*** SpO2")
    expect(tab.locator("#said")).to_have_text("ICU-02: SpO2 85 < 90")

    expect(value(tab, "ICU-04", "SpO2").locator(".number")).to_have_text("--")
    expect(value(tab, "ICU-04", "SpO2").locator(".state")).to_have_text("no reading")
    expect(value(tab, "ICU-06", "HR").locator(".number")).to_have_text("450?")
    expect(value(tab, "ICU-06", "HR").locator(".state")).to_have_text("doubtful")
    expect(tab.locator('[data-bed="ICU-09"] .warning')).to_have_text(re.compile(r"^silent since \d\d:\d\d:\d\d$"))
    expect(tab.locator(".bed.stranger .warning")).to_have_text("⚠ not registered")
    expect(tab.locator("#ledger")).to_contain_text(
        "Reports24said by devices =24stored +0quarantined +0on the way +0lost +0unexplained"
    )

    looks = tab.evaluate(LOOKS)
    assert len({looks[which] for which in ("ICU-01 HR", "ICU-06 HR", "ICU-04 SpO2", "ICU-09 HR")}) == 4
    screenshot(tab, "page.png")

    tab.evaluate("window.never = 'loaded again'")
    tab.get_by_role("button", name="中文").click()
    tab.mouse.move(640, 10)
    expect(tab.locator('[data-bed="ICU-09"] .warning')).to_have_text(re.compile("^无数据，自 "))
    expect(value(tab, "ICU-06", "HR").locator(".state")).to_have_text("存疑")
    expect(value(tab, "ICU-01", "SpO2")).to_have_attribute("aria-label", re.compile(r"^血氧饱和度, 98, %, \d+ 秒$"))
    expect(tab.locator("html")).to_have_attribute("lang", "zh-CN")
    screenshot(tab, "page-zh.png")
    assert tab.evaluate("window.never") == "loaded again"
    tab.reload()
    expect(tab.get_by_role("button", name="English")).to_be_visible()

    ward.emit("oximeter:1", SpO2="96", PR="75")
    ward.lose("oximeter:1")
    ward.emit("oximeter:1", SpO2="95", PR="76")
    ward.store()
    ward.assign("oximeter:1", "ICU-10", "血氧仪")
    expect(value(tab, "ICU-10", "SpO2")).to_have_count(2)
    expect(tab.locator('[data-bed="ICU-10"] .device > p')).to_have_text(["监护仪10", "血氧仪"])
    expect(tab.locator("#ledger.off p").first).to_have_text(
        "报告28设备发出 =27已存储 +0已隔离 +0在途 +0丢失 +1去向不明"
    )
    ward.alarm("n10:2", "SpO2", "SpO2 85 < 90", "high", opened=False)
    expect(tab.locator(".bed.high")).to_have_count(0)


TEMP, DEGC, SPO2, PERCENT = 150344, 268192, 150456, 262688
T1, T2 = ChannelWords(label="T1"), ChannelWords(label="T2")


def test_like_channels_bounds_codes_and_the_devices_own_alarms(ward: Ward, look: Look) -> None:
    ward.emit_records("n10:1", Kind.DESCRIPTION, *(
        Record(TEMP, channel=t.number, kind=RecordKind.TEXT, text=msgspec.json.encode(t).decode()) for t in (T1, T2)
    ))  # fmt: skip
    ward.emit_records(
        "n10:1", Kind.METRIC, Record(TEMP, DEGC, T2.number, mantissa=395, exponent=-1),
        Record(TEMP, DEGC, T1.number, RecordKind.BOUND, mantissa=34, marks=Mark.LESS),
        Record(TEMP, DEGC, 7, mantissa=361, exponent=-1, marks=Mark.AMBIGUOUS),
        Record(SPO2, PERCENT, kind=RecordKind.CODE, mantissa=3, text="searching"),
    )  # fmt: skip
    ward.emit_records("n10:1", Kind.ALARM, Record(SPO2, kind=RecordKind.ALARM, alarm=Alarm(
        "probe", priority=AlarmPriority.LOW, text="SpO2 probe off")))  # fmt: skip
    ward.emit_records("n10:2", Kind.METRIC, Record(TEMP, DEGC, T1.number, mantissa=37, marks=Mark.TRAINING),
              Record(SPO2, PERCENT, mantissa=97, marks=Mark.WITHDRAWAL))  # fmt: skip
    ward.store()
    for i in (1, 2):
        ward.assign(f"n10:{i}", f"ICU-0{i}", "")
    ward.alarm("n10:1", "T", "T 39.5 > 39", "high", channel=T2.number)
    tab = look()
    temperatures = value(tab, "ICU-01", "T")
    expect(temperatures.locator(".name")).to_have_text(["T #7?", "T T1", "*** T T2"])
    expect(temperatures.locator(".number")).to_have_text(["36.1", "<34.0", "39.5"])
    expect(value(tab, "ICU-01", "SpO2").locator(".number")).to_have_text("searching")
    for name, number, state in (("T", "37.0?", "training"), ("SpO2", "--", "withdrawn")):
        expect(value(tab, "ICU-02", name).locator(".name")).to_have_text(name)
        expect(value(tab, "ICU-02", name).locator(".number")).to_have_text(number)
        expect(value(tab, "ICU-02", name).locator(".state")).to_have_text(state)
    assert tab.evaluate(CUT_OFF) == []
    temperatures.nth(1).click()
    for text in ("<34 °C · accepted, a bound", f"channel T1 #{T1.number}", "* SpO2 probe off since"):
        expect(tab.locator("#detail")).to_contain_text(text)


@pytest.mark.parametrize("width", [1920, 390])
def test_an_alarm_below_the_window_is_one_step_away(ward: Ward, look: Look, width: int) -> None:
    for i in range(1, 41):
        ward.emit(f"n10:{i}", HR="70", SpO2="97", T="36.8")
    ward.store()
    for i in range(1, 41):
        ward.assign(f"n10:{i}", f"ICU-{i:02}", "")
    ward.alarm("n10:1", "T", "T 38.4 > 38", "low")
    ward.alarm("n10:39", "HR", "HR 134 > 120", "medium")
    ward.alarm("n10:40", "SpO2", "SpO2 85 < 90", "high")
    tab = look(viewport={"width": width, "height": 844}, reduced_motion="reduce")
    jumps = tab.locator("#elsewhere button")
    expect(jumps).to_have_text(["ICU-40 *** SpO2 85 < 90", "ICU-39 ** HR 134 > 120"])
    assert tab.evaluate(SMALL) == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    jumps.first.click()
    expect(tab.locator('[data-bed="ICU-40"]')).to_be_in_viewport(ratio=0.8)
    expect(value(tab, "ICU-40", "HR")).to_be_focused()
    expect(jumps).to_have_text(["ICU-01 * T 38.4 > 38"])


def test_a_value_is_followed_to_its_batch_by_keyboard(ward: Ward, look: Look) -> None:
    ward.emit("n10:1", HR="70", NIBP_S="120", NIBP_D="80", NIBP_M="93")
    ward.emit("n10:2", clock_s=-90, HR="450")
    ward.emit("ICU-01", HR="99")  # what a device calls itself does not put it on a bed
    ward.store()
    ward.assign("n10:1", "ICU-01", "监护仪1")
    ward.assign("n10:2", "ICU-02", "监护仪2")
    tab = look()
    expect(tab.locator('.bed:not(.stranger)[data-bed="ICU-01"] .value')).to_have_count(2)
    expect(tab.locator('.bed.stranger[data-bed="ICU-01"] .value')).to_have_count(1)
    tab.keyboard.press("2")
    target = value(tab, "ICU-02", "HR")
    expect(target).to_be_focused()
    target.evaluate("e => { window.held = e; }")
    tab.keyboard.press("Enter")
    shown = tab.locator("dialog[open]")
    expect(shown.locator("h2")).to_have_text("ICU-02 · HR")
    rows = dict(zip(shown.locator("dt").all_inner_texts(), shown.locator("dd").all_inner_texts(), strict=True))
    assert rows["device"].startswith("监护仪2 · n10:2 · ")
    assert rows["HR"] == "450 /min · doubtful: not physically possible"
    assert rows["code"] == "MDC_ECG_HEART_RATE · 147842 · LOINC 8867-4"
    assert rows["flags"] == "device clock and edge clock differ"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} [+-]\d\d:00 \(−90000 ms\)", rows["measured"])
    for name in ("received by the edge", "validated and sealed", "stored"):
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} [+-]\d\d:00", rows[name])
    assert re.fullmatch("[0-9a-f]{64}", rows["batch"])
    assert (rows["leaf"], rows["log"]) == ("3", "not there yet")
    assert re.fullmatch(r"box on ward 3 [0-9a-f-]{36} · live, number 1", rows["edge"])
    tab.keyboard.press("Escape")
    expect(shown).to_have_count(0)
    expect(target).to_be_focused()
    ward.emit("n10:2", HR="71")
    ward.store()
    expect(target.locator(".number")).to_have_text("71")
    expect(target).to_be_focused()
    assert target.evaluate("e => e === window.held")
    value(tab, "ICU-01", "NIBP").click()
    expect(shown.locator("dt")).to_have_text(
        ["device", *["NIBP-S", "code", "NIBP-D", "code", "NIBP-M", "code"], "measured", "received by the edge",
         "validated and sealed", "stored", "edge", "batch", "leaf", "log"]
    )  # fmt: skip


def test_of_two_values_asked_for_the_last_is_shown(ward: Ward, look: Look) -> None:
    ward.emit("n10:1", HR="70", SpO2="97")
    ward.store()
    tab = look()
    slow: list[Any] = []
    tab.route("**/batch/*", lambda route: route.continue_() if slow else slow.append(route))
    value(tab, "n10:1", "HR").click()
    value(tab, "n10:1", "SpO2").click()
    title = tab.locator("dialog[open] h2")
    expect(title).to_have_text("n10:1 · SpO2")
    with tab.expect_response("**/batch/*"):
        slow[0].continue_()
    tab.wait_for_function("new Promise(done => setTimeout(() => done(true), 100))")
    expect(title).to_have_text("n10:1 · SpO2")


def test_what_is_stale_looks_stale_and_what_a_device_calls_itself_is_only_text(ward: Ward, look: Look) -> None:
    nasty = "<img src=x onerror=alert(1)>"
    for ago in (70, 60):  # a value each ten seconds, and a little more while the page is opened between
        ward.emit("fresh", ago_s=ago - 60, SpO2="91")
        ward.emit("dim", ago_s=ago - 20, SpO2="92")
        ward.emit("stale", ago_s=ago + 60, SpO2="93", NIBP_S="120", NIBP_D="80")
        ward.emit("late", clock_s=-120 - ago, SpO2="94")
        ward.emit("buffered", clock_s=-900 - ago, SpO2="95")
        ward.emit("ahead", ago_s=ago + 60, clock_s=40, SpO2="96")
        ward.emit(nasty, SpO2="90")
        ward.store()
        if ago == 70:
            tab = look()
    for claim, text, classes, state in (
        ("fresh", "91", "value cyan", ""), ("dim", "92", "value cyan dim", ""),
        ("stale", "--", "value cyan dim stale", "old"),
        ("late", "94", "value cyan dim", "clock?"), ("buffered", "--", "value cyan dim stale", "old"),
        ("ahead", "--", "value cyan dim stale", "old"),
    ):  # fmt: skip
        shown = value(tab, claim, "SpO2")
        expect(shown).to_have_class(classes)
        expect(shown.locator(".number")).to_have_text(text)
        expect(shown.locator(".state")).to_have_text(state)
    expect(value(tab, "stale", "NIBP").locator(".age")).to_have_text(re.compile(r"^\d\d:\d\d 2 min$"))
    assert "gradient" in value(tab, "stale", "SpO2").evaluate("e => getComputedStyle(e).backgroundImage")
    expect(tab.locator(".bed.stranger h2").filter(has_text=nasty)).to_have_text(nasty)


def test_a_lost_feed_covers_the_page_and_comes_back_alone(ward: Ward, page: Page, look: Look) -> None:
    ward.emit("n10:1", HR="70")
    ward.store()
    tab = look("zh")
    value(tab, "n10:1", "HR").click()
    expect(tab.locator("dialog[open]")).to_have_count(1)
    page.stop()
    began = time.monotonic()
    expect(tab.locator("#lost")).to_be_visible(timeout=LOST_S * 1000)
    assert time.monotonic() - began < LOST_S
    expect(tab.locator("dialog[open]")).to_have_count(0)
    expect(tab.locator("#lost")).to_contain_text("无实时数据")
    expect(tab.locator("#lost")).to_contain_text("本页面的服务器无响应")
    assert tab.evaluate("document.elementFromPoint(200, 100).closest('#lost') !== null")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.closest('#page')") is None
    # A proxy's error page ends an EventSource for good: the page has to ask anew.
    with tab.expect_response(lambda answer: answer.status == 502, timeout=LOST_S * 1000):
        tab.route("**/events", lambda route: route.fulfill(status=502))
    page.start()
    tab.unroute("**/events")
    expect(tab.locator("#lost")).to_be_hidden(timeout=LOST_S * 1000)
    expect(value(tab, "n10:1", "HR").locator(".number")).to_have_text("70")

    with ward.away():
        expect(tab.locator("#lost")).to_be_visible(timeout=LOST_S * 1000)
        expect(tab.locator("#lost")).to_contain_text("数据库无响应")
    expect(tab.locator("#lost")).to_be_hidden(timeout=LOST_S * 1000)


def test_a_picture_that_is_late_or_cannot_be_drawn_covers_the_page(ward: Ward, look: Look) -> None:
    ward.emit("n10:1", HR="70")
    ward.store()
    tab = look(before=HOLD_SOURCE)
    expect(tab.locator("html.fed")).to_have_count(1)  # the tiles are there before: the page opens with them
    covered = """change => {
        const { number, now, tick } = JSON.parse(window.last);
        const next = { number: number + 1, whole: false, now, tick, beds: [] };
        change === 'late' ? next.tick -= 9000 : next.beds = [null];
        window.source.dispatchEvent(new MessageEvent('message', { data: JSON.stringify(next) }));
        return [document.getElementById('lost').hidden, document.getElementById('lost').textContent];
    }"""
    hidden, text = tab.evaluate(covered, "late")
    assert not hidden
    assert "No live data" in text
    expect(tab.locator("#lost")).to_be_hidden()
    hidden, text = tab.evaluate(covered, "broken")
    assert not hidden
    assert "cannot draw" in text
    expect(tab.locator("#lost")).to_be_hidden()
    look.printed.clear()  # type: ignore[attr-defined]


def test_a_page_that_missed_a_picture_asks_for_a_whole_one(ward: Ward, look: Look) -> None:
    ward.emit("n10:1", HR="70")
    ward.emit("n10:2", HR="80")
    ward.store()
    tab = look(before=HOLD_SOURCE)
    expect(tab.locator("html.fed")).to_have_count(1)  # the tiles are there before: the page opens with them
    expect(value(tab, "n10:2", "HR").locator(".number")).to_have_text("80")
    with tab.expect_request("**/events"):
        left = tab.evaluate("""() => {
            const next = JSON.parse(window.last);
            Object.assign(next, { number: next.number + 2, whole: false, beds: [{ bed: 0, structure: null }] });
            window.source.dispatchEvent(new MessageEvent('message', { data: JSON.stringify(next) }));
            return document.querySelectorAll('.bed').length;
        }""")
    assert left == 2  # what does not follow is not drawn
    ward.emit("n10:1", HR="71")
    ward.store()
    expect(value(tab, "n10:1", "HR").locator(".number")).to_have_text("71")
    expect(value(tab, "n10:2", "HR").locator(".number")).to_have_text("80")
    expect(tab.locator("#lost")).to_be_hidden()


def test_a_monitors_digits_on_the_tile_and_what_was_sent_in_the_detail(ward: Ward, look: Look) -> None:
    ward.emit(
        "n10:1", T="36.922295", HR="71.6", SpO2="97.0", NIBP_S="119.6", NIBP_D="79.4", NIBP_M="93", ST_II="-0.285"
    )
    ward.emit("pump", Rate="0.25")
    ward.store()
    tab = look()
    for name, number in (("T", "36.9"), ("HR", "72"), ("SpO2", "97"), ("NIBP", "120/79"), ("ST-II", "-0.29")):
        expect(value(tab, "n10:1", name).locator(".number")).to_have_text(number)
    expect(value(tab, "pump", "Rate").locator(".number")).to_have_text("0.25")
    ward.emit("n10:1", T="36.95", HR="71.4", SpO2="97", NIBP_S="119.6", NIBP_D="79.4", NIBP_M="93", ST_II="0")
    ward.store()
    for name, number in (("T", "37.0"), ("HR", "71"), ("SpO2", "97"), ("NIBP", "120/79"), ("ST-II", "0.00")):
        expect(value(tab, "n10:1", name).locator(".number")).to_have_text(number)
    value(tab, "n10:1", "NIBP").click()
    shown = tab.locator("dialog[open]")
    for text in ("119.6 mmHg · accepted", "79.4 mmHg", "93 mmHg"):
        expect(shown).to_contain_text(text)
    tab.keyboard.press("Escape")
    value(tab, "n10:1", "T").click()
    expect(shown).to_contain_text("36.95 °C · accepted")


def test_a_clock_that_was_ahead_freezes_no_tile(ward: Ward, look: Look) -> None:
    ward.emit("n10:1", ago_s=-3600, SpO2="91", HR="70")
    ward.store()
    tab = look()
    ahead = value(tab, "n10:1", "SpO2")
    expect(ahead.locator(".number")).to_have_text("91")
    expect(ahead.locator(".state")).to_have_text("clock?")
    ward.emit("n10:1", SpO2="97")  # it was put right
    ward.store()
    expect(ahead.locator(".number")).to_have_text("97")
    expect(ahead.locator(".state")).to_have_text("")


def test_a_browser_whose_clock_is_wrong_goes_by_the_servers(ward: Ward, look: Look) -> None:
    ward.emit("n10:1", HR="70")
    ward.store()
    tab = look(before="const real = Date.now; Date.now = () => real() - 3600000;")
    expect(value(tab, "n10:1", "HR").locator(".age")).to_have_text(AGE)
    expect(tab.locator("#clock-off")).to_have_text("This computer's clock is off by 60 min; ages go by the server's.")
    there = time.strftime("%Y-%m-%d %H:", time.gmtime(time.time() - WEST_H * 3600))
    expect(tab.locator("#clock")).to_have_text(re.compile(there))


@pytest.mark.parametrize("width", [1280, 400])
def test_everyone_can_read_and_reach_it(ward: Ward, look: Look, width: int) -> None:
    twelve(ward)
    tab = look(viewport={"width": width, "height": 720}, reduced_motion="reduce")
    expect(tab.locator(".bed.high")).to_have_count(1)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("document.getAnimations().length") == 0
    assert tab.evaluate(SMALL) == []
    assert min(tab.evaluate(SIZES, ".bed:not(.stranger) h2")) > max(tab.evaluate(SIZES, ".bed :not(h2)"))
    assert [c for c in tab.evaluate(CONTRASTS) if c[0] < 4.5] == []
    assert tab.evaluate(CUT_OFF) == []


def screenshot(tab: Tab, name: str) -> None:
    folder = os.environ.get("VITALWIRE_SCREENSHOTS")
    if folder:
        tab.emulate_media(reduced_motion="reduce")  # else the flashing decides what it looks like
        tab.screenshot(path=Path(folder) / name)
