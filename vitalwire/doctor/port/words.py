"""The doctor's sentences, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from vitalwire.doctor.port.conclusion import Conclusion

Language = Literal["en", "zh"]

_SENTENCES: Mapping[str, dict[Language, str]] = {
    "certain": {
        "en": "{title}{at}, {share} of frames valid.",
        "zh": "{title}，{at_zh}{share}的帧有效。",
    },
    "likely": {
        "en": "Likely, not certain: {title}{at}, {share} of {count} frames valid.",
        "zh": "可能是（尚不确定）：{title}，{at_zh}{count}帧中{share}有效。",
    },
    "parity": {
        "en": "Bytes arrive, parity is wrong: try {framing}. Then it is {title}, {share} of {count} frames valid.",
        "zh": "有数据，但校验位不对：请改为{framing}。这样读出的是{title}，{count}帧中{share}有效。",
    },
    "asks": {
        "en": "A device asks to begin and waits for an answer, which the doctor never gives. Likely: {title}{at}. "
        "Configured so, `vitalwire edge run` answers it.",
        "zh": "设备请求开始通信并等待应答，而诊断程序从不应答。可能是：{title}，{at_zh}"
        "按此配置后，由`vitalwire edge run`应答。",
    },
    "unknown": {
        "en": "Bytes arrive{at} and no protocol is known. Record them for somebody who knows the device: "
        "vitalwire doctor {place} --record unknown.rec",
        "zh": "{at_zh}有数据，但不属于任何已知协议。请录下供熟悉该设备的人查看："
        "vitalwire doctor {place} --record unknown.rec",
    },
    "silent": {
        "en": "Nothing is sent in {seconds} s{rates}: null-modem, or the wrong port? Is its output on?{more}",
        "zh": "{seconds}秒内没有任何数据{rates_zh}：是否需要交叉线（null-modem），或接错了端口？"
        "设备的输出是否已打开？{more}",
    },
}  # fmt: skip
_WHY: Mapping[str, dict[Language, str]] = {
    "few": {
        "en": "too few frames came: put the sensor on, or listen longer (--seconds)",
        "zh": "帧数太少：请接上传感器，或用--seconds延长监听",
    },
    "rival": {"en": "{rival} reads nearly as much of it", "zh": "{rival}也能读出其中差不多的部分"},
    "unchecked": {
        "en": "damage to its frames would mostly not be noticed",
        "zh": "其帧若有损坏大多无法察觉",
    },
    "damaged": {
        "en": "much of what comes is damaged: look at cable, plug and ground",
        "zh": "大部分数据已损坏：请检查电缆、插头和接地",
    },
    "framing": {
        "en": "{others} would read the same, and this port reports no parity errors: see the device's menu or manual",
        "zh": "{others}读出的结果相同，而此端口不报告校验错误：请以设备菜单或手册为准",
    },
    "rate": {
        "en": "it reads the same at {others}: this port seems to know no rate",
        "zh": "在{others}读出的结果相同：此端口似乎不区分波特率",
    },
}
_PROBE: dict[Language, str] = {
    "en": " Some devices speak only when asked: --probe sends the identification and data requests of the drivers.",
    "zh": "有些设备只有被询问才发送：--probe会发送各驱动的识别和数据请求。",
}
_ASKED: dict[Language, str] = {
    "en": " Nor is anything answered that was asked: {asked}.",
    "zh": "询问后也无应答：{asked}。",
}


def sentences(conclusion: Conclusion, language: Language) -> list[str]:
    """The answer first, then what it lacks to be certain."""
    is_zh = language == "zh"
    more = _PROBE[language]
    if conclusion.asked:
        more = _ASKED[language].format(asked=("、" if is_zh else ", ").join(conclusion.asked))
    words = {
        "title": conclusion.title,
        "at": f" at {conclusion.settings}" if conclusion.settings else "",
        "at_zh": f"{conclusion.settings}，" if conclusion.settings else "",
        "share": f"{conclusion.share:.0%}" if is_zh else f"{conclusion.share * 100:.0f} %",
        "count": str(conclusion.frames + conclusion.frames_invalid),
        "framing": f"{conclusion.data_bits}{conclusion.parity}1",
        "place": conclusion.place,
        "seconds": f"{conclusion.seconds:.0f}",
        "rates": " at any rate", "rates_zh": "（所有波特率）",
        "more": more,
        "rival": conclusion.rival,
        "others": ("、" if is_zh else ", ").join(conclusion.alternatives),
    }  # fmt: skip
    answer = [_SENTENCES[conclusion.slug][language].format(**words)]
    for slug in conclusion.why:
        answer.append(_WHY[slug][language].format(**words))
    return answer
