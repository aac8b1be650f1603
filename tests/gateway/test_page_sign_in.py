"""The page that signs in, in Debian's Chromium, in both languages; VITALWIRE_SCREENSHOTS=docs: its pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from emr_store import emergency
from emr_store.connect import open_store
from gateway.access.words import Role
from gateway.people.attempts import SignInAttempts
from gateway.people.emergency import ACCOUNTS, hash_of
from gateway.people.factors import Factor
from gateway.people.sign_in_links import SignInLinks
from gateway.people.sign_in_settings import SignInSettings
from gateway.people.throttle import ADDRESS_FREE
from tests.gateway.people.provider import client_of, running_provider
from tests.gateway.signing_in import hire
from tests.gateway.test_app import connect
from tests.gateway.test_page import CONTRASTS, ZONE, chromium, expect, screenshot
from tests.gateway.ward import Page, Ward

pytestmark = pytest.mark.integration
__all__ = ["chromium"]  # a fixture
PASSWORD = "abcde-fghjk-mnpqr-stuvw-xyz23"
# What is shown and is too small for a finger.
SHOWN_SMALL = """() => [...document.querySelectorAll('button, a, input, summary')].filter(e => e.checkVisibility())
    .map(e => [e.textContent, e.getBoundingClientRect()])
    .filter(([, r]) => r.width < 44 || r.height < 44).map(([text]) => text)"""


@pytest.fixture
def links() -> SignInLinks:
    return SignInLinks()


@pytest.fixture
def page(ward: Ward, links: SignInLinks) -> Iterator[Page]:
    ward.emit("demo:nonin:1", SpO2="97")
    ward.store()
    hire(ward.database, "N7", Role.NURSE, name="Wang")
    with open_store(ward.database) as conn:
        emergency.seal(conn, dict.fromkeys(ACCOUNTS, hash_of(PASSWORD)), None)
    with running_provider("N7") as provider:
        served = Page(ward.database)
        served.start(SignInSettings(provider=client_of(provider), links=links))
        assert connect(served, "/sign-in").status == 200
        yield served
        served.stop()


@pytest.fixture
def tab(chromium: Any, page: Page) -> Iterator[Any]:
    """Of a browser that nobody is signed in with; a script that fails fails the test."""
    context = chromium.new_context(viewport={"width": 820, "height": 1180}, timezone_id=ZONE)
    opened, wrong = context.new_page(), list[str]()
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda m: wrong.append(m.text) if "Content Security Policy" in m.text else None)
    yield opened
    context.close()
    assert wrong == []


def test_the_providers_button_leads_back_to_the_page_that_was_asked_for(page: Page, tab: Any) -> None:
    tab.goto(f"{page.url}/worklist#zh")
    expect(tab).to_have_url(f"{page.url}/sign-in?to=/worklist#zh")
    expect(tab.locator("#sign-in-title")).to_have_text("登录")
    expect(tab.locator("#to-provider")).to_have_text("使用医院账号登录")
    assert tab.evaluate(SHOWN_SMALL) == []
    assert [c for c in tab.evaluate(CONTRASTS) if c[0] < 4.5] == []
    screenshot(tab, "sign-in-zh.png")
    tab.locator("#to-provider").click()
    expect(tab).to_have_url(f"{page.url}/worklist#zh")
    expect(tab.locator("#to-worklist")).to_be_visible()


def test_who_begins_too_often_at_the_provider_is_led_back_and_told_how_long_to_wait(page: Page, tab: Any) -> None:
    attempts = SignInAttempts(page.database)
    for _ in range(ADDRESS_FREE + 1):
        attempts.begin(Factor.PROVIDER, "127.0.0.1")
    attempts.begin(Factor.PROVIDER, "127.0.0.1")
    tab.goto(f"{page.url}/sign-in/provider")
    expect(tab).to_have_url(re.compile(r"/sign-in\?refused=wait&wait_s=[12]$"))
    expect(tab.locator("#refused")).to_have_text(re.compile(r"^Too many tries: wait [12] s\.$"))


def test_a_refusal_has_its_words_in_both_languages(page: Page, tab: Any) -> None:
    for why, words, zh in (
        ("provider", "The sign-in was refused.", "登录被拒绝"), ("clock", "differ by more than a minute", "时钟相差"),
        ("provider_away", "does not answer", "无响应"), ("link_used", "This link was used", "此链接已被使用"),
        ("<b>", "The sign-in was refused.", "登录被拒绝"),
    ):  # fmt: skip
        tab.goto(f"{page.url}/sign-in?refused={why}#en")
        expect(tab.locator("#refused")).to_contain_text(words)
        tab.locator("#language").click()
        expect(tab.locator("#refused")).to_contain_text(zh)


def test_an_envelope_is_opened_by_keyboard(page: Page, tab: Any) -> None:
    tab.goto(f"{page.url}/sign-in#en")
    tab.locator("#emergency-title").focus()
    tab.keyboard.press("Enter")
    tab.locator("#account").fill("emergency-1")
    tab.locator("#password").fill("wrong")
    tab.keyboard.press("Enter")
    expect(tab.locator("#refused")).to_have_text("Account or password is wrong.")
    expect(tab.locator("#password")).to_be_focused()
    screenshot(tab, "sign-in.png")
    tab.keyboard.type(PASSWORD)
    tab.keyboard.press("Enter")
    expect(tab).to_have_url(f"{page.url}/#en")
    expect(tab.locator(".bed").first).to_be_visible()


def test_a_link_signs_in_and_a_click_keeps_the_session(page: Page, tab: Any, links: SignInLinks) -> None:
    tab.goto(f"{page.url}/sign-in/link/{links.new('N7')}#en")
    expect(tab).to_have_url(f"{page.url}/#en")
    expect(tab.locator(".bed").first).to_be_visible()
    with open_store(page.database) as conn:
        conn.execute("UPDATE login_session SET seen_at = seen_at - interval '10 min'")
    tab.evaluate("() => { const now = Date.now; Date.now = () => now.call(Date) + 120_000; }")  # two minutes later
    with tab.expect_response("**/me/touch") as touched:
        tab.keyboard.press("?")
    assert touched.value.status == 204
