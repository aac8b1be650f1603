"""The page of the fleet in Chromium; VITALWIRE_SCREENSHOTS=docs: its pictures."""

from __future__ import annotations

import json
import re
import time
from typing import Any
from uuid import UUID

import pytest

from emr_store import registry
from emr_store.connect import open_store
from gateway.access.words import Role
from schemas.report import AsSent, Kind, Record, RecordKind
from tests.gateway.asking import name_beds
from tests.gateway.test_page import CONTRASTS, SMALL, Look, chromium, expect, look, screenshot, twelve
from tests.gateway.ward import EDGE, Page, Ward

pytestmark = pytest.mark.integration
__all__ = ["chromium", "look"]  # fixtures
STATED = {
    "version": "0.0.9", "waiting_reports": 12, "unreceipted_batches": 1, "oldest_waiting_s": 0.4,
    "spool_bytes": 40_000_000, "spool_quota_bytes": 8_000_000_000, "disk_free_bytes": 41_000_000_000, "room_s": 111_600,
    "certificate_ends_at_s": int(time.time()) + 9 * 86_400 + 43_200,  # noon of the ninth day: a run takes its time
}  # fmt: skip


@pytest.fixture
def fleet(ward: Ward, page: Page) -> Ward:
    """A box with twelve monitors, one that never spoke; a biomedical engineer looks on."""
    twelve(ward)
    say(ward, **STATED)
    with open_store(ward.database) as conn:
        registry.add_edge(conn, UUID(int=7), "box of the 5th ward", b"another key")
    name_beds(ward.database, {f"h^icu^^{n + 10}": f"ICU-{n:02}" for n in range(1, 15)})
    page.sign_in("B1", Role.BIOMEDICAL_ENGINEER)
    return ward


def say(ward: Ward, **stated: object) -> None:
    counts = Record(kind=RecordKind.TEXT, text=json.dumps(stated), as_sent=AsSent("vitalwire", "counts"))
    ward.emit_records(f"edge:{EDGE}", Kind.EVENT, counts)
    ward.store()


def box(tab: Any, name: str) -> Any:
    return tab.locator("#items .item").filter(has=tab.locator("h2", has_text=re.compile(f"^{re.escape(name)}$")))


def fact(tab: Any, name: str, of: str) -> Any:
    return box(tab, name).locator(f'[data-fact="{of}"] dd')


def is_well_drawn(tab: Any) -> None:
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert tab.evaluate(SMALL) == []
    assert [c for c in tab.evaluate(CONTRASTS) if c[0] < 4.5] == []


def test_what_is_known_of_each_box_in_both_languages(fleet: Ward, page: Page, look: Look) -> None:
    tab = look()
    tab.goto(f"{page.url}/#en")
    tab.locator("#to-fleet").click()
    expect(tab.locator('#to-fleet[aria-current="page"]')).to_have_text("Fleet")
    expect(tab.locator("#items .item")).to_have_count(2)
    expect(tab.locator("#summary")).to_have_text("Data flows from 1 of 2 boxes")
    name = "box on ward 3"
    expect(box(tab, name).locator(".state.flows")).to_have_text("data flows")
    expect(fact(tab, name, "ward")).to_have_text("icu")
    expect(fact(tab, name, "version")).to_have_text("0.0.9, not the hospital’s version")
    expect(fact(tab, name, "disk")).to_have_text("41.0 GB")
    expect(fact(tab, name, "spool")).to_have_text(
        "0.04 GB of 8.0 GB; 12 reports wait, 1 batch without a receipt; room for 31 h"
    )
    expect(fact(tab, name, "certificate")).to_contain_text("(in 9 d)")
    expect(fact(tab, "box of the 5th ward", "heard")).to_have_text("never")
    expect(fact(tab, "box of the 5th ward", "disk")).to_have_text("not known")
    box(tab, name).locator("summary").click()
    expect(box(tab, name).locator("tbody tr")).not_to_have_count(0)
    is_well_drawn(tab)
    screenshot(tab, "fleet.png")
    tab.locator("#language").click()
    expect(tab.locator("#summary")).to_have_text("2 台主机中 1 台数据正常")
    expect(fact(tab, "box of the 5th ward", "disk")).to_have_text("未知")
    is_well_drawn(tab)


def test_data_that_waits_is_no_green_whatever_lives(fleet: Ward, page: Page, look: Look) -> None:
    say(fleet, **STATED | {"oldest_waiting_s": 90.0, "waiting_reports": 2312})
    tab = look()
    tab.goto(f"{page.url}/fleet#en")
    found = box(tab, "box on ward 3")
    expect(found.locator(".state.warning")).to_have_text("data comes late")
    expect(found.locator(".why")).to_contain_text("the oldest report waited 1 min 30 s; 2,312 reports")
    say(fleet, **STATED | {"refused_batches": 4})
    expect(found.locator(".why")).to_contain_text("4 batches are refused: its key has expired")


def test_whose_business_it_is_not_is_told_so(fleet: Ward, page: Page, look: Look) -> None:
    page.sign_in("N1", Role.NURSE)
    tab = look()
    tab.goto(f"{page.url}/fleet#en")
    expect(tab.locator("#problem")).to_have_text("You may not see this.")
    expect(tab.locator("#to-fleet")).to_have_count(0)
    look.printed.clear()  # type: ignore[attr-defined]  # the refusal


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits(fleet: Ward, page: Page, look: Look, width: int) -> None:
    tab = look(viewport={"width": width, "height": 800})
    for language in ("en", "zh"):
        tab.goto(f"{page.url}/fleet#{language}")
        expect(tab.locator("#items .item")).to_have_count(2)
        is_well_drawn(tab)
