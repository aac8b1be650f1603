"""`vitalwire login` for tests: a person with a browser agrees, and the session is kept where commands find it."""

from __future__ import annotations

from tests.gateway.signing_in import sign_in
from tests.gateway.soft_browser import SoftBrowser
from tests.gateway.ward import Page
from vitalwire.gateway_client import Gateway, keep_session
from vitalwire.login import log_in


def browser_of(page: Page, staff: str) -> SoftBrowser:
    return SoftBrowser(page, sign_in(page.database, staff))


def agree(browser: SoftBrowser, user_code: str, *, agreed: bool = True) -> None:
    """As the person types the code and answers."""
    assert browser.post("/command-line/find", {"code": user_code})[0] == 200
    assert browser.post("/command-line/answer", {"code": user_code, "agreed": agreed}) == (204, "")


def log_in_as(page: Page, staff: str, *, agreed: bool = True) -> None:
    """Commands are theirs from now on; XDG_CONFIG_HOME says where the session is kept."""
    browser = browser_of(page, staff)
    gateway = Gateway(f"http://localhost:{page.port}")
    keep_session(
        log_in(gateway, "", lambda codes: agree(browser, codes.user_code, agreed=agreed), pause=lambda _: None)
    )
