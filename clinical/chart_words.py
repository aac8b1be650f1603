"""What a chart says of its doing, in words: why a slot is empty, what shows it, by which rule a value was chosen."""

from __future__ import annotations

import re

from clinical.chart import GapReason
from clinical.worklist import Words

# What to do about it follows where somebody can.
GAPS: dict[GapReason, Words] = {
    GapReason.NOT_YET: Words(
        en="The time is not over yet, or not worked on yet: a slot is charted five minutes after its end.",
        zh="时间未到或尚未处理：每个时点结束五分钟后写入。",
    ),
    GapReason.NO_POLICY: Words(
        en="Nobody asked for a value here: no policy of this ward names it at this time.",
        zh="此处无需记录：本病区的规则在该时点没有此项目。",
    ),
    GapReason.LEAD_OFF: Words(
        en="The device said that it had no reading: a lead or sensor was off.", zh="设备报告无读数：导联或传感器脱落。"
    ),
    GapReason.NOT_MEASURED: Words(
        en="The device was heard, and did not measure this.", zh="设备有数据，但没有测量此项目。"
    ),
    GapReason.UNPLUGGED: Words(
        en="The device was not heard, though its box was: it was off or unplugged.",
        zh="收不到设备数据，但采集盒在线：设备关机或接线脱落。",
    ),
    GapReason.BOX_AWAY: Words(en="The box that hears this device was not heard itself.", zh="连接该设备的采集盒失联。"),
    GapReason.NETWORK: Words(
        en="The box had the values and could not send them: they come later, or are known to be lost.",
        zh="采集盒已有数据但未能送出：将补传，或已确认丢失。",
    ),
    GapReason.REJECTED: Words(
        en="A message came that could not be read: it is kept as it was sent.", zh="收到的报文无法解读：原文已保留。"
    ),
    GapReason.DOUBTFUL: Words(en="The value was doubtful.", zh="数值存疑。"),
    GapReason.AMBIGUOUS: Words(
        en="The device does not say unambiguously what it measured.", zh="设备未明确所测项目，无法区分。"
    ),
    GapReason.STALE: Words(
        en="What was measured is too old, or a stretch of more than 30 seconds is missing.",
        zh="数值过旧，或中断超过 30 秒。",
    ),
    GapReason.TRAINING: Words(en="A training or test system said it.", zh="来自培训或测试系统。"),
    GapReason.SETTING: Words(en="It is what a person set, and no measurement.", zh="是设定值，并非测量值。"),
    GapReason.WITHDRAWN: Words(en="Its sender took the value back.", zh="发送方已撤回该数值。"),
    GapReason.FOREIGN_EDGE: Words(
        en="It was heard through a box that the device does not belong to.", zh="经由不属于该设备的采集盒收到。"
    ),
    GapReason.NOBODY: Words(
        en="The device's values were nobody's then: no patient was known at its bed.",
        zh="该时段设备数据无归属：其床位没有已知患者。",
    ),
    GapReason.CONFLICT: Words(
        en="Bed and monitor named different patients: the values are kept out of both charts.",
        zh="床位与监护仪指向不同患者：数据未记入任何一方。",
    ),
    GapReason.UNDECIDED: Words(
        en="Whose the values are is not decided: the worklist asks.", zh="数据归属待确认：见工作列表。"
    ),
    GapReason.CUT_BY_MOVE: Words(
        en="The patient moved: the part of this time that was this stay's has no value.",
        zh="患者转床：该时段内属于本次住院的部分没有数值。",
    ),
    GapReason.ABSENT: Words(en="The patient was away from the bed.", zh="患者离床外出。"),
    GapReason.NOBODY_THERE: Words(en="No device stood at the patient's bed.", zh="患者床位没有设备。"),
}
NOTHING_IN_IT = Words(
    en="It is charted whenever it is measured: nothing was measured in this time.",
    zh="每测一次即记录：该时段内未测量。",
)
ON_DEMAND = Words(
    en="It is charted when somebody takes it: nobody did in this time.", zh="需要时由人采入：该时段内无人采入。"
)
_EVIDENCE: dict[str, Words] = {
    "event": Words(en="event of the box or device: {}", zh="采集盒或设备事件：{}"),
    "report": Words(en="report {}", zh="报告 {}"),
    "edge": Words(en="box {}", zh="采集盒 {}"),
    "silent since": Words(en="silent since {}", zh="静默，自 {}"),
    "encounter": Words(en="said by ADT, visit {}", zh="依据 ADT，就诊 {}"),
}
_MEDIAN = re.compile(r"median of ([0-9]+) values of the last minute")
_RULES: dict[str, Words] = {
    "last valid": Words(en="the last valid value", zh="最后一个有效值"),
    "each": Words(en="each value", zh="每个数值"),
    "by hand": Words(en="written by hand", zh="手工录入"),
    "no value stands for this slot any more": Words(
        en="no value stands for this time any more", zh="该时点已无可用数值"
    ),
}


def evidence_words(kind: str, reference: str) -> Words:
    """What shows why a slot is empty."""
    words = _EVIDENCE.get(kind, Words(en=f"{kind} {{}}", zh=f"{kind} {{}}"))
    return Words(en=words.en.format(reference), zh=words.zh.format(reference))


def rule_words(reason: str) -> Words:
    """A version's reason: a rule in both languages, what a person wrote as it is."""
    median = _MEDIAN.fullmatch(reason)
    if median is not None:
        return Words(
            en=f"the median of {median[1]} values of the last minute", zh=f"最后一分钟 {median[1]} 个数值的中位数"
        )
    return _RULES.get(reason, Words(en=reason, zh=reason))
