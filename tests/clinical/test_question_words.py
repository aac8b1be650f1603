"""Keys in questions are what people call them."""

from __future__ import annotations

import pytest

from clinical.question_words import question_words, subject_words
from clinical.worklist import Item, ItemKind

NAMES = {"h^icu^^1": "ICU-1"}


def item(kind: ItemKind, detail: str) -> Item:
    return Item(kind=kind, subject="visit:V1^HOSP", since_us=0, announce_at_us=0, detail=detail)


@pytest.mark.parametrize(
    ("kind", "detail", "en", "zh"),
    [
        (ItemKind.IN_ADT_NOT_IN_CENSUS, "h^icu^^1", "in bed ICU-1,", "在床位ICU-1，"),
        (ItemKind.CENSUS_NAMES_OTHER_BED, "h^icu^^1 / h^icu^^9", "ICU-1 / icu 9", "ICU-1 / icu 9"),
        (ItemKind.TWO_PATIENTS_IN_ONE_VISIT, "P1^HOSP^MR, P2^^", "P1 (HOSP), P2", "P1 (HOSP), P2"),
        (ItemKind.UNKNOWN_BED, "ICU^^9", "ICU^^9", "ICU^^9"),
    ],
)
def test_what_is_asked(kind: ItemKind, detail: str, en: str, zh: str) -> None:
    words = question_words(item(kind, detail), NAMES)
    assert en in words.en
    assert zh in words.zh


@pytest.mark.parametrize(
    ("subject", "en", "zh"),
    [
        ("h^icu^^1", "ICU-1", "ICU-1"),
        ("visit:V1^HOSP", "visit V1", "就诊 V1"),
        ("P1^HOSP^MR", "P1 (HOSP)", "P1 (HOSP)"),
        ("his", "his", "his"),
    ],
)
def test_what_it_is_about(subject: str, en: str, zh: str) -> None:
    words = subject_words(subject, NAMES)
    assert (words.en, words.zh) == (en, zh)
