"""What ADT messages would do, in words: for `vitalwire adt explain`, before a site switches its feed on.

Each is told by the stays that change with it, given those before it: what a cancel or a discharge does cannot be told
of it alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from clinical.adt_events import EVENTS, Effect
from clinical.beds import BedState
from clinical.encounter import Stay
from clinical.facts import AdtFact
from clinical.stays import compute_stays, encounter_links, fact_items, merge_items, patient_links
from clinical.worklist import Item, Words, words

AGAIN = Words(en="the same message again: nothing changes", zh="重复消息：无变化")
TEST = Words(en="a test or training message (MSH-11): without effect", zh="测试或培训消息（MSH-11）：不生效")
NO_CHANGE = Words(en="no stay changes", zh="住院位置无变化")
NO_LONGER = Words(en="no longer believed: {stay}", zh="不再成立：{stay}")
LINKED = Words(en="{retired} is {survivor} ({kind})", zh="{retired}即{survivor}（{kind}）")
STAY = Words(en="{visit} in {bed} since {since} until {until}{planned}", zh="{visit}在{bed}，{since}至{until}{planned}")
OPEN_STAY = Words(en="{visit} in {bed} since {since} from then on", zh="{visit}在{bed}，自{since}起")
BY_A_PLAN = Words(en=" (by a plan)", zh="（按计划）")
TITLE = Words(
    en="{event} ({name}){at} of {whose}{bed}{plan}, message {control}",
    zh="{event}（{name}）{at}，{whose}{bed}{plan}，消息{control}",
)
AT = Words(en=" at {at}", zh="，{at}")
KNOWN_BED = Words(en=", bed {bed}", zh="，床位{bed}")
UNKNOWN_BED = Words(en=", bed {bed} (not registered)", zh="，床位{bed}（未登记）")
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
    """Takes one message after the other and says what each changes, in "en" or "zh"."""

    def __init__(self, language: str = "en") -> None:
        self._language = language
        self._facts: list[AdtFact] = []
        self._ids: set[bytes] = set()

    def explain(self, new: Sequence[AdtFact]) -> Explanation:
        """All facts of one message."""
        heading = "; ".join(title(fact, self._language) for fact in new)
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
            self._say(LINKED, retired=link.retired, survivor=link.survivor, kind=link.kind.value)
            for fact in new
            for link in fact.patient_links
        ]
        if not any(fact.live for fact in new):
            effects.append(self._say(TEST))
        elif not effects:
            why = next((UNCHANGED[fact.effect] for fact in new if fact.effect in UNCHANGED), NO_CHANGE)
            effects.append(self._say(why))
        questions = [words(item, self._language) for item in asked_after if item not in asked_before]
        return Explanation(heading, effects, questions)

    def _say(self, sentence: Words, **filled: str) -> str:
        return _in_language(sentence, self._language).format(**filled)

    def _stay(self, stay: Stay) -> str:
        named = {"visit": stay.encounter, "bed": stay.bed, "since": _instant(stay.from_us)}
        if stay.until_us is None:
            return self._say(OPEN_STAY, **named)
        planned = self._say(BY_A_PLAN) if stay.until_planned else ""
        return self._say(STAY, **named, until=_instant(stay.until_us), planned=planned)

    def _related(self, new: Sequence[AdtFact]) -> list[AdtFact]:
        """Those that have an encounter or a patient in common with these, and what these have in common with others."""
        keys = set().union(*map(_keys, new))
        while True:
            related = [fact for fact in self._facts if keys & _keys(fact)]
            wider = keys.union(*map(_keys, related))
            if wider == keys:
                return related
            keys = wider


def title(fact: AdtFact, language: str) -> str:
    """What the message says of a patient, in one line."""

    def say(sentence: Words, **filled: str) -> str:
        return _in_language(sentence, language).format(**filled)

    bed = {BedState.KNOWN: KNOWN_BED, BedState.UNKNOWN: UNKNOWN_BED}.get(fact.bed.state)
    return say(
        TITLE,
        event=fact.event,
        name=EVENTS[fact.event].name if fact.event in EVENTS else say(UNKNOWN_EVENT),
        at=say(AT, at=_instant(fact.happened_at_us)) if fact.happened_at_us is not None else "",
        whose=fact.encounter or next(iter(fact.patients), say(NOBODY)),
        bed=say(bed, bed=fact.bed.as_sent) if bed else "",
        plan=say(PLANNED) if fact.plan else "",
        control=fact.control,
    )


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


def _instant(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="seconds")
