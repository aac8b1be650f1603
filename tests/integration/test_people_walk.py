"""People at a ward's workstation, from a first security key to the auditor's page, in Chromium with a virtual key.

`vitalwire page` runs as a process of its own. VITALWIRE_SCREENSHOTS: a picture of each step.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from clinical.chart import Entry, Status
from emr_store import grants, login_sessions
from emr_store.connect import open_store
from tests.commands import vitalwire
from tests.conftest import Databases, address_of
from tests.gateway.chart_ward import MINUTE_US, NUMBER, ChartWard
from tests.gateway.signing_in import sign_in
from tests.gateway.test_page import ARGS, CHROMIUM, CONTRASTS, screenshot
from tests.gateway.test_page_keys import SMALL, Workstation
from tests.integration.walking import (
    AUDITOR,
    NAMES,
    NURSE,
    OTHER_ENCOUNTER,
    OTHER_NAME,
    OTHER_NUMBER,
    PHYSICIAN,
    Network,
    network,
    open_two_wards,
    page_process,
)
from tests.runtime.conftest import Certified, certify
from vitalwire.embedded.services import free_port

try:
    from playwright.sync_api import expect, sync_playwright
except ImportError:
    sync_playwright = None  # type: ignore[assignment]

pytestmark = pytest.mark.integration
HOST = "gateway.example"
PORT = 8443
CUT_S = 60.0  # F39
GLASS_S = 10.0
OTHER_BED = "W5-1"
TEN_MINUTES_US = 10 * MINUTE_US
NAMELESS = """() => [...document.querySelectorAll('button, a, input, select, summary, [role=img]')]
    .filter(e => e.getClientRects().length)
    .filter(e => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.[0]?.textContent.trim()))
    .map(e => e.outerHTML)"""
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
REASONS = {"en": "covers for ward 5 tonight", "zh": "夜间代管五病区"}
FOUND = {"en": "asked her: she covered", "zh": "已核实，当班代管"}


@pytest.fixture(scope="module")
def playwright() -> Iterator[Any]:
    missing = [what for what, there in (
        (str(CHROMIUM), CHROMIUM.exists()), ("the Python package playwright", sync_playwright is not None),
        ("ip (iproute2)", shutil.which("ip")), ("nsenter (util-linux)", shutil.which("nsenter")),
    ) if not there]  # fmt: skip
    if missing:
        why = f"needs {', '.join(missing)}"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def chromium(playwright: Any) -> Iterator[Any]:
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def made_once(databases: Databases) -> ChartWard:
    """Each test has a copy."""
    made = open_two_wards(address_of(databases.server, databases.make_migrated()))
    made.store.hang_up()
    return made


@pytest.fixture
def database(databases: Databases, made_once: ChartWard, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for address in databases.copy_of(made_once.store.address):
        monkeypatch.setenv("VITALWIRE_DATABASE", address)
        yield address


@pytest.fixture
def ward(made_once: ChartWard, database: str) -> ChartWard:
    return made_once.in_copy(database)


@pytest.fixture
def origin(ward: ChartWard, tmp_path: Path) -> Iterator[str]:
    journal = str(tmp_path / "looks.journal")
    with page_process("--port", str(free_port()), "--look-journal", journal) as at:
        yield at


class Walk:
    """One workstation, the keys of those who work at it, and a picture of each step."""

    def __init__(self, chromium: Any, origin: str, language: str, name: str) -> None:
        self.at = Workstation(chromium, origin, locale="zh-CN" if language == "zh" else "en-GB")
        self.tab, self.language, self.name = self.at.tab, language, name
        self.keys: dict[str, dict[str, Any]] = {}
        self.steps = 0

    def enrol(self, staff: str) -> None:
        """By a link of the server's operator."""
        code, said = vitalwire(f"people key open {staff} --origin {self.at.origin}")
        assert code == 0, said
        self.at.plug()
        self.tab.goto(f"{said.split()[-1]}#{self.language}")
        expect(self.tab.locator("#enrol-title")).to_contain_text(f"{NAMES[staff]} ({staff})")
        self.tab.locator("#key-name").fill("1")
        self.tab.locator("#enrol").click()
        expect(self.tab.locator("#done")).not_to_be_empty()
        if staff == NURSE:
            self.picture("enrolled")
        self.keys[staff] = self.at.unplug()

    def press_with_key(self, staff: str, button: str) -> None:
        """A press that asks for a key, with this one in the reader."""
        self.at.plug(self.keys[staff])
        self.tab.locator(button).click()
        expect(self.tab.locator("#to-people")).to_have_text(NAMES[staff])
        self.keys[staff] = self.at.unplug()

    def know_of_the_key(self) -> None:
        """Who was given one is told at the first sign-in."""
        self.tab.locator("#key-news button").click()
        expect(self.tab.locator("#key-news")).to_have_count(0)

    def sign_out(self) -> None:
        self.tab.locator("#sign-out").click()
        expect(self.tab.locator("#by-key")).to_be_visible()

    def picture(self, step: str) -> None:
        """How it looks; and nothing on it is too small, too pale, too wide or without a name."""
        self.steps += 1
        screenshot(self.tab, f"walk-{self.name}-{self.steps:02}-{step}.png")
        problems = {
            "small": self.tab.evaluate(SMALL), "nameless": self.tab.evaluate(NAMELESS),
            "pale": [each for each in self.tab.evaluate(CONTRASTS) if each[0] < 4.5],
            "wide": self.tab.evaluate(OVERFLOW),
        }  # fmt: skip
        assert {name: found for name, found in problems.items() if found} == {}, step

    def confirm_ten_minutes(self) -> None:
        """Each open entry of the chart's two newest columns of five minutes."""
        self.tab.locator("#steps button", has_text=re.compile("^5 ")).click()
        expect(self.tab.locator("#chart thead th")).to_have_count(145)
        for _ in range(2):
            button = self.tab.locator("#chart thead button:enabled").last
            button.scroll_into_view_if_needed()
            column = button.get_attribute("aria-label") or ""
            button.click()
            expect(self.tab.get_by_role("button", name=column, exact=True)).to_have_count(0)
            expect(self.tab.locator("#refusal")).to_have_text("")

    def close(self) -> None:
        self.at.context.close()
        assert self.at.problems == []


