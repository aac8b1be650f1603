"""The downtime view in Debian's Chromium; VITALWIRE_SCREENSHOTS=docs: its pictures."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.downtime.codes import CodeGate
from edge_agent.downtime.ring_file import HistoryState
from tests.edge_agent.downtime.showing import AWAY, CODE, NOW_US, a_ward, keep, serving, value
from tests.gateway.test_page import CONTRASTS, chromium, expect
from tests.making import T0_US

pytestmark = pytest.mark.integration
__all__ = ["chromium"]  # a fixture
Look = Callable[..., Any]
SMALL = """() => [...document.querySelectorAll('button, a, input')].filter(e => e.offsetParent)
    .map(e => [e.textContent, e.getBoundingClientRect()]).filter(([, r]) => r.width < 44 || r.height < 44)"""


@pytest.fixture
def look(chromium: Any) -> Iterator[Look]:
    """Opens a page; at the end nothing of its own may have failed or been blocked."""
    printed: list[str] = []
    contexts = []

    def open_tab(url: str, language: str = "en", **options: Any) -> Any:
        size = {"width": 1280, "height": 720}
        context = chromium.new_context(**{"viewport": size, "timezone_id": "Asia/Shanghai", **options})
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda m: printed.append(m.text) if m.type in ("error", "warning") else None)
        tab.on("pageerror", lambda e: printed.append(str(e)))
        tab.goto(f"{url}/#{language}")
        return tab

    yield open_tab
    for context in contexts:
        context.close()
    # An answer 401, 403 or 429, and a server that has ended, are said by the browser too.
    assert [text for text in printed if not re.search("Failed to load resource", text)] == []


def is_well_drawn(tab: Any) -> None:
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert tab.evaluate(SMALL) == []
    assert [c for c in tab.evaluate(CONTRASTS) if c[0] < 4.5] == []


def picture(tab: Any, name: str) -> None:
    if folder := os.environ.get("VITALWIRE_SCREENSHOTS"):
        tab.screenshot(path=Path(folder) / f"{name}.png")


def test_values_their_age_and_bands_and_that_it_is_not_the_record(tmp_path: Path, look: Look) -> None:
    with serving(keep(tmp_path, a_ward())) as server:
        tab = look(f"http://127.0.0.1:{server.port}")
        expect(tab.locator(".device h2")).to_have_text(["ICU^^07", "ICU^^09"])
        banner = tab.locator("#banner")
        expect(banner).to_contain_text(re.compile(r"NOT THE RECORD · as of \d\d:\d\d:\d\d"))
        expect(banner).to_contain_text("The hospital’s side has been away for 1 h")
        first = tab.locator(".device").first
        expect(first.locator(".number")).to_have_text(["60", "92"])
        expect(first.locator(".age").first).to_have_text(re.compile(r"^\d s ago$"))
        expect(first.locator("svg rect")).to_have_count(2 * 96)
        expect(first.locator(".band small").last).to_have_text("92 – 98")
        expect(tab.locator(".device").last.locator("tr.old.doubt .number")).to_have_text("88")
        expect(tab.locator(".device").last).to_contain_text("no reading")
        is_well_drawn(tab)
        picture(tab, "downtime")
        tab.locator("#language").click()
        expect(banner).to_contain_text("非病历记录 · 截至")
        expect(banner).to_contain_text("与院端系统断开已 1 小时")
        expect(tab.locator(".device").last).to_contain_text("无读数")
        is_well_drawn(tab)
        picture(tab, "downtime-zh")


def test_on_a_phone_nothing_is_cut_off(tmp_path: Path, look: Look) -> None:
    with serving(keep(tmp_path, a_ward())) as server:
        tab = look(f"http://127.0.0.1:{server.port}", "zh", viewport={"width": 390, "height": 800})
        expect(tab.locator(".device")).to_have_count(2)
        is_well_drawn(tab)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (HistoryState(written_at_us=T0_US, last_receipt_at_us=T0_US), "The hospital’s side is reached: look there"),
        (HistoryState(written_at_us=T0_US), "has never answered this box"),
        (HistoryState(written_at_us=T0_US - 3600_000_000), "has written nothing for 1 h"),
    ],
)
def test_how_the_hospitals_side_stands(tmp_path: Path, look: Look, state: HistoryState, words: str) -> None:
    with serving(keep(tmp_path, a_ward(), state)) as server:
        tab = look(f"http://127.0.0.1:{server.port}")
        expect(tab.locator("#banner")).to_contain_text(words)
        is_well_drawn(tab)


def test_a_page_that_hears_nothing_says_so_and_strikes_its_values_through(tmp_path: Path, look: Look) -> None:
    with serving(keep(tmp_path, a_ward())) as server:
        tab = look(f"http://127.0.0.1:{server.port}")
        tab.clock.install()
        tab.reload()
        expect(tab.locator(".device")).to_have_count(2)
        tab.route("**/values", lambda route: route.abort())  # a connection that stands outlives a server's end
        tab.clock.run_for(20_000)
        expect(tab.locator("#banner.lost")).to_contain_text("heard nothing from the box for")
        expect(tab.locator(".number").first).to_have_css("text-decoration-line", "line-through")


def test_the_code_is_asked_for_and_a_wrong_one_is_said(tmp_path: Path, look: Look) -> None:
    with serving(keep(tmp_path, a_ward()), CodeGate(CODE, time.monotonic)) as server:
        tab = look(f"http://127.0.0.1:{server.port}")
        expect(tab.locator("#code")).to_be_visible()
        expect(tab.locator(".device")).to_have_count(0)
        is_well_drawn(tab)
        tab.locator("#typed").fill("0000000000")
        tab.locator("#code button").click()
        expect(tab.locator("#refused")).to_have_text("That is not the code.")
        tab.locator("#typed").fill(CODE)
        tab.locator("#code button").click()
        expect(tab.locator(".device")).to_have_count(2)
        expect(tab.locator("#code")).to_be_hidden()
        assert tab.evaluate("document.cookie") == ""


def test_what_a_sender_writes_is_text_and_nothing_else(tmp_path: Path, look: Look) -> None:
    evil = "<img src=x onerror=document.title='owned'>"
    with serving(keep(tmp_path, [value(97, claim=evil)], AWAY), now_us=NOW_US) as server:
        tab = look(f"http://127.0.0.1:{server.port}")
        expect(tab.locator(".device p")).to_contain_text(evil)
        assert tab.evaluate("document.title") == "Downtime view of this box"
