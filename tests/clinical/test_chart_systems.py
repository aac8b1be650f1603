from __future__ import annotations

from collections import Counter

from clinical.chart_items import ITEMS, item_of
from clinical.chart_systems import BY_HAND, OTHER, SYSTEMS, in_order, system_of


def test_each_item_stands_in_one_system_and_can_be_charted() -> None:
    items = [item for system in SYSTEMS for item in system.items]
    assert [item for item, count in Counter(items).items() if count > 1] == []
    for item in items:
        assert item_of(item).key == item


def test_what_a_nurse_writes_has_its_row_and_is_offered_once() -> None:
    assert {system_of(item) for item in ITEMS}.isdisjoint({OTHER})
    assert set(BY_HAND) >= set(ITEMS)
    assert len(set(BY_HAND)) == len(BY_HAND)


def test_rows_stand_in_the_ward_s_order_and_what_no_system_names_last() -> None:
    asked = ["MDC_CONC_GLU_GEN", "urine", "MDC_TEMP", "MDC_PULS_OXIM_SAT_O2", "MDC_ECG_HEART_RATE"]
    assert in_order(asked) == ["MDC_ECG_HEART_RATE", "MDC_PULS_OXIM_SAT_O2", "MDC_TEMP", "urine", "MDC_CONC_GLU_GEN"]
    assert system_of("MDC_CONC_GLU_GEN") is OTHER
