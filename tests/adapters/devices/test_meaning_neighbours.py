"""Neighbours of what `test_meaning` holds: places and devices of nothing, and what is said twice in one message."""

from __future__ import annotations

import pytest

from schemas.nomenclature import METRIC_BY_REFERENCE_ID
from tests.hl7 import OBR, frame, measured, obx, records, reports, source

ROWS = (("x", "MDC_TEMP"), ("y", "MDC_PULS_OXIM_SAT_O2"), ("z", "MDC_TEMP"))


def test_two_rows_that_match_by_two_triplets_are_none() -> None:
    of = source("".join(f'[[mapping]]\ncode = "{code}"\nmetric = "{metric}"\n' for code, metric in ROWS))
    data = measured(obx("36", "x^T^L^y^S^M", ""), obx("36", "x^T^L^z^S^M", ""))
    assert [r.code for r in records(data, of)] == [0, METRIC_BY_REFERENCE_ID["MDC_TEMP"].code]


@pytest.mark.parametrize("place", ['"" ', '""^""^""', "^^&&", '^"" &""', " ^ ^ "])
def test_a_place_of_nothing_is_no_bed(place: str) -> None:
    assert reports(frame(f"PV1||I|{place}", OBR, obx("97")))[0].claim == "test/connection=10.0.0.7"


def test_a_null_part_of_a_bed_is_an_empty_one() -> None:
    assert reports(frame('PV1||I|ICU^""^07', OBR, obx("97")))[0].claim == "test/PV1-3=ICU^^07"


@pytest.mark.parametrize(
    "equipment",
    [' ""', '""^""', "^^^EUI-64", "^GE", "^^0000000000000000^EUI-64", "0000000000000000", "ffffffffffffffff^GE", "^ ^"],
)
def test_equipment_that_names_nothing_is_no_device_that_beds_share(equipment: str) -> None:
    node = f"OBX|1||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0|||||||X|||||||{equipment}"
    for lines in ([obx("97", equipment=equipment)], [node, obx("97", sub_id="1.1.1.1")]):
        assert reports(measured(*lines))[0].claim == "test/PV1-3=ICU^^07"


def test_a_value_without_a_place_in_the_tree_is_not_its_neighbours() -> None:
    pump = obx("5", "8^Rate^L", "mL/h", equipment="AAAA000000000001")
    for lines in ([pump, obx("97")], [obx("97")]):
        claims = {r.records[0].mantissa: r.claim for r in reports(measured(*lines))}
        assert claims[97] == "test/PV1-3=ICU^^07"
