"""Security keys and shared workstations in Chromium, with a virtual authenticator; VITALWIRE_SCREENSHOTS: pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from emr_store import bed_names
from emr_store.connect import open_store
from gateway.access.words import Role
from gateway.people.sign_in_settings import SignInSettings
from tests.gateway.signing_in import SITE_WARD, hire, sign_in
from tests.gateway.test_page import CONTRASTS, chromium, expect, screenshot
from tests.gateway.ward import Page, Ward

pytestmark = pytest.mark.integration
__all__ = ["chromium"]  # a fixture
SMALL = """() => [...document.querySelectorAll('button, a, input, select')].filter(e => e.getClientRects().length)
    .map(e => [e.id || e.textContent, e.getBoundingClientRect()])
    .filter(([, r]) => r.width < 44 || r.height < 44).map(([name]) => name)"""
USB_KEY = {
    "protocol": "ctap2", "transport": "usb", "hasResidentKey": True, "hasUserVerification": True,
    "isUserVerified": True, "automaticPresenceSimulation": True,
}  # fmt: skip


class Workstation:
    """A browser at an origin of the page, with one key in it at a time."""

    def __init__(self, chromium: Any, origin: str, locale: str = "en-GB") -> None:
        self.origin = origin
        self.context = chromium.new_context(viewport={"width": 1280, "height": 800}, locale=locale)
        self.tab = self.context.new_page()
        self.problems: list[str] = []
        self.tab.on("pageerror", lambda error: self.problems.append(str(error)))
        self._cdp = self.context.new_cdp_session(self.tab)
        self._cdp.send("WebAuthn.enable")
        self._plugged = ""

    def plug(self, credential: dict[str, Any] | None = None, **options: Any) -> None:
        """A key: an empty one, or with this credential."""
        made = self._cdp.send("WebAuthn.addVirtualAuthenticator", {"options": {**USB_KEY, **options}})
        self._plugged = made["authenticatorId"]
        if credential is not None:
            self._cdp.send("WebAuthn.addCredential", {"authenticatorId": self._plugged, "credential": credential})

    def unplug(self) -> dict[str, Any]:
        """What was in it."""
        credentials = self._cdp.send("WebAuthn.getCredentials", {"authenticatorId": self._plugged})["credentials"]
        self._cdp.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": self._plugged})
        return dict(credentials[0]) if credentials else {}

    def go(self, path: str) -> None:
        self.tab.goto("about:blank")  # else the same address would not be loaded anew
        self.tab.goto(f"{self.origin}{path}")

    def looks_well(self) -> None:
        """Targets of 44 px, and WCAG AA contrast."""
        assert self.tab.evaluate(SMALL) == []
        assert [each for each in self.tab.evaluate(CONTRASTS) if each[0] < 4.5] == []


@pytest.fixture
def workstation(chromium: Any, ward: Ward, page: Page) -> Iterator[Workstation]:
    hire(ward.database, "N1", Role.NURSE, name="Zhang Wei")
    hire(ward.database, "N2", Role.NURSE, name="Wang Fang")
    hire(ward.database, "A1", Role.ADMINISTRATOR, name="Zhou Min")
    with open_store(ward.database) as conn:
        bed_names.keep_bed_names(conn, {f"{SITE_WARD}^1": "ICU 1"})
    ward.emit("monitor", HR="72", SpO2="97")
    ward.store()
    ward.assign("monitor", "ICU 1", "monitor")
    made = Workstation(chromium, f"http://localhost:{page.port}")
    yield made
    made.context.close()
    assert made.problems == []


def signed_in_by_cookie(workstation: Workstation, page: Page, staff: str) -> None:
    name, _, value = sign_in(page.database, staff).partition("=")
    workstation.context.add_cookies([{"name": name, "value": value, "url": workstation.origin}])


def enrolled(workstation: Workstation, page: Page, staff: str) -> dict[str, Any]:
    """Enrols a key on the page of people, signs out, and takes the key away."""
    signed_in_by_cookie(workstation, page, staff)
    workstation.plug()
    workstation.go("/people#en")
    tab = workstation.tab
    tab.locator("#add-key-name").fill("blue")
    tab.locator("#add-key-go").click()
    expect(tab.locator("#keys-of .item h3")).to_have_text("blue")
    workstation.context.clear_cookies()
    return workstation.unplug()


@pytest.mark.parametrize(("language", "by_key", "lock", "switch", "locked"), [
    ("en", "Sign in with a security key", "Lock", "Sign in / switch", "Locked."),
    ("zh", "使用安全密钥登录", "锁定", "登录／切换", "已锁定。"),
])  # fmt: skip
def test_sign_in_lock_and_switch(
    workstation: Workstation, page: Page, language: str, by_key: str, lock: str, switch: str, locked: str
) -> None:
    tab = workstation.tab
    zhang, wang = enrolled(workstation, page, "N1"), enrolled(workstation, page, "N2")
    workstation.go(f"/worklist#{language}")
    expect(tab.locator("#by-key")).to_have_text(by_key)
    workstation.looks_well()
    screenshot(tab, f"keys-sign-in-{language}.png")
    workstation.plug(zhang)
    tab.locator("#by-key").click()
    expect(tab).to_have_url(f"{workstation.origin}/worklist#{language}")
    expect(tab.locator("#to-people")).to_have_text("Zhang Wei")
    workstation.looks_well()
    zhang = workstation.unplug()
    tab.locator("#lock").click()
    expect(tab.locator("#lock-band p").first).to_contain_text(locked)
    expect(tab).to_have_url(f"{workstation.origin}/#{language}")
    expect(tab.locator(".bed").first).to_be_visible()
    expect(tab.locator("#to-people")).to_be_hidden()
    expect(tab.locator("#switch")).to_have_text(switch)
    workstation.looks_well()
    screenshot(tab, f"keys-locked-{language}.png")
    workstation.plug(wang)
    tab.locator("#switch").click()
    expect(tab.locator("#to-people")).to_have_text("Wang Fang")
    expect(tab).to_have_url(f"{workstation.origin}/#{language}")
    workstation.unplug()
    tab.locator("#lock").click()
    workstation.plug(zhang)
    tab.locator("#switch").click()
    expect(tab).to_have_url(f"{workstation.origin}/worklist#{language}")  # where he was
    expect(tab.locator("#to-people")).to_have_text("Zhang Wei")


def test_a_key_without_a_pin_and_a_strange_key_are_refused_in_words(workstation: Workstation, page: Page) -> None:
    tab = workstation.tab
    zhang = enrolled(workstation, page, "N1")
    workstation.go("/sign-in#en")
    workstation.plug(zhang, isUserVerified=False)
    tab.locator("#by-key").click()
    expect(tab.locator("#key-sign-in .refusal")).to_contain_text("PIN was not typed")
    workstation.unplug()
    with open_store(page.database) as conn:
        conn.execute("UPDATE security_key SET revoked_at = now()")
    workstation.plug(zhang)
    tab.locator("#by-key").click()
    expect(tab.locator("#key-sign-in .refusal")).to_contain_text("This key opens nothing here.")
    workstation.looks_well()


def test_a_workstation_that_nobody_touches_locks_itself(workstation: Workstation, page: Page) -> None:
    tab = workstation.tab
    page.stop()
    page.start(SignInSettings(lock_after_s=1))
    signed_in_by_cookie(workstation, page, "N1")
    tab.goto(f"{workstation.origin}/people#en")
    expect(tab.locator("#lock-band")).to_be_visible()
    expect(tab).to_have_url(f"{workstation.origin}/#en")


def test_an_administrator_lets_a_key_and_a_screen_in(workstation: Workstation, page: Page, chromium: Any) -> None:
    tab = workstation.tab
    signed_in_by_cookie(workstation, page, "A1")
    workstation.go("/people#en")
    nurse = tab.locator('#staff [data-key="N1"]')
    nurse.get_by_role("button", name="Let a key in").click()
    expect(tab.locator("#link")).to_contain_text("/sign-in/enrol/")
    link = tab.locator("#link").inner_text().rpartition(" ")[2]
    tab.locator("#display-name").fill("corridor")
    tab.locator("#add-display-go").click()
    expect(tab.locator("#link")).to_contain_text("/sign-in/display/")
    screen_link = tab.locator("#link").inner_text().rpartition(" ")[2]
    workstation.looks_well()
    screenshot(tab, "people.png")
    tab.locator("#language").click()
    expect(nurse.get_by_role("button", name="开放登记密钥")).to_be_visible()
    workstation.looks_well()
    screenshot(tab, "people-zh.png")
    workstation.context.clear_cookies()
    workstation.plug()
    tab.goto(f"{link}#en")
    expect(tab.locator("#enrol-title")).to_have_text("A security key for Zhang Wei (N1)")
    workstation.looks_well()
    screenshot(tab, "keys-enrol.png")
    tab.locator("#enrol").click()
    expect(tab.locator("#done")).to_contain_text("The key is enrolled.")
    tab.locator("#to-sign-in").click()
    tab.locator("#by-key").click()
    expect(tab.locator("#to-people")).to_have_text("Zhang Wei")
    expect(tab.locator("#key-news")).to_contain_text("was enrolled for you")
    tab.locator("#key-news button").click()
    expect(tab.locator("#key-news")).to_be_hidden()
    screen = chromium.new_context().new_page()
    screen.goto(screen_link)
    expect(screen.locator(".bed").first).to_be_visible()
    expect(screen.locator("#lock")).to_be_hidden()
    screen.context.close()
