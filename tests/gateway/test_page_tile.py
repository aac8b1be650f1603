"""Alarms, pressures and words of the tiles, on the page in Debian's Chromium."""

from __future__ import annotations

import pytest

from schemas.block import ReportFlag, ValidationResult
from schemas.report import Kind, Lane, Record, Validity, device_id
from tests.gateway.test_page import Look, chromium, expect, look
from tests.gateway.ward import Ward

pytestmark = pytest.mark.integration
__all__ = ["chromium", "look"]  # fixtures


def test_what_opened_late_is_shown_and_spoken_once_it_is_confirmed(ward: Ward, look: Look) -> None:
    ward.emit("n10:1", SpO2="85")
    ward.store()
    ward.assign("n10:1", "ICU-01", "")
    ward.alarm("n10:1", "SpO2", "SpO2 85 < 90, 12 min old", "high", late=True)
    tab = look()
    expect(tab.locator(".bed.high")).to_have_count(1)
    expect(tab.locator(".alarm").first).to_contain_text("12 min old")
    expect(tab.locator("#said")).to_have_text("")
    ward.alarm("n10:1", "SpO2", "SpO2 84 < 90", "high", confirmed=True)
    expect(tab.locator("#said")).to_have_text("ICU-01: SpO2 84 < 90")


def test_what_opened_late_does_not_flash_and_stands_behind_what_is_fresh(ward: Ward, look: Look) -> None:
    for bed in (1, 2):
        ward.emit(f"n10:{bed}", HR="134", SpO2="85")
    ward.store()
    for bed in (1, 2):
        ward.assign(f"n10:{bed}", f"ICU-0{bed}", "")
        ward.alarm(f"n10:{bed}", "SpO2", "SpO2 85 < 90, 12 min old", "high", late=True)
    ward.alarm("n10:2", "HR", "HR 134 > 120", "medium")
    tab = look()
    flashes = "tile => getComputedStyle(tile).animationName"
    late, both = (tab.locator(f'[data-bed="ICU-0{bed}"]') for bed in (1, 2))
    expect(late).to_have_class("bed high late")
    assert late.evaluate(flashes) == "none"
    expect(both).to_have_class("bed medium")
    assert both.evaluate(flashes) == "medium"
    expect(both.locator(".alarm b")).to_have_text(["** HR 134 > 120", "*** SpO2 85 < 90, 12 min old"])
    ward.alarm("n10:1", "SpO2", "SpO2 85 < 90", "high", confirmed=True)
    expect(late).to_have_class("bed high")
    assert late.evaluate(flashes) == "high"


def test_a_pressure_is_one_cell_whatever_its_parts_are_called(ward: Ward, look: Look) -> None:
    """Some senders call each part by a word of its own, which is a channel of its own."""
    sys_, dia, mean, mmhg = 150021, 150022, 150023, 266016  # MDC_PRESS_BLD_NONINV_SYS, _DIA, _MEAN
    ward.emit_records("one", Kind.METRIC, Record(sys_, mmhg, 7, mantissa=138), Record(dia, mmhg, 8, mantissa=75),
              Record(mean, mmhg, 9, mantissa=95))  # fmt: skip
    ward.emit_records("two", Kind.METRIC, Record(sys_, mmhg, 7, mantissa=120), Record(dia, mmhg, 7, mantissa=80),
              Record(sys_, mmhg, 8, mantissa=110), Record(dia, mmhg, 8, mantissa=70))  # fmt: skip
    ward.emit_records("apart", Kind.METRIC, Record(sys_, mmhg, 7, mantissa=120), Record(sys_, mmhg, 8, mantissa=110),
              Record(dia, mmhg, 9, mantissa=80))  # fmt: skip
    ward.store()
    tab = look()

    def shown(claim: str) -> list[str]:
        bed = tab.locator(f'[aria-label*="{device_id(claim)}"]')
        return sorted(bed.locator(".value .number").all_inner_texts())

    expect(tab.locator(".value")).to_have_count(6)
    assert (shown("one"), shown("two"), shown("apart")) == (["138/75"], ["110/70", "120/80"], ["110", "120", "80"])


def test_every_flag_and_result_has_words_in_both_languages(ward: Ward, look: Look) -> None:
    ward.emit("n10:1", HR="70")
    ward.store()
    tab = look()
    for language in ("en", "zh"):
        found = tab.evaluate(f"""async () => {{
            const m = await import(new URL("words.mjs", document.querySelector("script[type=module]").src));
            m.choose("{language}");
            const {{ flagWords, validation_results, validities, lanes }} = m.words;
            const results = Object.keys(validation_results);
            return {{ flagWords, results, validities, lanes: Object.keys(lanes) }};
        }}""")
        assert (len(found["flagWords"]), len(found["validities"])) == (len(ReportFlag), len(Validity))
        assert set(found["results"]) == {v.name.lower() for v in ValidationResult if v != ValidationResult.NOT_A_VALUE}
        assert set(found["lanes"]) == {lane.name.lower() for lane in Lane}
