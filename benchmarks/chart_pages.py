"""A patient's pages in a browser, and a page of the 体温单, of a week that a monitor filled.

First paint is by Chromium's own clock, from the request until the patient's name, and of the chart its cells, stand;
the slower of both pages counts. A sheet's page is read from the store, laid out and written as SVG.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from benchmarks.attribution import admit
from benchmarks.page import own_database, serving
from benchmarks.signed_in import browser_cookie, sign_in
from clinical.chart import EntryKey, Origin, Source, Status, Version
from clinical.sheet.layout import lay_out
from clinical.sheet.style_file import shipped_style
from clinical.sheet.svg import svg
from emr_store import chart_entries, chart_policies, chart_sheet
from emr_store.chart_entries import NewVersion
from emr_store.connect import open_store
from emr_store.instants import us_of
from emr_store.migrate import migrate

CHROMIUM = "/usr/bin/chromium"
WEEK_US, SLOT_US = 7 * 24 * 3_600_000_000, 300_000_000
TIMES, TIMES_QUICK = 11, 5
USUAL = {
    "MDC_ECG_HEART_RATE": 82.0, "MDC_PULS_OXIM_PULS_RATE": 82.0, "MDC_PULS_OXIM_SAT_O2": 97.0, "MDC_RESP_RATE": 16.0,
    "MDC_TEMP_AXIL": 36.8, "MDC_PRESS_BLD_NONINV_SYS": 122.0, "MDC_PRESS_BLD_NONINV_DIA": 74.0,
    "MDC_PRESS_BLD_NONINV_MEAN": 90.0,
}  # fmt: skip
POLICIES = f"""
zone = "Asia/Shanghai"
[[policy]]
metrics = [{", ".join(f'"{metric}"' for metric in USUAL)}]
when = "every 5 min"
value = "last valid"
"""
# When the last of what a page waits for is drawn.
_NOTE_PAINT = """new MutationObserver(() => {
    if (window.paintedAt || !document.querySelector('SELECTOR')) return;
    window.paintedAt = -1;
    requestAnimationFrame(() => setTimeout(() => { window.paintedAt = performance.now(); }));
}).observe(document, { childList: true, subtree: true });"""


def first_paint(quick: bool) -> dict[str, float]:
    """Median of the slower page. Raises RuntimeError where there is no browser to measure with."""
    with _week() as (database, encounter), serving(database) as (_, port):
        chart, patient = f"/chart/{quote(encounter)}#zh", "/patient/pV1#zh"
        cookie = sign_in(database)
        slower = max(
            _paint_ms(f"http://127.0.0.1:{port}{path}", cookie, selector, TIMES_QUICK if quick else TIMES)
            for path, selector in ((chart, "#chart tbody td"), (patient, "#charts a"))
        )
    return {"patient_page_first_paint_ms": slower}


def _paint_ms(url: str, cookie: str, selector: str, times: int) -> float:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise RuntimeError("needs the Python package playwright: pip install -e '.[dev]'") from None
    if not Path(CHROMIUM).exists():
        raise RuntimeError(f"needs {CHROMIUM}: apt-get install chromium")
    taken = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(times):
            context = browser.new_context(viewport={"width": 1440, "height": 900})
            context.add_cookies([browser_cookie(cookie)])
            tab = context.new_page()
            tab.add_init_script(_NOTE_PAINT.replace("SELECTOR", selector))
            tab.goto(url)
            tab.locator(selector).first.wait_for()
            painted = -1.0
            while painted <= 0:
                painted = tab.evaluate("window.paintedAt ?? -1")
            taken.append(painted)
            context.close()
        browser.close()
    return statistics.median(taken)


def sheet_page(quick: bool) -> dict[str, float]:
    """Median of a page of a week. Raises RuntimeError where it does not show what was charted."""
    style, taken = shipped_style("standard"), []
    with _week() as (database, encounter), open_store(database) as conn:
        for _ in range(TIMES_QUICK if quick else TIMES):
            began = time.perf_counter()
            page = svg(lay_out(chart_sheet.sheet_data(conn, encounter, style), style, 1))
            taken.append((time.perf_counter() - began) * 1000)
            if page.count('class="temperature"') == 0 and page.count("data-about") < 40:  # six a day, and rates
                raise RuntimeError("the sheet does not show the week's values")
    return {"sheet_page_ms": statistics.median(taken)}


@contextmanager
def _week() -> Iterator[tuple[str, str]]:
    """A database with a stay of a week, and the stay's key."""
    with own_database() as database:
        migrate(database)
        with open_store(database) as conn:
            until_us = us_of(datetime.now(UTC)) // SLOT_US * SLOT_US
            encounter = admit(conn, "V1", until_us - WEEK_US)
            chart_policies.note_policies(conn, POLICIES)
            with conn.transaction():
                chart_entries.append(conn, _versions(encounter, until_us))
            conn.execute("ANALYZE")
        yield database, encounter


def _versions(encounter: str, until_us: int) -> Iterator[NewVersion]:
    for at_us in range(until_us - WEEK_US + SLOT_US, until_us + 1, SLOT_US):
        for place, (item, usual) in enumerate(USUAL.items()):
            version = Version(
                number=1, status=Status.PRELIMINARY, origin=Origin.DEVICE, value=usual + at_us // SLOT_US % 5, text="",
                unit="", decimals=1, observed_at_us=at_us - 1, sources=(Source(bytes(32), place, 0),),
                reason="last valid", act_id=None, by_time=False, recorded_at_us=at_us,
            )  # fmt: skip
            yield NewVersion(chart_entries.new_entry_id(), EntryKey(encounter, item, at_us), 1, version)
