"""Devices that move, and what another edge says of one, on the page in Debian's Chromium."""

from __future__ import annotations

import pytest

from emr_store import places
from emr_store.connect import open_store
from tests.gateway.test_page import Look, chromium, expect, look, value
from tests.gateway.ward import Ward
from tests.making import report
from tests.storing import Store, event

pytestmark = pytest.mark.integration
__all__ = ["chromium", "look"]  # fixtures


def test_what_another_edge_says_is_marked_and_what_was_said_at_another_bed_is_left_out(ward: Ward, look: Look) -> None:
    ward.emit("n10:1", SpO2="98")
    ward.store()
    ward.assign("n10:1", "ICU-01", "监护仪1")
    Store(ward.database, b"O" * 16).emit(event("n10:1", "connected", ""), report("n10:1"))
    tab = look()
    warnings = tab.locator('[data-bed="ICU-01"] .warning')
    expect(warnings.filter(has_text="⚠ heard through box 2, not its own edge")).to_have_count(1)
    expect(value(tab, "ICU-01", "SpO2").locator(".number").filter(has_text="98")).to_have_count(1)
    with open_store(ward.database) as conn:
        places.move(conn, "n10:1", "ICU-02")
    expect(tab.locator('[data-bed="ICU-02"]')).to_have_count(1)
    expect(tab.locator(".value")).to_have_count(0)
    ward.emit("n10:1", SpO2="96")
    ward.store()
    expect(value(tab, "ICU-02", "SpO2").locator(".number")).to_have_text("96")
    with open_store(ward.database) as conn:
        places.release(conn, "n10:1")
    expect(tab.locator(".bed.stranger .warning").filter(has_text="⚠ on no bed")).not_to_have_count(0)
