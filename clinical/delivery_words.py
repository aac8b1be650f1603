"""Why a delivery waits or is parked, in both languages.

The reasons are made in English where they arise (adapters/emr, stream_processors/deliver*.py, emr_store/deliver.py)
out of phrases that name no patient; here each phrase has its Chinese. What is not known stays English.
"""

from __future__ import annotations

import re

from clinical.worklist import Words

# In this order: a longer phrase before one that is a part of it.
_PHRASES = tuple((re.compile(pattern), chinese) for pattern, chinese in (
    # Of our own side.
    (r"an earlier message of the same entries is parked", "同一记录的前一条消息已搁置"),
    (r"an earlier message said it already", "此前的消息已包含该内容"),
    (r"withdrawn before it was ever sent", "发送之前已撤销"),
    (r"the patient has been erased: nothing of it leaves the house", "患者信息已删除：不再向外发送"),
    (r"nobody knows whose the encounter is: merge its patients, or correct the encounter",
     "无法确定该就诊属于哪位患者：请合并患者或更正就诊"),
    (r"it cannot be written", "无法生成消息"), (r"it cannot be read", "无法读取记录"),
    (r"skipped by an act", "已由人工跳过"),
    (r"found there, as it was sent before its answer was lost", "对方已有相同内容，先前的应答已丢失"),
    # HL7 v2, table 0357 and what is no acknowledgement.
    (r"acknowledges another message", "应答的是另一条消息"),
    (r"accepted, with an error inside", "应答为接收，但其中含有错误"),
    (r"answered with what is not HL7", "应答不是 HL7"),
    (r"answered without MSA: that is no acknowledgement", "应答缺少 MSA，不能视为确认"),
    (r"answered with a frame without end", "应答帧没有结尾"),
    (r"MSA-1 is not a code of table 0008", "MSA-1 不是 0008 表中的代码"),
    (r"segment sequence error", "段顺序错误"), (r"required field missing", "缺少必填字段"),
    (r"data type error", "数据类型错误"), (r"table value not found", "表中无此值"), (r"value too long", "值过长"),
    (r"non-conformant cardinality", "重复次数不符"), (r"other HL7 error", "其他 HL7 错误"),
    (r"unsupported message type", "不支持的消息类型"), (r"unsupported event code", "不支持的事件代码"),
    (r"unsupported processing id", "不支持的处理标识"), (r"unsupported version id", "不支持的版本"),
    (r"unknown key identifier", "未知的关键标识（如患者号）"), (r"duplicate key identifier", "关键标识重复"),
    (r"application record locked", "记录被锁定"), (r"application internal error", "对方系统内部错误"),
    (r"a code of its own", "对方自定义代码"),
    # FHIR.
    (r"the receiver could not now", "对方暂时无法处理"), (r"the receiver refuses it", "对方拒绝接收"),
    (r"somebody else changed it there, or several have its identifier", "对方系统中已被他人更改，或有多条相同标识"),
    (r"HTTP (\d+) that answers (\d+) entries of (\d+)", r"HTTP \1，\3 项中只应答了 \2 项"),
    (r"HTTP (\d+) with a body that cannot be read", r"HTTP \1，内容无法读取"),
    (r"HTTP (\d+) with an OperationOutcome instead of a Bundle", r"HTTP \1，返回 OperationOutcome 而非 Bundle"),
    (r"HTTP (\d+) without a Bundle of type transaction-response", r"HTTP \1，缺少 transaction-response 类型的 Bundle"),
    (r"HTTP (\d+), but entry (\d+) \((\w+)\)", r"HTTP \1，但第 \2 项（\3）"),
    (r"no status", "没有状态"), (r"status (\d+)", r"状态 \1"), (r"an error inside", "含有错误"),
    (r"a location that is none of its kind", "位置不属于该资源类型"),
    (r"the location of another one", "位置属于另一资源"),
    # A receiver that is away.
    (r"no answer within ([\d.]+) s", r"\1 秒内无应答"), (r"it refuses connections", "拒绝连接"),
    (r"it cannot be reached", "无法连接"), (r"its certificate cannot be trusted", "证书不可信"),
    (r"it broke off its answer", "应答中断"), (r"it broke the connection", "连接中断"),
    (r"it closed the connection instead of answering", "未应答即关闭连接"),
    (r"it refuses our token or password", "拒绝我方的令牌或密码"),
    (r"its address is not the base URL of a FHIR server", "该地址不是 FHIR 服务的基础地址"),
    (r"it sends us elsewhere: write that address", "要求转往其他地址：请配置该地址"),
    # Round them.
    (r", while it answered others", "（同时仍应答其他消息）"), (r" \(attempt (\d+)\)", r"（第 \1 次尝试）"),
    (r"\bat ((?:[A-Z][A-Z0-9]{2})(?:\[\d+\])?(?:-\d+)?)", r"位于 \1"), (r"\ban error\b", "错误"),
    ("; ", "；"), (": ", "："),
))  # fmt: skip


def reason_words(reason: str) -> Words:
    """Of a delivery, or of a destination that is away; "" in both where there is none."""
    chinese = reason
    for pattern, replacement in _PHRASES:
        chinese = pattern.sub(replacement, chinese)
    return Words(en=reason, zh=chinese)
