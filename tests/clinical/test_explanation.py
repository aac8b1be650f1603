"""Each message in words that a person at the admission office understands, given those before it."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from clinical.adt_events import EVENTS
from clinical.adt_words import NAMES_ZH
from clinical.explanation import Explainer, Explanation
from clinical.facts import AdtFact
from tests.adt import fact, fact_of, group, key, swap

FROM_THEN_ON = "visit V1 in bed icu 1 since 2026-09-21T14:13:20+00:00 from then on"


def explained(*facts: AdtFact, language: str = "en") -> Explanation:
    """The last of them, after the others."""
    explainer = Explainer(language)
    return [explainer.explain([made]) for made in facts][-1]


@pytest.mark.parametrize("event", EVENTS)
def test_each_event_is_explained_in_both_languages(event: str) -> None:
    english, chinese = explained(fact(event, 0)), explained(fact(event, 0), language="zh")
    assert english.title.startswith(f"{event} ({EVENTS[event].name}) at 2026-09-21T14:13:20+00:00 of ")
    said = " ".join([english.title, *english.effects, *english.questions])
    assert said.isascii()
    assert english.effects
    assert len(chinese.effects) == len(english.effects)
    assert chinese.title.startswith(f"{event}（{NAMES_ZH[event]}），")
    assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese.title)
    assert "{" not in said + " ".join([chinese.title, *chinese.effects, *chinese.questions])


def test_what_a_cancel_does_is_told_from_what_it_strikes() -> None:
    admitted, cancelled = fact("A01", 0), fact("A11", 60, happened=0)
    assert explained(admitted).effects == [FROM_THEN_ON]
    assert explained(admitted, cancelled).effects == [f"no longer believed: {FROM_THEN_ON}"]
    assert explained(admitted, cancelled, language="zh").effects[0].startswith("不再成立：")


def test_beds_are_called_as_the_site_calls_them_and_moments_are_of_its_zone() -> None:
    explainer = Explainer("zh", {key("1"): "ICU-1"}, ZoneInfo("Asia/Shanghai"))
    told = explainer.explain([fact("A01", 0)])
    assert told.title.startswith("A01（入院），2026-09-21T22:13:20+08:00，就诊 V1，床位 ")
    assert told.effects == ["就诊 V1 在床位 ICU-1，自 2026-09-21T22:13:20+08:00 起"]


def test_a_discharge_ends_the_stay() -> None:
    effects = explained(fact("A01", 0), fact("A03", 40)).effects
    assert effects[-1] == "visit V1 in bed icu 1 since 2026-09-21T14:13:20+00:00 until 2026-09-21T14:14:00+00:00"


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (fact("A28", 0), "no effect on any stay"),
        (fact("A44", 0), "only a person can carry it out"),
        (fact("A14", 0), "a plan: nobody is in a bed by it"),
        (fact("A01", 0, processing_id="T"), "a test or training message (MSH-11): without effect"),
        (fact("A03", 0, patient_class="O", bed=""), "no stay changes"),
    ],
)
def test_that_nothing_changes_has_a_reason(made: AdtFact, expected: str) -> None:
    assert explained(made).effects == [expected]


def test_the_same_message_changes_nothing_a_second_time() -> None:
    made = fact_of(group("A01", 0))
    assert explained(made, made).effects == ["the same message again: nothing changes"]


def test_both_groups_of_a_swap_are_one_message() -> None:
    explainer = Explainer()
    for visit, patient, bed in (("V1", "P1", "1"), ("V2", "P2", "2")):
        explainer.explain([fact("A01", 0, visit=visit, patient=patient, bed=bed)])
    one, other = {"visit": "V1", "bed": "2"}, {"visit": "V2", "patient": "P2", "bed": "1"}
    told = explainer.explain(swap(60, one, other))
    assert told.title.count("A17") == 2
    assert sum(effect.endswith("from then on") and "no longer" not in effect for effect in told.effects) == 2


def test_the_questions_are_told() -> None:
    assert "names no visit" in explained(fact("A03", 0, patient_class="O", bed="")).questions[0]
    assert "unknown event A99" in explained(fact("A99", 0)).questions[0]
    assert "(not registered)" in explained(fact("A02", 0, bed="?")).title