def newest_ten_minutes(ward: ChartWard) -> list[Entry]:
    """What stands in the two newest columns of five minutes; a cuff's value stands in that of its moment."""
    entries = ward.entries()
    newest_us = column_of(max(entry.key.at_us for entry in entries))
    return [entry for entry in entries if column_of(entry.key.at_us) > newest_us - TEN_MINUTES_US]


def column_of(at_us: int) -> int:
    """When it begins."""
    return at_us - at_us % (TEN_MINUTES_US // 2)


def break_the_glass(walk: Walk) -> None:
    """The nurse finds a patient of the other ward, is asked for a reason, gives it, and is reminded."""
    tab = walk.tab
    tab.locator("#find-number").fill(OTHER_NUMBER)
    tab.locator("#find-number").press("Enter")
    expect(tab.locator("#glass-reason")).to_be_focused()
    assert OTHER_NAME not in tab.content()
    walk.picture("glass")
    tab.locator("#glass-reason").fill(REASONS[walk.language])
    tab.locator("#glass button").first.click()
    expect(tab.locator("#title")).to_have_text(OTHER_NAME)
    expect(tab.locator("#glass-band")).to_contain_text(re.compile(r"\d\d:\d\d"))
    expect(tab.locator("#beliefs td").first).to_be_visible()
    expect(tab.locator("#reminders .reminder").first).to_be_visible(timeout=20_000)
    walk.picture("reminded")


def find_all_of_it(walk: Walk) -> None:
    """The auditor asks who saw the patient and what the nurse did, and closes the review of the glass."""
    tab, language = walk.tab, walk.language
    rows = tab.locator("#traces tbody tr")
    tab.locator("#number").fill(OTHER_NUMBER)
    tab.locator("#show").click()
    expect(rows.filter(has_text=NURSE).first).to_be_visible()
    expect(rows.filter(has_text=PHYSICIAN).first).to_be_visible()
    expect(tab.locator("#traces tr.marked").first).to_contain_text(NURSE)
    expect(rows.filter(has_text=REASONS[language]).first).to_be_visible()
    walk.picture("who-saw")
    tab.locator("#about").select_option("person")
    tab.locator("#number").fill(NURSE)
    tab.locator("#show").click()
    expect(rows.filter(has_text=NUMBER).first).to_be_visible()
    expect(rows.filter(has_text=PHYSICIAN)).to_have_count(0)
    walk.picture("what-did")
    glass = tab.locator("#review-list .item").filter(has_text=REASONS[language])
    expect(glass).to_have_count(1)
    expect(glass).to_contain_text(NURSE)
    glass.locator("input").fill(FOUND[language])
    glass.locator("button").click()
    expect(glass).to_have_count(0)
    tab.locator("#closed").click()
    expect(glass).to_contain_text(FOUND[language])
    walk.picture("closed")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_nurse_a_physician_and_an_auditor(chromium: Any, ward: ChartWard, origin: str, language: str) -> None:
    walk = Walk(chromium, origin, language, language)
    tab = walk.tab
    for staff in (NURSE, PHYSICIAN, AUDITOR):
        walk.enrol(staff)
    walk.at.go(f"/#{language}")
    walk.picture("sign-in")
    walk.press_with_key(NURSE, "#by-key")
    expect(tab.locator(".bed")).to_have_count(1)
    walk.know_of_the_key()
    walk.picture("ward")
    walk.sign_out()
    walk.picture("signed-out")
    walk.press_with_key(NURSE, "#by-key")
    tab.goto(f"{origin}/chart/V1#{language}")
    walk.confirm_ten_minutes()
    walk.picture("confirmed")
    newest = newest_ten_minutes(ward)
    assert len(newest) >= 7  # by its rules the chart is ten minutes behind; five rows each, or a cuff's two
    assert all(entry.now.status is Status.FINAL and entry.now.confirmed for entry in newest)
    confirmed = tab.locator("#chart td.confirmed")
    expect(confirmed).to_have_count(len(newest))
    expect(confirmed.filter(has_text=NAMES[NURSE])).to_have_count(len(newest))
    break_the_glass(walk)
    tab.locator("#lock").click()
    expect(tab.locator("#switch")).to_be_visible()
    expect(tab.locator(".bed").first).to_be_visible()
    assert not any(name in tab.content() for name in (NAMES[NURSE], OTHER_NAME))
    expect(tab.locator("#reminders")).to_be_hidden()
    walk.picture("locked")
    walk.press_with_key(PHYSICIAN, "#switch")
    expect(tab.locator(".bed")).to_have_count(2)
    walk.know_of_the_key()
    walk.picture("physician")
    tab.goto(f"{origin}/patient/{OTHER_NUMBER}#{language}")
    expect(tab.locator("#title")).to_have_text(OTHER_NAME)
    walk.sign_out()
    walk.at.go(f"/audit#{language}")
    walk.press_with_key(AUDITOR, "#by-key")
    walk.know_of_the_key()
    find_all_of_it(walk)
    walk.close()


# --- the same in another network, over TLS ---


@pytest.fixture
def cable() -> Iterator[Network]:
    with network() as made:
        yield made


def spki_of(certified: Certified) -> str:
    """As Chromium's list of what it trusts wants it."""
    key = x509.load_pem_x509_certificate(certified.cert.read_bytes()).public_key()
    digest = Hash(SHA256())
    digest.update(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return base64.b64encode(digest.finalize()).decode()


@pytest.fixture
def over_tls(database: str, ward: ChartWard, tmp_path: Path, cable: Network) -> Iterator[tuple[str, Certified]]:
    certified, config = certify(tmp_path, "gateway", HOST), tmp_path / "gateway.toml"
    config.write_text(
        f'database = "{database}"\nlisten = "{cable.address}:{PORT}"\npublic_origin = "https://{HOST}:{PORT}"\n'
        f'tls_cert = "{certified.cert}"\ntls_key = "{certified.key}"\nlook_journal = "{tmp_path}/looks.journal"\n'
    )
    with page_process("--config", str(config), within=cable.in_gateway()) as at:
        yield at, certified


def test_from_another_network_over_tls(
    playwright: Any, ward: ChartWard, over_tls: tuple[str, Certified], cable: Network, tmp_path: Path
) -> None:
    origin, certified = over_tls
    started = tmp_path / "chromium"
    started.write_text(f'#!/bin/sh\nexec {" ".join(cable.in_ward())} {CHROMIUM} "$@"\n')
    started.chmod(0o755)
    browser = playwright.chromium.launch(executable_path=started, args=[
        *ARGS, f"--host-resolver-rules=MAP {HOST} {cable.address}",
        f"--ignore-certificate-errors-spki-list={spki_of(certified)}",
    ])  # fmt: skip
    with closing(browser):
        walk = Walk(browser, origin, "en", "tls")
        tab = walk.tab
        walk.enrol(NURSE)
        walk.at.go("/#en")
        walk.press_with_key(NURSE, "#by-key")
        expect(tab).to_have_url(f"https://{HOST}:{PORT}/#en")
        expect(tab.locator(".bed .patient b")).to_have_text(re.compile("^张"))
        (cookie,) = [each for each in walk.at.context.cookies() if each["name"] == "__Host-vitalwire"]
        assert cookie["secure"]
        assert cookie["httpOnly"]
        walk.picture("ward")
        tab.goto(f"{origin}/chart/V1#en")
        walk.confirm_ten_minutes()
        assert all(entry.now.confirmed for entry in newest_ten_minutes(ward))
        walk.sign_out()
        tab.goto(f"{origin}/chart/V1#en")
        expect(tab.locator("#by-key")).to_be_visible()
        walk.close()
    with open_store(ward.store.address) as conn:
        assert conn.execute("SELECT DISTINCT address FROM login_session").fetchall() == [("10.77.0.2",)]


# --- what ends in the middle of a session (F39) ---


def break_glass_for_a_moment(database: str) -> float:
    """The nurse's, of the other ward's patient; when it ends, by the monotonic clock."""
    with open_store(database) as conn:
        until = datetime.now(UTC) + timedelta(seconds=GLASS_S)
        grants.break_glass(conn, NURSE, OTHER_ENCOUNTER, until=until, reason="a test")
    return time.monotonic() + GLASS_S


@pytest.fixture
def tabs(chromium: Any, database: str, origin: str) -> Iterator[Callable[[], Any]]:
    """Opens tabs of a browser in which the nurse is signed in."""
    context = chromium.new_context(locale="en-GB", viewport={"width": 1280, "height": 800})
    name, _, value = sign_in(database, NURSE).partition("=")
    context.add_cookies([{"name": name, "value": value, "url": origin}])
    yield context.new_page
    context.close()


def test_pages_lose_the_stay_where_its_glass_ends(tabs: Callable[[], Any], database: str, origin: str) -> None:
    beds, chart, patient = (tabs() for _ in range(3))
    ends_s = break_glass_for_a_moment(database)
    beds.goto(f"{origin}/#en")
    chart.goto(f"{origin}/chart/{OTHER_ENCOUNTER}#en")
    patient.goto(f"{origin}/patient/{OTHER_NUMBER}#en")
    expect(beds.locator(".bed")).to_have_count(2)
    for tab in (chart, patient):
        expect(tab.locator("#title")).to_contain_text(OTHER_NAME)
    assert time.monotonic() < ends_s
    for tab in (chart, patient):
        expect(tab.locator("#glass")).to_be_visible(timeout=CUT_S * 1000)  # a reason opens it anew
        assert OTHER_NAME not in tab.content()
        assert OTHER_NUMBER not in tab.locator("#page").inner_text()
    expect(beds.locator(".bed")).to_have_count(1, timeout=CUT_S * 1000)
    assert OTHER_NAME[0] not in beds.locator("#page").inner_text()
    assert time.monotonic() < ends_s + CUT_S


def events(stream: httpx.Response) -> Iterator[tuple[str, Any]]:
    """Name and data of each."""
    name = "message"
    for line in stream.iter_lines():
        field, _, text = line.partition(": ")
        if field == "event":
            name = text
        if field == "data":
            yield name, json.loads(text) if name == "message" else text
            name = "message"


@contextmanager
def feed(origin: str, cookie: str) -> Iterator[Iterator[tuple[str, Any]]]:
    with (
        httpx.Client(trust_env=False, timeout=CUT_S) as client,
        client.stream("GET", f"{origin}/events", headers={"Cookie": cookie}) as stream,
    ):
        yield events(stream)


def test_a_stream_loses_the_stay_where_its_glass_ends(database: str, origin: str) -> None:
    cookie = sign_in(database, NURSE)
    ends_s = break_glass_for_a_moment(database)
    shown: dict[str, Any] = {}
    seen = False
    with feed(origin, cookie) as pictures:
        for name, picture in pictures:
            assert time.monotonic() < ends_s + CUT_S
            if name != "message":
                continue
            if picture["whole"]:
                shown.clear()
            for bed in picture["beds"]:
                shown.setdefault(bed["bed"], {}).update(bed)
            if named := [str(bed["patient"]) for bed in shown.values() if bed["structure"]["label"] == OTHER_BED]:
                seen = True
                assert OTHER_NAME[0] in named[0]
            elif seen:
                break
    assert seen
    assert time.monotonic() >= ends_s - 1  # the store's clock is not this one
    with feed(origin, cookie) as pictures:
        whole = next(data for name, data in pictures if name == "message")
    assert [bed["structure"]["label"] for bed in whole["beds"]] == ["ICU-1"]


def test_a_session_that_is_revoked_is_cut(tabs: Callable[[], Any], database: str, origin: str) -> None:
    cookie = sign_in(database, NURSE)
    tab = tabs()
    tab.goto(f"{origin}/chart/V1#en")
    expect(tab.locator("#chart td").first).to_be_visible()
    with feed(origin, cookie) as pictures:
        assert next(pictures)[0] == "hello"
        revoked_s = time.monotonic()
        with open_store(database) as conn:
            assert login_sessions.end_of(conn, [NURSE], datetime.now(UTC), "staff:administrator", "a test") == 2
        assert [name for name, _ in pictures][-1] == "signed-out"
    tab.wait_for_url("**/sign-in?to=*", timeout=CUT_S * 1000)
    assert time.monotonic() < revoked_s + CUT_S
    assert httpx.get(f"{origin}/me", headers={"Cookie": cookie}, trust_env=False).status_code == 401
