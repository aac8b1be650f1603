from __future__ import annotations

import pytest

from clinical.person_names import masked_name, masked_number, number_of, whole_name


@pytest.mark.parametrize(
    ("family", "given", "name", "masked"),
    [
        ("", "", "张三", "张**"),
        ("欧阳", "明", "", "欧**"),
        ("Ruiz", "Ana Maria", "", "R. A. M."),
        ("", "", "王 五", "王**"),
        ("", "", "", ""),
    ],
)
def test_a_name_is_shown_in_part(family: str, given: str, name: str, masked: str) -> None:
    assert masked_name(family=family, given=given, name=name) == masked


def test_a_name_as_written_outranks_its_parts() -> None:
    assert whole_name(family="Zhang", given="San", name="张三") == "张三"
    assert whole_name(family="Ruiz", given="", name="") == "Ruiz"


def test_a_number_is_shown_by_its_end_without_its_authority() -> None:
    assert number_of("00012345^HOSP^MR") == "00012345"
    assert masked_number("00012345^HOSP^MR") == "2345"
    assert masked_number("7^HOSP^MR") == "7"
