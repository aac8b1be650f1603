"""What one ADT message would do, in words: for `vitalwire adt explain`, before a site switches its feed on."""

from __future__ import annotations

from clinical.adt_events import EVENTS, Effect
from clinical.beds import BedState
from clinical.facts import AdtFact
from clinical.stays import fact_items
from clinical.worklist import Words, words

EFFECTS = {
    Effect.ADMIT: Words(en="opens {visit} in {bed}", zh="{visit}入院，床位{bed}"),
    Effect.REGISTER: Words(en="opens {visit}, in {bed}", zh="{visit}登记，床位{bed}"),
    Effect.MOVE: Words(en="moves {visit} to {bed}", zh="{visit}转至{bed}"),
    Effect.DISCHARGE: Words(en="ends {visit} and its bed", zh="{visit}出院，床位结束"),
    Effect.CHANGE_CLASS: Words(
        en="goes on as {visit} in {bed}; another visit of the patient ends there",
        zh="以{visit}继续，床位{bed}；该患者在此床的其他就诊结束",
    ),
    Effect.UPDATE: Words(en="updates {visit} and moves nobody", zh="更新{visit}，不移动患者"),
    Effect.DEPART: Words(
        en="leaves the bed of {visit} silent until the patient is back", zh="{visit}外出，返回前床位静默"
    ),
    Effect.ARRIVE: Words(en="puts {visit} back into {bed}", zh="{visit}返回{bed}"),
    Effect.SWAP: Words(
        en="moves {visit} to {bed}, and the other group at the same instant", zh="{visit}换至{bed}，另一组同时移动"
    ),
    Effect.LEAVE: Words(en="keeps the bed of {visit}, silent until the return", zh="{visit}请假，保留床位并静默"),
    Effect.RETURN: Words(en="ends the leave of {visit}", zh="{visit}销假"),
    Effect.CANCEL: Words(en="strikes an earlier {strikes} of {visit}", zh="取消{visit}先前的{strikes}"),
    Effect.MERGE: Words(en="makes two patient numbers one; moves nobody", zh="合并患者号，不移动患者"),
    Effect.LINK: Words(en="makes two patient numbers one; moves nobody", zh="关联患者号，不移动患者"),
    Effect.UNLINK: Words(en="separates two patient numbers that were linked", zh="解除患者号关联"),
    Effect.RENUMBER: Words(en="goes on under another number; moves nobody", zh="更换就诊号或账号，不移动患者"),
    Effect.PLAN: Words(en="announces what is to come; puts nobody into a bed", zh="预告，不占用床位"),
    Effect.WORKLIST: Words(en="goes to the worklist for a person", zh="进入工作列表，由人工处理"),
    Effect.NONE: Words(en="has no effect on a stay", zh="对住院位置无影响"),
}


def explain(fact: AdtFact, language: str) -> str:
    """In "en" or "zh": the event, its effect taken alone, and each question that it raises. What an earlier message
    makes of it (a cancel, a discharge) only `compute_stays` knows."""
    chinese = language == "zh"
    row = EVENTS.get(fact.event)
    effect = EFFECTS[fact.effect].zh if chinese else EFFECTS[fact.effect].en
    if fact.effect is Effect.UPDATE and fact.a08_moves and fact.bed.state is BedState.KNOWN:
        effect = EFFECTS[Effect.MOVE].zh if chinese else EFFECTS[Effect.MOVE].en
    if fact.plan:
        effect = EFFECTS[Effect.PLAN].zh if chinese else EFFECTS[Effect.PLAN].en
    items = fact_items(fact)
    if not fact.live:
        effect = "测试消息，不生效" if chinese else "is a test message and has no effect"
    elif fact.names_no_visit or fact.happened_at_us is None:
        effect = "不生效" if chinese else "has no effect"
    sentence = effect.format(
        visit=fact.encounter or ("未指明的就诊" if chinese else "no visit"),
        bed=_bed_words(fact, chinese=chinese),
        strikes="/".join(row.strikes) if row else "",
    )
    return " ".join([f"{fact.event}: {sentence}.", *(words(item, language) for item in items)])


def _bed_words(fact: AdtFact, *, chinese: bool) -> str:
    if fact.bed.state is BedState.KNOWN:
        return fact.bed.key
    if fact.bed.state is BedState.UNKNOWN:
        return f"未登记的床位{fact.bed.as_sent}" if chinese else f"a bed that is not registered ({fact.bed.as_sent})"
    return "无床位" if chinese else "no bed"
