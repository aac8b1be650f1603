from __future__ import annotations

import pytest

from clinical.key_words import NO_BED_NAMES, bed_words, patient_words, visit_number, visit_words


@pytest.mark.parametrize(
    ("key", "number", "en", "zh"),
    [
        ("visit:V1^HOSP", "V1", "visit V1", "就诊 V1"),
        ("account:77^", "77", "account 77", "账号 77"),
        ("admitted:0001^HOSP^MR@28374", "0001", "the admission of patient 0001", "患者 0001 的入院"),
    ],
)
def test_a_visit_is_called_by_its_number(key: str, number: str, en: str, zh: str) -> None:
    words = visit_words(key)
    assert (visit_number(key), words.en, words.zh) == (number, en, zh)


def test_a_patient_number_says_whose_it_is() -> None:
    assert (patient_words("P2^HOSP^MR"), patient_words("P2^^")) == ("P2 (HOSP)", "P2")


def test_a_bed_is_called_as_the_site_does_else_as_it_was_sent() -> None:
    assert bed_words("hosp^icu^^1", {"hosp^icu^^1": "ICU-1"}, "ICU^^1") == "ICU-1"
    assert bed_words("hosp^icu^^1", NO_BED_NAMES, "ICU^^1") == "ICU^^1"
    assert bed_words("hosp^icu^^1", NO_BED_NAMES) == "icu 1"
