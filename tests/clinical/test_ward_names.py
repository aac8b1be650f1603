from __future__ import annotations

import pytest

from clinical.ward_names import UnknownWardError, find_ward, ward_name

KNOWN = {"hosp^icu", "hosp^3a", "east^icu", "^心内科"}


@pytest.mark.parametrize(("text", "ward"), [
    ("3A", "hosp^3a"), ("３ａ", "hosp^3a"), (" 3a ^ Hosp", "hosp^3a"), ("icu^EAST", "east^icu"), ("心内科", "^心内科"),
])  # fmt: skip
def test_a_ward_is_found_as_people_write_it(text: str, ward: str) -> None:
    assert find_ward(text, KNOWN) == ward
    assert find_ward(ward_name(ward), KNOWN) == ward


@pytest.mark.parametrize(("text", "words"), [
    ("ICU", "'ICU' is a ward of several facilities: write ICU^EAST or ICU^HOSP"),
    ("3B", "'3B' is no ward: known are 3A^HOSP, 心内科, ICU^EAST, and 1 more"),
    ("ICU^WEST", "'ICU^WEST' is no ward: known are ICU^EAST, ICU^HOSP, 心内科, and 1 more"),
    ("", "'' is no ward"),
])  # fmt: skip
def test_what_is_no_ward_is_named_with_those_that_are(text: str, words: str) -> None:
    with pytest.raises(UnknownWardError) as error:
        find_ward(text, KNOWN)
    assert str(error.value).startswith(words)


def test_no_beds_no_wards() -> None:
    with pytest.raises(UnknownWardError, match=r"no ward is known yet: start the processors"):
        find_ward("ICU", ())
