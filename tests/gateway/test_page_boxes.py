"""The page of boxes in Chromium: a fingerprint that is compared, an agreement, a refusal with its reason."""

from __future__ import annotations

from hashlib import sha256

import pytest

from emr_store import invitations
from emr_store.acts import Author
from emr_store.connect import open_store
from gateway.access.words import Role
from runtime.keys import fingerprint
from tests.gateway.asking import name_beds
from tests.gateway.hospital import admit, open_hospital
from tests.gateway.test_page import CONTRASTS, Look, chromium, expect, look, screenshot
from tests.gateway.test_page_grants import SMALL, WIDER, sit_down
from tests.gateway.ward import Page
from tests.making import Key

pytestmark = pytest.mark.integration
__all__ = ["chromium", "look"]  # fixtures
SAID = {
    "en": {"title": "New boxes", "agree": "The fingerprint is the same: agree", "refuse": "Refuse",
           "why": "Say why it is refused: it stands in the record.", "none": "No box waits."},
    "zh": {"title": "新采集主机", "agree": "指纹一致，同意", "refuse": "拒绝",
           "why": "请填写拒绝的原因：原因将记录在案。", "none": "没有等待的采集主机。"},
}  # fmt: skip


def ask(page: Page, label: str, key: Key | None) -> None:
    with open_store(page.database) as conn:
        code = sha256(label.encode()).digest()
        invitations.invite(conn, label, code, Author("staff:A1", ""))
        if key is not None:
            invitations.use(conn, code, key.public_der, "10.1.7.22")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_engineer_compares_agrees_and_refuses(page: Page, look: Look, language: str) -> None:
    said, first, second = SAID[language], Key(), Key()
    ask(page, "ICU box 2", first)
    ask(page, "ICU box 3", second)
    ask(page, "OR box 1", None)
    admit(open_hospital(page.database))
    name_beds(page.database)
    tab = look(language)
    sit_down(tab, page, "B1", Role.BIOMEDICAL_ENGINEER, ())
    tab.goto(f"{page.url}/devices#{language}")
    tab.locator("#to-boxes").click()
    expect(tab.locator("#title")).to_have_text(said["title"])
    rows = tab.locator("#waiting .item")
    expect(rows.locator("h3")).to_have_text(["ICU box 2", "ICU box 3"])
    expect(rows.first).to_contain_text(fingerprint(first.public_der))
    expect(tab.locator("#invited .item h3")).to_have_text(["OR box 1"])
    assert tab.evaluate(SMALL) == []
    assert [c for c in tab.evaluate(CONTRASTS) if c[0] < 4.5] == []
    assert not tab.evaluate(WIDER)
    screenshot(tab, f"boxes-{language}.png")
    rows.first.get_by_role("button", name=said["agree"]).click()
    expect(rows.locator("h3")).to_have_text(["ICU box 3"])
    with open_store(page.database) as conn:
        assert invitations.edge_of_key(conn, first.key_id) is not None
    rows.get_by_role("textbox").press("Enter")  # it never agrees
    expect(rows.locator(".refusal")).to_have_text(said["why"])
    look.printed.clear()  # type: ignore[attr-defined]  # the refusal
    rows.get_by_role("textbox").fill("nobody knows it")
    rows.get_by_role("button", name=said["refuse"]).click()
    expect(rows).to_have_text(said["none"])
    with open_store(page.database) as conn:
        assert invitations.edge_of_key(conn, second.key_id) is None
