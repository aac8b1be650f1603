"""The page of parameters in Chromium; VITALWIRE_SCREENSHOTS=docs: its picture."""

from __future__ import annotations

import pytest

from emr_store import parameters
from emr_store.connect import open_store
from gateway.access.words import Role
from schemas.report import AsSent, Kind, Record
from tests.gateway.test_page import CONTRASTS, SMALL, Look, chromium, expect, look
from tests.gateway.ward import Page, Ward
from tests.making import PERCENT, SPO2

pytestmark = pytest.mark.integration
__all__ = ["chromium", "look"]  # fixtures


@pytest.fixture
def site(ward: Ward, page: Page, monkeypatch: pytest.MonkeyPatch) -> Ward:
    """Two monitors, one of which says something that has no code; a biomedical engineer looks on."""
    monkeypatch.setattr(parameters, "_NEWEST_SETTLED_SQL", "SELECT coalesce(max(batch), -1) FROM batch")
    heart = Record(mantissa=72, as_sent=AsSent("99X", "101^<b>HR</b>", "bpm"))
    ward.emit_records("n10:1", Kind.METRIC, Record(SPO2, PERCENT, mantissa=97), heart)
    ward.emit_records("n11:1", Kind.METRIC, Record(SPO2, PERCENT, mantissa=96))
    ward.store()
    ward.assign("n10:1", "ICU-1", "监护仪1")
    with open_store(ward.database) as conn:
        parameters.note_unmapped(conn)
    page.sign_in("B1", Role.BIOMEDICAL_ENGINEER)
    return ward


@pytest.mark.parametrize(("language", "state", "summary"), [
    ("en", "unmapped", "2 of 3 parameters heard within a day have a code"),
    ("zh", "未映射", "一天内上报的 3 个参数中 2 个已有标准代码"),
])  # fmt: skip
def test_what_asks_for_a_code_stands_first_with_what_it_may_be(
    site: Ward, page: Page, look: Look, language: str, state: str, summary: str
) -> None:
    tab = look()
    tab.goto(f"{page.url}/#{language}")
    tab.locator("#to-mapping").click()
    expect(tab.locator("#summary")).to_have_text(summary)
    expect(tab.locator("#items .item")).to_have_count(2)
    first = tab.locator("#items .item").first
    expect(first.locator(".now.warning")).to_have_count(1)
    expect(first.locator("tbody tr")).to_have_count(0)
    first.locator("summary").click()
    expect(first.locator("tbody tr")).to_have_count(2)
    cells = first.locator("tbody tr").first.locator("td")
    expect(cells.nth(0)).to_have_text("101^<b>HR</b>")
    expect(cells.nth(1)).to_have_text(state)
    expect(cells.nth(3)).to_have_text("72")
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert tab.evaluate(SMALL) == []
    assert [c for c in tab.evaluate(CONTRASTS) if c[0] < 4.5] == []


def test_a_nurse_is_led_to_no_such_page(site: Ward, page: Page, look: Look) -> None:
    page.sign_in("N1", Role.NURSE)
    tab = look()
    tab.goto(f"{page.url}/mapping#en")
    expect(tab.locator("#problem")).to_have_text("You may not see this.")
    expect(tab.locator("#to-mapping")).to_have_count(0)
    look.printed.clear()  # type: ignore[attr-defined]  # the refusal
