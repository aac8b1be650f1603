"""Each message in words that a person at the admission office understands."""

from __future__ import annotations

import pytest

from clinical.adt_events import EVENTS, Effect
from clinical.explanation import EFFECTS, explain
from clinical.facts import AdtFact
from tests.adt import SOURCE, fact, key, visit_of


def test_each_effect_has_words() -> None:
    assert EFFECTS.keys() == set(Effect)


@pytest.mark.parametrize("event", EVENTS)
def test_each_event_is_explained_in_both_languages(event: str) -> None:
    english, chinese = explain(fact(event, 0), "en"), explain(fact(event, 0), "zh")
    assert english.startswith(f"{event}: ")
    assert english.isascii()
    assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese)
    assert "{" not in english + chinese


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (fact("A02", 0, bed="2"), f"A02: moves {visit_of('V1')} to {key('2')}."),
        (fact("A02", 0, bed="?"), f"A02: moves {visit_of('V1')} to a bed that is not registered (ICU^^?)."),
        (fact("A02", 0, bed=""), f"A02: moves {visit_of('V1')} to no bed."),
        (fact("A13", 0), f"A13: strikes an earlier A03 of {visit_of('V1')}."),
        (fact("A02", 0, happened=3600), "A02: announces what is to come; puts nobody into a bed."),
        (fact("A01", 0, processing_id="T"), "A01: is a test message and has no effect."),
        (fact("A03", 0, patient_class="O", bed=""), "A03: has no effect."),
        (fact("A01", 0, sent_at_us=None, recorded_at_us=None), "A01: has no effect."),
        (fact("A08", 0, bed="2"), f"A08: updates {visit_of('V1')} and moves nobody."),
    ],
)
def test_the_effect_is_told(made: AdtFact, expected: str) -> None:
    assert explain(made, "en").startswith(expected)


def test_the_questions_are_told() -> None:
    assert "names no visit" in explain(fact("A03", 0, patient_class="O", bed=""), "en")
    assert "unknown event A99" in explain(fact("A99", 0), "en")


def test_an_update_that_moves_says_so() -> None:
    moving = type(SOURCE)(name="adt", authority="HOSP", a08_moves=True)
    assert explain(fact("A08", 0, bed="2", source=moving), "en") == f"A08: moves {visit_of('V1')} to {key('2')}."
