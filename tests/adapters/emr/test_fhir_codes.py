from __future__ import annotations

from pathlib import Path

import pytest

from adapters.emr.fhir_codes import LOINC, MDC, PROFILE, Coding, category, codings, panel_codings, profile
from adapters.emr.observation import PANEL_CODES, PANELS
from clinical.chart_items import ITEMS, item_of
from schemas.errors import VitalwireError
from schemas.nomenclature import METRICS

PAGE = Path(__file__).parents[3] / "docs" / "fhir.md"


def rows(heading: str) -> dict[str, list[str]]:
    """Of the table under a heading of docs/fhir.md, by its first column."""
    section = PAGE.read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]
    return {first: others for first, *others in cells}


def loinc(codes: tuple[Coding, ...]) -> str:
    return " ".join(coding.code for coding in codes if coding.system == LOINC)


def profile_of(item: str) -> str:
    unit = item_of(item).unit
    return (profile(codings(item, unit), unit) or "").removeprefix(PROFILE)


def test_the_page_has_every_metric_with_a_loinc_code() -> None:
    expected: dict[str, list[str]] = {}
    for metric in METRICS:
        item = metric.reference_id
        codes = codings(item, item_of(item).unit)
        if not loinc(codes):
            continue
        own = "".join(coding.code for coding in codes if coding.system == MDC) or "ours"
        member = PANELS.get(item)
        where = profile_of(item) if member is None else f"panel {member.panel}"
        expected[item] = [loinc(codes), own, category(item), where]
    assert rows("Metrics") == expected


def test_the_page_has_every_item_by_hand_and_every_panel() -> None:
    assert rows("By hand") == {
        item: [loinc(codings(item, item_of(item).unit)), category(item), profile_of(item)] for item in ITEMS
    }
    expected = {
        key: [" ".join(panel.loinc), f"{panel.mdc[1]} {panel.mdc[0]}", " ".join(panel.required)]
        for key, panel in PANEL_CODES.items()
    }
    assert rows("Panels") == expected
    for key, panel in PANEL_CODES.items():
        assert loinc(panel_codings(key)) == " ".join(panel.loinc)


def test_no_code_stands_twice_of_one_item() -> None:
    for item in (*ITEMS, *(metric.reference_id for metric in METRICS)):
        codes = codings(item, item_of(item).unit)
        assert len(set(codes)) == len(codes) >= 1


def test_a_private_code_is_never_given_as_mdcs() -> None:
    for metric in METRICS:
        for coding in codings(metric.reference_id, ""):
            assert coding.system != MDC or int(coding.code) >> 16 != 1024


def test_a_profile_is_claimed_only_in_its_units() -> None:
    weight = codings("weight", "kg")
    assert profile(weight, "kg") == f"{PROFILE}bodyweight"
    assert profile(weight, "") == f"{PROFILE}bodyweight"
    assert profile(weight, "cm") is None


def test_what_cannot_be_charted_has_no_code() -> None:
    with pytest.raises(VitalwireError):
        codings("MDC_NOTHING", "")
