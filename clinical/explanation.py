"""What ADT messages would do, in words: for `vitalwire adt explain`, before a site switches its feed on.

Each is told by the stays that change with it, given those before it: what a cancel or a discharge does cannot be told
of it alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo

import msgspec

from clinical.adt_events import EVENTS, Effect
from clinical.adt_words import NAMES_ZH
from clinical.beds import BedState
from clinical.encounter import Stay
from clinical.facts import AdtFact
from clinical.identity import LinkKind
from clinical.key_words import NO_BED_NAMES, bed_words, patient_words, visit_words
from clinical.question_words import question_words
from clinical.stays import compute_stays, encounter_links, fact_items, merge_items, patient_links
from clinical.worklist import Item, Words

AGAIN = Words(en="the same message again: nothing changes", zh="重复消息：无变化")
TEST = Words(en="a test or training message (MSH-11): without effect", zh="测试或培训消息（MSH-11）：不生效")
NO_CHANGE = Words(en="no stay changes", zh="住院位置无变化")
NO_LONGER = Words(en="no longer believed: {stay}", zh="不再成立：{stay}")
LINKED = {
    LinkKind.MERGE: Words(en="{retired} is {survivor} (merge)", zh="{retired} 即 {survivor}（合并）"),
    LinkKind.LINK: Words(en="{retired} is {survivor} (link)", zh="{retired} 即 {survivor}（关联）"),
    LinkKind.UNLINK: Words(
        en="{retired} is not {survivor} any more (unlink)", zh="{retired} 与 {survivor} 不再是同一患者（取消关联）"
    ),
}
STAY = Words(
    en="{visit} in bed {bed} since {since} until {until}{planned}",
    zh="{visit} 在床位 {bed}，{since} 至 {until}{planned}",
)
OPEN_STAY = Words(en="{visit} in bed {bed} since {since} from then on", zh="{visit} 在床位 {bed}，自 {since} 起")
BY_A_PLAN = Words(en=" (by a plan)", zh="（按计划）")
TITLE = Words(
    en="{event} ({name}){at} of {whose}{bed}{plan}, message {control}",
    zh="{event}（{name}）{at}，{whose}{bed}{plan}，消息 {control}",
)
AT = Words(en=" at {at}", zh="，{at}")
KNOWN_BED = Words(en=", bed {bed}", zh="，床位 {bed}")
UNKNOWN_BED = Words(en=", bed {bed} (not registered)", zh="，床位 {bed}（未登记）")
PLANNED = Words(en=", planned", zh="，计划")
NOBODY = Words(en="nobody", zh="未指明患者")
UNKNOWN_EVENT = Words(en="unknown event", zh="未知事件")
# Where no stay changes, and why none could.
UNCHANGED = {
    Effect.PLAN: Words(en="a plan: nobody is in a bed by it", zh="计划：不占用床位"),
    Effect.NONE: Words(en="no effect on any stay", zh="对住院位置无影响"),
    Effect.WORKLIST: Words(en="only a person can carry it out", zh="需人工处理"),
}


class Explanation(msgspec.Struct, frozen=True):
    """Of one message: what it says, what it changes after those before it, and what it asks of people."""

    title: str
    effects: list[str]
    questions: list[str]


class Explainer:
    """Takes one message after the other and says what each changes, in "en" or "zh".

    `bed_names`: what the site calls its beds, by their keys; `zone`: of the moments in what is said.
    """

    def __init__(self, language: str = "en", bed_names: Mapping[str, str] = NO_BED_NAMES, zone: tzinfo = UTC) -> None:
        self._language, self._bed_names, self._zone = language, bed_names, zone
        self._facts: list[AdtFact] = []
        self._ids: set[bytes] = set()

    def explain(self, new: Sequence[AdtFact]) -> Explanation:
        """All facts of one message."""
        heading = "; ".join(title(fact, self._language, self._zone) for fact in new)
        if all(fact.id in self._ids for fact in new):
            return Explanation(heading, [self._say(AGAIN)], [])
        related = self._related(new)
        before, asked_before = _computed(related)
        after, asked_after = _computed([*related, *new])
        self._facts += new
        self._ids |= {fact.id for fact in new}
        effects = [self._say(NO_LONGER, stay=self._stay(stay)) for stay in before if stay not in after]
        effects += [self._stay(stay) for stay in after if stay not in before]
        effects += [
            self._say(LINKED[link.kind], retired=patient_words(link.retired), survivor=patient_words(link.survivor))
            for fact in new
            for link in fact.patient_links
        ]
        if not any(fact.live for fact in new):
            effects.append(self._say(TEST))
        elif not effects:
            why = next((UNCHANGED[fact.effect] for fact in new if fact.effect in UNCHANGED), NO_CHANGE)
            effects.append(self._say(why))
        questions = [
            _in_language(question_words(item, self._bed_names), self._language)
            for item in asked_after
            if item not in asked_before
        ]
        return Explanation(heading, effects, questions)

    def _say(self, sentence: Words, **filled: str) -> str:
        return _in_language(sentence, self._language).format(**filled)

    def _stay(self, stay: Stay) -> str:
        named = {
            "visit": _in_language(visit_words(stay.encounter), self._language),
            "bed": bed_words(stay.bed, self._bed_names),
            "since": _instant(stay.from_us, self._zone),
        }
        if stay.until_us is None:
            return self._say(OPEN_STAY, **named)
        planned = self._say(BY_A_PLAN) if stay.until_planned else ""
        return self._say(STAY, **named, until=_instant(stay.until_us, self._zone), planned=planned)

    def _related(self, new: Sequence[AdtFact]) -> list[AdtFact]:
        """Those that have an encounter or a patient in common with these, and what these have in common with others."""
        keys = set().union(*map(_keys, new))
        while True:
            related = [fact for fact in self._facts if keys & _keys(fact)]
            wider = keys.union(*map(_keys, related))
            if wider == keys:
                return related
            keys = wider


def title(fact: AdtFact, language: str, zone: tzinfo = UTC) -> str:
    """What the message says of a patient, in one line."""

    def say(sentence: Words, **filled: str) -> str:
        return _in_language(sentence, language).format(**filled)

    if fact.encounter:
        whose = _in_language(visit_words(fact.encounter), language)
    else:
        whose = patient_words(fact.patients[0]) if fact.patients else say(NOBODY)
    bed = {BedState.KNOWN: KNOWN_BED, BedState.UNKNOWN: UNKNOWN_BED}.get(fact.bed.state)
    return say(
        TITLE,
        event=fact.event,
        name=_event_name(fact.event, language),
        at=say(AT, at=_instant(fact.happened_at_us, zone)) if fact.happened_at_us is not None else "",
        whose=whose,
        bed=say(bed, bed=fact.bed.as_sent) if bed else "",
        plan=say(PLANNED) if fact.plan else "",
        control=fact.control,
    )


def _event_name(event: str, language: str) -> str:
    if event not in EVENTS:
        return _in_language(UNKNOWN_EVENT, language)
    return NAMES_ZH[event] if language == "zh" else EVENTS[event].name


def _in_language(sentence: Words, language: str) -> str:
    return sentence.zh if language == "zh" else sentence.en


def _keys(fact: AdtFact) -> set[str]:
    links = {key for link in (*fact.patient_links, *fact.encounter_links) for key in (link.retired, link.survivor)}
    return links | set(fact.patients[:1]) | ({fact.encounter} if fact.encounter else set())


def _computed(facts: Sequence[AdtFact]) -> tuple[list[Stay], list[Item]]:
    patients = patient_links(facts)
    stays = compute_stays(facts, patients, encounter_links(facts))
    items = stays.items + merge_items(patients) + [item for fact in facts for item in fact_items(fact)]
    return stays.stays, items


def _instant(at_us: int, zone: tzinfo) -> str:
    return datetime.fromtimestamp(at_us / 1e6, zone).isoformat(timespec="seconds")
