"""What only a person can decide: items, and the words for them."""

from __future__ import annotations

from enum import StrEnum

import msgspec

SHARED_BED_PATIENCE_US = 60_000_000  # two transfers that make a swap come one after the other


class ItemKind(StrEnum):
    """What is not clear."""

    NOBODY_IN_BED = "nobody_in_bed"
    BED_AND_MONITOR_DISAGREE = "bed_and_monitor_disagree"
    TWO_IN_ONE_BED = "two_in_one_bed"
    DISCHARGED_STILL_MEASURING = "discharged_still_measuring"
    PLAN_PASSED = "plan_passed"
    UNKNOWN_BED = "unknown_bed"
    NO_BED = "no_bed"
    NO_VISIT = "no_visit"
    DISCHARGE_WITHOUT_STAY = "discharge_without_stay"
    DISCHARGE_TIME_CONTRADICTED = "discharge_time_contradicted"
    MOVE_AFTER_END = "move_after_end"
    SECOND_ADMISSION = "second_admission"
    CANCEL_WAITS = "cancel_waits"
    SWAP_INCOMPLETE = "swap_incomplete"
    UPDATE_NAMES_OTHER_BED = "update_names_other_bed"
    CLASS_CHANGE_UNCLEAR = "class_change_unclear"
    TWO_PATIENTS_IN_ONE_VISIT = "two_patients_in_one_visit"
    CIRCULAR_MERGE = "circular_merge"
    REVERSED_MERGE = "reversed_merge"
    UNMATCHED_MERGE = "unmatched_merge"
    FOR_A_PERSON = "for_a_person"
    UNKNOWN_EVENT = "unknown_event"
    NO_TIME = "no_time"
    CLOCK_AHEAD = "clock_ahead"
    CLOCK_BEHIND = "clock_behind"
    SCAN_CONTRADICTED = "scan_contradicted"
    ACT_CONTRADICTED = "act_contradicted"
    SCAN_WITHOUT_TIME = "scan_without_time"
    SCAN_RETAINED = "scan_retained"
    SCAN_AHEAD = "scan_ahead"
    SCAN_OF_UNKNOWN_DEVICE = "scan_of_unknown_device"
    SCAN_OF_UNKNOWN_WRISTBAND = "scan_of_unknown_wristband"
    SCAN_OF_SEVERAL_VISITS = "scan_of_several_visits"
    IN_CENSUS_NOT_IN_ADT = "in_census_not_in_adt"
    IN_ADT_NOT_IN_CENSUS = "in_adt_not_in_census"
    CENSUS_NAMES_OTHER_BED = "census_names_other_bed"
    CHART_ATTRIBUTION_DISPUTED = "chart_attribution_disputed"
    CORRECTION_OF_NOTHING = "correction_of_nothing"
    CORRECTION_OF_SEVERAL = "correction_of_several"


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One open question. `words(kind)` has the sentence; {subject} and {detail} are filled in."""

    kind: ItemKind
    subject: str  # the key of the encounter, patient, bed or device that it is about; else the source
    since_us: int
    announce_at_us: int  # people hear of it from then on, if it lasts
    until_us: int | None = None  # when the question ceased to matter for what comes; None: it lasts
    facts: tuple[bytes, ...] = ()
    detail: str = ""

    def announced(self, now_us: int) -> bool:
        """Whether people are to see it: it lasted for as long as it may mend itself."""
        return now_us >= self.announce_at_us and (self.until_us is None or self.until_us > self.announce_at_us)


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """For people: what is not clear, and what to do."""

    en: str
    zh: str


WORDS = {
    ItemKind.NOBODY_IN_BED: Words(
        en="A device measures at a bed where nobody is. Say who it is, or that the device stands elsewhere.",
        zh="设备在测量，但床上无人。请确认患者，或更正设备位置。",
    ),
    ItemKind.BED_AND_MONITOR_DISAGREE: Words(
        en="The bed and the patient number on the monitor name different patients. Say which is right.",
        zh="床位与监护仪上的患者号不一致。请确认哪一个正确。",
    ),
    ItemKind.TWO_IN_ONE_BED: Words(
        en="By ADT two patients are in one bed. Say who is in it, or have the missing transfer sent.",
        zh="按ADT消息，同一床位有两名患者。请确认在床患者，或补发转床消息。",
    ),
    ItemKind.DISCHARGED_STILL_MEASURING: Words(
        en="The patient left the bed and the device still measures. Say whose the values are.",
        zh="患者已离床，设备仍在测量。请确认数据归属。",
    ),
    ItemKind.PLAN_PASSED: Words(
        en="A planned admission, transfer or discharge did not come about ({detail}). Say what happened.",
        zh="计划的入院、转床或出院未执行（{detail}）。请确认实际情况。",
    ),
    ItemKind.UNKNOWN_BED: Words(
        en="ADT names a bed that is not registered: {detail}. Register it or give it an alias.",
        zh="ADT消息中的床位未登记：{detail}。请登记或设置别名。",
    ),
    ItemKind.NO_BED: Words(en="The patient is in no bed by ADT. Say where.", zh="ADT消息未给出床位。请确认患者位置。"),
    ItemKind.NO_VISIT: Words(
        en="An {detail} names no visit and had no effect. Say which visit is meant.",
        zh="{detail}消息未指明就诊，未生效。请确认所指就诊。",
    ),
    ItemKind.DISCHARGE_WITHOUT_STAY: Words(
        en="A discharge of a visit that was never admitted. Say whether another visit is meant.",
        zh="出院消息对应的就诊从未入院。请确认是否指其他就诊。",
    ),
    ItemKind.DISCHARGE_TIME_CONTRADICTED: Words(
        en="The discharge time lies before the patient came into the bed. The time of the message was taken.",
        zh="出院时间早于入床时间，已采用消息时间。请核对。",
    ),
    ItemKind.MOVE_AFTER_END: Words(
        en="An {detail} of a visit that had ended had no effect. Say whether the patient is still here.",
        zh="就诊结束后收到{detail}，未生效。请确认患者是否仍在院。",
    ),
    ItemKind.SECOND_ADMISSION: Words(
        en="A visit was admitted twice, to different beds. The later one was taken.",
        zh="同一就诊两次入院且床位不同，已采用较晚的一次。请核对。",
    ),
    ItemKind.CANCEL_WAITS: Words(
        en="A cancellation ({detail}) names nothing that is known. Say what it cancels.",
        zh="取消消息（{detail}）找不到对应事件。请确认所取消的内容。",
    ),
    ItemKind.SWAP_INCOMPLETE: Words(
        en="A swap names one patient alone; nobody was moved. Say who is where.",
        zh="换床消息只含一名患者，未移动任何人。请确认各自床位。",
    ),
    ItemKind.UPDATE_NAMES_OTHER_BED: Words(
        en="An update names another bed ({detail}); nobody was moved. Say whether the patient moved.",
        zh="更新消息中的床位不同（{detail}），未移动。请确认患者是否转床。",
    ),
    ItemKind.CLASS_CHANGE_UNCLEAR: Words(
        en="A change between inpatient and outpatient may mean more than one visit. Say which one ended.",
        zh="门诊/住院转换可能对应多次就诊。请确认哪次就诊已结束。",
    ),
    ItemKind.TWO_PATIENTS_IN_ONE_VISIT: Words(
        en="One visit number names two patients ({detail}). Values wait until a merge or a person decides.",
        zh="同一就诊号对应两名患者（{detail}）。合并或人工确认前数据不归属。",
    ),
    ItemKind.CIRCULAR_MERGE: Words(
        en="A merge retires a patient number into itself. It had no effect.", zh="合并消息将患者号并入自身，未生效。"
    ),
    ItemKind.REVERSED_MERGE: Words(
        en="A merge was sent a second time the other way round. The first one stands. Say which number goes on.",
        zh="合并消息方向相反地重复发送，以第一次为准。请确认保留哪个患者号。",
    ),
    ItemKind.UNMATCHED_MERGE: Words(
        en="A merge does not say into which number. It had no effect.", zh="合并消息未指明并入的号码，未生效。"
    ),
    ItemKind.FOR_A_PERSON: Words(
        en="An {detail} was received, which only a person can carry out.", zh="收到{detail}，需人工处理。"
    ),
    ItemKind.UNKNOWN_EVENT: Words(en="An unknown event {detail} had no effect.", zh="未知事件{detail}，未生效。"),
    ItemKind.NO_TIME: Words(en="An {detail} without any time had no effect.", zh="{detail}消息没有时间，未生效。"),
    ItemKind.CLOCK_AHEAD: Words(
        en="The clock of the sender is ahead of ours by {detail} s. Have it set.", zh="发送方时钟快{detail}秒。请校时。"
    ),
    ItemKind.CLOCK_BEHIND: Words(
        en="All of the latest messages of {subject} came {detail} s or more after their time. Its clock is behind ours,"
        " or its messages are held up. Have it set.",
        zh="{subject}最近的消息均比其时间晚{detail}秒以上到达：发送方时钟慢，或消息积压。请校时或检查。",
    ),
    ItemKind.SCAN_CONTRADICTED: Words(
        en="A scan and the bed or the monitor name different patients. The scan was taken. Say which is right.",
        zh="扫码与床位或监护仪的患者不一致，已采用扫码。请确认。",
    ),
    ItemKind.ACT_CONTRADICTED: Words(
        en="A message contradicts what a person had decided before it. The decision stands. Look at it anew.",
        zh="后到的消息与人工确认不一致，仍以人工确认为准。请复核。",
    ),
    ItemKind.SCAN_WITHOUT_TIME: Words(
        en="A scan ({detail}) has no time that can be read to the second, and had no effect. Scan again.",
        zh="扫码（{detail}）没有可读到秒的时间，未生效。请重新扫码。",
    ),
    ItemKind.SCAN_RETAINED: Words(
        en="A scan ({detail}) was retained by the broker and had no effect. Have the scanner publish without retain.",
        zh="扫码（{detail}）为代理服务器保留的旧消息，未生效。请关闭扫码端的retain。",
    ),
    ItemKind.SCAN_AHEAD: Words(
        en="A scan ({detail}) is dated ahead of its arrival, and had no effect. Have the scanner's clock set.",
        zh="扫码（{detail}）的时间晚于接收时间，未生效。请校正扫码端时钟。",
    ),
    ItemKind.SCAN_OF_UNKNOWN_DEVICE: Words(
        en="A scan ({detail}) names a device that nobody has heard of. Say which device is meant.",
        zh="扫码（{detail}）中的设备未知。请确认所指设备。",
    ),
    ItemKind.SCAN_OF_UNKNOWN_WRISTBAND: Words(
        en="A scan ({detail}) names no visit that was open then. Say who the patient is.",
        zh="扫码（{detail}）未找到当时在院的就诊。请确认患者。",
    ),
    ItemKind.SCAN_OF_SEVERAL_VISITS: Words(
        en="A scan ({detail}) fits several visits that were open then. Say which one is meant.",
        zh="扫码（{detail}）对应多次在院就诊。请确认所指就诊。",
    ),
    ItemKind.IN_CENSUS_NOT_IN_ADT: Words(
        en="The census has the patient in bed {detail}, ADT in none. Have the missing message sent.",
        zh="在床名单中患者在床位{detail}，ADT中不在床。请补发缺失的消息。",
    ),
    ItemKind.IN_ADT_NOT_IN_CENSUS: Words(
        en="By ADT the patient is in bed {detail}, and is not in the census. Say whether the patient left.",
        zh="按ADT患者在床位{detail}，但不在在床名单中。请确认患者是否已离开。",
    ),
    ItemKind.CENSUS_NAMES_OTHER_BED: Words(
        en="The census and ADT name different beds ({detail}). Have the missing transfer sent.",
        zh="在床名单与ADT的床位不同（{detail}）。请补发缺失的转床消息。",
    ),
    ItemKind.CHART_ATTRIBUTION_DISPUTED: Words(
        en="A confirmed chart entry was taken from values that are no longer this patient's ({detail}). Confirm,"
        " correct or withdraw it.",
        zh="已确认的记录取自现已不归该患者的数据（{detail}）。请确认、更正或作废。",
    ),
    ItemKind.CORRECTION_OF_NOTHING: Words(
        en="A device corrected or withdrew a value that it had not sent ({detail}). Look at the chart of that time.",
        zh="设备更正或撤回了未曾发送的数据（{detail}）。请核对该时段的记录。",
    ),
    ItemKind.CORRECTION_OF_SEVERAL: Words(
        en="A device corrected or withdrew a value that it had sent several times ({detail}). Look at the chart of that"
        " time.",
        zh="设备更正或撤回的数据曾多次发送（{detail}）。请核对该时段的记录。",
    ),
}


def words(item: Item, language: str) -> str:
    """The sentence in "en" or "zh"."""
    sentence = WORDS[item.kind].zh if language == "zh" else WORDS[item.kind].en
    return sentence.format(subject=item.subject, detail=item.detail)
