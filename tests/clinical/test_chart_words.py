from __future__ import annotations

import pytest

from clinical.chart import GapReason
from clinical.chart_words import GAPS, evidence_words, rule_words


def test_every_reason_has_words_in_both_languages() -> None:
    assert GAPS.keys() == set(GapReason)
    for words in GAPS.values():
        assert words.en.isascii()
        assert not words.zh.isascii()


@pytest.mark.parametrize(
    ("reason", "en", "zh"),
    [
        ("last valid", "the last valid value", "最后一个有效值"),
        ("median of 9 values of the last minute", "the median of 9 values of the last minute",
         "最后一分钟 9 个数值的中位数"),
        ("探头松脱", "探头松脱", "探头松脱"),
    ],
)  # fmt: skip
def test_a_rule_is_translated_and_what_a_person_wrote_is_not(reason: str, en: str, zh: str) -> None:
    assert (rule_words(reason).en, rule_words(reason).zh) == (en, zh)


def test_evidence_that_has_no_words_yet_is_shown_as_it_is() -> None:
    assert evidence_words("event", "silent").en == "event of the box or device: silent"
    assert evidence_words("moon", "full").zh == "moon full"
