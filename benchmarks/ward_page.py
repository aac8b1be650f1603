"""The ward page of 32 beds with patients in Chromium, by the browser's own clock.

It is drawn when every tile has its patient and all its values, and the frame with them was painted; nothing of it is in
the browser's cache. The first picture has come when the page is there to its end, for it opens with one; an update is
from a later picture's arrival to its frame. Beside each a page with nothing on it is opened, by the same clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from threading import Thread

from playwright.sync_api import Browser, sync_playwright

from benchmarks.edge import until
from benchmarks.page import VALUES, SpeakingWard, own_database, serving
from benchmarks.signed_in import browser_cookie, sign_in
from emr_store import places
from emr_store.connect import open_store

BEDS = 32
CHROMIUM = Path("/usr/bin/chromium")
ARGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
ROUNDS, ROUNDS_QUICK = 15, 5
UPDATES = 5  # of each round
LIMIT_S = 30.0
_READY = f"() => window.drawn !== null && window.updates.length > {UPDATES}"
_WATCH = f"""
window.updates = [];
window.drawn = null;
const painted = done => requestAnimationFrame(() => setTimeout(() => done(performance.now())));
// A picture comes from the worker that holds the browser's one stream.
window.SharedWorker = class extends SharedWorker {{
    constructor(...of) {{
        super(...of);
        this.port.addEventListener("message", ({{ data }}) => {{
            if (data.kind !== "message") return;
            const came = performance.now();
            painted(at => window.updates.push(at - came));
        }});
    }}
}};
const whole = () => document.querySelectorAll(".bed").length === {BEDS}
    && [...document.querySelectorAll(".bed")].every(bed => bed.querySelector(".patient b")?.textContent
        && bed.querySelectorAll(".value .number").length === {VALUES});
const look = () => whole() ? painted(at => {{ window.drawn = at; }}) : requestAnimationFrame(look);
document.addEventListener("DOMContentLoaded", look);
"""
_DRAWN = """() => [window.drawn, performance.getEntriesByType("navigation")[0].responseEnd, window.updates]"""
_EMPTY = b'<!doctype html><html lang="en"><title>empty</title><link rel="icon" href="data:,"><p>empty'
_WATCH_EMPTY = """
window.drawn = null;
document.addEventListener("DOMContentLoaded",
    () => requestAnimationFrame(() => setTimeout(() => { window.drawn = performance.now(); })));
"""


def measure(quick: bool) -> dict[str, float]:
    """Medians. Raises RuntimeError where Chromium is not there."""
    if not CHROMIUM.exists():
        raise RuntimeError(f"needs {CHROMIUM}: apt-get install chromium")
    navigations, pictures, updates, ratios = [], [], [], []
    with _looking() as (browser, url, cookie), _empty_page() as empty_url:
        for _ in range(ROUNDS_QUICK if quick else ROUNDS):
            empty_ms = _empty_ms(browser, empty_url)
            tab = browser.new_page(viewport={"width": 1920, "height": 1080})
            tab.context.add_cookies([browser_cookie(cookie)])
            tab.add_init_script(_WATCH)
            tab.goto(url)
            until(partial(tab.evaluate, _READY), "the ward is drawn", LIMIT_S, every_s=0.5)
            drawn, came, took = tab.evaluate(_DRAWN)
            navigations.append(drawn)
            ratios.append(drawn / empty_ms)
            pictures.append(drawn - came)
            updates += took[1:]
            tab.close()
    return {
        "ward_page_32_ms": median(navigations),
        "ward_page_32_to_empty_page_ratio": median(ratios),
        "ward_page_32_first_picture_ms": median(pictures),
        "ward_page_32_update_ms": median(updates),
    }


def _empty_ms(browser: Browser, url: str) -> float:
    tab = browser.new_page(viewport={"width": 1920, "height": 1080})
    tab.add_init_script(_WATCH_EMPTY)
    tab.goto(url)
    until(partial(tab.evaluate, "() => window.drawn !== null"), "the empty page is drawn", LIMIT_S, every_s=0.5)
    drawn_ms: float = tab.evaluate("() => window.drawn")
    tab.close()
    return drawn_ms


class _EmptyPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(_EMPTY)))
        self.end_headers()
        self.wfile.write(_EMPTY)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def _empty_page() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _EmptyPage) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _looking() -> Iterator[tuple[Browser, str, str]]:
    """A browser, where the page of a ward that speaks is, and the cookie of somebody who may see it."""
    with own_database() as database:
        ward = SpeakingWard(database, BEDS)
        with open_store(database) as conn:
            devices = conn.execute("SELECT device, uuid FROM device ORDER BY device").fetchall()
            for number, uuid in devices:
                places.assign(conn, str(uuid), f"ICU-{number:02}", since=datetime(2026, 1, 1, tzinfo=UTC))
        with serving(database) as (_, port), sync_playwright() as playwright:
            ward.start()
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
            try:
                yield browser, f"http://127.0.0.1:{port}/#en", sign_in(database)
            finally:
                browser.close()
                ward.stop()
